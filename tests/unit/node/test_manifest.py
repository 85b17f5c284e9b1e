"""The manifest and the presets: read back as written, and strict about everything else."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.deploy import create_address
from deploy.manifest import Content, Manifest, content, load_manifest, load_preset, topic_of
from node.adapters.abi import CONTRACTS
from node.protocol.cid import compute_cid
from node.protocol.errors import ConfigError
from node.protocol.types import Address

OTHER = Address("0x1111111111111111111111111111111111111111")


def example() -> Manifest:
    file = content(b"x", bytes(32))
    contracts = {name: create_address(OTHER, place) for place, name in enumerate(CONTRACTS)}
    return Manifest(
        version=1,
        chain_id=5,
        deployment_block=7,
        contracts=contracts,
        code_hashes=dict.fromkeys(CONTRACTS, b"\x01" * 32),
        params=load_preset("localnet"),
        committee=(OTHER,),
        guardian=OTHER,
        guardian_until=2_000_000_000,
        documents=(file,) * 4,
        guideline=file,
        genesis=file,
        public_benchmark=file,
        topic=topic_of(5, contracts["RoundManager"]),
    )


def test_manifest_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    example().write(path)
    assert load_manifest(path) == example()
    assert [entry.name for entry in tmp_path.iterdir()] == ["network.json"]


def _put(value: dict[str, Any], dotted: str, new: object) -> None:
    *folders, key = dotted.split(".")
    for folder in folders:
        value = value[folder]
    value[key] = new


@pytest.mark.parametrize(
    ("key", "new"),
    [
        ("surprise", 1),
        ("params.rounds.surprise", 1),
        ("version", 2),
        ("version", "1"),
        ("chain_id", "5"),
        ("chain_id", True),
        ("chain_id", -1),
        ("chain_id", 5.0),
        ("chain_id", 6),  # then the topic is another community's
        ("topic", "commonweight"),
        ("contracts", []),
        ("contracts.RoundManager", OTHER.lower()[:-1]),
        ("contracts.RoundManager", "0x" + "Aa" * 20),
        ("contracts.Other", OTHER),
        ("code_hashes.RoundManager", "0x12"),
        ("code_hashes.RoundManager", "12" * 32),
        ("genesis.hash", "0x"),
        ("genesis.cid", "bafy"),
        ("genesis.cid", None),
        ("committee", []),
        ("committee", OTHER),
        ("committee", [5]),
        ("params", None),
        ("params.rounds.tau", "300"),
    ],
)
def test_manifest_with_a_wrong_value_is_refused(tmp_path: Path, key: str, new: object) -> None:
    value = json.loads(example().to_json())
    _put(value, key, new)
    path = tmp_path / "network.json"
    path.write_text(json.dumps(value))
    with pytest.raises(ConfigError, match=r"network\.json"):
        load_manifest(path)


@pytest.mark.parametrize("key", [item.name for item in dataclasses.fields(Manifest)])
def test_manifest_without_a_key_is_refused(tmp_path: Path, key: str) -> None:
    value = json.loads(example().to_json())
    del value[key]
    path = tmp_path / "network.json"
    path.write_text(json.dumps(value))
    with pytest.raises(ConfigError, match=f"missing keys \\['{key}'\\]"):
        load_manifest(path)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b" " * 300_000])
def test_manifest_that_is_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "network.json"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"manifest|expected"):
        load_manifest(path)


def test_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_manifest(tmp_path / "none")


def test_localnet_preset_leaves_room_for_an_exit() -> None:
    params = load_preset("localnet")
    rounds = params.rounds
    longest = (
        rounds.commit_duration
        + rounds.reveal_duration
        + 2 * rounds.score_duration
        + rounds.settle_duration
        + rounds.attest_duration
        + rounds.challenge_duration
    )
    assert params.registry.exit_delay > longest
    assert params.registry.grant >= params.registry.min_bond


@pytest.mark.parametrize("text", ["", "surprise = 1", "[rounds]\ntau = 'x'", "=", "[rounds]"])
def test_preset_that_is_not_complete_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "net.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"net\.toml"):
        load_preset(path)


def test_content_is_named_as_ipfs_names_it() -> None:
    assert content(b"hello", bytes(32)) == Content(bytes(32), compute_cid(b"hello"))

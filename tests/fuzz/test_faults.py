"""What fuzzing found, once: each input made its reader raise something it does not document, or be read as another file."""

from __future__ import annotations

import json

import pytest
from fuzz_decoders import GUIDELINE, chain
from join_requests import body, signed

from node.adapters.abi import decode_revert
from node.config import load_config
from node.dao.proposal import read_file
from node.dao.releases import parse_version
from node.membership import request, review
from node.protocol.errors import ConfigError, RemoteProtocolError, RpcUnreachable
from node.protocol.guideline import Guideline
from node.roles.view import Facts
from node.store import NodeStore, facts_from_json, facts_to_json


def test_a_number_beyond_every_float(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(f"[pace]\npoll_seconds = 1{'0' * 400}\n")
    with pytest.raises(ConfigError, match="expected float"):
        load_config(path)


def test_paths_with_a_null_byte(tmp_path):
    path, network = tmp_path / "c.toml", tmp_path / "n.toml"
    path.write_text('[node]\ndata = "a\\u0000b"\n')
    with pytest.raises(ConfigError, match=r"node\.data"):
        load_config(path)
    path.write_text('[network]\nfile = "n\\u0000.toml"\n')
    with pytest.raises(ConfigError, match="can be no configuration"):
        load_config(path)
    network.write_text('[network]\nmanifest = "m\\u0000.json"\n')
    path.write_text('[network]\nfile = "n.toml"\n')
    with pytest.raises(ConfigError, match=r"network\.manifest"):
        load_config(path)


def test_values_nested_too_deeply(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("")
    with pytest.raises(ConfigError, match="not a TOML value"):
        load_config(path, flags=["pace.stagger=" + "[" * 100_000])
    for name, text in (("p.toml", "a = " + "[" * 100_000), ("p.json", "[" * 100_000)):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match="neither TOML nor JSON"):
            read_file(tmp_path / name)


@pytest.mark.parametrize("text", ["1.2.²", "1.2.９", "1.2." + "9" * 5_000, "1.2.99999"])
def test_digits_that_are_no_numbers(text):
    with pytest.raises(ConfigError, match="no version"):
        parse_version(text)


@pytest.mark.parametrize("size", [1 << 64, (1 << 256) - 1])
def test_an_error_message_said_to_be_longer_than_memory(size):
    data = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + size.to_bytes(32, "big") + b"no"
    assert decode_revert(data) == ("UnknownError", (data,))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fetched", 0.5),
        ("fetched", {"1": ["valid"]}),
        ("ballots", []),
        ("keys", 7),
        ("update", "x"),
        ("word", []),
        ("aggregate", ["00"]),
        ("aggregate", {"a": 1}),
    ],
)
def test_damaged_facts_are_set_aside(tmp_path, key, value):
    damaged = {**facts_to_json(Facts()), key: value}
    with pytest.raises(ValueError, match=r"."):
        facts_from_json(damaged)
    path = tmp_path / "rounds" / "000003" / "facts.json"
    for text in (json.dumps(damaged), "[" * 100_000):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        assert NodeStore(tmp_path).load_facts() == {}


@pytest.mark.parametrize("part", [0.5, "９", ["ab"], None])
def test_a_learning_part_that_is_no_object(part):
    documents = json.loads(GUIDELINE)
    documents["architecture"]["learning"] = part
    with pytest.raises(ConfigError, match=r"architecture\.learning is .*, not an object"):
        _ = Guideline.parse(json.dumps(documents).encode()).learning


@pytest.mark.parametrize("timestamp", ["Infinity", "1e999", "NaN", "null", "[]", '"0x"', '"x"', "-1e999"])
def test_an_endpoint_whose_blocks_have_impossible_times(timestamp):
    text = f'{{"jsonrpc": "2.0", "id": 0, "result": {{"number": "0x5", "hash": "0x00", "timestamp": {timestamp}}}}}'
    (block,) = [one for one in chain() if one.name == "RPC block"]
    with pytest.raises(RpcUnreachable, match="makes no sense"):
        block.read(text.encode())


def test_a_size_beyond_every_float():
    documents = json.loads(GUIDELINE)
    documents["update"]["max_bytes"] = 10**400
    assert Guideline.parse(json.dumps(documents).encode()).update.max_bytes == 10**400
    for bad in (0, -1, float("nan")):
        documents["update"]["max_norm"] = bad
        with pytest.raises(ConfigError):
            _ = Guideline.parse(json.dumps(documents).encode()).update


def test_one_content_has_one_file():
    data = signed(body()).encode()
    assert request.parse(data).encode() == data
    digits = signed(body()).signature.hex()
    for other in (digits.upper(), " " + digits, digits[:2] + " " + digits[2:]):
        with pytest.raises(RemoteProtocolError, match="canonical form"):
            request.parse(data.replace(digits.encode(), other.encode()))
    told = review.Review(1, 3, b"\xab" * 32, body().identity.account, "review", "yes", "fine", (), ())
    assert review.parse(told.encode()) == told
    with pytest.raises(RemoteProtocolError, match="canonical form"):
        review.parse(told.encode().replace(b"ab" * 32, b"AB" * 32))

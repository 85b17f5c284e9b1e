"""`commonweight node doctor` on a real chain and a real embedded Kubo: well, and with each thing broken in turn."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import time
from dataclasses import replace

import pytest

from deploy.localnet import write_toml
from node.adapters.signer_keystore import KeystoreSigner
from node.config import load_config
from node.doctor import Verdict, examine, to_json
from node.manifest import content
from node.protocol.guideline import Guideline
from node.runtime import ACCOUNT_FILE
from node.store import sha256

pytestmark = pytest.mark.slow

UPDATE = {"pipeline": "mean", "outer_learning_rate": 1.0, "max_norm": 1.0, "max_bytes": 1000}


def model(folder):
    """A base model's folder, and its hash (the check reads bytes, it does not load them)."""
    from learning.models.base import base_model_hash

    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return base_model_hash(folder)


@pytest.fixture
def home(tmp_path, network):
    """A node's folder in which everything is well, on the chain of the test."""
    digest = model(tmp_path / "model")
    architecture = {"learning": {"model": "tiny", "base_hash": digest}}
    guideline = Guideline({"architecture": architecture, "data": {}, "update": UPDATE, "versioning": {}})
    benchmark = b'{"query": "q", "code": "c"}\n'
    manifest = replace(
        network.manifest,
        guideline=content(guideline.canonical, guideline.hash),
        public_benchmark=content(benchmark, sha256(benchmark)),
    )
    manifest.write(tmp_path / "manifest.json")
    (tmp_path / "guideline.json").write_bytes(guideline.canonical)
    (tmp_path / "public.jsonl").write_bytes(benchmark)
    (tmp_path / "swarm.key").write_text(secrets.token_hex(32))
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    (keys / "password").touch(mode=0o600)
    (keys / "password").write_text("correct horse")
    KeystoreSigner.create(keys / ACCOUNT_FILE, keys / "password", key=network.anvil.key(4), scrypt_n=1 << 10)
    write_toml(
        tmp_path / "commonweight.toml",
        {"chain": {"rpc": network.anvil.url}, "learning": {"device": "cpu", "base_model": str(tmp_path / "model")}},
    )
    return tmp_path


async def look(home, *flags, only=None):
    checks = await examine(load_config(home / "commonweight.toml", flags=["ipfs.mode=rpc", "ipfs.rpc=nowhere", *flags]))
    found = {check.name: check for check in checks}
    return found[only] if only else found


async def test_a_node_in_which_everything_is_well(home):
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = load_config(
        home / "commonweight.toml", flags=[f'p2p.bootstrap=["/ip4/127.0.0.1/tcp/{port}/p2p/12D3KooW"]']
    )
    checks = {check.name: check for check in await examine(config)}
    server.close()
    bad = {name: check for name, check in checks.items() if check.verdict is not Verdict.OK}
    # Nobody has applied yet: that is said, and is no fault.
    assert set(bad) <= {"membership", "disk"}, bad
    assert "applies to join" in checks["membership"].mend
    assert to_json(list(checks.values()))["verdict"] == "warn"


async def test_a_running_nodes_ipfs_is_left_alone(home):
    from node.hosts.child import lock_folder

    held = lock_folder(home / "data" / "ipfs")
    checks = await examine(load_config(home / "commonweight.toml"))
    held.close()
    found = {check.name: check for check in checks}["IPFS"]
    assert (found.verdict, "running node" in found.found) == (Verdict.OK, True)


async def test_other_code_at_an_address(home):
    manifest = json.loads((home / "manifest.json").read_text())
    manifest["code_hashes"]["RoundCourt"] = "0x" + "11" * 32
    (home / "manifest.json").write_text(json.dumps(manifest))
    found = await look(home)
    assert found["chain"].verdict is Verdict.FAIL
    assert "RoundCourt" in found["chain"].found
    assert found["gas money"].found == "not looked at: needs chain"


async def test_another_chain(home):
    manifest = json.loads((home / "manifest.json").read_text())
    manifest["topic"] = manifest["topic"].replace(str(manifest["chain_id"]), "10")
    manifest["chain_id"] = 10
    (home / "manifest.json").write_text(json.dumps(manifest))
    assert "31337" in (await look(home, only="chain")).found


async def test_no_answer_from_the_rpc(home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    found = await look(home, f"chain.rpc={url}")
    assert found["chain"].verdict is Verdict.FAIL
    assert found["clock"].verdict is Verdict.WARN


async def test_an_account_without_gas_money(home):
    (home / "keys" / ACCOUNT_FILE).unlink()
    KeystoreSigner.create(home / "keys" / ACCOUNT_FILE, home / "keys" / "password", scrypt_n=1 << 10)
    found = await look(home, only="gas money")
    assert found.verdict is Verdict.FAIL
    assert "Send at least" in found.mend


@pytest.mark.parametrize(("ahead", "what"), [(300, "s ahead of this clock"), (-4000, "s old")])
async def test_a_clock_that_is_wrong(home, monkeypatch, ahead, what):
    true = time.time
    monkeypatch.setattr("node.doctor.time.time", lambda: true() - ahead)
    found = await look(home, only="clock")
    assert (found.verdict, what in found.found) == (Verdict.WARN, True), found


async def test_a_full_disk(home, monkeypatch):
    monkeypatch.setattr("node.doctor.shutil.disk_usage", lambda _path: type("Usage", (), {"free": 1 << 20}))
    assert (await look(home, only="disk")).verdict is Verdict.FAIL


async def test_a_password_that_others_can_read(home):
    (home / "keys" / "password").chmod(0o644)
    found = await look(home, only="keys")
    assert (found.verdict, "chmod 600" in found.mend) == (Verdict.FAIL, True)
    (home / "keys" / "password").chmod(0o600)
    (home / "keys").chmod(0o755)
    found = await look(home, only="keys")
    assert (found.verdict, "chmod 700" in found.mend) == (Verdict.WARN, True)


async def test_a_wrong_password(home):
    (home / "keys" / "password").write_text("wrong horse")
    found = await look(home)
    assert found["keys"].verdict is Verdict.FAIL
    assert "wrong horse" not in str(found)
    assert found["membership"].found == "not looked at: needs keys"


async def test_a_foreign_benchmark_and_a_foreign_model(home):
    (home / "public.jsonl").write_text("{}\n")
    (home / "model" / "model.safetensors").write_bytes(b"others")
    found = await look(home)
    assert "not the benchmark" in found["network"].found
    assert found["base model"].verdict is Verdict.FAIL
    assert "learning.base_model" in found["base model"].mend


async def test_no_ipfs_no_peers_no_such_device(home):
    found = await look(home, "learning.device=cuda:7", 'p2p.bootstrap=["/ip4/127.0.0.1/tcp/1/p2p/x", "nonsense"]')
    assert found["IPFS"].verdict is Verdict.FAIL
    assert found["peers"].found == "0 of 2 bootstrap addresses answer"
    assert found["device"].verdict is Verdict.FAIL
    assert "CUDA" in found["device"].found

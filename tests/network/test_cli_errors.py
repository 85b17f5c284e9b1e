"""What a person sees when something is wrong: one clear message, the right exit code, no traceback; from the real command line."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.localnet import write_toml
from node.adapters.signer_keystore import KeystoreSigner
from node.runtime import ACCOUNT_FILE

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]


def commonweight(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "node.cli", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def config(tmp_path, network):
    """A node's folder that is right in everything the test does not break."""
    network.manifest.write(tmp_path / "manifest.json")
    _write_guideline(tmp_path)
    (tmp_path / "public.jsonl").write_text("")
    (tmp_path / "swarm.key").write_text("11" * 32)
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    (keys / "password").touch(mode=0o600)
    (keys / "password").write_text("correct horse")
    KeystoreSigner.create(keys / ACCOUNT_FILE, keys / "password", scrypt_n=1 << 10)
    path = tmp_path / "commonweight.toml"
    write_toml(path, {"chain": {"rpc": network.anvil.url}})
    return path


async def run(*arguments):
    return await asyncio.to_thread(commonweight, *arguments)


def message(result, code):
    assert result.returncode == code, result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("error ")
    return " ".join(result.stderr.split())


async def test_the_folder_is_right(config):
    result = await run("round", "list", "--json", "-c", str(config))
    assert (result.returncode, json.loads(result.stdout)) == (0, []), result.stderr
    result = await run("keys", "show", "-c", str(config))
    assert result.returncode == 0
    assert "0x" in result.stdout


async def test_an_unknown_key(config):
    config.write_text(config.read_text() + "\n[pace]\nstager = 3\n")
    text = message(await run("round", "list", "-c", str(config)), 2)
    assert "unknown key pace.stager" in text
    assert "Did you mean 'stagger'?" in text


async def test_a_chain_with_another_id(config, tmp_path):
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["topic"] = manifest["topic"].replace(str(manifest["chain_id"]), "10")
    manifest["chain_id"] = 10
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    text = message(await run("round", "list", "-c", str(config)), 4)
    assert "31337" in text
    assert "10" in text


async def test_no_answer_from_the_rpc(config):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    write_toml(config, {"chain": {"rpc": f"http://127.0.0.1:{port}"}})
    text = message(await run("round", "list", "-c", str(config)), 4)
    assert f"127.0.0.1:{port}" in text


async def test_a_wrong_keystore_password(config, tmp_path):
    (tmp_path / "keys" / "password").write_text("wrong horse")
    text = message(await run("keys", "show", "-c", str(config)), 3)
    assert "did not open" in text
    assert "password is wrong" in text
    assert "wrong horse" not in text


async def test_a_guideline_other_than_the_one_pinned_on_chain(config):
    text = message(await run("guideline", "show", "-c", str(config)), 2)
    assert "the contracts pin" in text


async def test_a_port_in_use(config, tmp_path, network):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        _pin_guideline(tmp_path, manifest)
        settings = {"chain": {"rpc": network.anvil.url}, "p2p": {"port": port}, "node": {"roles": ["applicant"]}}
        write_toml(config, settings)
        text = message(await run("node", "run", "-c", str(config)), 7)
    assert str(port) in text
    assert "Another process listens there" in text


async def test_a_guideline_that_cannot_be_carried_out(config, tmp_path):
    _write_guideline(tmp_path, pipeline="median", compression="topk")
    _pin_guideline(tmp_path, json.loads((tmp_path / "manifest.json").read_text()))
    text = message(await run("node", "run", "-c", str(config)), 2)
    assert "topk updates do not go with median" in text
    assert "nnm" in text


def _write_guideline(folder, **update):
    document = {"pipeline": "mean", "outer_learning_rate": 1.0, "max_norm": 1.0, "max_bytes": 1000, **update}
    documents = {"architecture": {}, "data": {"task": "toy"}, "update": document, "versioning": {"metric": "score"}}
    (folder / "guideline.json").write_text(json.dumps(documents))


def _pin_guideline(folder, manifest):
    """Make the manifest name the guideline on disk (the chain is only asked later)."""
    from node.protocol.guideline import Guideline

    manifest["guideline"]["hash"] = "0x" + Guideline.parse((folder / "guideline.json").read_bytes()).hash.hex()
    (folder / "manifest.json").write_text(json.dumps(manifest))


async def test_json_errors_for_programs(config):
    config.write_text("[nonsense]\n")
    result = await run("round", "list", "--json", "-c", str(config))
    assert result.returncode == 2
    assert json.loads(result.stderr)["error"] == "ConfigError"


async def test_a_review_of_nothing_says_how_many_applications_there_are(config):
    text = message(await run("join", "review", "1", "--approve", "--reason", "fine", "-c", str(config)), 2)
    assert "There is no application 1" in text
    assert "0 were made so far" in text


async def test_what_the_contract_refuses_is_said_in_words(config, network, tmp_path):
    key = network.anvil.key(5)
    (tmp_path / "keys" / ACCOUNT_FILE).unlink()
    KeystoreSigner.create(tmp_path / "keys" / ACCOUNT_FILE, tmp_path / "keys" / "password", key=key, scrypt_n=1 << 10)
    text = message(await run("dao", "delegate", network.address(6), "-c", str(config)), 4)
    assert "The contract refused" in text
    assert "VotingVault.delegate" in text


def test_setup_without_npm_says_what_to_install(tmp_path):
    """`make setup` on a machine without Node.js: a path that holds the shell's tools and nothing else."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "dirname", "uname", "cat", "ln", "mkdir", "sed", "printf", "grep", "env", "bash"):
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    result = subprocess.run(
        [str(tools / "sh"), str(ROOT / "contracts" / "tools" / "setup.sh")],
        env={"PATH": str(tools)}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert result.returncode == 7, result.stdout + result.stderr
    assert "Node.js" in result.stderr + result.stdout

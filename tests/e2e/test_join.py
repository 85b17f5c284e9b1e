"""A newcomer applies, is looked at, reviewed by people and admitted: the real command line on real Anvil, Kubo and libp2p, tiny model."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.founding import found
from deploy.localnet import Localnet, LocalnetPlan
from deploy.manifest import load_preset
from deploy.watch import Watcher
from learning.models.tiny import write_tiny_model
from learning.sources import installed
from learning.sources.repository import extract_pairs
from learning.tasks.code_search import encode_pairs
from node.adapters.chain_evm import EvmChain
from node.protocol.types import MemberStatus, Phase

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
CACHE = (ROOT / "build/cache/pairs").resolve()
FAMILY, TESTED = "jinja2", "psutil"


@pytest.fixture(scope="module")
def founding(tmp_path_factory):
    model = tmp_path_factory.mktemp("model")
    write_tiny_model(model)
    documents = json.loads((ROOT / "deploy" / "guidelines" / "code-search.json").read_bytes())
    documents["architecture"]["learning"] |= {"model": "tiny", "lora_layers": 1, "lora_rank": 4, "lora_alpha": 8.0}
    documents["update"]["learning"] |= {"samples_per_round": 64, "batch_size": 32, "lookahead": [0.0]}
    return found(documents, model, rows=48, cache=CACHE)


async def commonweight(config, *arguments, fails=0):
    """The command line as a person runs it; its JSON answer, or its error's."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "node.cli", *arguments, "--json", "--config", str(config)],
        capture_output=True, text=True, timeout=600, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == fails, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stderr.strip().splitlines()[-1] if fails else done.stdout)


async def follow(watcher, done):
    async with asyncio.timeout(900):
        while not done():
            watcher.net.require_running()
            await watcher.poll()
            await asyncio.sleep(0.3)


async def test_apply_show_review_admit(tmp_path, founding):
    repositories = {one.name: one for one in installed.list_repositories()}
    rows = extract_pairs(repositories[TESTED], limit=30, cache=CACHE)
    test_set = tmp_path / "system-tools.jsonl"
    test_set.write_bytes(encode_pairs(rows))
    plan = LocalnetPlan(
        folder=tmp_path / "network", params=load_preset("localnet"), founding=founding, nodes=4, attackers=0,
        rounds=1, slice_rows=32, cache=CACHE, spare=1, people_review_from=1,
    )  # fmt: skip
    async with Localnet(plan) as net:
        chain = await EvmChain.connect(net.url, net.manifest.chain_id, net.manifest.contracts)
        watcher = Watcher(net, chain, lambda _line: None)
        await follow(watcher, lambda: 1 in watcher.state.rounds and watcher.state.rounds[1].phase is Phase.FINALIZED)
        newcomer = net.newcomer([FAMILY])
        me = newcomer.config

        # training on a repository that benchmarks are made of: refused before anything is sent
        held_out = ["--set", 'learning.repositories=["networkx"]']
        error = await commonweight(me, "join", "apply", *held_out, fails=2)
        assert "held out" in error["what"]

        shown = await commonweight(me, "join", "apply", "--fresh", "--dry-run", "--test-set", str(test_set))
        body = shown["document"]["body"]
        assert shown["failed"] == []
        assert body["identity"]["account"] == newcomer.address
        assert body["hardware"]["processors"] > 0
        assert body["data"]["sources"][0]["name"] == FAMILY
        assert body["data"]["sources"][0]["licence"] == "BSD-3-Clause"
        assert (
            body["sample_updates"][0]["parent_model_hash"] == "0x" + watcher.state.rounds[1].proposal.model_hash.hex()
        )
        sent = await commonweight(me, "join", "apply")  # goes on with what the dry run made
        assert sent["request_hash"] == shown["request_hash"]
        number = sent["application"]
        net.start(newcomer)  # serves the files

        first, second = net.seat_config(0), net.seat_config(1)
        unseen = await commonweight(first, "join", "review", str(number), "--approve", "--reason", "x", fails=2)
        assert "was not looked at" in unseen["what"]
        looked = await commonweight(first, "join", "show", str(number))
        assert looked["failed"] == []
        assert [row["benchmark"] for row in looked["measured"]] == ["public benchmark", "test set system-tools"]
        assert all(row["loss_before"] != row["loss_after"] for row in looked["measured"])
        vote = await commonweight(first, "join", "review", str(number), "--approve", "--reason", "It gains.")
        assert vote["standing"] == "APPLIED"
        await commonweight(second, "join", "show", str(number), "--quick")
        vote = await commonweight(second, "join", "review", str(number), "--approve", "--reason", "Seen it.")
        assert vote["standing"] == "ACTIVE"

        looked = await commonweight(me, "join", "show", str(number), "--quick")
        assert [row["reason"] for row in looked["reviews"]] == ["It gains.", "Seen it."]
        assert looked["reviews"][0]["measured"][1]["benchmark"] == "test set system-tools"
        await watcher.poll()
        assert watcher.state.member(newcomer.address).status is MemberStatus.ACTIVE
        left = await commonweight(me, "join", "exit")
        assert left["standing"] == "EXITING"
        early = await commonweight(me, "join", "exit", "--finish", fails=2)
        assert "can be finished in" in early["what"]
        await chain.close()

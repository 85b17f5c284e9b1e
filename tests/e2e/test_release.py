"""A community of real processes, an attacker among them, releases its model by vote; the folder comes from IPFS."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.demo import FAST_VOTES
from deploy.founding import found
from deploy.localnet import Localnet, LocalnetPlan
from deploy.manifest import load_preset
from deploy.release import BENCHMARK, Release
from deploy.watch import Watcher
from learning.models.tiny import write_tiny_model
from node.adapters.chain_evm import EvmChain
from node.protocol.types import Phase, UpdateStatus

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "build" / "cache" / "pairs"


def plan_of(folder, model):
    documents = json.loads((ROOT / "deploy" / "guidelines" / "code-search.json").read_bytes())
    documents["architecture"]["learning"] |= {"model": "tiny", "lora_layers": 1, "lora_rank": 4, "lora_alpha": 8.0}
    documents["update"]["learning"] |= {"samples_per_round": 64, "batch_size": 32, "lookahead": [0.0]}
    params = load_preset("localnet")
    params = dataclasses.replace(params, governance=dataclasses.replace(params.governance, **FAST_VOTES))
    return LocalnetPlan(
        folder=folder,
        params=params,
        founding=found(documents, write_tiny_model(model), rows=48, cache=CACHE),
        nodes=4,
        attackers=1,
        attack="not_finite",
        rounds=1,
        slice_rows=32,
        cache=CACHE,
    )


# peft 0.21 still asks transformers 5 by the old name
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
async def test_members_release_their_model(tmp_path):
    lines: list[str] = []
    async with (
        Localnet(plan_of(tmp_path / "network", tmp_path / "model"), lines.append) as net,
        await EvmChain.connect(net.url, net.manifest.chain_id, net.manifest.contracts) as chain,
    ):
        watcher = Watcher(net, chain, lines.append)
        async with asyncio.timeout(400):
            while not watcher.is_settled(1):
                await watcher.poll()
                await asyncio.sleep(0.3)
        played = watcher.state.rounds[1]
        assert played.phase is Phase.FINALIZED, "\n".join(lines)
        attacker = net.members[-1].address
        forfeited = played.settled[played.reveal_of(attacker).index]
        assert forfeited.status is UpdateStatus.MALFORMED

        story = Release(net, lines.append, tmp_path / "release")
        async with asyncio.timeout(400):
            release = await story.play(1)
        await watcher.poll()
        measured = await asyncio.to_thread(command, net.members[0].config, "round", "measure")
        page = tmp_path / "audit.html"
        words = ("audit", "--rescore", "all", "--html", str(page))
        audit = await asyncio.to_thread(command, net.members[1].config, *words)
        fetched = await asyncio.to_thread(command, net.members[2].config, "guideline", "fetch")
    assert [row["round"] for row in measured["rounds"]] == [0, 1]
    kept = json.loads((net.members[0].folder / "data" / "evaluations.json").read_bytes())
    assert kept["values"] == {str(row["round"]): row["value"] for row in measured["rounds"]}
    assert audit["ok"], audit["findings"]
    assert audit["checked"]["gains scored again"] == 3  # the trained ones; what cannot be read is not scored
    assert "<html" in page.read_text("utf-8")
    assert fetched["changed"] == []
    assert release["version"] == "1.0.0"
    assert release["model_hash"] == played.proposal.model_hash.hex()
    assert list(release["scores_ppm"]) == [BENCHMARK]
    assert release["proposal"]["decided_this_release"]
    assert len(release["proposal"]["votes"]) == 3
    assert attacker not in release["credits"]
    assert sum(map(int, release["credits"].values())) == int(release["credit_total"])
    assert release["verified"]["ok"]
    assert release["loaded"]["peft_difference"] < 1e-5
    assert any("votes [bold]for[/]" in line for line in lines)
    assert watcher.state.catalogue.latest == 1

    loaded = subprocess.run(
        [sys.executable, "-c", THREE_LINES, str(tmp_path / "release")], capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.strip() == "(1, 32)"
    card = (tmp_path / "release" / "README.md").read_text("utf-8")
    for member in net.members[:-1]:
        assert member.address in card
        assert member.repositories[0].split("-")[0] in card


def command(config, *words):
    """A command on a member's machine, beside its running node; its JSON answer."""
    line = [sys.executable, "-m", "node.cli", *words, "--json", "--config", str(config)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


THREE_LINES = """
import sys; folder = sys.argv[1]
from transformers import AutoModel, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModel.from_pretrained(folder)
states = model(**tokenizer("return the first item", return_tensors="pt")).last_hidden_state
print(tuple(states.mean(1).shape))
"""

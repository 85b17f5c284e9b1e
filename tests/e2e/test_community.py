"""A community of real processes on real Anvil, Kubo and libp2p, with a model that trains in seconds."""

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
from node.adapters.chain_evm import EvmChain
from node.protocol.errors import SetupError
from node.protocol.types import Fault, Phase, UpdateStatus

pytestmark = pytest.mark.e2e

DOCUMENTS = json.loads((Path(__file__).parents[2] / "deploy" / "guidelines" / "code-search.json").read_bytes())
WAIT_SECONDS = 600  # for hung parts, not for slow ones: a fresh clone reads everybody's repositories first


def tiny_documents():
    documents = json.loads(json.dumps(DOCUMENTS))
    documents["architecture"]["learning"] |= {"model": "tiny", "lora_layers": 1, "lora_rank": 4, "lora_alpha": 8.0}
    documents["update"]["learning"] |= {"samples_per_round": 64, "batch_size": 32, "lookahead": [0.0]}
    return documents


def founding_on(model):
    return found(tiny_documents(), model, rows=48, cache=Path("build/cache/pairs").resolve())


@pytest.fixture(scope="module")
def founding(tmp_path_factory):
    model = tmp_path_factory.mktemp("model")
    write_tiny_model(model)
    return founding_on(model)


def plan_of(tmp_path, founding, **changes):
    settings = {
        "folder": tmp_path / "network",
        "params": load_preset("localnet"),
        "founding": founding,
        "nodes": 4,
        "attackers": 0,
        "rounds": 1,
        "slice_rows": 32,
        "cache": Path("build/cache/pairs").resolve(),
    }
    return LocalnetPlan(**{**settings, **changes})


async def follow(watcher, done):
    async with asyncio.timeout(WAIT_SECONDS):
        while not done():
            await watcher.poll()
            await asyncio.sleep(0.3)


def commonweight(config, *arguments):
    """The command line as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "node.cli", *arguments, "--config", str(config)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


async def test_a_round_with_an_attacker_who_sends_nan_and_a_member_killed_in_the_middle(tmp_path, founding):
    lines: list[str] = []
    plan = plan_of(tmp_path, founding, nodes=5, attackers=1, attack="not_finite")
    async with Localnet(plan, lines.append) as net:
        chain = await EvmChain.connect(net.url, net.manifest.chain_id, net.manifest.contracts)
        watcher = Watcher(net, chain, lines.append)
        await follow(watcher, lambda: watcher.state.rounds and watcher.state.rounds[1].phase >= Phase.REVEAL)
        victim = net.members[0]
        victim.child.kill()
        victim.child = net._start_member(victim)
        await follow(watcher, lambda: watcher.is_settled(1) or watcher.state.rounds[1].phase is Phase.VOIDED)
        state, attacker = watcher.state, net.members[-1].address

        found_round = state.rounds[1]
        assert found_round.phase is Phase.FINALIZED, "\n".join(lines)
        verdict = found_round.settled[found_round.reveal_of(attacker).index]
        assert verdict.status is UpdateStatus.MALFORMED
        assert (attacker, int(Fault.MALFORMED)) in found_round.slashed
        assert state.rewards.get(attacker, 0) == 0
        assert state.member(victim.address).slashed == 0
        assert set(watcher.model_hashes(1).values()) == {found_round.proposal.model_hash.hex()}
        refused = net.members[1].status()["refused"]["1"]
        assert any("not_finite" in reason for reason in refused.values())

        shown = await asyncio.to_thread(commonweight, net.members[1].config, "round", "list", "--json")
        assert shown.returncode == 0, shown.stderr
        assert json.loads(shown.stdout)[0]["phase"] == "FINALIZED"
        audited = await asyncio.to_thread(commonweight, net.members[1].config, "audit", "--json")
        assert audited.returncode == 0, audited.stdout + audited.stderr
        report = json.loads(audited.stdout)
        assert report["ok"]
        assert report["checked"]["models re-aggregated"] == 1

        with pytest.raises(SetupError, match="Another network is running"):
            await Localnet(plan).__aenter__()
        await chain.close()
        family = descendants(os.getpid())
    assert not family & everybody()


async def test_processes_end_when_the_network_is_killed(tmp_path, founding):
    """The orchestrator dies by kill -9: nobody is left behind."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, str(tmp_path), str(founding.base_model),
        stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"up"
    async with asyncio.timeout(60):
        # chain, committee with its two hosts, four nodes with two hosts each
        while len(family := descendants(process.pid)) < 16:
            await asyncio.sleep(0.2)
    process.kill()
    await process.wait()
    async with asyncio.timeout(30):
        while family & everybody():
            await asyncio.sleep(0.2)


def everybody() -> set[tuple[int, int]]:
    """(pid, start time) of every live process: together they name a process for good."""
    return {(pid, started) for pid, (_parent, started) in process_table().items()}


def process_table() -> dict[int, tuple[int, int]]:
    """Pid → (parent's pid, start time) of every process that is not a zombie."""
    table = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                table[int(entry.name)] = (int(fields[1]), int(fields[19]))
    return table


def descendants(root: int) -> set[tuple[int, int]]:
    """All live processes below ``root``."""
    table = process_table()
    family, level = set(), {root}
    while level := {pid for pid, (parent, _started) in table.items() if parent in level}:
        family |= {(pid, table[pid][1]) for pid in level}
    return family


async def run_until_killed(folder, model):
    """The orchestrator that the test above kills."""
    async with Localnet(plan_of(folder, founding_on(model))):
        sys.stdout.write("up\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run_until_killed(Path(sys.argv[1]), Path(sys.argv[2])))

"""Members that send poison, garbage or nothing, in a whole community on simulated ports: verdict, slash, forfeit, audit."""

from __future__ import annotations

import pytest

from node.protocol.types import Fault, Phase, UpdateStatus
from node.sim.adversary import AdversarialTrainer, Mangler
from node.sim.clock import run_virtual
from node.sim.community import Community, audit_of
from node.sim.trainer import ToyTrainer

MAX_NORM = 100.0


def poisoner(attack):
    return lambda task, name: AdversarialTrainer(ToyTrainer(task, name), attack, MAX_NORM)


def mangler(how):
    return lambda task, name: Mangler(ToyTrainer(task, name), how, MAX_NORM)


def play(tmp_path, trainer, members=5):
    async def story():
        community = Community(tmp_path, members=members, rounds=1, trainers={members - 1: trainer})
        await community.start()
        await community.until(lambda: community.is_over(1))
        honest = [node for node in community.nodes if node.name.startswith("member")][: members - 1]
        await community.until(lambda: len(honest[0].state.rounds[1].claimed) >= members - 1)
        await community.until(lambda: honest[0].state.rounds[1].slashed)
        await community.stop()
        attacker = next(a for a in honest[0].state.active if a not in {node.address for node in honest})
        return honest, attacker, await audit_of(community)

    return run_virtual(story())


@pytest.mark.parametrize("attack", ["sign_flip", "scaling"])
def test_poison_is_voted_harmful_slashed_and_earns_nothing(tmp_path, attack):
    honest, attacker, report = play(tmp_path, poisoner(attack))
    state = honest[0].state
    found = state.rounds[1]
    assert found.phase is Phase.FINALIZED
    assert found.settled[found.reveal_of(attacker).index].status is UpdateStatus.HARMFUL
    assert (attacker, int(Fault.HARMFUL)) in found.slashed
    assert state.rewards.get(attacker, 0) == 0
    assert all(state.member(node.address).slashed == 0 for node in honest)
    assert report.ok, report.findings


@pytest.mark.parametrize(
    ("trainer", "reason"),
    [
        (poisoner("not_finite"), "not_finite"),
        (mangler("truncated"), "bad_encoding"),
        (mangler("empty"), "bad_encoding"),
        (mangler("noise"), "bad_encoding"),
    ],
)
def test_a_malformed_update_is_rejected_with_its_reason_on_record(tmp_path, trainer, reason):
    honest, attacker, report = play(tmp_path, trainer)
    state = honest[0].state
    found = state.rounds[1]
    index = found.reveal_of(attacker).index
    assert found.settled[index].status is UpdateStatus.MALFORMED
    assert (attacker, int(Fault.MALFORMED)) in found.slashed
    for node in honest:
        assert reason in node.driver.executor.facts[1].fetched[index][1]
    assert state.rewards.get(attacker, 0) == 0
    assert report.ok, report.findings


def test_an_update_whose_bytes_nobody_can_fetch_is_unavailable_and_the_round_goes_on(tmp_path):
    async def story():
        community = Community(tmp_path, members=5, rounds=1)
        await community.start()
        await community.until(lambda: community.phase(1) >= Phase.COMMIT)
        hider = community.nodes[4]
        await community.until(lambda: hider.driver.executor.facts_of(1).update is not None)
        # Nobody else can fetch what it will publish.
        update = hider.store.load(1, "update.safetensors")
        community.swarm.faults.unavailable.add(community.cid_of(update))
        await community.until(lambda: community.is_over(1))
        await community.until(lambda: community.nodes[0].state.rounds[1].slashed)
        await community.stop()
        return community.nodes, hider.address, community

    async def whole():
        _, hider, community = await story()
        return community.world.ledger, hider, await audit_of(community)

    _ledger, hider, report = run_virtual(whole())
    found = report.state.rounds[1]
    assert found.phase is Phase.FINALIZED
    assert found.settled[found.reveal_of(hider).index].status is UpdateStatus.UNAVAILABLE
    assert (hider, int(Fault.UNAVAILABLE)) in found.slashed
    assert report.ok, report.findings

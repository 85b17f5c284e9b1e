"""Rounds of a whole community in virtual time: agreement, rewards, audit, and a member that dies."""

from __future__ import annotations

import pytest

from node.protocol.cid import compute_cid
from node.protocol.types import Phase, UpdateStatus
from node.sim.clock import run_virtual
from node.sim.community import Community, audit_of, toy_guideline


def test_two_rounds_end_with_one_model_and_rewards(tmp_path):
    async def story():
        community = Community(tmp_path, members=5, rounds=2)
        await community.start()
        await community.until(lambda: community.is_over(2))
        members = [node for node in community.nodes if node.name.startswith("member")]
        await community.until(lambda: len(members[0].state.rounds[2].claimed) == 5)
        await community.until(lambda: members[0].state.rounds[2].vested == accepted(members[0].state.rounds[2]))
        hashes = {node.driver.executor.facts[2].aggregate.model_hash for node in members}
        state = members[0].state
        await community.stop()
        return state, hashes

    state, hashes = run_virtual(story())
    assert [found.phase for found in state.rounds.values()] == [Phase.FINALIZED, Phase.FINALIZED]
    assert len(hashes) == 1
    assert state.rounds[2].proposal.model_hash in hashes
    assert all(state.rewards[address] > 0 for address in state.active)
    for address in state.active:  # a fifth of the grant for each accepted update
        own = sum(found.reveal_of(address).index in found.vested for found in state.rounds.values())
        assert own > 0
        assert state.member(address).unvested == state.granted // len(state.active) * (5 - own) // 5


def accepted(found):
    return {index for index, verdict in found.settled.items() if verdict.status is UpdateStatus.ACCEPTED}


@pytest.mark.parametrize("phase", [Phase.COMMIT, Phase.REVEAL, Phase.SCORE_COMMIT, Phase.SCORE_REVEAL, Phase.ATTEST])
def test_a_member_that_dies_and_returns_is_not_slashed_for_it(tmp_path, phase):
    async def story():
        community = Community(tmp_path, members=5, rounds=1)
        await community.start()
        await community.until(lambda: community.phase(1) >= phase)
        victim = community.nodes[0]
        await community.kill(victim)
        await community.clock.sleep(2)
        community.launch(community.make(victim.name, victim.driver.config.roles, 0))
        await community.until(lambda: community.is_over(1))
        state = community.nodes[-1].state
        await community.stop()
        return state, victim.address

    state, victim = run_virtual(story())
    assert state.rounds[1].phase is Phase.FINALIZED
    assert state.member(victim).slashed == 0


def test_the_audit_of_an_honest_history_finds_nothing_and_recomputes_every_model(tmp_path):
    async def story():
        community = Community(tmp_path, members=5, rounds=2)
        await community.start()
        await community.until(lambda: community.is_over(2))
        await community.until(lambda: len(community.nodes[0].state.rounds[2].claimed) == 5)
        await community.stop()
        return await audit_of(community), community.nodes

    report, _ = run_virtual(story())
    assert report.findings == []
    assert report.ok
    assert report.checked["models re-aggregated"] == 2
    assert report.checked["verdicts"] == 10
    assert report.checked["rewards"] >= 10
    assert report.checked["views of the contracts"] >= 5


def test_a_node_that_cannot_have_the_guideline_takes_no_part_and_stops_nobody(tmp_path):
    async def story():
        community = Community(tmp_path, members=5, rounds=1)
        await community.start()
        await community.until(lambda: len(community.nodes[-1].state.active) == 5)
        stranger = community.nodes[0]
        stranger.driver.executor.guideline = toy_guideline(max_norm=99.0)
        community.swarm.faults.unavailable.add(compute_cid(community.guideline.canonical))
        await community.until(lambda: community.is_over(1))
        status = stranger.driver.status(0)
        await community.stop()
        return community.nodes, stranger, status

    _nodes, stranger, status = run_virtual(story())
    found = stranger.state.rounds[1]
    assert found.phase is Phase.FINALIZED
    assert stranger.address not in found.commits
    assert "taking no part" in status["error"]
    assert "guideline:1" in status["failing"]


def test_a_steward_that_vanishes_costs_time_and_the_seal_but_not_the_round(tmp_path):
    async def story():
        community = Community(tmp_path, members=5, rounds=1)
        community.member_rounds = 1
        await community.start()
        await community.until(lambda: len(community.nodes[0].state.active) == 5)
        for seat in [node for node in community.nodes if node.name.startswith("seat")]:
            await community.kill(seat)
        await community.until(lambda: community.is_over(1), seconds=20_000)
        state = community.nodes[0].state
        await community.stop()
        return state

    state = run_virtual(story())
    assert state.rounds[1].phase is Phase.FINALIZED
    assert not state.rounds[1].is_sealed

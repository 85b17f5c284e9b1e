"""Whole communities of real roles whose panels, attesters and trainers cheat: retry panel, juries, bans, copies, and the audit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from incentives.scoring import NOT_SCORED, encode_gain
from node.audit.report import AuditReport
from node.executor import Executor
from node.protocol.sortition import forward, verifiers_of
from node.protocol.state import Round, State
from node.protocol.types import Fault, MemberStatus, Outcome, Phase, UpdateStatus, VoidReason
from node.sim.clock import run_virtual
from node.sim.community import Community, SimNode, audit_of
from node.sim.ledger import QUICK_ROUNDS, address_of
from node.sim.trainer import ToyTrainer

SIZE = 16
VICTIM = address_of("member/3")
HARM = encode_gain(-500_000)
EXPLODED = b"another checkpoint"


def liars_of(found: Round, count: int, *, retry: bool = False) -> set[str]:
    """The first ``count`` verifiers of the victim's update."""
    victim = found.reveal_of(VICTIM)
    assert victim is not None
    n = len(found.reveals)
    panel = verifiers_of(found.seed, n, victim.index, found.verifiers(7), retry=retry)
    return {found.reveals[index].trainer for index, _ in panel[:count]}


def lying(count: int, lie: int) -> type[Executor]:
    """Nodes that collude against the victim where they are among the first ``count`` of its panel; honest otherwise, as jurors too."""

    class Liar(Executor):
        async def measure(self, state: State, found: Round, wanted: Sequence[int]) -> Mapping[int, int]:
            fields = dict(await super().measure(state, found, wanted))
            victim = found.reveal_of(VICTIM)
            is_liar = self.ports.signer.address in liars_of(found, count)
            if victim is not None and is_liar and found.phase is Phase.SCORE_COMMIT and victim.index in fields:
                fields[victim.index] = lie
            return fields

    return Liar


def verdict_of(state: State) -> UpdateStatus:
    found = state.rounds[1]
    victim = found.reveal_of(VICTIM)
    assert victim is not None
    return found.settled[victim.index].status


def members(community: Community) -> list[SimNode]:
    return [node for node in community.nodes if node.name.startswith("member")]


def play(folder: Path, story: Callable[[Community], Awaitable[None]], **settings: Any) -> tuple[State, AuditReport]:
    """Run one story, then audit; (state, report)."""

    async def whole() -> tuple[State, AuditReport]:
        community = Community(folder, **settings)
        await community.start()
        await story(community)
        state = members(community)[0].state
        await community.stop()
        report = await audit_of(community)
        explained = [one for one in report.findings if any(mint in one for mint in community.forged)]
        assert len(explained) == len(community.forged)  # the audit sees through a forged mint
        report.findings = [one for one in report.findings if one not in explained]
        report.ok = not report.findings
        return state, report

    return run_virtual(whole())


def test_a_minority_that_starves_an_update_is_overruled_by_the_retry_panel(tmp_path):
    async def story(community: Community):
        await community.until(lambda: community.is_over(1))
        await community.until(lambda: len(community.nodes[0].state.rounds[1].claimed) == SIZE)

    state, report = play(tmp_path, story, members=SIZE, executor=lying(4, NOT_SCORED))
    found = state.rounds[1]
    victim = found.reveal_of(VICTIM)
    assert found.phase is Phase.FINALIZED
    assert found.settled[victim.index].is_retried
    assert found.settled[victim.index].status is UpdateStatus.ACCEPTED
    assert set(found.retry_words) == {index for index, _ in verifiers_of(found.seed, SIZE, victim.index, 7, retry=True)}
    assert not found.slashed
    assert report.ok, report.findings


def test_a_lying_panel_is_overturned_by_a_jury_and_banned(tmp_path):
    async def story(community: Community):
        await community.until(lambda: community.phase(1) >= Phase.CHALLENGE)
        found = community.nodes[0].state.rounds[1]
        await community.dispute(members(community)[3], "disputeScore", 1, found.reveal_of(VICTIM).index)
        await community.until(lambda: community.is_over(1))
        await community.until(
            lambda: sum(m.status is MemberStatus.BANNED for m in community.nodes[0].state.members.values()) == 4
        )

    state, report = play(tmp_path, story, members=SIZE, executor=lying(4, HARM))
    found = state.rounds[1]
    assert found.void_reason is VoidReason.COURT_VOIDED
    assert state.disputes[1].outcome is Outcome.OVERTURNED
    assert len(state.disputes[1].ballots) == state.disputes[1].jurors == 8
    assert verdict_of(state) is UpdateStatus.ACCEPTED
    assert {who for who, fault in found.slashed if fault == Fault.LIE} == liars_of(found, 4)
    assert report.ok, report.findings
    assert report.checked["juries"] >= 5
    assert report.checked["ballots"] >= 24


def test_after_a_ban_the_community_goes_on_without_the_liars(tmp_path):
    async def story(community: Community):
        await community.until(lambda: community.phase(1) >= Phase.CHALLENGE)
        found = community.nodes[0].state.rounds[1]
        await community.dispute(members(community)[3], "disputeScore", 1, found.reveal_of(VICTIM).index)
        await community.until(lambda: community.is_over(2), seconds=6_000)

    state, report = play(tmp_path, story, members=SIZE, rounds=2, least_members=SIZE - 4, executor=lying(4, HARM))
    assert state.rounds[2].phase is Phase.FINALIZED
    assert len(state.rounds[2].accepted) >= SIZE - 8
    assert report.ok, report.findings


@pytest.mark.parametrize("size", range(4, 9))
def test_in_a_small_ring_there_is_no_retry_and_the_fallback_jury_finds_no_lie(tmp_path, size):
    majority = (size - 1) // 2 + 1

    async def story(community: Community):
        await community.until(lambda: community.phase(1) >= Phase.CHALLENGE)
        found = community.nodes[0].state.rounds[1]
        await community.dispute(members(community)[3], "disputeScore", 1, found.reveal_of(VICTIM).index)
        await community.until(lambda: len(community.nodes[0].state.rounds[1].punished) == majority)

    state, report = play(tmp_path, story, members=size, executor=lying(majority, HARM))
    dispute = state.disputes[1]
    assert dispute.outcome is Outcome.OVERTURNED
    assert not dispute.is_independent
    assert {fault for _, fault in state.rounds[1].slashed} == {Fault.FIELD_WRONG}
    assert report.ok, report.findings


def test_a_starved_update_of_a_small_ring_stays_unscored(tmp_path):
    async def story(community: Community):
        await community.until(lambda: community.is_over(1))

    state, report = play(tmp_path, story, members=6, executor=lying(3, NOT_SCORED))
    assert verdict_of(state) is UpdateStatus.UNSCORED
    assert not state.rounds[1].retry_commits
    assert report.ok, report.findings


def test_a_copied_update_is_proven_and_earns_nothing(tmp_path):
    copier = address_of("member/4")
    trainers = {4: lambda task, _name: ToyTrainer(task, "member/1")}

    async def story(community: Community):
        await community.until(lambda: community.is_over(1))
        await community.until(lambda: len(community.nodes[0].state.rounds[1].claimed) >= 4)
        await community.clock.sleep(60)

    state, report = play(tmp_path, story, members=6, trainers=trainers)
    found = state.rounds[1]
    twins = sorted(
        (reveal for reveal in found.reveals if reveal.trainer in (copier, address_of("member/1"))),
        key=lambda reveal: reveal.sequence,
    )
    original, copy = twins
    assert original.content_hash == copy.content_hash
    assert found.forfeited == {copy.index}
    assert (copy.trainer, int(Fault.COPY)) in found.slashed
    assert state.rewards.get(copy.trainer, 0) == 0
    assert state.rewards[original.trainer] > 0
    assert report.ok, report.findings


def test_absent_verifiers_and_attesters_pay(tmp_path):
    async def story(community: Community):
        await community.until(lambda: community.phase(1) >= Phase.SCORE_COMMIT)
        for node in members(community)[:1]:
            await community.kill(node)
        await community.until(lambda: community.phase(1) >= Phase.ATTEST)
        for node in members(community)[:2]:
            await community.kill(node)
        await community.until(lambda: community.is_over(1), seconds=6_000)
        await community.until(lambda: len(community.nodes[0].state.rounds[1].punished) == 4)

    state, report = play(tmp_path, story, members=8)
    found = state.rounds[1]
    assert found.void_reason is VoidReason.NO_QUORUM
    faults = sorted(fault for _, fault in found.slashed)
    assert faults == [Fault.VERIFIER_ABSENT, *[Fault.ATTESTER_ABSENT] * 3]
    assert report.ok, report.findings


def test_a_silent_steward_is_punished_where_it_has_a_stake(tmp_path):
    """The seats of this community hold none: nobody bothers, and the round is unsealed."""

    async def story(community: Community):
        await community.until(lambda: community.phase(1) >= Phase.COMMIT)
        for node in [node for node in community.nodes if node.name.startswith("seat")]:
            await community.kill(node)
        await community.until(lambda: community.is_over(1), seconds=6_000)

    state, report = play(tmp_path, story, members=5)
    assert not state.rounds[1].is_sealed
    assert not state.rounds[1].punished
    assert report.ok, report.findings


class WrongAggregate(Executor):
    """Attesters that agree on a model which is not the aggregate."""

    async def _aggregate(self, found: Round) -> None:
        await super()._aggregate(found)
        mine = found.reveal_of(self.ports.signer.address)
        assert mine is not None
        if forward(found.seed, len(found.reveals), mine.index) < 4:
            fact = self.facts_of(found.number).aggregate
            await self.ports.blobs.put(EXPLODED)
            wrong = replace(fact, model_hash=b"\x66" * 32, secret=b"\x67" * 32)
            self._learn(found.number, replace(self.facts_of(found.number), aggregate=wrong))


def test_a_wrong_aggregate_is_overturned_by_those_who_did_not_attest_it(tmp_path):
    rules = {"params": replace(QUICK_ROUNDS, max_attesters=5)}

    async def story(community: Community):
        await community.until(lambda: community.phase(1) >= Phase.CHALLENGE)
        found = community.nodes[0].state.rounds[1]
        assert found.proposal.model_hash == b"\x66" * 32
        await community.dispute(members(community)[0], "disputeAggregate", 1)
        await community.until(lambda: community.is_over(1))
        await community.until(lambda: len(community.nodes[0].state.rounds[1].slashed) == 4)

    state, report = play(tmp_path, story, members=12, executor=WrongAggregate, rules=rules)
    found = state.rounds[1]
    assert found.void_reason is VoidReason.COURT_VOIDED
    assert state.disputes[1].outcome is Outcome.OVERTURNED
    assert {fault for _, fault in found.slashed} == {Fault.WRONG_ATTESTATION}
    assert report.ok, report.findings


def test_a_right_aggregate_is_upheld_and_the_bond_burns(tmp_path):
    async def story(community: Community):
        await community.until(lambda: community.phase(1) >= Phase.CHALLENGE)
        await community.dispute(members(community)[0], "disputeAggregate", 1)
        await community.until(lambda: community.is_over(1))

    state, report = play(tmp_path, story, members=5)
    assert state.rounds[1].phase is Phase.FINALIZED
    assert state.disputes[1].outcome is Outcome.UPHELD
    assert report.ok, report.findings

"""Disputes of a round's model on the reference model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from incentives.rewards import CWT
from node.protocol.types import Fault, Outcome, Phase
from node.sim.ledger import QUICK_ROUNDS, Deployment, address_of
from node.sim.scripted_court import CourtCommunity

Refused = Callable[..., AbstractContextManager[None]]
COURT, REGISTRY = "RoundCourt", "MemberRegistry"
RIGHT, WRONG = 1, 2


def events(community, name):
    return [event.arguments for event in community.events if event.name == name]


def stake(community, place):
    return community.read("stakeOf", community.members[place], contract=REGISTRY)


def small_quorum() -> CourtCommunity:
    params = replace(QUICK_ROUNDS, max_attesters=5, challenge_duration=60)
    community = CourtCommunity(12, Deployment(seats=(address_of("member/0"),), params=params))
    assert community.play_until_challenge() is Phase.CHALLENGE
    return community


def test_a_wrong_aggregate_voids_the_round_and_its_attesters_pay(refused: Refused):
    community = small_quorum()
    dispute = community.dispute_aggregate(7)
    jury = community.draw_jury(dispute)
    assert set(jury.values()).isdisjoint(community.slots())
    community.ballots(dispute, lambda _member: WRONG)
    assert community.resolve(dispute) is Outcome.OVERTURNED
    assert community.phase is Phase.VOIDED
    for place, slot in community.slots().items():
        community.court(0, "slashAttester", dispute, slot)
        assert stake(community, place) == 75 * CWT
    assert {one["prover"] for one in events(community, "FaultPunished")} == {community.members[7]}
    with refused("AlreadyPunished", 1, Fault.WRONG_ATTESTATION, 0):
        community.court(0, "slashAttester", dispute, 0)
    with refused("NoSuchSlot", 5, 5):
        community.court(0, "slashAttester", dispute, 5)


def test_a_right_aggregate_stands():
    community = small_quorum()
    dispute = community.dispute_aggregate(7)
    assert community.judge(dispute, lambda _member: RIGHT) is Outcome.UPHELD
    assert community.advance() is Phase.FINALIZED


def test_the_aggregates_dispute_comes_besides_those_of_scores(refused: Refused):
    community = small_quorum()
    for place in range(4):
        community.dispute_score(8, place)
    community.fund_bond(8)
    with refused("TooManyDisputes", 1, 4):
        community.court(8, "disputeScore", 1, community.order().index(5))
    assert community.dispute_aggregate(8) == 5
    with refused("AlreadyDisputed", 1, 5):
        community.dispute_aggregate(8)
    assert community.read("disputesOf", 1, contract=COURT)[1:] == (4, 5)
    assert community.read("totalBonds", contract=COURT) == 5 * community.deployment.court.bond


@pytest.mark.parametrize("ballot", [RIGHT, WRONG])
def test_majorities_about_a_model_are_of_all_jurors(ballot: int):
    community = small_quorum()
    dispute = community.dispute_aggregate(7)
    jury = community.draw_jury(dispute)
    assert len(jury) == 7
    community.ballots(dispute, lambda _member: ballot, absent=list(jury.values())[:4])  # 3 of 3 that turned up
    assert community.resolve(dispute) is Outcome.NO_MAJORITY
    assert community.phase is Phase.CHALLENGE
    assert community.read("balanceOf", community.members[7], contract="ContributionToken") == 10 * CWT

"""Advice before a dispute: what the court would take, and what this node's own measurement says about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from incentives.scoring import MALFORMED, UNAVAILABLE, encode_gain
from node.advice import Court, advise_aggregate, advise_score, field_text, our_field
from node.protocol.state import State, apply
from node.protocol.types import Phase
from node.roles.view import AggregateFact, Facts
from node.sim.ledger import QUICK_COURT, QUICK_ROUNDS, QUICK_SCORING
from node.sim.scripted import DEFAULT_GAIN, Script
from node.sim.scripted_court import CourtCommunity

HARM = encode_gain(-50_000)


def fold(community):
    state = State()
    for event in community.events:
        state = apply(state, event)
    return state


def world(size=16, **script):
    community = CourtCommunity(size)
    community.play_until_challenge(Script(**script))
    state = fold(community)
    return community, state, Court(QUICK_ROUNDS, QUICK_COURT, QUICK_SCORING, community.now)


def verifier_of(community, place):
    """A member that scored the update of ``place``, and that update's index."""
    index = community.order().index(place)
    k = min(len(community.members) - 1, 7)
    position = community.read("positionOf", 1, index)
    owner = community.read("indexAt", 1, (position - k) % len(community.members))
    return community.order()[owner], index


@pytest.mark.parametrize(("measured", "worth"), [(encode_gain(DEFAULT_GAIN), True), (HARM, False), (HARM + 299, False)])
def test_what_this_node_measured_decides(measured, worth):
    community, state, rules = world(fields={3: HARM})
    place, index = verifier_of(community, 3)
    word = community.word_of(place, {3: measured})
    advice = advise_score(state, state.rounds[1], index, community.members[place], Facts(word=(word, b"")), rules)
    assert (advice.can, advice.worth) == (True, worth)
    assert advice.decided == "harmful, -50,000 ppm, 7 votes"
    assert advice.ours == field_text(measured)
    assert (advice.jurors, advice.is_independent, advice.bond) == (8, True, QUICK_COURT.bond)
    assert advice.seconds == state.rounds[1].deadline - rules.now
    assert ("overturn" in advice.reasons[-1]) is worth


def test_without_a_measurement_there_is_no_opinion():
    community, state, rules = world()
    advice = advise_score(state, state.rounds[1], 0, community.members[5], Facts(), rules)
    assert (advice.can, advice.worth, advice.ours) == (True, False, "nothing")
    assert our_field(state.rounds[1], 0, "0x" + "11" * 20, Facts(word=(1, b"")), 7) == 0


def test_what_cannot_be_disputed_is_said():
    community, state, rules = world(fields={3: UNAVAILABLE})
    index = community.order().index(3)
    refused = advise_score(state, state.rounds[1], index, community.members[0], Facts(), rules)
    assert not refused.can
    assert "Availability" in refused.reasons[0]
    late = replace(rules, now=state.rounds[1].challenge_end + 5)
    assert "ended 5 s ago" in advise_score(state, state.rounds[1], 0, community.members[0], Facts(), late).reasons[0]
    community.dispute_score(7, community.order()[0])
    state = fold(community)
    again = advise_score(state, state.rounds[1], 0, community.members[0], Facts(), rules)
    assert (again.can, again.reasons[0]) == (False, "It is disputed already.")
    community.advance()
    state = fold(community)
    assert state.rounds[1].phase is Phase.FINALIZED
    over = advise_aggregate(state, state.rounds[1], Facts(), rules)
    assert not over.can
    assert "FINALIZED" in over.reasons[0]


@pytest.mark.parametrize("is_same", [True, False])
def test_the_model_is_held_against_ours(*, is_same):
    community, state, rules = world(size=5)
    secret, model_hash, cid = community.model(1)
    fact = AggregateFact(secret, model_hash if is_same else bytes(32), cid)
    advice = advise_aggregate(state, state.rounds[1], Facts(aggregate=fact), rules)
    assert (advice.can, advice.worth) == (True, not is_same)
    assert (advice.jurors, advice.is_independent) == (5, False)


def test_fields_in_words():
    assert [field_text(field) for field in (0, 9, UNAVAILABLE, MALFORMED, encode_gain(-1_500))] == [
        "nothing",
        "nothing",
        "unavailable",
        "malformed",
        "-1,500 ppm",
    ]

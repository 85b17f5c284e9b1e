"""What roles decide about encrypted updates: publish keys once a round is final, and encrypt again for other members."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.protocol.round import Round
from node.protocol.state import Member, State
from node.protocol.types import MemberStatus, Phase
from node.roles import trainer, verifier
from node.roles.actions import PublishKeys, Submit, TrainUpdate
from node.roles.view import Facts, Opening, View
from node.sim.ledger import QUICK_COURT, QUICK_ROUNDS, QUICK_SCORING, address_of

ME, OTHER = address_of("me"), address_of("other")
ZERO = bytes(32)
PAIRS = ((ME, b"m" * 32), (OTHER, b"o" * 32))


def round_of(number, phase, members=PAIRS):
    found = Round(number, OTHER, ZERO, ZERO, 1, ZERO, ZERO, 2, 1, 50, phase, deadline=10_000)
    return replace(found, members=members)


def view_of(facts, *rounds):
    members = {who: Member(who, MemberStatus.ACTIVE, stake=100, active_since=1) for who in (ME, OTHER)}
    state = State(members=members, rounds={found.number: found for found in rounds})
    return View(
        state=state,
        facts=facts,
        me=ME,
        now=100,
        block=5,
        params=QUICK_ROUNDS,
        court_params=QUICK_COURT,
        scoring=QUICK_SCORING,
        chain_id=1,
        round_manager=OTHER,
        court=OTHER,
        stagger=4,
    )


HELD = Facts(keys={0: b"k" * 32})


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.value > Phase.REVEAL.value])
def test_keys_are_published_once_the_round_is_final_and_never_of_a_voided_one(phase):
    decided = verifier.decide(view_of({1: HELD}, round_of(1, phase)))
    assert (PublishKeys(1) in decided) == (phase is Phase.FINALIZED)


def test_keys_are_published_once_also_of_the_round_before():
    ended = [round_of(number, Phase.FINALIZED) for number in (1, 2, 3)]
    running = round_of(4, Phase.COMMIT)
    done = replace(HELD, keys_published=True)
    assert verifier.decide(view_of({1: HELD, 2: HELD, 3: HELD}, *ended, running)) == [PublishKeys(3)]
    assert verifier.decide(view_of({3: done}, *ended, running)) == []
    assert verifier.decide(view_of({}, *ended, running)) == []
    assert verifier.decide(view_of({})) == []


def test_an_update_encrypted_for_other_members_is_made_again():
    opening = Opening(ZERO, ZERO, ZERO, 5)
    now = round_of(1, Phase.COMMIT)
    (act,) = trainer.decide(view_of({1: Facts(update=opening, audience=now.audience)}, now))
    assert isinstance(act, Submit)
    for others in (PAIRS[:1], ((ME, b"m" * 32), (OTHER, b"new" + bytes(29)))):
        before = Facts(update=opening, audience=round_of(1, Phase.COMMIT, others).audience)
        assert trainer.decide(view_of({1: before}, now)) == [TrainUpdate(1)]
    (act,) = trainer.decide(view_of({1: Facts(update=opening)}, now))  # plain
    assert isinstance(act, Submit)

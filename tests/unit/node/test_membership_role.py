"""Seats, reviews, admissions, common claims and rolled credits as pure decisions on a state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.protocol.releases import Catalogue
from node.protocol.round import Reveal, Round
from node.protocol.state import Application, Member, Seat, State
from node.protocol.types import Call, MemberStatus, Phase
from node.roles import keeper, membership, steward
from node.roles.actions import PrepareSlice, ReviewApplication, Submit
from node.roles.steward import StewardPlan
from node.roles.view import View
from node.sim.ledger import QUICK_COURT, QUICK_ROUNDS, QUICK_SCORING, address_of

SEATS = [address_of(f"seat/{n}") for n in range(3)]
ANNA, BEN, CARL = sorted((address_of(name) for name in ("anna", "ben", "carl")), key=str.lower)
NOW = 10_000
APPLICANT = address_of("newcomer")


def state_of(**changes):
    members = {a: Member(a, MemberStatus.ACTIVE, stake=100, active_since=1) for a in (ANNA, BEN, CARL)}
    members[APPLICANT] = Member(APPLICANT, MemberStatus.APPLIED, application=1)
    settings = {
        "members": members,
        "seats": {number: Seat(holder, NOW + 1) for number, holder in enumerate(SEATS)},
        "applications": {1: Application(1, APPLICANT, bytes(32), bytes(32), "peer")},
        "last_round_ended_at": NOW - 1,
    }
    return State(**{**settings, **changes})


def view_of(me, state=None, now=NOW):
    return View(
        state=state_of() if state is None else state,
        facts={},
        me=me,
        now=now,
        block=100,
        params=QUICK_ROUNDS,
        court_params=QUICK_COURT,
        scoring=QUICK_SCORING,
        chain_id=1,
        round_manager=address_of("rounds"),
        court=address_of("court"),
        stagger=4,
    )


def on_probation(admit_at=NOW, **changes):
    state = state_of()
    members = {**state.members, APPLICANT: Member(APPLICANT, MemberStatus.PROBATION, application=1)}
    application = replace(state.applications[1], admit_at=admit_at)
    return replace(state, members=members, applications={1: application}, **changes)


# --- seats ------------------------------------------------------------------------------------------------------------


def test_a_seat_reviews_until_the_second_its_term_ends():
    assert membership.decide_review(view_of(SEATS[2])) == [ReviewApplication(1)]
    assert membership.decide_review(view_of(SEATS[2], now=NOW + 1)) == []
    assert membership.decide_review(view_of(ANNA)) == []


def test_who_was_given_a_seat_by_vote_reviews_and_who_lost_it_does_not():
    state = state_of()
    state = replace(state, seats={**state.seats, 2: Seat(ANNA, NOW + 1)})
    assert membership.decide_review(view_of(ANNA, state)) == [ReviewApplication(1)]
    assert membership.decide_review(view_of(SEATS[2], state)) == []


def test_a_seat_votes_once_and_only_on_what_is_open():
    assert membership.decide_review(view_of(SEATS[0], state_of(reviews={1: {SEATS[0]: False}}))) == []
    assert membership.decide_review(view_of(SEATS[0], on_probation())) == []


@pytest.mark.parametrize(("number", "is_reviewed"), [(1, True), (2, False), (3, False)])
def test_from_a_round_on_people_review(number, is_reviewed):
    view = view_of(SEATS[0], state_of(rounds={number: round_of(number)}))
    assert membership.decide_review(view, 2) == ([ReviewApplication(1)] if is_reviewed else [])
    assert membership.decide_review(view) == [ReviewApplication(1)]


def test_the_steward_is_whoever_holds_the_seat_now():
    plan = StewardPlan(rounds=9, min_members=3)
    assert steward.decide(view_of(SEATS[1]), plan) == [PrepareSlice(1)]  # round 1 belongs to seat 1 of 3
    assert steward.decide(view_of(SEATS[2]), plan) == []
    state = state_of()
    renewed = replace(state, seats={**state.seats, 1: Seat(ANNA, NOW + 1)})
    assert steward.decide(view_of(ANNA, renewed), plan) == [PrepareSlice(1)]
    assert steward.decide(view_of(SEATS[1], renewed), plan) == []
    assert steward.decide(view_of(SEATS[1], now=NOW + 1), plan) == []
    assert steward.decide(view_of(SEATS[1], state_of(seats={})), plan) == []


def test_a_node_without_a_seat_says_so():
    roles = ("steward", "reviewer")
    assert membership.seat_notice(view_of(SEATS[0]), roles) == ""
    expired = membership.seat_notice(view_of(SEATS[0], now=NOW + 1), roles)
    assert "seat 0 expired 1970-01-01 02:46 UTC" in expired
    assert "steward and reviewer" in expired
    assert "holds no seat" in membership.seat_notice(view_of(ANNA), ("steward",))
    assert membership.seat_notice(view_of(ANNA), ("trainer", "keeper")) == ""


# --- admissions -------------------------------------------------------------------------------------------------------


def admit(number=1):
    return Submit(f"admit:{number}", Call("MemberRegistry", "admit", (number,)))


def test_one_keeper_after_the_other_admits_once_the_window_is_over():
    state = on_probation(admit_at=NOW)
    assert admit() not in keeper.decide(view_of(BEN, state, now=NOW - 1))
    eager = [me for me in (ANNA, BEN, CARL) if admit() in keeper.decide(view_of(me, state))]
    assert len(eager) == 1
    assert all(admit() in keeper.decide(view_of(me, state, now=NOW + 8)) for me in (ANNA, BEN, CARL))


def test_the_first_member_of_all_admits_itself():
    state = on_probation(admit_at=NOW)
    alone = replace(state, members={APPLICANT: state.members[APPLICANT]})
    assert keeper.decide(view_of(APPLICANT, alone)) == [admit()]


@pytest.mark.parametrize("status", [MemberStatus.NONE, MemberStatus.APPLIED, MemberStatus.ACTIVE, MemberStatus.BANNED])
def test_nobody_admits_who_is_not_on_probation(status):
    state = on_probation(admit_at=NOW)
    members = {**state.members, APPLICANT: Member(APPLICANT, status, application=1)}
    later = view_of(ANNA, replace(state, members=members), now=NOW + 99)
    assert admit() not in keeper.decide(later)


def test_an_older_application_of_somebody_on_probation_is_left_alone():
    state = on_probation(admit_at=NOW)
    members = {**state.members, APPLICANT: Member(APPLICANT, MemberStatus.PROBATION, application=2)}
    later = view_of(ANNA, replace(state, members=members), now=NOW + 99)
    assert admit(1) not in keeper.decide(later)


# --- claims -----------------------------------------------------------------------------------------------------------


def round_of(number, **changes):
    reveals = tuple(Reveal(index, who, index, bytes(32), bytes(32), 1) for index, who in enumerate((ANNA, BEN, CARL)))
    settings = {"reveals": reveals, "phase": Phase.FINALIZED, "phase_since": NOW, "treasury_claimed": True}
    found = Round(number, SEATS[0], bytes(32), bytes(32), 1, bytes(32), bytes(32), 3, 1, 1)
    return replace(found, **{**settings, **changes})


def claims(view):
    return [action.call.arguments for action in keeper.decide(view) if action.call.function == "claim"]


def test_an_owner_claims_at_once_even_what_it_forfeited():
    state = state_of(rounds={1: round_of(1, forfeited=frozenset({0}))})
    assert claims(view_of(ANNA, state)) == [(1, 0)]


def test_what_owners_leave_unclaimed_others_claim_later_one_after_the_other():
    state = state_of(rounds={1: round_of(1, claimed=frozenset({0}))})
    turn = keeper.CLAIM_TURNS * 4
    assert claims(view_of(ANNA, state, now=NOW + turn - 1)) == []
    assert claims(view_of(ANNA, state, now=NOW + turn)) == [(1, 2)]
    assert claims(view_of(ANNA, state, now=NOW + turn + 4)) == [(1, 1), (1, 2)]
    done = state_of(rounds={1: round_of(1, claimed=frozenset({0, 1, 2}))})
    assert claims(view_of(ANNA, done, now=NOW + 10 * turn)) == []


def test_nothing_is_claimed_of_a_voided_round():
    state = state_of(rounds={1: round_of(1, phase=Phase.VOIDED)})
    assert claims(view_of(ANNA, state, now=NOW + 1_000)) == []


# --- credits ----------------------------------------------------------------------------------------------------------

CLAIMED = frozenset({0, 1, 2})


def rolls(view):
    return [action.call.arguments[0] for action in keeper.decide(view) if action.call.function == "rollCredits"]


def with_votes(wanted, *, rolled=0, **rounds):
    found = {int(key[1:]): value for key, value in rounds.items()}
    votes = {(wanted, bytes(32)): frozenset({0})} if wanted else {}
    totals = dict.fromkeys(range(1, rolled + 1), 1)
    return state_of(rounds=found, catalogue=Catalogue(score_votes=votes, credit_totals=totals))


def final(number, **changes):
    return round_of(number, **{"claimed": CLAIMED, "touched_at": NOW, **changes})


def test_credits_are_rolled_up_to_the_round_whose_scores_are_voted_for():
    rounds = {"r1": final(1), "r2": final(2, phase=Phase.VOIDED, claimed=frozenset()), "r3": final(3)}
    state = with_votes(3, **rounds)
    eager = [me for me in (ANNA, BEN, CARL) if rolls(view_of(me, state))]
    assert len(eager) == 1
    assert rolls(view_of(ANNA, state, now=NOW + 8)) == [3]
    assert rolls(view_of(ANNA, with_votes(2, **rounds), now=NOW + 8)) == [2]
    assert rolls(view_of(ANNA, with_votes(3, rolled=3, **rounds), now=NOW + 8)) == []
    assert rolls(view_of(ANNA, with_votes(0, **rounds), now=NOW + 8)) == []


@pytest.mark.parametrize("hole", [final(1, claimed=frozenset({0, 1})), final(1, phase=Phase.CHALLENGE)])
def test_credits_wait_for_every_claim_and_every_end(hole):
    assert rolls(view_of(ANNA, with_votes(2, r1=hole, r2=final(2)), now=NOW + 99)) == []


def test_many_rounds_are_rolled_in_portions():
    rounds = {f"r{number}": final(number) for number in range(1, 101)}
    assert rolls(view_of(ANNA, with_votes(100, **rounds), now=NOW + 99)) == [64]
    assert rolls(view_of(ANNA, with_votes(100, rolled=64, **rounds), now=NOW + 99)) == [100]

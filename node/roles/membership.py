"""Joining: the applicant asks; the reviewer, a committee seat, holds the request against the guideline and votes.

Request and checks are those of `node.membership`; this reviewer votes by the checks alone. People review with `commonweight join review`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from node.protocol.types import Call, MemberStatus
from node.roles.actions import Action, Apply, ReviewApplication, Submit
from node.roles.view import View

SEAT_ROLES = ("steward", "reviewer")
"""Roles that act from a seat of the committee."""


def decide_apply(view: View) -> list[Action]:
    """Apply once, as a stranger."""
    return [Apply()] if view.state.member(view.me).status is MemberStatus.NONE else []


def is_steward(view: View, number: int) -> bool:
    """Whether we hold the seat that stewards a round, within its term."""
    seats = view.state.seats
    return bool(seats) and view.state.seat_of(view.me, view.now) == number % len(seats)


def seat_notice(view: View, roles: Collection[str]) -> str:
    """What a node with a role of the committee must be told about its seat; empty where it can act."""
    wanted = [role for role in roles if role in SEAT_ROLES]
    if not wanted or view.state.seat_of(view.me, view.now) is not None:
        return ""
    duties = " and ".join(wanted)
    held = [(number, seat) for number, seat in view.state.seats.items() if seat.holder == view.me]
    if not held:
        return f"{view.me} holds no seat of the committee; as {duties} it does nothing."
    number, seat = held[0]
    since = datetime.fromtimestamp(seat.expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Our seat {number} expired {since}; as {duties} we do nothing until a vote of the community renews it."


def decide_review(view: View, before_round: int = 0) -> list[Action]:
    """Review every open application that our seat has not voted on.

    Args:
        view: what we see.
        before_round: from this round on people review (`commonweight join review`); 0: the node reviews always.
    """
    if view.state.seat_of(view.me, view.now) is None:
        return []
    if before_round and view.round is not None and view.round.number >= before_round:
        return []
    return [
        ReviewApplication(number)
        for number, application in view.state.applications.items()
        if view.state.member(application.applicant).status is MemberStatus.APPLIED
        and view.state.member(application.applicant).application == number
        and view.me not in view.state.reviews.get(number, {})
    ]


def decide_admit(view: View) -> list[Action]:
    """Admit whoever was approved and not vetoed, once the veto window is over: what anybody may do."""
    return [
        Submit(f"admit:{number}", Call("MemberRegistry", "admit", (number,)))
        for number, application in view.state.applications.items()
        if application.admit_at
        and view.state.member(application.applicant).status is MemberStatus.PROBATION
        and view.state.member(application.applicant).application == number
        and view.is_my_turn(number, application.admit_at)
    ]

"""Joining: the applicant asks; the reviewer, a committee seat, holds the request against the guideline and votes.

The request is a JSON document on IPFS, bound to the applicant's account and peer id by the hash in its transaction (which the account
signed). This reviewer's policy is mechanical (`check_request`); people review with `commonweight join review`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from node.protocol.hashing import keccak256
from node.protocol.state import Application
from node.protocol.types import Call, MemberStatus
from node.roles.actions import Action, Apply, ReviewApplication, Submit
from node.roles.view import View

SEAT_ROLES = ("steward", "reviewer")
"""Roles that act from a seat of the committee."""
REQUEST_VERSION = 1
MAX_REQUEST_BYTES = 64 * 1024
REQUEST_KEYS = ("version", "account", "peer_id", "guideline_hash", "hardware", "repositories")


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


def encode_request(request: Mapping[str, Any]) -> bytes:
    """Canonical JSON of a request."""
    return (json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n").encode()


def check_request(data: bytes, application: Application, *, guideline_hash: bytes, held_out: frozenset[str]) -> str:
    """Reason to refuse a request, empty to approve.

    Args:
        data: the request's bytes, as fetched by CID.
        application: what its transaction said.
        guideline_hash: guideline in force.
        held_out: repositories that benchmarks are made of: nobody may train on them.
    """
    if len(data) > MAX_REQUEST_BYTES or keccak256(data) != application.request_hash:
        return "the request's bytes do not have the hash in its transaction"
    try:
        request = json.loads(data)
    except (ValueError, RecursionError):
        return "the request is not JSON"
    if not isinstance(request, dict) or sorted(request) != sorted(REQUEST_KEYS):
        return f"the request does not have exactly the keys {', '.join(REQUEST_KEYS)}"
    repositories = request["repositories"]
    if not isinstance(repositories, list) or not repositories or not all(isinstance(r, str) for r in repositories):
        return "the data statement names no repositories"
    wanted = {
        "version": REQUEST_VERSION,
        "account": application.applicant,
        "peer_id": application.peer_id,
        "guideline_hash": guideline_hash.hex(),
    }
    for key, value in wanted.items():
        if request[key] != value:
            return f"{key} is {str(request[key])[:80]!r}, expected {value!r}"
    overlap = sorted(held_out.intersection(repositories))
    if overlap:
        return f"it trains on held-out repositories: {', '.join(overlap)}"
    return ""

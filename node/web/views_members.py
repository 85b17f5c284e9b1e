"""Members, seats, newcomers and voting power as JSON. Pure."""

from __future__ import annotations

from typing import Any

from incentives.voting import CAP_DIVISOR, voting_units
from node.protocol.members import Application, Member
from node.protocol.state import Lock
from node.protocol.types import Address, MemberStatus, UpdateStatus
from node.web.views_law import cid_text
from node.web.world import World, hexed

_CURVE_POINTS = 13


def members(world: World) -> list[dict[str, Any]]:
    """One row an account that ever applied."""
    judged = _judged(world)
    return [_member(world, member, judged.get(member.address, (0, 0))) for member in world.state.members.values()]


def _judged(world: World) -> dict[Address, tuple[int, int]]:
    """(accepted, judged) updates by trainer."""
    found: dict[Address, tuple[int, int]] = {}
    for one in world.state.rounds.values():
        for reveal in one.reveals:
            verdict = one.settled.get(reveal.index)
            if verdict is not None:
                accepted, judged = found.get(reveal.trainer, (0, 0))
                found[reveal.trainer] = (accepted + (verdict.status is UpdateStatus.ACCEPTED), judged + 1)
    return found


def _member(world: World, member: Member, updates: tuple[int, int]) -> dict[str, Any]:
    state, account = world.state, member.address
    lock = state.locks.get(account, Lock())
    return {
        "address": account,
        "peer_id": member.peer_id,
        "status": member.status.name,
        "application": member.application,
        "stake": str(member.stake),
        "unvested": str(member.unvested),
        "balance": str(state.balances.get(account, 0)),
        "earned": str(state.rewards.get(account, 0)),
        "slashed": str(member.slashed),
        "credit": str(state.rewards.get(account, 0)),
        "active_since": member.active_since or None,
        "exit_at": member.exit_at or None,
        "seat": state.seat_of(account, world.now),
        "locked": str(lock.amount),
        "leaving": str(lock.leaving),
        "free_at": lock.free_at if lock.leaving else None,
        "units": str(state.units.get(account, 0)),
        "delegate": state.delegates.get(account),
        "delegated": str(state.vault.delegated_at(account, world.now)),
        "votes": str(state.votes_at(account, world.now)),
        "accepted": updates[0],
        "judged": updates[1],
    }


def seats(world: World) -> list[dict[str, Any]]:
    """Committee seats, as given last."""
    return [
        {
            "seat": number,
            "holder": seat.holder,
            "expires_at": seat.expires_at,
            "is_vacant": world.now >= seat.expires_at,
        }
        for number, seat in sorted(world.state.seats.items())
    ]


# --- newcomers --------------------------------------------------------------------------------------------------------


def applications(world: World) -> list[dict[str, Any]]:
    """Requests to join, newest first."""
    return [_application(world, found) for _, found in sorted(world.state.applications.items(), reverse=True)]


def _application(world: World, found: Application) -> dict[str, Any]:
    reviews = world.state.reviews.get(found.number, {})
    registry, state = world.terms.registry, _fate(world, found)
    return {
        "number": found.number,
        "applicant": found.applicant,
        "peer_id": found.peer_id,
        "request_hash": hexed(found.request_hash),
        "request_cid": cid_text(found.request_cid),
        "state": state,
        "applied_at": world.chronicle.applied.get(found.number),
        "admit_at": found.admit_at or None,
        "approvals": sum(reviews.values()),
        "refusals": len(reviews) - sum(reviews.values()),
        "vetoes": len(found.vetoes),
        "threshold": registry.threshold,
        "veto_threshold": registry.veto_threshold,
        "reviews": world.chronicle.reviews.get(found.number, []),
        "request": world.local.requests.get(found.number),
        "actions": _application_actions(found, state, world.now),
    }


def _fate(world: World, found: Application) -> str:
    known = world.chronicle.fates.get(found.number)
    if known is not None:
        return known
    status = world.state.member(found.applicant).status
    is_current = world.state.member(found.applicant).application == found.number
    if is_current and status is MemberStatus.PROBATION:
        return "probation"
    return "open" if is_current and status is MemberStatus.APPLIED else "rejected"


def _application_actions(found: Application, state: str, now: int) -> list[str]:
    if state == "open":
        return ["review"]
    if state == "probation":
        return ["admit"] if now >= found.admit_at else ["veto"]
    return []


# --- power ------------------------------------------------------------------------------------------------------------


def power(world: World) -> dict[str, Any]:
    """Who can vote with how much now, and how concentrated that is."""
    state, now = world.state, world.now
    total = state.total_at(now)
    cap = total // CAP_DIVISOR
    delegates = {account: state.vault.delegated_at(account, now) for account in state.vault.delegated}
    cast = {account: state.votes_at(account, now) for account, units in delegates.items() if units}
    everything = sum(cast.values())
    rows = [
        {
            "member": account,
            "delegated": str(delegates[account]),
            "votes": str(votes),
            "share_ppm": 1_000_000 * votes // everything if everything else 0,
            "is_capped": delegates[account] > cap,
            "delegators": sum(
                delegate == account and state.units.get(owner, 0) > 0 for owner, delegate in state.delegates.items()
            ),
        }
        for account, votes in cast.items()
    ]
    rows.sort(key=lambda row: (-int(str(row["votes"])), str(row["member"])))
    return {
        "total_units": str(total),
        "locked": str(sum(lock.amount for lock in state.locks.values())),
        "cap": str(cap),
        "gini_ppm": gini_ppm(list(cast.values())),
        "largest_share_ppm": 1_000_000 * max(cast.values(), default=0) // everything if everything else 0,
        "holders": sum(lock.amount > 0 for lock in state.locks.values()),
        "delegates": rows,
        "curve": _curve(world),
    }


def gini_ppm(holdings: list[int]) -> int:
    """Gini coefficient in ppm, rounded down: Σ (2i − n − 1)·x_i / (n·Σx), x ascending, i from 1; 0 where nobody has anything."""
    sizes = sorted(holdings)
    total = sum(sizes)
    if total == 0:
        return 0
    ranked = sum((2 * place - len(sizes) - 1) * size for place, size in enumerate(sizes, start=1))
    return 1_000_000 * ranked // (len(sizes) * total)


def _curve(world: World) -> list[dict[str, str]]:
    """Points of f, as far as anybody has locked, and at least to 4·T."""
    linear = world.terms.linear_up_to
    most = max([4 * linear, *(lock.amount for lock in world.state.locks.values())])
    points = sorted({linear, *(most * place // (_CURVE_POINTS - 1) for place in range(_CURVE_POINTS))})
    return [{"locked": str(amount), "units": str(voting_units(amount, linear))} for amount in points]

"""Rounds as JSON: the running one act by act, all of them in rows, gains, contributions, disputes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from incentives.rewards import emission
from incentives.scoring import (
    FIRST_NUMERIC,
    MALFORMED,
    UNAVAILABLE,
    Tally,
    Verdict,
    agrees,
    decode_gain,
    word_field,
)
from node.explain.ownership import benchmark_name
from node.explain.reward import reward_parts
from node.protocol.errors import ConfigError
from node.protocol.sortition import assigned_updates, forward, verifiers_of
from node.protocol.state import Dispute, Reveal, Round, Settled
from node.protocol.types import Address, MemberStatus, Phase, UpdateStatus, address_key
from node.web.views_law import cid_text
from node.web.world import World, hexed


def live(world: World) -> dict[str, Any] | None:
    """The newest round in full."""
    return None if world.state.current is None else detail(world, world.state.current)


def round_of(world: World, number: int) -> dict[str, Any]:
    """A round in full.

    Raises:
        ConfigError: there is none of that number.
    """
    return detail(world, world.past.round(number))


def detail(world: World, found: Round) -> dict[str, Any]:
    """One round in full."""
    slots = min(len(found.reveals), world.terms.rounds.max_attesters) if found.seed else 0
    has_seed = bool(found.seed)
    return {
        "number": found.number,
        "phase": found.phase.name,
        "phase_since": found.phase_since,
        "deadline": found.deadline,
        "opened_at": found.opened_at,
        "opened_block": found.opened_block,
        "opener": found.opener,
        "epoch": found.epoch,
        "guideline_hash": hexed(found.guideline_hash),
        "expected": found.expected,
        "is_sealed": found.is_sealed if has_seed else None,
        "void_reason": _void_reason(found),
        "parent": {"hash": hexed(found.parent_model_hash), "cid": cid_text(found.parent_model_cid)},
        "model": _model(found),
        "sum_weight": found.sum_weight,
        "emission": str(emission(found.number, world.terms.emission)),
        "counts": {
            "committed": len(found.commits),
            "revealed": len(found.reveals),
            "scores_committed": len(found.score_commits),
            "scores_revealed": len(found.score_words),
            "settled": len(found.settled),
            "accepted": len(found.accepted),
            "attested": len(found.attestations),
            "attesters": slots,
            "quorum": slots * 2 // 3 + 1 if slots else 0,
        },
        "timeline": world.chronicle.timelines.get(found.number, []),
        "participants": _participants(world, found),
        "updates": [_update(world, found, reveal) for reveal in found.reveals],
        "rewards": _rewards(world, found),
        "disputes": sorted(found.disputes),
        "slashes": [row["number"] for row in world.chronicle.slashes if row["round"] == found.number],
    }


def _void_reason(found: Round) -> str | None:
    return found.void_reason.name if found.phase is Phase.VOIDED else None


def _model(found: Round) -> dict[str, Any] | None:
    proposal = found.proposal
    if proposal is None:
        return None
    return {"hash": hexed(proposal.model_hash), "cid": cid_text(proposal.cid)}


def _update(world: World, found: Round, reveal: Reveal) -> dict[str, Any]:
    verdict = found.settled.get(reveal.index)
    return {
        "index": reveal.index,
        "trainer": reveal.trainer,
        "status": _status(verdict),
        "gain": verdict.gain if verdict else None,
        "votes": verdict.votes if verdict else None,
        "weight": verdict.weight if verdict else None,
        "is_retried": verdict.is_retried if verdict else False,
        "is_forfeited": reveal.index in found.forfeited,
        "samples": reveal.samples,
        "content_hash": hexed(reveal.content_hash),
        "cid": cid_text(reveal.cid),
        "fields": _fields(world, found, reveal.index, verdict),
    }


def _status(verdict: Settled | None) -> str:
    return (verdict.status if verdict else UpdateStatus.PENDING).name


def _fields(world: World, found: Round, index: int, verdict: Settled | None) -> list[dict[str, Any]]:
    if not found.seed:
        return []
    retry = verdict.is_retried if verdict else False
    words, n = found.words(retry=retry), len(found.reveals)
    k, tau = found.verifiers(world.terms.rounds.max_verifiers), world.past.scoring_of(found).tau
    rows = []
    for verifier, place in verifiers_of(found.seed, n, index, k, retry=retry):
        field = word_field(words.get(verifier, 0), place)
        rows.append(
            {
                "verifier": found.reveals[verifier].trainer,
                "field": field_kind(field),
                "gain": decode_gain(field) if field >= FIRST_NUMERIC else None,
                "agrees": None if verdict is None else agrees(field, _tally(verdict), tau),
            }
        )
    return rows


def _tally(verdict: Settled) -> Tally:
    return Tally(Verdict(verdict.status), verdict.gain, verdict.votes, verdict.weight)


def field_kind(field: int) -> str:
    """What a field of a score word says."""
    if field >= FIRST_NUMERIC:
        return "gain"
    return {MALFORMED: "malformed", UNAVAILABLE: "unavailable"}.get(field, "not scored")


def _rewards(world: World, found: Round) -> list[dict[str, Any]]:
    if found.phase is not Phase.FINALIZED:
        return []
    rows = []
    for reveal in found.reveals:
        trainer, verifier, attester = reward_parts(world.past, found, reveal.index)
        rows.append(
            {
                "index": reveal.index,
                "member": reveal.trainer,
                "trainer": str(trainer),
                "verifier": str(verifier),
                "attester": str(attester),
                "claimed": reveal.index in found.claimed,
            }
        )
    return rows


# --- who did what -----------------------------------------------------------------------------------------------------


def _participants(world: World, found: Round) -> list[dict[str, Any]]:
    least = world.terms.registry.min_bond
    expected = {
        address
        for address, member in world.state.members.items()
        if member.status is MemberStatus.ACTIVE and member.stake >= least and 0 < member.active_since < found.opened_at
    }
    rows = []
    for member in sorted(expected | set(found.commits), key=address_key):
        reveal = found.reveal_of(member)
        position = forward(found.seed, len(found.reveals), reveal.index) if reveal and found.seed else None
        slot = position if position is not None and position < world.terms.rounds.max_attesters else None
        rows.append(
            {
                "member": member,
                "index": reveal.index if reveal else None,
                "position": position,
                "slot": slot,
                "acts": _acts(world, found, member, reveal, slot),
            }
        )
    return rows


def _acts(world: World, found: Round, member: Address, reveal: Reveal | None, slot: int | None) -> dict[str, str]:
    index = reveal.index if reveal else -1
    has_committed, is_ringed = member in found.commits, reveal is not None
    has_duty = is_ringed and _has_retry_duty(world, found, index)
    return {
        "commit": _act(found, Phase.COMMIT, asked=True, done=has_committed),
        "reveal": _act(found, Phase.REVEAL, asked=has_committed, done=is_ringed),
        "scores_commit": _act(found, Phase.SCORE_COMMIT, asked=is_ringed, done=index in found.score_commits),
        "scores_reveal": _act(
            found,
            Phase.SCORE_REVEAL,
            asked=is_ringed and (index in found.score_commits or found.phase <= Phase.SCORE_COMMIT),
            done=index in found.score_words,
        ),
        "retry_commit": _act(found, Phase.RETRY_COMMIT, asked=has_duty, done=index in found.retry_commits),
        "retry_reveal": _act(
            found, Phase.RETRY_REVEAL, asked=has_duty and index in found.retry_commits, done=index in found.retry_words
        ),
        "attest": _act(found, Phase.ATTEST, asked=slot is not None, done=slot in found.attestations),
    }


def _act(found: Round, phase: Phase, *, asked: bool, done: bool) -> str:
    """none, waiting, due, done or missed."""
    if done:
        return "done"
    if not asked:
        return "none"
    if found.phase is phase:
        return "due"
    if found.phase < phase:
        return "waiting"
    return "none" if found.phase is Phase.VOIDED and not _reached(found, phase) else "missed"


def _reached(found: Round, phase: Phase) -> bool:
    """Whether a voided round came as far as ``phase``."""
    if phase <= Phase.REVEAL:
        return phase is Phase.COMMIT or len(found.commits) > 0
    if phase <= Phase.SCORE_REVEAL:
        return bool(found.seed)
    return bool(found.settled) and (phase is not Phase.ATTEST or bool(found.accepted))


def _has_retry_duty(world: World, found: Round, index: int) -> bool:
    most = world.terms.rounds.max_verifiers
    if not found.seed or not found.has_retry(most) or not found.left_unscored:
        return False
    window = assigned_updates(found.seed, len(found.reveals), index, found.verifiers(most), retry=True)
    return any(update in found.left_unscored for update in window)


# --- all rounds -------------------------------------------------------------------------------------------------------


def rounds(world: World) -> list[dict[str, Any]]:
    """Every round in a row, oldest first."""
    slashes = _count(row["round"] for row in world.chronicle.slashes)
    return [_row(world, found, slashes.get(number, 0)) for number, found in sorted(world.state.rounds.items())]


def _row(world: World, found: Round, slashes: int) -> dict[str, Any]:
    line = world.chronicle.timelines.get(found.number, [])
    return {
        "number": found.number,
        "phase": found.phase.name,
        "opened_at": found.opened_at,
        "ended_at": line[-1]["at"] if found.is_over and line else None,
        "is_sealed": found.is_sealed if found.seed else None,
        "void_reason": _void_reason(found),
        "committed": len(found.commits),
        "revealed": len(found.reveals),
        "accepted": len(found.accepted),
        "attested": len(found.attestations),
        "gain_sum": sum(_gains(found)) if found.settled else None,
        "model_hash": hexed(found.proposal.model_hash) if found.proposal else None,
        "disputes": len(found.disputes),
        "slashes": slashes,
    }


def _gains(found: Round) -> list[int]:
    """Gains of the accepted updates, smallest first."""
    return sorted(found.settled[reveal.index].gain for reveal in found.accepted)


def _count(numbers: Any) -> dict[int, int]:
    found: dict[int, int] = {}
    for number in numbers:
        found[number] = found.get(number, 0) + 1
    return found


def metric(world: World) -> dict[str, Any]:
    """How the model improves: gains by round, what this machine measured, scores of releases."""
    rows = []
    for number, found in sorted(world.state.rounds.items()):
        if found.phase is not Phase.FINALIZED:
            continue
        gains = _gains(found)
        median = gains[(len(gains) - 1) // 2] if gains else None
        rows.append({"round": number, "gain_median": median, "gain_sum": sum(gains), "accepted": len(gains)})
    releases = [
        {
            "release": release.number,
            "version": ".".join(map(str, release.version)),
            "round": release.round,
            "scores": {benchmark_name(name): ppm for name, ppm in release.scores.items()},
        }
        for release in world.state.releases.values()
    ]
    return {"rounds": rows, "evaluations": _evaluations(world.local.evaluations), "releases": releases}


def _evaluations(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not given or not isinstance(given.get("values"), dict):
        return None
    values = [
        {"round": int(number), "value": float(value)}
        for number, value in given["values"].items()
        if str(number).isdigit() and isinstance(value, int | float)
    ]
    values.sort(key=lambda row: row["round"])
    return {"name": str(given.get("name", "metric")), "unit": str(given.get("unit", "")), "values": values}


def contributions(world: World) -> dict[str, Any]:
    """What each member added in each round, and in all."""
    cells: list[dict[str, Any]] = []
    accepted: dict[Address, int] = {}
    members: set[Address] = set()
    for number, found in sorted(world.state.rounds.items()):
        for reveal in found.reveals:
            verdict = found.settled.get(reveal.index)
            paid = world.chronicle.claimed.get((number, reveal.index))
            members.add(reveal.trainer)
            if verdict is not None and verdict.status is UpdateStatus.ACCEPTED:
                accepted[reveal.trainer] = accepted.get(reveal.trainer, 0) + 1
            cells.append(
                {
                    "member": reveal.trainer,
                    "round": number,
                    "index": reveal.index,
                    "status": _status(verdict),
                    "gain": verdict.gain if verdict else None,
                    "weight": verdict.weight if verdict else None,
                    "reward": None if paid is None else str(paid),
                    "credit": str(paid or 0),
                }
            )
    total = sum(world.state.rewards.values())
    totals: list[dict[str, Any]] = [
        {
            "member": member,
            "credit": str(world.state.rewards.get(member, 0)),
            "share_ppm": 1_000_000 * world.state.rewards.get(member, 0) // total if total else 0,
            "accepted": accepted.get(member, 0),
        }
        for member in members
    ]
    totals.sort(key=lambda row: (-int(row["credit"]), row["member"]))
    return {
        "members": sorted(members, key=address_key),
        "rounds": sorted(world.state.rounds),
        "cells": cells,
        "totals": totals,
    }


# --- disputes ---------------------------------------------------------------------------------------------------------


def disputes(world: World) -> list[dict[str, Any]]:
    """Every dispute, oldest first."""
    return [_dispute(found) for _, found in sorted(world.state.disputes.items())]


def _dispute(found: Dispute) -> dict[str, Any]:
    is_judged = found.status is not UpdateStatus.PENDING
    return {
        "number": found.number,
        "round": found.round,
        "kind": found.kind.name,
        "index": found.index,
        "disputer": found.disputer,
        "opened_at": found.opened_at,
        "until": found.until,
        "jurors": found.jurors,
        "commit_end": found.commit_end or None,
        "committed": len(found.commits),
        "revealed": len(found.ballots),
        "outcome": found.outcome.name,
        "status": found.status.name if is_judged else None,
        "gain": found.gain if is_judged else None,
        "votes": found.votes,
    }


def require_number(text: str, what: str) -> int:
    """A number of a path.

    Raises:
        ConfigError: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 78):
        raise ConfigError(f"The {what} is {text[:80]!r}, expected a number.")
    return int(text)

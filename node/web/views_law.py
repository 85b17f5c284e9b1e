"""Proposals, releases, benchmarks and the treasury as JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from incentives.ownership import least_score
from node.explain.ownership import benchmark_name
from node.explain.votes import find_proposal
from node.protocol.cid import cid_from_digest
from node.protocol.errors import ConfigError
from node.protocol.governance import GovernorProposal, ProposalState, has_quorum
from node.protocol.releases import Release
from node.web.world import Decoded, World, hexed

_KINDS: Mapping[tuple[str, str], str] = {
    ("ReleaseRegistry", "publish"): "release",
    ("ReleaseRegistry", "yank"): "release",
    ("ReleaseRegistry", "addBenchmark"): "benchmark",
    ("ReleaseRegistry", "retireBenchmark"): "benchmark",
    ("GuidelineRegistry", "amend"): "guideline",
    ("GuidelineRegistry", "setScoring"): "scoring",
    ("MemberRegistry", "setSeat"): "seat",
    ("Treasury", "pay"): "treasury",
}


def cid_text(digest: bytes) -> str | None:
    """A CID for people; None for the empty digest."""
    return cid_from_digest(digest) if len(digest) == 32 and any(digest) else None


# --- proposals --------------------------------------------------------------------------------------------------------


def proposals(world: World) -> list[dict[str, Any]]:
    """Every proposal, oldest first."""
    return [_proposal(world, number, found) for number, found in enumerate(world.state.proposals.values(), start=1)]


def proposal_of(world: World, which: int) -> dict[str, Any]:
    """One proposal, by id or number.

    Raises:
        ConfigError: there is none.
    """
    found = find_proposal(world.state, which)
    number = list(world.state.proposals).index(found.number) + 1
    return _proposal(world, number, found)


def _proposal(world: World, number: int, found: GovernorProposal) -> dict[str, Any]:
    state = world.state
    standing = state.proposal_state(found.number, world.now, world.terms.quorum_floor)
    moment = min(found.snapshot, world.now)
    quorum = state.quorum_at(moment, world.terms.quorum_floor)
    decoded = [world.decode(target, data) for target, data in zip(found.targets, found.calldatas, strict=True)]
    title, body = split_description(found.description)
    return {
        "id": str(found.number),
        "number": number,
        "title": title or f"Proposal {number}",
        "description": body,
        "kind": _kind(decoded),
        "proposer": found.proposer,
        "state": standing.name,
        "created_at": found.created_at,
        "vote_start": found.vote_start,
        "vote_end": found.vote_end,
        "eta": found.eta or None,
        "executed_at": world.chronicle.executed.get(found.number),
        "is_extended": found.vote_end > found.first_end,
        "quorum": str(quorum),
        "total_units": str(state.total_at(moment)),
        "for": str(found.in_favour),
        "against": str(found.against),
        "abstain": str(found.abstain),
        "has_quorum": has_quorum(found, quorum),
        "calls": [
            _call(world, target, data, one)
            for target, data, one in zip(found.targets, found.calldatas, decoded, strict=True)
        ],
        "votes": world.chronicle.votes.get(found.number, []),
        "candidate": _candidate(world, decoded),
        "actions": _actions(standing, found.eta, world.now),
    }


def split_description(description: str) -> tuple[str, str]:
    """Title (first line, without marks of headings) and the rest, without the proposer's mark."""
    text, mark, _ = description.rpartition("#proposer=")
    text = (text if mark else description).strip()
    title, _, body = text.partition("\n")
    return title.strip("# ").strip()[:200], body.strip()


def _kind(decoded: list[Decoded | None]) -> str:
    kinds = [_KINDS.get((one.contract, one.function), "other") if one else "other" for one in decoded]
    if any(one is not None and one.contract == "CommunityGovernor" for one in decoded):
        kinds.append("setting")
    order = ("release", "guideline", "scoring", "seat", "treasury", "benchmark", "setting")
    return next((kind for kind in order if kind in kinds), "other")


def _call(world: World, target: str, data: bytes, decoded: Decoded | None) -> dict[str, Any]:
    names = {address.lower(): name for name, address in world.terms.contracts.items()}
    return {
        "target": target,
        "contract": decoded.contract if decoded else names.get(target.lower()),
        "function": decoded.function if decoded else None,
        "arguments": [{"name": name, "value": plain(value)} for name, value in decoded.arguments] if decoded else [],
        "data": hexed(data),
    }


def plain(value: Any) -> Any:
    """An ABI value as JSON: integers beyond 2⁵³ as text, bytes as hex."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 2**53 else str(value)
    if isinstance(value, bytes):
        return hexed(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else str(value)


def _candidate(world: World, decoded: list[Decoded | None]) -> dict[str, Any] | None:
    for one in decoded:
        if one is not None and (one.contract, one.function) == ("ReleaseRegistry", "publish"):
            given = one.arguments[0][1]
            version = given["version"]
            scores = {score["benchmark"]: score["ppm"] for score in given["scores"]}
            return {
                "version": f"{version['major']}.{version['minor']}.{version['patch']}",
                "parent": given["parent"],
                "round": given["round"],
                "model_hash": hexed(given["modelHash"]),
                "cid": cid_text(given["cid"]),
                "notes_hash": hexed(given["notesHash"]),
                "notes_cid": cid_text(given["notesCid"]),
                "scores": score_rows(world, scores, given["parent"]),
            }
    return None


def score_rows(world: World, scores: Mapping[bytes, int], parent: int) -> list[dict[str, Any]]:
    """Benchmark table against the parent release; by name."""
    before = world.state.releases[parent].scores if parent in world.state.releases else {}
    rows = []
    for name, ppm in sorted(scores.items()):
        was = before.get(name)
        rows.append(
            {
                "benchmark": benchmark_name(name),
                "ppm": ppm,
                "parent_ppm": was,
                "delta": None if was is None else ppm - was,
                "floor": 0 if was is None else least_score(was, world.terms.max_regression),
            }
        )
    return rows


def _actions(standing: ProposalState, eta: int, now: int) -> list[str]:
    if standing is ProposalState.ACTIVE:
        return ["vote"]
    if standing is ProposalState.SUCCEEDED:
        return ["queue"]
    return ["execute"] if standing is ProposalState.QUEUED and now >= eta else []


# --- releases ---------------------------------------------------------------------------------------------------------


def releases(world: World) -> list[dict[str, Any]]:
    """Every release, oldest first."""
    return [_release(world, found) for _, found in sorted(world.state.releases.items())]


def release_of(world: World, number: int) -> dict[str, Any]:
    """One release.

    Raises:
        ConfigError: there is none of that number.
    """
    if number not in world.state.releases:
        raise ConfigError(f"There is no release {number}.", hint=f"Releases so far: {len(world.state.releases)}.")
    return _release(world, world.state.releases[number])


def _release(world: World, found: Release) -> dict[str, Any]:
    state = world.state
    active = set(state.catalogue.active)
    scores = score_rows(world, found.scores, found.parent)
    for row, name in zip(scores, sorted(found.scores), strict=True):
        row["is_active"] = name in active
    tokens = sorted({token for number, token in state.revenue.deposited if number == found.number})
    return {
        "number": found.number,
        "version": ".".join(map(str, found.version)),
        "parent": found.parent,
        "round": found.round,
        "model_hash": hexed(found.model_hash),
        "cid": cid_text(found.cid),
        "notes_hash": hexed(found.notes_hash),
        "notes_cid": cid_text(found.notes_cid),
        "is_yanked": found.is_yanked,
        "published_at": found.published_at,
        "block": found.block,
        "transaction": hexed(found.transaction),
        "proposal": str(found.proposal) if found.proposal else None,
        "credit_total": str(found.credit_total),
        "scores": scores,
        "shares": _shares(world, found),
        "revenue": [
            {
                "token": token,
                "deposited": str(state.revenue.deposited[found.number, token]),
                "paid": str(
                    sum(
                        paid
                        for (number, of, _), paid in state.revenue.paid.items()
                        if (number, of) == (found.number, token)
                    )
                ),
            }
            for token in tokens
        ],
        "children": [one.number for one in state.releases.values() if one.parent == found.number],
    }


def _shares(world: World, found: Release) -> list[dict[str, Any]]:
    total = found.credit_total
    credits_of = {member: world.state.credits_at(member, found.round) for member in world.state.credits.earned}
    rows = [
        {"member": member, "credit": str(credit), "ppm": 1_000_000 * credit // total if total else 0}
        for member, credit in credits_of.items()
        if credit
    ]
    rows.sort(key=lambda row: (-int(str(row["credit"])), str(row["member"])))
    return rows


def benchmarks(world: World) -> list[dict[str, Any]]:
    """What releases are measured by, retired ones too."""
    return [
        {
            "name": benchmark_name(name),
            "is_active": found.is_active,
            "content_hash": hexed(found.content_hash),
            "cid": cid_text(found.cid),
        }
        for name, found in sorted(world.state.benchmarks.items())
    ]


def treasury(world: World) -> dict[str, Any]:
    """The community's purse."""
    account = world.terms.contracts.get("Treasury")
    return {
        "balance": str(world.state.balances.get(account, 0)) if account else "0",
        "earned": str(sum(world.state.credits.treasury.values())),
        "paid": [
            {
                "token": payment.token,
                "to": payment.to,
                "amount": str(payment.amount),
                "at": payment.at,
                "transaction": hexed(payment.transaction),
            }
            for payment in world.state.payments
        ],
    }

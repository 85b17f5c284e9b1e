"""Answers to a member's questions: which proposals there are, what they would do, who voted, who can vote with how much. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.dao import power
from node.dao.ballots import choice, find, numbered, title
from node.dao.calls import decode, describe, duration
from node.protocol.governance import GovernorProposal, ProposalState, has_quorum
from node.protocol.state import State
from node.protocol.types import Address


def proposals(state: State, now: int, floor: int) -> list[dict[str, Any]]:
    """One row a proposal, newest first.

    Args:
        state: the network now.
        now: of the newest block, seconds.
        floor: the governor's constant, units.
    """
    return [_row(state, number, one, now, floor) for number, one in reversed(numbered(state.proposals).items())]


def _row(state: State, number: int, found: GovernorProposal, now: int, floor: int) -> dict[str, Any]:
    standing = state.proposal_state(found.number, now, floor)
    quorum = state.quorum_at(found.snapshot, floor) if found.snapshot < now else None
    return {
        "number": number,
        "id": str(found.number),
        "title": title(found),
        "proposer": found.proposer,
        "state": standing.name.lower(),
        "next": _next(number, found, standing, now),
        "starts": found.vote_start,
        "ends": found.vote_end,
        "eta": found.eta,
        "against": str(found.against),
        "for": str(found.in_favour),
        "abstain": str(found.abstain),
        "quorum": None if quorum is None else str(quorum),
        "quorum_reached": None if quorum is None else has_quorum(found, quorum),
    }


def _next(number: int, found: GovernorProposal, standing: ProposalState, now: int) -> str:
    """What happens next, in words."""
    match standing:
        case ProposalState.PENDING:
            return f"vote starts in {duration(found.vote_start - now + 1)}"
        case ProposalState.ACTIVE:
            return f"vote ends in {duration(found.vote_end - now + 1)}"
        case ProposalState.SUCCEEDED:
            return f"`commonweight dao queue {number}`"
        case ProposalState.QUEUED if found.eta > now:
            return f"executable in {duration(found.eta - now)}"
        case ProposalState.QUEUED:
            return f"`commonweight dao execute {number}`"
    return ""


def proposal(state: State, which: str, now: int, floor: int, contracts: Mapping[str, Address]) -> dict[str, Any]:
    """One proposal in full: what it would do in words and as calls, its votes one by one.

    Raises:
        ConfigError: there is no such proposal.
    """
    number, found = find(state.proposals, which)
    calls = []
    for target, data in zip(found.targets, found.calldatas, strict=True):
        action = decode(target, data, contracts)
        words = describe(action) if action else "would call a function that this version does not know"
        name = f"{action.contract}.{action.function}" if action else ""
        calls.append({"words": words, "call": name, "target": target, "data": "0x" + data.hex()})
    votes = [
        {
            "voter": voter,
            "choice": choice(vote.against, vote.in_favour, vote.abstain),
            "against": str(vote.against),
            "for": str(vote.in_favour),
            "abstain": str(vote.abstain),
            "reason": vote.reason,
            "time": vote.at,
        }
        for voter, vote in found.voters.items()
    ]
    return {**_row(state, number, found, now, floor), "description": found.description, "calls": calls, "votes": votes}


def powers(state: State) -> dict[str, Any]:
    """Who can vote with how much now, and how concentrated that is."""
    delegated = {account: trace.latest for account, trace in state.vault.delegated.items() if trace.latest}
    rows = [
        {"account": account, "delegated": str(units), "votes": str(state.votes_at(account, state.vault.total.keys[-1]))}
        for account, units in sorted(delegated.items(), key=lambda entry: -entry[1])
    ]
    gini, largest = power.concentration(int(row["votes"]) for row in rows)
    return {
        "delegates": rows,
        "total_units": str(state.vault.total.latest),
        "gini": round(gini, 4),
        "largest_share": round(largest, 4),
    }

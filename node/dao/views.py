"""Answers to a member's questions: which proposals there are, what they would do, who voted, what an account can vote with."""

from __future__ import annotations

from typing import Any

from node.dao import ballots, power
from node.dao.advice import STATES
from node.dao.ballots import SUPPORT, Ballot
from node.dao.calls import decode, describe, duration
from node.dao.desk import Desk
from node.dao.power import Power
from node.protocol.types import Address, MemberStatus


async def ballot_state(desk: Desk, ballot: Ballot) -> str:
    """The governor's word for where a proposal is."""
    return STATES[await desk.read("CommunityGovernor", "state", ballot.id)]


async def proposals(desk: Desk) -> list[dict[str, Any]]:
    """One row a proposal, newest first."""
    found = ballots.fold(await desk.events())
    return [await _row(desk, ballot) for ballot in reversed(found.values())]


async def _row(desk: Desk, ballot: Ballot) -> dict[str, Any]:
    state, now = await ballot_state(desk, ballot), await desk.now()
    quorum = await desk.read("CommunityGovernor", "quorum", ballot.starts) if ballot.starts < now else None
    against, favour, abstain = ballot.tally
    return {
        "number": ballot.number,
        "id": str(ballot.id),
        "title": ballot.title,
        "proposer": ballot.proposer,
        "state": state,
        "next": _next(ballot, state, now),
        "starts": ballot.starts,
        "ends": ballot.ends,
        "eta": ballot.eta,
        "against": str(against),
        "for": str(favour),
        "abstain": str(abstain),
        "quorum": None if quorum is None else str(quorum),
        "quorum_reached": None if quorum is None else favour + abstain >= quorum,
    }


def _next(ballot: Ballot, state: str, now: int) -> str:
    """What happens next, in words."""
    match state:
        case "pending":
            return f"vote starts in {duration(ballot.starts - now)}"
        case "active":
            return f"vote ends in {duration(ballot.ends - now)}"
        case "succeeded":
            return f"`commonweight dao queue {ballot.number}`"
        case "queued" if ballot.eta > now:
            return f"executable in {duration(ballot.eta - now)}"
        case "queued":
            return f"`commonweight dao execute {ballot.number}`"
    return ""


async def proposal(desk: Desk, which: str) -> dict[str, Any]:
    """One proposal in full: what it would do in words and as calls, its votes one by one.

    Raises:
        ConfigError: there is no such proposal.
    """
    ballot = ballots.find(ballots.fold(await desk.events()), which)
    calls = []
    for target, data in zip(ballot.targets, ballot.datas, strict=True):
        action = decode(target, data, desk.manifest.contracts)
        words = describe(action) if action else "would call a function that this version does not know"
        name = f"{action.contract}.{action.function}" if action else ""
        calls.append({"words": words, "call": name, "target": target, "data": "0x" + data.hex()})
    votes = [
        {
            "voter": cast.voter,
            "choice": _choice(cast),
            "against": str(cast.against),
            "for": str(cast.favour),
            "abstain": str(cast.abstain),
            "reason": cast.reason,
            "time": cast.timestamp,
        }
        for cast in ballot.casts
    ]
    return {**await _row(desk, ballot), "description": ballot.description, "calls": calls, "votes": votes}


def _choice(cast: ballots.Cast) -> str:
    parts = (cast.against, cast.favour, cast.abstain)
    given = [name for name, part in zip(SUPPORT, parts, strict=True) if part]
    return given[0] if len(given) == 1 else "split" if given else "nothing"


async def power_of(desk: Desk, account: Address) -> Power:
    """An account's voting power and what it comes from."""
    vault = power.fold(await desk.events())
    law = desk.manifest.params.governance
    locked, leaving, free_at = await desk.read("VotingVault", "accountOf", account)
    units = vault.units(law.linear_up_to)
    status = MemberStatus(await desk.read("MemberRegistry", "statusOf", account))
    return Power(
        account=account,
        is_member=status in (MemberStatus.ACTIVE, MemberStatus.EXITING),
        liquid=await desk.read("ContributionToken", "balanceOf", account),
        locked=locked,
        leaving=leaving,
        free_at=free_at,
        linear_up_to=law.linear_up_to,
        units=units.get(account, 0),
        delegate=vault.delegates.get(account, account),
        received={
            other: amount
            for other, amount in units.items()
            if other != account and amount and vault.delegates.get(other) == account
        },
        total=sum(units.values()),
        now=await desk.now(),
    )


async def powers(desk: Desk) -> dict[str, Any]:
    """Who can vote with how much, and how concentrated that is."""
    vault = power.fold(await desk.events())
    delegated = vault.delegated(desk.manifest.params.governance.linear_up_to)
    holders = sorted(delegated, key=lambda one: -delegated[one])
    rows = []
    for account in holders:
        votes = await desk.read("VotingVault", "getVotes", account)
        rows.append({"account": account, "delegated": str(delegated[account]), "votes": str(votes)})
    gini, largest = power.concentration(int(row["votes"]) for row in rows)
    return {
        "delegates": rows,
        "total_units": str(sum(delegated.values())),
        "gini": round(gini, 4),
        "largest_share": round(largest, 4),
    }

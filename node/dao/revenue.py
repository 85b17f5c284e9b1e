"""Who owns a release, and what it earned for them: frozen shares, deposits, claims."""

from __future__ import annotations

from typing import Any

from incentives.ownership import claimable, shares_ppm
from node.dao.desk import Desk, receipt_row
from node.dao.proposal import address
from node.dao.releases import find, version_of
from node.protocol.errors import ConfigError
from node.protocol.state import State
from node.protocol.types import Address


def credits_of(state: State, number: int) -> dict[Address, int]:
    """Credits of every member from rounds up to one, largest first; those without any are left out."""
    found = {account: trace.at(number) for account, trace in state.credits.earned.items()}
    return {account: credit for account, credit in sorted(found.items(), key=lambda entry: -entry[1]) if credit}


def ownership(state: State, number: int) -> dict[str, Any]:
    """Who owns a release, and its revenue by token: deposited, paid, and what each owner can still claim.

    Args:
        state: the network now.
        number: of the release; 0 is the latest.

    Raises:
        ConfigError: there is no such release.
    """
    release = find(state.catalogue, number)
    owners = credits_of(state, release.round)
    tokens = sorted({token for one, token in state.revenue.deposited if one == release.number})
    revenue = {}
    for token in tokens:
        deposited = state.revenue.deposited[release.number, token]
        paid = {account: state.revenue.paid.get((release.number, token, account), 0) for account in owners}
        due = {
            account: claimable(deposited, credit, release.credit_total, paid=paid[account])
            for account, credit in owners.items()
        }
        revenue[token] = {
            "deposited": str(deposited),
            "paid": {account: str(amount) for account, amount in paid.items()},
            "claimable": {account: str(amount) for account, amount in due.items()},
        }
    return {
        "release": release.number,
        "version": version_of(release),
        "round": release.round,
        "credit_total": str(release.credit_total),
        "credits": {account: str(credit) for account, credit in owners.items()},
        "shares_ppm": shares_ppm(owners),
        "revenue": revenue,
    }


async def deposit(desk: Desk, number: int, token: str, amount: int) -> dict[str, Any]:
    """Pay revenue in for a release's owners, in a token's smallest unit. Anybody may.

    Only the community's token can be approved from here; allow another one to the RevenueSplitter with its own wallet first.

    Raises:
        ConfigError: no such release.
        TransactionReverted: too little, or not allowed.
    """
    release = find((await desk.state()).catalogue, number)
    splitter, cwt = desk.manifest.contracts["RevenueSplitter"], desk.manifest.contracts["ContributionToken"]
    where = address(token) if token else cwt
    if where == cwt and await desk.read("ContributionToken", "allowance", desk.me, splitter) < amount:
        await desk.send("ContributionToken", "approve", splitter, amount)
    receipt = await desk.send("RevenueSplitter", "deposit", release.number, where, amount)
    total = await desk.read("RevenueSplitter", "depositedOf", release.number, where)
    return {"release": release.number, "token": where, "deposited_in_all": str(total), **receipt_row(receipt)}


async def claim(desk: Desk, number: int, token: str, account: str) -> dict[str, Any]:
    """Pay an owner what is due to it; without an account ourselves. Anybody may send it.

    Raises:
        ConfigError: no such release, or nothing is due.
    """
    release = find((await desk.state()).catalogue, number)
    where = address(token) if token else desk.manifest.contracts["ContributionToken"]
    who = address(account) if account else desk.me
    due = await desk.read("RevenueSplitter", "claimable", release.number, where, who)
    if due == 0:
        raise ConfigError(
            f"Nothing of release {release.number} is due to {who}.",
            why="It has no share, everything was paid, or nothing was deposited in this token.",
            hint="`commonweight ownership show` lists shares and deposits.",
        )
    receipt = await desk.send("RevenueSplitter", "claim", release.number, where, who)
    return {"release": release.number, "account": who, "paid": str(due), **receipt_row(receipt)}

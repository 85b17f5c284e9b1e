"""Money that follows work, as folds of events: credits of rounds, revenue of releases, payments. Part of `node.protocol.state`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from node.protocol.members import InconsistentHistory, with_entry
from node.protocol.trace import Trace
from node.protocol.types import Address, ChainEvent


@dataclass(frozen=True, slots=True)
class Credits:
    """Soul-bound credits of the RewardDistributor.

    Attributes:
        earned: by member, credits from rounds up to a round (keys are rounds); exact in every order of claims.
        in_round: credits that the claims of a round have made so far.
        treasury: the treasury's share, by round.
    """

    earned: Mapping[Address, Trace] = field(default_factory=dict)
    in_round: Mapping[int, int] = field(default_factory=dict)
    treasury: Mapping[int, int] = field(default_factory=dict)

    def at(self, member: Address, number: int) -> int:
        """`creditAt`: a member's credits from rounds up to one, claimed so far."""
        return self.earned.get(member, Trace()).at(number)

    def minted_in(self, number: int) -> int:
        """`mintedIn`: all that a round minted so far."""
        return self.in_round.get(number, 0) + self.treasury.get(number, 0)


def _earned(known: Credits, event: ChainEvent) -> Credits:
    a = event.arguments
    member, amount = Address(a["member"]), a["trainerReward"] + a["verifierReward"] + a["attesterReward"]
    if not amount:
        return known
    trace = known.earned.get(member, Trace()).add(a["round"], amount)
    in_round = with_entry(known.in_round, a["round"], known.in_round.get(a["round"], 0) + amount)
    return replace(known, earned=with_entry(known.earned, member, trace), in_round=in_round)


def _treasury_earned(known: Credits, event: ChainEvent) -> Credits:
    a = event.arguments
    if a["round"] in known.treasury:
        raise InconsistentHistory(f"The treasury's share of round {a['round']} was claimed twice.")
    return replace(known, treasury=with_entry(known.treasury, a["round"], a["amount"]))


CREDIT_HANDLERS: Mapping[str, Callable[[Credits, ChainEvent], Credits]] = {
    "Claimed": _earned,
    "TreasuryClaimed": _treasury_earned,
}
"""Handlers of the RewardDistributor's events, by name."""


@dataclass(frozen=True, slots=True)
class Revenue:
    """Books of the RevenueSplitter, in the token's units: ``deposited`` by (release, token), ``paid`` by (release, token, account)."""

    deposited: Mapping[tuple[int, Address], int] = field(default_factory=dict)
    paid: Mapping[tuple[int, Address, Address], int] = field(default_factory=dict)


def _deposited(known: Revenue, event: ChainEvent) -> Revenue:
    a = event.arguments
    key = (a["release"], Address(a["token"]))
    total = known.deposited.get(key, 0) + a["amount"]
    if a["total"] != total:
        raise InconsistentHistory(f"Deposits for release {a['release']} add up to {total}, not to {a['total']}.")
    return replace(known, deposited=with_entry(known.deposited, key, total))


def _claimed(known: Revenue, event: ChainEvent) -> Revenue:
    a = event.arguments
    key = (a["release"], Address(a["token"]), Address(a["account"]))
    total = known.paid.get(key, 0) + a["amount"]
    if a["total"] != total:
        raise InconsistentHistory(f"Release {a['release']} paid {a['account']} {total} in all, not {a['total']}.")
    return replace(known, paid=with_entry(known.paid, key, total))


REVENUE_HANDLERS: Mapping[str, Callable[[Revenue, ChainEvent], Revenue]] = {
    "Deposited": _deposited,
    "Claimed": _claimed,
}
"""Handlers of the RevenueSplitter's events, by name."""


@dataclass(frozen=True, slots=True)
class Payment:
    """What the treasury paid by a vote, in the token's units."""

    token: Address
    to: Address
    amount: int
    at: int
    transaction: bytes


def paid(known: tuple[Payment, ...], event: ChainEvent) -> tuple[Payment, ...]:
    """The treasury's payments with one more."""
    a = event.arguments
    payment = Payment(Address(a["token"]), Address(a["to"]), a["amount"], event.timestamp, event.transaction)
    return (*known, payment)

"""Voting power explained: from locked tokens through the curve, delegation and the cap to votes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from incentives.voting import CAP_DIVISOR, voting_units
from incentives.voting import votes as votes_of
from node.dao.calls import cwt, duration
from node.protocol.types import Address, ChainEvent


@dataclass(frozen=True, slots=True)
class Vault:
    """The vault as its events tell it: what each account has locked, and whom its units follow."""

    locked: Mapping[Address, int]
    delegates: Mapping[Address, Address]

    def units(self, linear_up_to: int) -> dict[Address, int]:
        """f(locked) of every account."""
        return {account: voting_units(amount, linear_up_to) for account, amount in self.locked.items()}

    def delegated(self, linear_up_to: int) -> dict[Address, int]:
        """Units that follow each delegate, before cap and membership."""
        sums: dict[Address, int] = {}
        for account, units in self.units(linear_up_to).items():
            delegate = self.delegates.get(account, account)
            sums[delegate] = sums.get(delegate, 0) + units
        return sums


def fold(events: Iterable[ChainEvent]) -> Vault:
    """The vault from its events; those of other contracts are passed over."""
    locked: dict[Address, int] = {}
    delegates: dict[Address, Address] = {}
    for event in events:
        if event.contract != "VotingVault":
            continue
        a = event.arguments
        if event.name in ("Locked", "UnlockStarted"):
            locked[Address(a["account"])] = a["locked"]
        elif event.name == "DelegateChanged":
            delegates[Address(a["delegator"])] = Address(a["toDelegate"])
    return Vault(locked, delegates)


@dataclass(frozen=True, slots=True)
class Power:
    """One account's voting power and everything it comes from; amounts in 10⁻¹⁸ CWT or units, times in seconds.

    Attributes:
        account: whose.
        is_member: Active or Exiting; others have no votes.
        liquid: CWT that could be locked.
        locked: CWT that count.
        leaving: CWT on their way out.
        free_at: when those can be withdrawn.
        linear_up_to: T of the curve.
        units: f(locked).
        delegate: whom the units follow; the account itself unless it chose.
        received: units of others that follow this account.
        total: units of all.
        now: of the newest block.
    """

    account: Address
    is_member: bool
    liquid: int
    locked: int
    leaving: int
    free_at: int
    linear_up_to: int
    units: int
    delegate: Address
    received: Mapping[Address, int]
    total: int
    now: int

    @property
    def delegated(self) -> int:
        """Units that this account votes with before the cap."""
        return sum(self.received.values()) + (self.units if self.delegate == self.account else 0)

    @property
    def votes(self) -> int:
        """Votes now."""
        return votes_of(self.delegated, self.total, is_member=self.is_member)

    def explain(self) -> list[str]:
        """The way from tokens to votes, a sentence each, with its numbers."""
        return [*self._own(), *self._delegation(), *self._cap()]

    def _own(self) -> list[str]:
        lines = [f"{cwt(self.locked)} locked, {cwt(self.liquid)} could be locked (`commonweight dao convert`)."]
        if self.leaving:
            when = (
                f"in {duration(self.free_at - self.now)}"
                if self.free_at > self.now
                else "now (`commonweight dao withdraw`)"
            )
            lines.append(f"{cwt(self.leaving)} are leaving and can be withdrawn {when}.")
        if self.locked <= self.linear_up_to:
            curve = f"x = {_units(self.units)}, since x is at most T = {cwt(self.linear_up_to)}"
        else:
            curve = f"2·√(T·x) − T = {_units(self.units)}, since x is above T = {cwt(self.linear_up_to)}"
        return [*lines, f"Units f(x) of x = {cwt(self.locked)}: {curve}."]

    def _delegation(self) -> list[str]:
        lines = []
        if self.delegate != self.account:
            lines.append(f"These units follow {self.delegate}, who votes with them.")
        lines += [
            f"{_units(units)} units of {account} follow this account." for account, units in self.received.items()
        ]
        return lines

    def _cap(self) -> list[str]:
        cap = self.total // CAP_DIVISOR
        if not self.is_member:
            return ["Votes: 0, since the account is no member now."]
        if self.delegated > cap:
            why = f"capped from {_units(self.delegated)} to a tenth of all {_units(self.total)} units"
        else:
            why = f"below the cap of {_units(cap)}, a tenth of all {_units(self.total)} units"
        return [f"Votes: {_units(self.votes)}, {why}."]


def concentration(votes: Iterable[int]) -> tuple[float, float]:
    """(Gini coefficient, largest share) of some holdings; (0, 0) where nobody has any."""
    sizes = sorted(votes)
    total = sum(sizes)
    if total == 0:
        return 0.0, 0.0
    ranked = sum((2 * place - len(sizes) - 1) * size for place, size in enumerate(sizes, 1))
    return ranked / (len(sizes) * total), sizes[-1] / total


def _units(amount: int) -> str:
    return cwt(amount).removesuffix(" CWT")

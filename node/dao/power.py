"""Voting power explained: from locked tokens through the curve, delegation and the cap to votes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from incentives.voting import CAP_DIVISOR
from incentives.voting import votes as votes_of
from node.dao.calls import cwt, duration
from node.protocol.state import Lock, State
from node.protocol.types import Address, MemberStatus


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


def power_of(state: State, account: Address, linear_up_to: int, now: int) -> Power:
    """An account's voting power.

    Args:
        state: the network now.
        account: whose.
        linear_up_to: T of the curve, 10⁻¹⁸ CWT.
        now: of the newest block, seconds.
    """
    lock = state.locks.get(account, Lock())
    received = {
        other: state.units[other]
        for other, delegate in state.delegates.items()
        if delegate == account and other != account and state.units.get(other, 0)
    }
    return Power(
        account=account,
        is_member=state.member(account).status in (MemberStatus.ACTIVE, MemberStatus.EXITING),
        liquid=state.balances.get(account, 0),
        locked=lock.amount,
        leaving=lock.leaving,
        free_at=lock.free_at,
        linear_up_to=linear_up_to,
        units=state.units.get(account, 0),
        delegate=state.delegates.get(account, account),
        received=received,
        total=state.vault.total.latest,
        now=now,
    )


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

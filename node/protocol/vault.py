"""The VotingVault as a fold of its events: who locked how much, whose votes that makes, and when. Part of `node.protocol.state`.

No event tells an account's units, but the delegates' votes move by exactly what its units change by, in the same call and before it
says so: so the units are added up from those moves, without the curve (which the auditor checks, `incentives.voting`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from node.protocol.members import InconsistentHistory, with_entry
from node.protocol.trace import Trace
from node.protocol.types import Address, ChainEvent

NOBODY = Address("0x" + "00" * 20)
CAP_DIVISOR = 10
"""One delegate counts at most a tenth of all units (`VotingVault.CAP_DIVISOR`)."""


@dataclass(frozen=True, slots=True)
class Lock:
    """What one account has in the vault, in 10⁻¹⁸ CWT: ``amount`` gives votes, ``leaving`` can be withdrawn from ``free_at`` on."""

    amount: int = 0
    leaving: int = 0
    free_at: int = 0


@dataclass(frozen=True, slots=True)
class Vault:
    """Locked tokens, voting units, delegates and their past.

    Attributes:
        locks: by account.
        delegates: whom an account's units follow.
        units: voting units by account.
        delegated: by delegate, units that follow it, over time.
        total: all units, over time.
        shifted: units that moved in the call under way and belong to no account yet; 0 after it.
    """

    locks: Mapping[Address, Lock] = field(default_factory=dict)
    delegates: Mapping[Address, Address] = field(default_factory=dict)
    units: Mapping[Address, int] = field(default_factory=dict)
    delegated: Mapping[Address, Trace] = field(default_factory=dict)
    total: Trace = field(default_factory=Trace)
    shifted: int = 0

    def delegated_at(self, account: Address, timepoint: int) -> int:
        """Units that followed a delegate at a time, before cap and membership."""
        return self.delegated.get(account, Trace()).at(timepoint)

    def total_at(self, timepoint: int) -> int:
        """All units at a time (`getPastTotalSupply`)."""
        return self.total.at(timepoint)

    def votes_at(self, account: Address, timepoint: int, *, is_member: bool) -> int:
        """What a delegate counts (`getPastVotes`): min(units that followed it, ⌊all / 10⌋), both at ``timepoint``.

        Args:
            account: the delegate.
            timepoint: seconds since 1970.
            is_member: whether it is a member *now*; who is not counts nothing, at any time.
        """
        return min(self.delegated_at(account, timepoint), self.total_at(timepoint) // CAP_DIVISOR) if is_member else 0


def _locked(vault: Vault, event: ChainEvent) -> Vault:
    a = event.arguments
    account = Address(a["account"])
    before = vault.locks.get(account, Lock())
    if a["locked"] != before.amount + a["amount"]:
        raise InconsistentHistory(
            f"{account} locked {a['amount']} on top of {before.amount}, which is not {a['locked']}."
        )
    return _with_lock(vault, account, replace(before, amount=a["locked"]), event.timestamp)


def _unlock_started(vault: Vault, event: ChainEvent) -> Vault:
    a = event.arguments
    account = Address(a["account"])
    before = vault.locks.get(account, Lock())
    if (a["locked"], a["leaving"]) != (before.amount - a["amount"], before.leaving + a["amount"]):
        raise InconsistentHistory(f"{account} took {a['amount']} out of {before.amount}, and {a['locked']} were left.")
    return _with_lock(vault, account, Lock(a["locked"], a["leaving"], a["freeAt"]), event.timestamp)


def _with_lock(vault: Vault, account: Address, lock: Lock, now: int) -> Vault:
    units = vault.units.get(account, 0) + vault.shifted
    if units < 0:
        raise InconsistentHistory(f"{account} gave up more votes than it had.")
    return replace(
        vault,
        locks=with_entry(vault.locks, account, lock),
        units=with_entry(vault.units, account, units),
        total=vault.total.push(now, vault.total.latest + vault.shifted),
        shifted=0,
    )


def _withdrawn(vault: Vault, event: ChainEvent) -> Vault:
    account = Address(event.arguments["account"])
    before = vault.locks.get(account, Lock())
    if event.arguments["amount"] != before.leaving:
        raise InconsistentHistory(
            f"{account} withdrew {event.arguments['amount']} of {before.leaving} that were leaving."
        )
    return replace(vault, locks=with_entry(vault.locks, account, replace(before, leaving=0)))


def _delegate_changed(vault: Vault, event: ChainEvent) -> Vault:
    a = event.arguments
    account, former = Address(a["delegator"]), vault.delegates.get(Address(a["delegator"]), NOBODY)
    if a["fromDelegate"] != former:
        raise InconsistentHistory(f"{account} left the delegate {a['fromDelegate']}, but had {former}.")
    return replace(vault, delegates=with_entry(vault.delegates, account, Address(a["toDelegate"])))


def _delegate_votes_changed(vault: Vault, event: ChainEvent) -> Vault:
    a = event.arguments
    delegate = Address(a["delegate"])
    trace = vault.delegated.get(delegate, Trace())
    if a["previousVotes"] != trace.latest:
        raise InconsistentHistory(
            f"The votes of {delegate} changed from {a['previousVotes']}, but were {trace.latest}."
        )
    return replace(
        vault,
        delegated=with_entry(vault.delegated, delegate, trace.push(event.timestamp, a["newVotes"])),
        shifted=vault.shifted + a["newVotes"] - a["previousVotes"],
    )


VAULT_HANDLERS: Mapping[str, Callable[[Vault, ChainEvent], Vault]] = {
    "Locked": _locked,
    "UnlockStarted": _unlock_started,
    "Withdrawn": _withdrawn,
    "DelegateChanged": _delegate_changed,
    "DelegateVotesChanged": _delegate_votes_changed,
}
"""Handlers of the VotingVault's events, by name."""

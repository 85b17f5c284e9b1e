"""The auditor's checks of the vault: locks, the curve, delegates, delays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from incentives.voting import voting_units
from node.audit.base import ZERO, Check, Checks, ReplayBase
from node.protocol.governance import Entry
from node.protocol.state import Lock
from node.protocol.types import Address, MemberStatus

MEMBERS = (MemberStatus.ACTIVE, MemberStatus.EXITING)


class VaultChecks(Checks):
    """Units follow the curve and their delegate, and nobody but members locks or delegates."""

    def __init__(self, replay: ReplayBase) -> None:
        super().__init__(replay)
        self._due: Counter[Address] = Counter()  # units that should follow each delegate
        self._touched: set[Address] = set()
        self._evicted: tuple[Address, int] | None = None

    def handlers(self) -> Mapping[tuple[str, str], Check]:
        """The vault's events."""
        vault = "VotingVault"
        return {
            (vault, "Locked"): self._locked,
            (vault, "UnlockStarted"): self._unlock_started,
            (vault, "Withdrawn"): self._withdrawn,
            (vault, "Evicted"): self._evict,
            (vault, "DelegateChanged"): self._delegate_changed,
            (vault, "DelegateVotesChanged"): lambda a: self._touched.add(Address(a["delegate"])),
        }

    def _locked(self, a: Mapping[str, Any]) -> None:
        account = Address(a["account"])
        status = self.state.member(account).status
        self.expect("locks", status is MemberStatus.ACTIVE, f"{account} locked tokens while {status.name}.")
        is_open = not self.state.governance.is_paused(Entry.LOCK, self.now)
        self.expect("pauses", is_open, f"{account} locked tokens while locking was paused.")
        before = self.state.locks.get(account, Lock())
        self.equal("locks", a["locked"], before.amount + a["amount"], f"tokens that {account} has locked")
        self.expect("locks", a["amount"] > 0, f"{account} locked nothing.")
        self._curve(account, a["locked"])

    def _unlock_started(self, a: Mapping[str, Any]) -> None:
        account = Address(a["account"])
        before = self.state.locks.get(account, Lock())
        self.expect("locks", 0 < a["amount"] <= before.amount, f"{account} unlocked {a['amount']} of {before.amount}.")
        self.equal("locks", a["freeAt"], self.now + self.rules.governance.unlock_delay, f"unlock delay of {account}")
        if self._evicted is not None:
            self.equal("evictions", (account, a["amount"]), self._evicted, "what an eviction unlocked")
            self._evicted = None
        self._curve(account, a["locked"])

    def _curve(self, account: Address, locked: int) -> None:
        before = self.state.units.get(account, 0)
        units = voting_units(locked, self.rules.governance.linear_up_to)
        self.equal("voting units", before + self.state.vault.shifted, units, f"voting units of {account}")
        delegate = self.state.delegates.get(account, ZERO)
        self._due[delegate] += units - before
        self._touched.add(delegate)

    def _withdrawn(self, a: Mapping[str, Any]) -> None:
        found = self.state.locks.get(Address(a["account"]), Lock())
        is_free = self.now >= found.free_at and a["amount"] == found.leaving > 0
        self.expect("locks", is_free, f"{a['account']} withdrew {a['amount']} before its time, or what was not there.")

    def _evict(self, a: Mapping[str, Any]) -> None:
        account = Address(a["account"])
        member = self.state.member(account)
        self.expect("evictions", member.status not in MEMBERS, f"{account} was evicted, but is a member.")
        self.equal("evictions", a["status"], int(member.status), f"standing of {account} at its eviction")
        self._evicted = (account, self.state.locks.get(account, Lock()).amount)

    def _delegate_changed(self, a: Mapping[str, Any]) -> None:
        account, former, to = (Address(a[name]) for name in ("delegator", "fromDelegate", "toDelegate"))
        for who in (account, to):
            is_member = self.state.member(who).status in MEMBERS
            self.expect("delegations", is_member, f"{who} delegates or is delegated to, but is no member.")
        units = self.state.units.get(account, 0)
        self._due[former] -= units
        self._due[to] += units
        self._touched |= {former, to} - {ZERO}

    def settle(self) -> None:
        """What follows each delegate is exactly the units of those who chose it."""
        vault = self.state.vault
        for delegate in sorted(self._touched):
            follows = vault.delegated[delegate].latest if delegate in vault.delegated else 0
            self.equal("delegations", follows, self._due[delegate], f"units that follow {delegate}")
        if self._touched:
            self.equal("delegations", vault.shifted, 0, "units that moved and belong to nobody")
            locked = sum(vault.units.values())
            self.equal("voting units", vault.total.latest, locked, "all voting units")
        if self._evicted is not None:
            self.expect("evictions", False, f"{self._evicted[0]} was evicted, but nothing was unlocked.")
            self._evicted = None
        self._touched.clear()

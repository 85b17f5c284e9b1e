"""Reference model of VotingVault: locks, units by the curve, delegates, checkpoints."""

from __future__ import annotations

from incentives.voting import votes, voting_units
from node.protocol.governance import Entry
from node.protocol.trace import Trace
from node.protocol.types import Address, MemberStatus
from node.protocol.vault import Lock
from node.sim.abi import ZERO_ADDRESS, Contract, Transaction, external, view
from node.sim.registry import MemberRegistry
from node.sim.registry_storage import Guardian
from node.sim.token import ContributionToken

MEMBERS = (MemberStatus.ACTIVE, MemberStatus.EXITING)


class VotingVault(Contract):
    """Locked tokens and their votes.

    Args:
        address: of the contract.
        token: what is locked.
        registry: who is a member.
        guardian: who can pause locking.
        linear_up_to: T of the curve, in 10⁻¹⁸ CWT.
        unlock_delay: seconds from `unlock` to `withdraw`.
    """

    NAME = "VotingVault"

    def __init__(
        self,
        address: Address,
        token: ContributionToken,
        registry: MemberRegistry,
        *,
        guardian: Guardian,
        linear_up_to: int,
        unlock_delay: int,
    ) -> None:
        super().__init__(address)
        self._token = token
        self._registry = registry
        self._guardian = guardian
        self._linear_up_to = linear_up_to
        self._unlock_delay = unlock_delay
        self._locks: dict[Address, Lock] = {}
        self._delegates: dict[Address, Address] = {}
        self._delegated: dict[Address, Trace] = {}
        self._total = Trace()

    @external("uint96")
    def lock(self, transaction: Transaction, amount: int) -> None:
        """Lock the caller's tokens; Active members only."""
        account = transaction.sender
        transaction.require(amount, "ZeroAmount")
        transaction.require(not self._guardian.is_paused(Entry.LOCK), "LockPaused")
        status = self._registry.status_of(account)
        transaction.require(status == MemberStatus.ACTIVE, "NotActive", account, int(status))
        self._token.check_spend(transaction, account, self.address, amount)
        transaction.effects()
        if self.delegates(account) == ZERO_ADDRESS:
            self._set_delegate(transaction, account, account)
        before = self._lock_of(account)
        locked = before.amount + amount
        added = self._units(locked) - self._units(before.amount)
        self._locks[account] = Lock(locked, before.leaving, before.free_at)
        self._total = self._total.push(transaction.timestamp, self._total.latest + added)
        self._shift(transaction, self.delegates(account), added)
        transaction.emit(self.NAME, "Locked", account=account, amount=amount, locked=locked)
        self._token.spend(transaction, account, self.address, self.address, amount)

    @external("uint96")
    def unlock(self, transaction: Transaction, amount: int) -> None:
        """Give up votes at once, get the tokens later."""
        transaction.require(amount, "ZeroAmount")
        locked = self._lock_of(transaction.sender).amount
        transaction.require(amount <= locked, "NotLocked", amount, locked)
        transaction.effects()
        self._unlock(transaction, transaction.sender, amount)

    @external("address")
    def evict(self, transaction: Transaction, account: Address) -> None:
        """Unlock everything of an account that is no member."""
        status = self._registry.status_of(account)
        transaction.require(status not in MEMBERS, "StillMember", account, int(status))
        locked = self._lock_of(account).amount
        transaction.require(locked, "NothingThere", account)
        transaction.effects()
        transaction.emit(self.NAME, "Evicted", account=account, status=int(status))
        self._unlock(transaction, account, locked)

    @external()
    def withdraw(self, transaction: Transaction) -> int:
        """Fetch what was unlocked long enough ago."""
        account = transaction.sender
        found = self._lock_of(account)
        transaction.require(found.leaving, "NothingThere", account)
        is_free = transaction.timestamp >= found.free_at
        transaction.require(is_free, "WithdrawTooEarly", found.free_at, transaction.timestamp)
        transaction.effects()
        self._locks[account] = Lock(found.amount, 0, found.free_at)
        transaction.emit(self.NAME, "Withdrawn", account=account, amount=found.leaving)
        self._token.move(transaction, self.address, account, found.leaving)
        return found.leaving

    @external("address")
    def delegate(self, transaction: Transaction, to: Address) -> None:
        """Let the caller's units follow another member."""
        for account in (transaction.sender, to):
            status = self._registry.status_of(account)
            transaction.require(status in MEMBERS, "NotMember", account, int(status))
        transaction.effects()
        self._set_delegate(transaction, transaction.sender, to)

    @view("address")
    def account_of(self, account: Address) -> tuple[int, int, int]:
        """(locked, leaving, when that is free)."""
        found = self._lock_of(account)
        return found.amount, found.leaving, found.free_at

    @view("address")
    def units_of(self, account: Address) -> int:
        """Voting units of what an account has locked."""
        return self._units(self._lock_of(account).amount)

    @view("address")
    def delegates(self, account: Address) -> Address:
        """Whom an account's units follow."""
        return self._delegates.get(account, ZERO_ADDRESS)

    @view("address")
    def delegated_to(self, account: Address) -> int:
        """Units that follow a delegate."""
        return self._trace(account).latest

    @view("address")
    def get_votes(self, account: Address) -> int:
        """Votes of a delegate now."""
        return votes(self._trace(account).latest, self._total.latest, is_member=self._is_member(account))

    @view("address", "uint256")
    def get_past_votes(self, account: Address, timepoint: int) -> int:
        """Votes of a delegate at a time."""
        total = self._total.at(timepoint)
        return votes(self._trace(account).at(timepoint), total, is_member=self._is_member(account))

    @view("uint256")
    def get_past_total_supply(self, timepoint: int) -> int:
        """All units at a time."""
        return self._total.at(timepoint)

    @view()
    def linear_up_to(self) -> int:
        """T of the curve."""
        return self._linear_up_to

    @view()
    def unlock_delay(self) -> int:
        """Seconds from `unlock` to `withdraw`."""
        return self._unlock_delay

    def _lock_of(self, account: Address) -> Lock:
        return self._locks.get(account, Lock())

    def _trace(self, account: Address) -> Trace:
        return self._delegated.get(account, Trace())

    def _units(self, locked: int) -> int:
        return voting_units(locked, self._linear_up_to)

    def _is_member(self, account: Address) -> bool:
        return self._registry.status_of(account) in MEMBERS

    def _unlock(self, transaction: Transaction, account: Address, amount: int) -> None:
        before = self._lock_of(account)
        removed = self._units(before.amount) - self._units(before.amount - amount)
        free_at = transaction.timestamp + self._unlock_delay
        found = Lock(before.amount - amount, before.leaving + amount, free_at)
        self._locks[account] = found
        self._total = self._total.push(transaction.timestamp, self._total.latest - removed)
        self._shift(transaction, self.delegates(account), -removed)
        transaction.emit(
            self.NAME,
            "UnlockStarted",
            account=account,
            amount=amount,
            locked=found.amount,
            leaving=found.leaving,
            freeAt=free_at,
        )

    def _set_delegate(self, transaction: Transaction, account: Address, to: Address) -> None:
        former = self.delegates(account)
        self._delegates[account] = to
        transaction.emit(self.NAME, "DelegateChanged", delegator=account, fromDelegate=former, toDelegate=to)
        units = self.units_of(account)
        if former != to:
            self._shift(transaction, former, -units)
            self._shift(transaction, to, units)

    def _shift(self, transaction: Transaction, delegate: Address, units: int) -> None:
        if delegate == ZERO_ADDRESS or not units:
            return
        trace = self._trace(delegate)
        after = trace.latest + units
        self._delegated[delegate] = trace.push(transaction.timestamp, after)
        transaction.emit(
            self.NAME, "DelegateVotesChanged", delegate=delegate, previousVotes=trace.latest, newVotes=after
        )

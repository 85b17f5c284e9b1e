"""Reference model of Guardian and Treasury: pauses within their bounds, cancelling, and the timelock's payments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from node.protocol.governance import Entry, Pause
from node.protocol.types import Address
from node.sim.abi import ZERO_ADDRESS, Contract, Log, Transaction, external, view
from node.sim.token import ContributionToken

if TYPE_CHECKING:
    from node.sim.governor import CommunityGovernor

DAY = 24 * 3600
MAX_PAUSE = 14 * DAY
MAX_PAUSED_TOTAL = 30 * DAY


class Guardian(Contract):
    """A brake for a while.

    Args:
        address: of the contract.
        account: who pauses and cancels.
        expires_at: end of its office.
        timelock: who replaces it.
        now: the chain's time.
    """

    NAME = "Guardian"

    def __init__(
        self, address: Address, account: Address, *, expires_at: int, timelock: Address, now: Callable[[], int]
    ) -> None:
        super().__init__(address)
        self._account = account
        self._expires_at = expires_at
        self._timelock = timelock
        self._now = now
        self._pauses: dict[Entry, Pause] = {}
        self._governor: CommunityGovernor | None = None
        self.founding_logs = [Log(self.NAME, "Replaced", {"former": ZERO_ADDRESS, "current": account})]

    def wire(self, governor: CommunityGovernor) -> None:
        """Name the governor whose proposals can be cancelled."""
        self._governor = governor

    @external("uint8", "uint40")
    def pause(self, transaction: Transaction, entry: int, until: int) -> None:
        """Close an entry point for a while."""
        self._check_guardian(transaction)
        before = self._pause_of(entry)
        start = max(transaction.timestamp, before.until)
        most = min(transaction.timestamp + MAX_PAUSE, self._expires_at)
        transaction.require(start < until <= most, "BadPause", until, start + 1, most)
        paused = before.paused + until - start
        transaction.require(paused <= MAX_PAUSED_TOTAL, "PausesSpent", entry, paused, MAX_PAUSED_TOTAL)
        transaction.effects()
        self._pauses[Entry(entry)] = Pause(until, paused)
        transaction.emit(self.NAME, "Paused", entry=entry, until=until, paused=paused)

    @external("uint8")
    def unpause(self, transaction: Transaction, entry: int) -> None:
        """Open it again."""
        is_allowed = transaction.sender in {self._account, self._timelock}
        transaction.require(is_allowed, "NotTimelock", transaction.sender, self._timelock)
        transaction.require(transaction.timestamp < self._pause_of(entry).until, "NotPaused", entry)
        transaction.effects()
        self._unpause(transaction, Entry(entry))

    @external("address")
    def replace(self, transaction: Transaction, account: Address) -> None:
        """Give the office to another account; zero ends it and every pause; timelock only."""
        transaction.require(transaction.sender == self._timelock, "NotTimelock", transaction.sender, self._timelock)
        transaction.effects()
        transaction.emit(self.NAME, "Replaced", former=self._account, current=account)
        self._account = account
        if account == ZERO_ADDRESS:
            for entry in Entry:
                if transaction.timestamp < self._pause_of(entry).until:
                    self._unpause(transaction, entry)

    @external("address", "address[]", "uint256[]", "bytes[]", "bytes32")
    def cancel(  # noqa: PLR0917 - the contract's signature
        self,
        transaction: Transaction,
        governor: Address,
        targets: tuple[Address, ...],
        values: tuple[int, ...],
        calldatas: tuple[bytes, ...],
        description_hash: bytes,
    ) -> int:
        """Cancel a proposal that is not executed yet."""
        self._check_guardian(transaction)
        assert self._governor is not None
        transaction.require(governor == self._governor.address, "AddressEmptyCode", governor)
        return self._governor.cancel_as(transaction, self.address, (targets, values, calldatas, description_hash))

    @view()
    def account(self) -> Address:
        """Who pauses and cancels; zero once the office ended."""
        return self._account

    @view()
    def expires_at(self) -> int:
        """End of the office."""
        return self._expires_at

    @view()
    def timelock(self) -> Address:
        """Who replaces it."""
        return self._timelock

    @view("uint8")
    def is_paused(self, entry: int) -> bool:
        """Whether an entry point is closed now."""
        return self._now() < self._pause_of(entry).until

    @view("uint8")
    def pauses_of(self, entry: int) -> tuple[int, int]:
        """(end, seconds of all pauses up to it)."""
        found = self._pause_of(entry)
        return found.until, found.paused

    def _pause_of(self, entry: int) -> Pause:
        return self._pauses.get(Entry(entry), Pause(0, 0))

    def _unpause(self, transaction: Transaction, entry: Entry) -> None:
        before = self._pauses[entry]
        paused = before.paused - (before.until - transaction.timestamp)
        self._pauses[entry] = Pause(transaction.timestamp, paused)
        transaction.emit(self.NAME, "Unpaused", entry=int(entry), paused=paused)

    def _check_guardian(self, transaction: Transaction) -> None:
        transaction.require(transaction.sender == self._account, "NotGuardian", transaction.sender, self._account)
        now = transaction.timestamp
        transaction.require(now < self._expires_at, "GuardianExpired", self._expires_at, now)


class Treasury(Contract):
    """The community's purse.

    Args:
        address: of the contract.
        timelock: who pays.
        tokens: the tokens that exist, by address.
    """

    NAME = "Treasury"

    def __init__(self, address: Address, timelock: Address, tokens: Mapping[Address, ContributionToken]) -> None:
        super().__init__(address)
        self._timelock = timelock
        self._tokens = tokens

    @external("address", "address", "uint256")
    def pay(self, transaction: Transaction, token: Address, to: Address, amount: int) -> None:
        """Pay out; timelock only."""
        transaction.require(transaction.sender == self._timelock, "NotTimelock", transaction.sender, self._timelock)
        transaction.require(to != ZERO_ADDRESS and amount, "EmptyPayment", to, amount)
        transaction.require(token in self._tokens, "AddressEmptyCode", token)
        balance = self._tokens[token].balance_of(self.address)
        transaction.require(balance >= amount, "ERC20InsufficientBalance", self.address, balance, amount)
        transaction.effects()
        transaction.emit(self.NAME, "Paid", token=token, to=to, amount=amount)
        self._tokens[token].move(transaction, self.address, to, amount)

    @view()
    def timelock(self) -> Address:
        """Who pays."""
        return self._timelock

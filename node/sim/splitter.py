"""Reference model of RevenueSplitter: revenue of a release by frozen shares, pulled, cumulative; of tokens without fees or callbacks."""

from __future__ import annotations

from collections.abc import Mapping

from incentives.ownership import entitled_down
from node.protocol.errors import TransactionReverted
from node.protocol.types import Address
from node.sim.abi import Contract, Transaction, external, view
from node.sim.distributor import RewardDistributor
from node.sim.releases import ReleaseRegistry
from node.sim.token import ContributionToken


class RevenueSplitter(Contract):
    """Books of every (release, token): what arrived, and what each member was paid.

    Args:
        address: of the contract.
        releases: where rounds and totals are read.
        distributor: where credits are read.
        tokens: the tokens that exist, by address.
    """

    NAME = "RevenueSplitter"

    def __init__(
        self,
        address: Address,
        releases: ReleaseRegistry,
        distributor: RewardDistributor,
        tokens: Mapping[Address, ContributionToken],
    ) -> None:
        super().__init__(address)
        self._releases = releases
        self._distributor = distributor
        self._tokens = tokens
        self._deposited: dict[tuple[int, Address], int] = {}
        self._paid: dict[tuple[int, Address, Address], int] = {}

    @external("uint32", "address", "uint256")
    def deposit(self, transaction: Transaction, release: int, token: Address, amount: int) -> int:
        """Pay the caller's tokens into a release; what arrived."""
        self._releases.ownership_of(release)
        money = self._token(token)
        money.check_spend(transaction, transaction.sender, self.address, amount)
        transaction.require(amount, "NothingArrived", token, amount)
        transaction.effects()
        money.spend(transaction, transaction.sender, self.address, self.address, amount)
        total = self.deposited_of(release, token) + amount
        self._deposited[release, token] = total
        transaction.emit(
            self.NAME,
            "Deposited",
            release=release,
            token=token,
            **{"from": transaction.sender},
            amount=amount,
            total=total,
        )
        return amount

    @external("uint32", "address", "address")
    def claim(self, transaction: Transaction, release: int, token: Address, account: Address) -> int:
        """Pay an account what it is due and has not been paid; anyone may call."""
        paid = self.paid_of(release, token, account)
        amount = self.claimable(release, token, account)
        transaction.require(amount, "NothingToClaim", release, token, account, paid)
        transaction.effects()
        self._paid[release, token, account] = paid + amount
        transaction.emit(
            self.NAME, "Claimed", release=release, token=token, account=account, amount=amount, total=paid + amount
        )
        self._token(token).move(transaction, self.address, account, amount)
        return amount

    @view("uint32", "address", "address")
    def claimable(self, release: int, token: Address, account: Address) -> int:
        """What a claim would pay now."""
        credit, total = self.share_of(release, account)
        entitled = entitled_down(self.deposited_of(release, token), credit, total)
        return entitled - self.paid_of(release, token, account)

    @view("uint32", "address")
    def deposited_of(self, release: int, token: Address) -> int:
        """All that was ever deposited."""
        return self._deposited.get((release, token), 0)

    @view("uint32", "address", "address")
    def paid_of(self, release: int, token: Address, account: Address) -> int:
        """All that was ever paid to an account."""
        return self._paid.get((release, token, account), 0)

    @view("uint32", "address")
    def share_of(self, release: int, account: Address) -> tuple[int, int]:
        """(credit, total): a member's share of a release as a fraction."""
        round_number, total = self._releases.ownership_of(release)
        return self._distributor.credit_at(account, round_number), total

    def _token(self, token: Address) -> ContributionToken:
        found = self._tokens.get(token)
        if found is None:
            raise TransactionReverted("AddressEmptyCode", (token,))
        return found

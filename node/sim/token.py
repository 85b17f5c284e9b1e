"""Reference model of ContributionToken: an ERC-20 with a hard cap whose only minters are the distributor and the registry."""

from __future__ import annotations

from node.protocol.types import Address
from node.sim.abi import ZERO_ADDRESS, Contract, Transaction, external, view


class ContributionToken(Contract):
    """Balances, allowances and supply in units of 10⁻¹⁸ CWT.

    Args:
        address: of the contract.
        distributor: first minter.
        registry: second minter.
        cap: most tokens that may exist at once.
    """

    NAME = "ContributionToken"

    def __init__(self, address: Address, *, distributor: Address, registry: Address, cap: int) -> None:
        super().__init__(address)
        self._distributor = distributor
        self._registry = registry
        self._cap = cap
        self._supply = 0
        self.balances: dict[Address, int] = {}
        self._allowances: dict[tuple[Address, Address], int] = {}

    @external("address", "uint256")
    def mint(self, transaction: Transaction, to: Address, amount: int) -> None:
        """Mint; minters only."""
        transaction.require(transaction.sender in {self._distributor, self._registry}, "NotMinter", transaction.sender)
        transaction.require(to != ZERO_ADDRESS, "ERC20InvalidReceiver", to)
        self.check_cap(transaction, amount)
        transaction.effects()
        self.move(transaction, ZERO_ADDRESS, to, amount)

    @external("uint256")
    def burn(self, transaction: Transaction, amount: int) -> None:
        """Burn the caller's own tokens."""
        self._check_balance(transaction, transaction.sender, amount)
        transaction.effects()
        self.move(transaction, transaction.sender, ZERO_ADDRESS, amount)

    @external("address", "uint256")
    def transfer(self, transaction: Transaction, to: Address, value: int) -> bool:
        """Send the caller's tokens."""
        transaction.require(to != ZERO_ADDRESS, "ERC20InvalidReceiver", to)
        self._check_balance(transaction, transaction.sender, value)
        transaction.effects()
        self.move(transaction, transaction.sender, to, value)
        return True

    @external("address", "uint256")
    def approve(self, transaction: Transaction, spender: Address, value: int) -> bool:
        """Let ``spender`` take up to ``value`` of the caller's tokens."""
        transaction.require(spender != ZERO_ADDRESS, "ERC20InvalidSpender", spender)
        transaction.effects()
        self._allowances[transaction.sender, spender] = value
        transaction.emit(self.NAME, "Approval", owner=transaction.sender, spender=spender, value=value)
        return True

    @external("address", "address", "uint256")
    def transfer_from(self, transaction: Transaction, source: Address, to: Address, value: int) -> bool:
        """Send somebody's tokens within the caller's allowance."""
        transaction.require(to != ZERO_ADDRESS, "ERC20InvalidReceiver", to)
        self.check_spend(transaction, source, transaction.sender, value)
        transaction.effects()
        self.spend(transaction, source, transaction.sender, to, value)
        return True

    @view()
    def name(self) -> str:
        """Name of the token."""
        return "Commonweight Contribution Token"

    @view()
    def symbol(self) -> str:
        """Symbol of the token."""
        return "CWT"

    @view()
    def decimals(self) -> int:
        """Digits behind the point."""
        return 18

    @view()
    def total_supply(self) -> int:
        """Tokens in existence."""
        return self._supply

    @view("address")
    def balance_of(self, account: Address) -> int:
        """Tokens of an account."""
        return self.balances.get(account, 0)

    @view("address", "address")
    def allowance(self, owner: Address, spender: Address) -> int:
        """What ``spender`` may still take from ``owner``."""
        return self._allowances.get((owner, spender), 0)

    @view()
    def distributor(self) -> Address:
        """The distributor's address."""
        return self._distributor

    @view()
    def registry(self) -> Address:
        """The registry's address."""
        return self._registry

    @view()
    def cap(self) -> int:
        """Most tokens that may exist at once."""
        return self._cap

    def check_cap(self, transaction: Transaction, amount: int) -> None:
        """Revert where minting ``amount`` would pass the cap."""
        supply = self._supply + amount
        transaction.require(supply <= self._cap, "ERC20ExceededCap", supply, self._cap)

    def check_spend(self, transaction: Transaction, owner: Address, spender: Address, value: int) -> None:
        """Revert unless ``spender`` may and can take ``value`` from ``owner``."""
        allowed = self.allowance(owner, spender)
        transaction.require(allowed >= value, "ERC20InsufficientAllowance", spender, allowed, value)
        self._check_balance(transaction, owner, value)

    def spend(self, transaction: Transaction, owner: Address, spender: Address, to: Address, value: int) -> None:
        """Effect of a checked `transferFrom`."""
        allowed = self.allowance(owner, spender)
        if allowed < 2**256 - 1:  # OpenZeppelin treats the largest allowance as endless
            self._allowances[owner, spender] = allowed - value
        self.move(transaction, owner, to, value)

    def move(self, transaction: Transaction, source: Address, to: Address, value: int) -> None:
        """Effect of a checked transfer; the zero address mints or burns. Emits Transfer."""
        if source == ZERO_ADDRESS:
            self._supply += value
        else:
            self.balances[source] = self.balance_of(source) - value
        if to == ZERO_ADDRESS:
            self._supply -= value
        else:
            self.balances[to] = self.balance_of(to) + value
        transaction.emit_mapping(self.NAME, "Transfer", {"from": source, "to": to, "value": value})

    def _check_balance(self, transaction: Transaction, account: Address, value: int) -> None:
        balance = self.balance_of(account)
        transaction.require(balance >= value, "ERC20InsufficientBalance", account, balance, value)

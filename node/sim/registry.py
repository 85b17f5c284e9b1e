"""Reference model of MemberRegistry: applications, reviews, stakes, exits and slashes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from incentives.slashing import BPS, divide, penalty_up
from node.protocol.errors import TransactionReverted
from node.protocol.types import Address, MemberStatus
from node.sim.abi import ZERO_ADDRESS, Contract, Transaction, external, view
from node.sim.token import ContributionToken

MAX_PEER_ID_BYTES = 64


class ApplicationState(IntEnum):
    """Where a request to join stands; numbers equal the contract's."""

    NONE = 0
    OPEN = 1
    APPROVED = 2
    REFUSED = 3


@dataclass(slots=True)
class Application:
    """One request to join; ``verdicts`` by reviewer."""

    applicant: Address
    state: ApplicationState = ApplicationState.OPEN
    verdicts: dict[Address, bool] = field(default_factory=dict)


@dataclass(slots=True)
class Account:
    """One member's standing; ``grant`` is the unvested part of ``stake``."""

    status: MemberStatus = MemberStatus.NONE
    stake: int = 0
    grant: int = 0
    eligible_since: int = 0
    exit_at: int = 0
    peer_id: bytes = b""


class MemberRegistry(Contract):
    """Who belongs to the community, and what each has at stake.

    Args:
        address: of the contract.
        token: the contribution token.
        round_manager: the only account that may slash.
        seats: committee seats in order.
        threshold: approvals that admit.
        min_bond: least stake of an eligible member.
        grant: minted into a newcomer's stake.
        exit_delay: seconds from `startExit` to `finishExit`.
    """

    NAME = "MemberRegistry"

    def __init__(
        self,
        address: Address,
        token: ContributionToken,
        *,
        round_manager: Address,
        court: Address,
        seats: tuple[Address, ...],
        threshold: int,
        min_bond: int,
        grant: int,
        exit_delay: int,
    ) -> None:
        super().__init__(address)
        self._token = token
        self._round_manager = round_manager
        self._court = court
        self._seats = seats
        self._threshold = threshold
        self._min_bond = min_bond
        self._grant = grant
        self._exit_delay = exit_delay
        self._applications: dict[int, Application] = {}
        self.accounts: dict[Address, Account] = {}
        self._eligible = 0

    @external("bytes32", "bytes32", "bytes", "bytes32")
    def apply_to_join(
        self, transaction: Transaction, request_hash: bytes, request_cid: bytes, peer_id: bytes, encryption_key: bytes
    ) -> int:
        """Ask to be admitted."""
        sender = transaction.sender
        self._require_status(transaction, MemberStatus.NONE)
        transaction.require(len(peer_id) <= MAX_PEER_ID_BYTES, "PeerIdTooLong", len(peer_id), MAX_PEER_ID_BYTES)
        transaction.effects()
        number = len(self._applications) + 1
        self._applications[number] = Application(sender)
        self.accounts[sender] = Account(MemberStatus.APPLIED, peer_id=peer_id)
        transaction.emit(
            self.NAME,
            "Applied",
            application=number,
            applicant=sender,
            requestHash=request_hash,
            requestCid=request_cid,
            peerId=peer_id,
            encryptionKey=encryption_key,
        )
        return number

    @external("uint256", "bool", "bytes32")
    def review(
        self,
        transaction: Transaction,
        application: int,
        approve: bool,  # noqa: FBT001 - the contract's signature
        reason_hash: bytes,
    ) -> None:
        """Vote on an application; committee seats only, once each."""
        sender = transaction.sender
        transaction.require(sender in self._seats, "NotSeatHolder", sender)
        found = self._applications.get(application, Application(ZERO_ADDRESS, ApplicationState.NONE))
        is_open = found.state is ApplicationState.OPEN
        transaction.require(is_open, "ApplicationNotOpen", application, int(found.state))
        transaction.require(sender not in found.verdicts, "AlreadyReviewed", application, sender)
        votes = [*found.verdicts.values(), approve]
        is_admitted = sum(votes) >= self._threshold
        is_rejected = len(votes) - sum(votes) > len(self._seats) - self._threshold
        if is_admitted:
            self._token.check_cap(transaction, self._grant)
        transaction.effects()
        found.verdicts[sender] = approve
        transaction.emit(
            self.NAME, "Reviewed", application=application, reviewer=sender, approve=approve, reasonHash=reason_hash
        )
        if is_admitted:
            self._admit(transaction, application, found)
        elif is_rejected:
            found.state = ApplicationState.REFUSED
            self.accounts[found.applicant] = Account()
            transaction.emit(self.NAME, "Rejected", application=application, applicant=found.applicant)

    def _admit(self, transaction: Transaction, application: int, found: Application) -> None:
        found.state = ApplicationState.APPROVED
        account = self.accounts[found.applicant]
        account.status = MemberStatus.ACTIVE
        account.grant = self._grant
        self._set_stake(transaction, account, account.stake + self._grant)
        transaction.emit(self.NAME, "Admitted", application=application, member=found.applicant, grant=self._grant)
        self._token.move(transaction, ZERO_ADDRESS, self.address, self._grant)

    @external("uint96")
    def bond(self, transaction: Transaction, amount: int) -> None:
        """Add own tokens to the stake; needs an allowance."""
        sender = transaction.sender
        self._require_status(transaction, MemberStatus.ACTIVE)
        self._token.check_spend(transaction, sender, self.address, amount)
        transaction.effects()
        account = self.accounts[sender]
        self._set_stake(transaction, account, account.stake + amount)
        transaction.emit(self.NAME, "Bonded", member=sender, amount=amount, stake=account.stake)
        self._token.spend(transaction, sender, self.address, self.address, amount)

    @external()
    def start_exit(self, transaction: Transaction) -> None:
        """Begin to leave; the stake stays slashable for the exit delay."""
        sender = transaction.sender
        self._require_status(transaction, MemberStatus.ACTIVE)
        transaction.effects()
        account = self.accounts[sender]
        self._eligible -= self._is_counted(account)
        account.status = MemberStatus.EXITING
        account.exit_at = transaction.timestamp + self._exit_delay
        transaction.emit(self.NAME, "ExitStarted", member=sender, exitAt=account.exit_at)

    @external()
    def finish_exit(self, transaction: Transaction) -> None:
        """Leave: what is left of the grant burns, the rest of the stake is paid out."""
        sender = transaction.sender
        self._require_status(transaction, MemberStatus.EXITING)
        account = self.accounts[sender]
        now = transaction.timestamp
        transaction.require(now >= account.exit_at, "ExitTooEarly", account.exit_at, now)
        transaction.effects()
        burned, paid = account.grant, account.stake - account.grant
        self.accounts[sender] = Account()
        transaction.emit(self.NAME, "Exited", member=sender, paid=paid, burned=burned)
        self._token.move(transaction, self.address, ZERO_ADDRESS, burned)
        self._token.move(transaction, self.address, sender, paid)

    @external("address", "uint16", "uint8", "uint256", "address")
    def slash(  # noqa: PLR0917 - the contract's signature
        self, transaction: Transaction, member: Address, bps: int, fault: int, round_number: int, prover: Address
    ) -> int:
        """Take ``bps`` of a stake, rounded up; the RoundManager only."""
        sender = transaction.sender
        transaction.require(sender == self._court, "NotCourt", sender, self._court)
        transaction.require(bps <= BPS, "PenaltyAboveWhole", bps, BPS)
        transaction.effects()
        return self.take(transaction, member, bps, fault, round_number, prover)

    def take(  # noqa: PLR0917 - the same arguments as `slash`
        self, transaction: Transaction, member: Address, bps: int, fault: int, round_number: int, prover: Address
    ) -> int:
        """Effect of `slash`: the amount taken. Own bond goes first, so a grant is no cushion."""
        account = self.accounts.get(member, Account())
        amount = penalty_up(account.stake, bps)
        burned, bounty = divide(amount, own=account.stake - account.grant, is_proven=prover != ZERO_ADDRESS)
        if amount:
            self._set_stake(transaction, account, account.stake - amount)
            account.grant = min(account.grant, account.stake)
        transaction.emit(
            self.NAME,
            "Slashed",
            member=member,
            round=round_number,
            fault=fault,
            amount=amount,
            burned=burned,
            bounty=bounty,
            prover=prover,
            stake=account.stake,
        )
        self._token.move(transaction, self.address, ZERO_ADDRESS, burned)
        if bounty:
            self._token.move(transaction, self.address, prover, bounty)
        return amount

    @external("address")
    def ban(self, transaction: Transaction, account: Address) -> None:
        """Shut an account out for ever; the court only."""
        sender = transaction.sender
        transaction.require(sender == self._court, "NotCourt", sender, self._court)
        transaction.effects()
        self.shut_out(transaction, account)

    def shut_out(self, transaction: Transaction, account: Address) -> None:
        """Effect of `ban`: what is left of the stake burns."""
        found = self.accounts.get(account, Account())
        if found.status is MemberStatus.BANNED:
            return
        self._eligible -= found.eligible_since > 0 and self._is_counted(found)
        self.accounts[account] = Account(MemberStatus.BANNED)
        transaction.emit(self.NAME, "Banned", account=account, burned=found.stake)
        self._token.move(transaction, self.address, ZERO_ADDRESS, found.stake)

    @view("address", "uint256")
    def is_eligible(self, member: Address, opened_at: int) -> bool:
        """Active, bonded, and both since before ``opened_at``."""
        account = self.accounts.get(member, Account())
        return self._is_counted(account) and account.eligible_since < opened_at

    @view()
    def eligible_count(self) -> int:
        """Members that are active and bonded now."""
        return self._eligible

    @view("address")
    def stake_of(self, member: Address) -> int:
        """Stake, in exit too."""
        return self.accounts.get(member, Account()).stake

    @view("address")
    def status_of(self, member: Address) -> MemberStatus:
        """Standing of an account."""
        return self.accounts.get(member, Account()).status

    @view()
    def seat_count(self) -> int:
        """Committee seats."""
        return len(self._seats)

    @view("uint256")
    def seat_holder(self, seat: int) -> Address:
        """Holder of a 0-based seat."""
        if seat >= len(self._seats):
            raise TransactionReverted("NoSuchSeat", (seat, len(self._seats)))
        return self._seats[seat]

    @view()
    def threshold(self) -> int:
        """Approvals that admit."""
        return self._threshold

    @view()
    def min_bond(self) -> int:
        """Least stake of an eligible member."""
        return self._min_bond

    @view()
    def grant(self) -> int:
        """Minted into a newcomer's stake."""
        return self._grant

    @view("address")
    def unvested_of(self, member: Address) -> int:
        """What penalties left of the grant."""
        return self.accounts.get(member, Account()).grant

    @view("address")
    def exit_at_of(self, member: Address) -> int:
        """When an exiting member's stake is free; 0 for others."""
        return self.accounts.get(member, Account()).exit_at

    @view("uint256")
    def application_of(self, application: int) -> tuple[Address, int, int, int]:
        """(applicant, state, approvals, refusals)."""
        found = self._applications.get(application, Application(ZERO_ADDRESS, ApplicationState.NONE))
        approvals = sum(found.verdicts.values())
        return found.applicant, int(found.state), approvals, len(found.verdicts) - approvals

    @view()
    def application_count(self) -> int:
        """Requests to join so far."""
        return len(self._applications)

    @view()
    def total_stake(self) -> int:
        """Sum of all stakes."""
        return sum(account.stake for account in self.accounts.values())

    @view()
    def round_manager(self) -> Address:
        """The only account that may slash."""
        return self._round_manager

    @view()
    def token(self) -> Address:
        """Address of the contribution token."""
        return self._token.address

    @view()
    def exit_delay(self) -> int:
        """Seconds from `startExit` to `finishExit`."""
        return self._exit_delay

    def _require_status(self, transaction: Transaction, expected: MemberStatus) -> None:
        sender = transaction.sender
        actual = self.status_of(sender)
        transaction.require(actual is expected, "WrongStatus", sender, int(actual), int(expected))

    def _is_counted(self, account: Account) -> bool:
        return account.status is MemberStatus.ACTIVE and account.stake >= self._min_bond

    def _set_stake(self, transaction: Transaction, account: Account, stake: int) -> None:
        """Change a stake and keep the count of eligible members; becoming eligible starts its clock anew."""
        was_counted = account.eligible_since > 0 and self._is_counted(account)
        account.stake = stake
        is_counted = self._is_counted(account)
        if is_counted and not was_counted:
            account.eligible_since = transaction.timestamp
        elif was_counted and not is_counted:
            account.eligible_since = 0
        self._eligible += is_counted - was_counted

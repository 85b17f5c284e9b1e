"""Reference model of MemberRegistry, part 1: what is stored, every view of it, and the bounds of its constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

from node.protocol.errors import LocalProtocolError, TransactionReverted
from node.protocol.types import Address, MemberStatus, RegistryParams
from node.sim.abi import ZERO_ADDRESS, Contract, Log, view
from node.sim.token import ContributionToken

MAX_SEATS = 64
MAX_PEER_ID_BYTES = 64
DAY = 24 * 3600
LONGEST_TERM = 365 * DAY
LONGEST_VETO_WINDOW = 30 * DAY
VESTING_UPDATES = 5
ENTRY_JOIN = 0
"""`IGuardian.Entry.Join`."""


class ApplicationState(IntEnum):
    """Where a request to join stands; numbers equal the contract's."""

    NONE = 0
    OPEN = 1
    APPROVED = 2
    REFUSED = 3
    PROBATION = 4


class Rounds(Protocol):
    """What the registry asks of the RoundManager."""

    def current_round(self) -> int:
        """Number of the newest round."""

    def phase_of(self, round_number: int, /) -> tuple[int, int]:
        """(phase, deadline) of a round."""

    def result_of(self, round_number: int, index: int, /) -> tuple[int, int, int, bool, bool]:
        """(status, gain, weight, is retried, is forfeited) of an update."""

    def owner_of(self, round_number: int, index: int, /) -> Address:
        """Owner of a ring member."""


class Guardian(Protocol):
    """What the registry asks of the guardian: ``entry`` as in `IGuardian.Entry`."""

    address: Address

    def is_paused(self, entry: int, /) -> bool:
        """Whether an entry point is paused now."""


@dataclass(frozen=True, slots=True)
class RegistryWiring:
    """The accounts around the registry; without a guardian nothing can be paused."""

    round_manager: Address
    court: Address
    timelock: Address
    guardian: Guardian | None = None


@dataclass(slots=True)
class Application:
    """One request to join; verdicts and vetoes by seat."""

    applicant: Address
    state: ApplicationState = ApplicationState.OPEN
    verdicts: dict[int, bool] = field(default_factory=dict)
    admit_at: int = 0
    vetoes: set[int] = field(default_factory=set)

    @property
    def approvals(self) -> int:
        """Seats that approved."""
        return sum(self.verdicts.values())


@dataclass(slots=True)
class Account:
    """One member's standing; ``unvested`` is part of ``stake``, ``admitted_in`` the latest round at admission."""

    status: MemberStatus = MemberStatus.NONE
    stake: int = 0
    unvested: int = 0
    eligible_since: int = 0
    exit_at: int = 0
    admitted_in: int = 0
    peer_id: bytes = b""


@dataclass(frozen=True, slots=True)
class Seat:
    """One committee seat as set last."""

    holder: Address
    expires_at: int

    def holder_at(self, now: int) -> Address:
        """Who holds it at a time; the zero address once it expired."""
        return self.holder if now < self.expires_at else ZERO_ADDRESS


@dataclass(slots=True)
class AdmissionBucket:
    """OpenZeppelin's `RateLimiter.RefillingBucket` with one entry: an admission takes a day's seconds out of it.

    Attributes:
        capacity: ``burst`` days in seconds.
        refill: seconds in which an empty one fills, rounded up.
        used: what was taken out at ``touched``.
        touched: time of the last admission.
    """

    capacity: int
    refill: int
    used: int = 0
    touched: int = 0

    def available(self, now: int) -> int:
        """What can be taken out at a time."""
        return self.capacity - self._used(now)

    def take(self, now: int) -> None:
        """One admission; checked before."""
        self.used, self.touched = self._used(now) + DAY, now

    def next_at(self, now: int) -> int:
        """When the next admission can be; ``now`` where it can be at once."""
        missing = max(0, DAY - self.available(now))
        return now + -(-missing * self.refill // self.capacity)

    def _used(self, now: int) -> int:
        return max(0, self.used - (now - self.touched) * self.capacity // self.refill)


class RegistryStorage(Contract):
    """State and views.

    Args:
        address: of the contract.
        token: the contribution token.
        wiring: the accounts around it.
        seats: first holders of the committee's seats, in order.
        params: constants.
        now: time of the newest block, for views.
        deployed_at: timestamp; the first terms begin here.

    Raises:
        TransactionReverted: a constant out of its bounds.
    """

    NAME = "MemberRegistry"

    def __init__(
        self,
        address: Address,
        token: ContributionToken,
        *,
        wiring: RegistryWiring,
        seats: Sequence[Address],
        params: RegistryParams,
        now: Callable[[], int],
        deployed_at: int,
    ) -> None:
        super().__init__(address)
        check_params(params, len(seats), token.cap())
        self._token = token
        self._wiring = wiring
        self._params = params
        self._now = now
        self._rounds: Rounds | None = None
        self._seats = [Seat(holder, deployed_at + params.seat_term) for holder in _distinct(seats)]
        self.founding_logs: tuple[Log, ...] = tuple(
            Log(self.NAME, "SeatSet", {"seat": number, "holder": seat.holder, "expiresAt": seat.expires_at})
            for number, seat in enumerate(self._seats)
        )
        capacity = params.admission_burst * DAY
        self._bucket = AdmissionBucket(capacity, -(-capacity // params.admissions_per_day))
        self._applications: dict[int, Application] = {}
        self.accounts: dict[Address, Account] = {}
        self._vested: set[tuple[int, int]] = set()
        self._granted = 0
        self._eligible = 0

    def wire(self, rounds: Rounds) -> None:
        """Name the RoundManager, which is made after the registry."""
        self._rounds = rounds

    @property
    def rounds(self) -> Rounds:
        """The RoundManager.

        Raises:
            LocalProtocolError: not wired yet.
        """
        if self._rounds is None:
            raise LocalProtocolError("The registry's RoundManager is not wired.")
        return self._rounds

    # --- members ---

    @view("address", "uint256")
    def is_eligible(self, member: Address, opened_at: int) -> bool:
        """Active, bonded, and both since before ``opened_at``."""
        account = self.account(member)
        return self.is_counted(account) and account.eligible_since < opened_at

    @view()
    def eligible_count(self) -> int:
        """Members that are active and bonded now."""
        return self._eligible

    @view("address")
    def stake_of(self, member: Address) -> int:
        """Stake, in exit too."""
        return self.account(member).stake

    @view("address")
    def unvested_of(self, member: Address) -> int:
        """Part of the stake that is grant, neither vested nor taken by penalties."""
        return self.account(member).unvested

    @view("address")
    def status_of(self, member: Address) -> MemberStatus:
        """Standing of an account."""
        return self.account(member).status

    @view("address")
    def exit_at_of(self, member: Address) -> int:
        """When an exiting member's stake is free; 0 for others."""
        return self.account(member).exit_at

    @view("address")
    def admitted_in(self, member: Address) -> int:
        """Latest round when a member was admitted: only later ones vest its grant."""
        return self.account(member).admitted_in

    @view("uint256", "uint256")
    def is_vested(self, round_number: int, index: int) -> bool:
        """Whether an update has vested its owner's grant."""
        return (round_number, index) in self._vested

    @view()
    def total_stake(self) -> int:
        """Sum of all stakes."""
        return sum(account.stake for account in self.accounts.values())

    # --- applications ---

    @view("uint256")
    def application_of(self, application: int) -> tuple[Address, int, int, int]:
        """(applicant, state, approvals, refusals)."""
        found = self.application(application)
        return found.applicant, int(found.state), found.approvals, len(found.verdicts) - found.approvals

    @view("uint256")
    def probation_of(self, application: int) -> tuple[int, int]:
        """(when it can be admitted, vetoes so far)."""
        found = self.application(application)
        return found.admit_at, len(found.vetoes)

    @view()
    def application_count(self) -> int:
        """Requests to join so far."""
        return len(self._applications)

    @view()
    def next_admission_at(self) -> int:
        """From when on the rate limit lets the next one in."""
        return self._bucket.next_at(self._now())

    @view()
    def grants_minted(self) -> int:
        """What all grants so far minted."""
        return self._granted

    # --- committee ---

    @view()
    def seat_count(self) -> int:
        """Committee seats."""
        return len(self._seats)

    @view("uint256")
    def seat_holder(self, seat: int) -> Address:
        """Holder of a 0-based seat; the zero address where it is empty or has expired."""
        return self.seat(seat).holder_at(self._now())

    @view("uint256")
    def seat_of(self, seat: int) -> tuple[Address, int]:
        """(holder, end of its term) as set last, expired or not."""
        return self.seat(seat).holder, self.seat(seat).expires_at

    # --- constants ---

    @view()
    def threshold(self) -> int:
        """Approvals that admit."""
        return self._params.threshold

    @view()
    def veto_threshold(self) -> int:
        """Vetoes that refuse an approved application."""
        return self._params.veto_threshold

    @view()
    def min_bond(self) -> int:
        """Least stake of an eligible member."""
        return self._params.min_bond

    @view()
    def grant(self) -> int:
        """Minted into a newcomer's stake."""
        return self._params.grant

    @view()
    def grant_budget(self) -> int:
        """Most that all grants together ever mint."""
        return self._params.grant_budget

    @view()
    def exit_delay(self) -> int:
        """Seconds from `startExit` to `finishExit`."""
        return self._params.exit_delay

    @view()
    def veto_window(self) -> int:
        """Seconds from approval to admission."""
        return self._params.veto_window

    @view()
    def admission_burst(self) -> int:
        """Admissions at once, after a quiet time."""
        return self._params.admission_burst

    @view()
    def admissions_per_day(self) -> int:
        """Admissions a day in the long run."""
        return self._params.admissions_per_day

    @view()
    def token(self) -> Address:
        """Address of the contribution token."""
        return self._token.address

    @view()
    def round_manager(self) -> Address:
        """The contract whose verdicts vest grants."""
        return self._wiring.round_manager

    @view()
    def court(self) -> Address:
        """The only account that may slash and ban."""
        return self._wiring.court

    @view()
    def timelock(self) -> Address:
        """The only account that may give out seats."""
        return self._wiring.timelock

    @view()
    def guardian(self) -> Address:
        """The contract that can pause joining; the zero address where there is none."""
        return ZERO_ADDRESS if self._wiring.guardian is None else self._wiring.guardian.address

    # --- for the acts and for other contracts ---

    def account(self, member: Address) -> Account:
        """Record of an account, empty for a stranger."""
        return self.accounts.get(member, Account())

    def application(self, number: int) -> Application:
        """Record of an application, NONE where there is none."""
        return self._applications.get(number, Application(ZERO_ADDRESS, ApplicationState.NONE))

    def seat(self, number: int) -> Seat:
        """One seat.

        Raises:
            TransactionReverted: no such seat.
        """
        if number >= len(self._seats):
            raise TransactionReverted("NoSuchSeat", (number, len(self._seats)))
        return self._seats[number]

    def is_counted(self, account: Account) -> bool:
        """Whether an account is among the eligible."""
        return account.status is MemberStatus.ACTIVE and account.stake >= self._params.min_bond


def _distinct(seats: Sequence[Address]) -> Sequence[Address]:
    for number, holder in enumerate(seats):
        if holder == ZERO_ADDRESS or holder in seats[:number]:
            raise TransactionReverted("BadSeat", (number, holder))
    return seats


def check_params(params: RegistryParams, seats: int, cap: int) -> None:
    """The bounds that the contract's constructor sets.

    Raises:
        TransactionReverted: the first of them that does not hold.
    """
    most = 2**16 - 1
    refusals: Sequence[tuple[bool, str, tuple[Any, ...]]] = (
        (not 1 <= seats <= MAX_SEATS, "BadSeatCount", (seats, MAX_SEATS)),
        (not 1 <= params.threshold <= seats, "BadThreshold", (params.threshold, seats)),
        (not 1 <= params.veto_threshold <= seats, "BadThreshold", (params.veto_threshold, seats)),
        (not 1 <= params.min_bond <= params.grant, "BadBond", (params.min_bond, params.grant)),
        (
            not params.grant <= params.grant_budget <= cap,
            "BadGrantBudget",
            (params.grant_budget, params.grant, cap),
        ),
    )
    for is_wrong, error, arguments in refusals:
        if is_wrong:
            raise TransactionReverted(error, arguments)
    bounds: Sequence[tuple[str, int, int, int]] = (
        ("vetoWindow", params.veto_window, 0, LONGEST_VETO_WINDOW),
        ("seatTerm", params.seat_term, 1, LONGEST_TERM),
        ("admissionBurst", params.admission_burst, 1, most),
        ("admissionsPerDay", params.admissions_per_day, 1, most),
    )
    for name, value, low, high in bounds:
        if not low <= value <= high:
            raise TransactionReverted("ParameterOutOfBounds", (name, value, low, high))

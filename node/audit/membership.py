"""The auditor's checks of membership: seats, reviews, vetoes, admissions, vesting, exits, bans."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from node.protocol.state import Application, State
from node.protocol.types import Address, ChainEvent, MemberStatus, Phase, RegistryParams, UpdateStatus

VESTING_UPDATES = 5
DAY = 24 * 3600
ZERO = Address("0x" + "00" * 20)
REGISTRY = "MemberRegistry"


class MembershipChecks(ABC):
    """Checks of the registry's events, named after them. Each looks at the state *before* its event.

    Args:
        params: constants of the registry.
        committee: first holders of the seats.
    """

    def __init__(self, params: RegistryParams, committee: tuple[Address, ...]) -> None:
        self._params = params
        self._committee = committee
        self._votes: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
        self._taken, self._taken_at = 0, 0  # out of the bucket of admissions, and when last

    @property
    @abstractmethod
    def state(self) -> State:
        """The state before the event."""

    @property
    @abstractmethod
    def happened(self) -> ChainEvent:
        """The event."""

    @abstractmethod
    def expect(self, subject: str, truth: bool, what: str) -> None:  # noqa: FBT001 - the verdict itself
        """Count a check, and record ``what`` where it fails."""

    @abstractmethod
    def equal(self, subject: str, recorded: Any, computed: Any, what: str) -> None:
        """`expect` that two values are the same."""

    @abstractmethod
    def owe(self, source: str, to: str, amount: int) -> None:
        """The event says that this much moved."""

    def steward(self, round_number: int) -> Address:
        """Who may open a sealed round now: the holder of seat ``round_number`` mod seats."""
        seat = self.state.seats.get(round_number % len(self._committee))
        return ZERO if seat is None or self.happened.timestamp >= seat.expires_at else seat.holder

    def _on_SeatSet(self, a: Mapping[str, Any]) -> None:  # noqa: N802 - named after the event
        number, holder, now = a["seat"], Address(a["holder"]), self.happened.timestamp
        if not self.state.applications and number not in self.state.seats:
            founder = self._committee[number] if number < len(self._committee) else ZERO
            self.equal("seats", holder, founder, f"founding holder of seat {number}")
            self.equal("seats", a["expiresAt"], now + self._params.seat_term, f"first term of seat {number}")
        held = [n for n, seat in self.state.seats.items() if seat.holder == holder != ZERO and n != number]
        self.expect("seats", not held, f"{holder} was given seat {number} beside seat {held}.")

    def _vote(self, kind: str, application: int, reviewer: Address) -> None:
        """One vote of a seat within its term, once per application."""
        seat = self.state.seat_of(reviewer, self.happened.timestamp)
        self.expect(kind, seat is not None, f"{reviewer} voted without a seat.")
        if seat is None:
            return
        votes = self._votes[kind, application]
        self.expect(kind, seat not in votes, f"Seat {seat} voted twice on application {application}.")
        votes.add(seat)

    def _on_Reviewed(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        self._vote("reviews", a["application"], Address(a["reviewer"]))
        self._expect_standing(a["application"], MemberStatus.APPLIED)

    def _on_Vetoed(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        self._vote("vetoes", a["application"], Address(a["reviewer"]))
        self._expect_standing(a["application"], MemberStatus.PROBATION)
        application = self.state.applications[a["application"]]
        in_time = self.happened.timestamp < application.admit_at
        self.expect("vetoes", in_time, f"Application {application.number} was vetoed after its window.")

    def _on_ProbationStarted(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        self._expect_approved(a["application"])
        admit_at = self.happened.timestamp + self._params.veto_window
        self.equal("admissions", a["admitAt"], admit_at, f"veto window of application {a['application']}")

    def _on_Rejected(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        number = a["application"]
        vetoes = len(self.state.applications[number].vetoes)
        is_vetoed = vetoes >= self._params.veto_threshold
        is_refused = self._refusals(number) > len(self.state.seats) - self._params.threshold
        self.expect("rejections", is_vetoed or is_refused, f"Application {number} was rejected by too few seats.")

    def _on_Admitted(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        application, now, params = self.state.applications[a["application"]], self.happened.timestamp, self._params
        self.equal("admissions", a["member"], application.applicant, f"applicant {application.number}")
        standing = MemberStatus.PROBATION if params.veto_window else MemberStatus.APPLIED
        self._expect_standing(application.number, standing)
        self._expect_approved(application.number)
        self.expect("admissions", now >= application.admit_at, f"{a['member']} was admitted within its veto window.")
        self.equal("admissions", a["grant"], params.grant, f"airdrop of {a['member']}")
        granted = self.state.granted + a["grant"]
        self.expect("admissions", granted <= params.grant_budget, f"Grants of {granted} exceed the budget.")
        self._expect_rate(now)
        self.owe(ZERO, REGISTRY, a["grant"])

    def _expect_rate(self, now: int) -> None:
        """The registry's bucket: it holds ``burst`` admissions and refills at ``admissions_per_day``."""
        capacity = self._params.admission_burst * DAY
        refill = -(-capacity // self._params.admissions_per_day)
        left = max(0, self._taken - (now - self._taken_at) * capacity // refill)
        self._taken, self._taken_at = left + DAY, now
        self.expect("admissions", self._taken <= capacity, "An admission came sooner than the rate limit allows.")

    def _expect_standing(self, number: int, expected: MemberStatus) -> None:
        application: Application = self.state.applications[number]
        actual = self.state.member(application.applicant).status
        self.equal("standings", actual, expected, f"standing of {application.applicant} in application {number}")

    def _expect_approved(self, number: int) -> None:
        approvals = sum(self.state.reviews.get(number, {}).values())
        needed = self._params.threshold
        self.expect("admissions", approvals >= needed, f"Application {number} has {approvals} of {needed} approvals.")

    def _refusals(self, number: int) -> int:
        return sum(not approve for approve in self.state.reviews.get(number, {}).values())

    def _on_Vested(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found, member = self.state.rounds[a["round"]], self.state.member(Address(a["member"]))
        what = f"update {a['index']} of round {found.number}"
        owner = found.reveals[a["index"]].trainer
        self.equal("vesting", a["member"], owner, f"owner of {what}")
        verdict = found.settled.get(a["index"])
        is_accepted = verdict is not None and verdict.status is UpdateStatus.ACCEPTED
        self.expect("vesting", found.phase is Phase.FINALIZED and is_accepted, f"The {what} vests nothing.")
        self.expect("vesting", found.number > member.admitted_in, f"The {what} is older than the grant it vested.")
        fifth = self._params.grant // VESTING_UPDATES
        amount = member.unvested if member.unvested < fifth + VESTING_UPDATES else fifth
        self.equal("vesting", (a["amount"], a["unvested"]), (amount, member.unvested - amount), f"vesting by {what}")

    def _on_ExitStarted(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        exit_at = self.happened.timestamp + self._params.exit_delay
        self.equal("exits", a["exitAt"], exit_at, f"exit delay of {a['member']}")

    def _on_Exited(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        member = self.state.member(Address(a["member"]))
        in_time = member.status is MemberStatus.EXITING and self.happened.timestamp >= member.exit_at
        self.expect("exits", in_time, f"{member.address} left before its time.")
        divided = (member.stake - member.unvested, member.unvested)
        self.equal("exits", (a["paid"], a["burned"]), divided, f"stake of {member.address} at its exit")
        self.owe(REGISTRY, ZERO, a["burned"])
        self.owe(REGISTRY, member.address, a["paid"])

    def _on_Banned(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        member = self.state.member(Address(a["account"]))
        self.equal("bans", a["burned"], member.stake, f"stake of {member.address} at its ban")
        self.owe(REGISTRY, ZERO, a["burned"])

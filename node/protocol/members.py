"""The membership part of the network's fold: members, applications, committee seats. `node.protocol.state` adds rounds and money."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType
from typing import Any, TypeVar

from node.protocol.errors import AuditFailed
from node.protocol.types import Address, ChainEvent, MemberStatus

K = TypeVar("K")
V = TypeVar("V")


class InconsistentHistory(AuditFailed):
    """An event that cannot follow the ones before it."""


def with_entry(mapping: Mapping[K, V], key: K, value: V) -> Mapping[K, V]:
    """A copy of a mapping with one entry more, or another one."""
    return MappingProxyType({**mapping, key: value})


_EMPTY: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Member:
    """One account in the registry. Amounts in 10⁻¹⁸ CWT."""

    address: Address
    status: MemberStatus = MemberStatus.NONE
    stake: int = 0
    peer_id: str = ""
    encryption_key: bytes = bytes(32)
    application: int = 0
    slashed: int = 0
    active_since: int = 0
    unvested: int = 0
    admitted_in: int = 0
    exit_at: int = 0


class Standing(IntEnum):
    """Where a request to join stands (`IMemberRegistry.ApplicationState`); numbers equal the contract's."""

    NONE = 0
    OPEN = 1
    APPROVED = 2
    REFUSED = 3
    PROBATION = 4


@dataclass(frozen=True, slots=True)
class Application:
    """A request to join: who asks, and hash and CID of the signed request; ``admit_at`` is 0 before a probation."""

    number: int
    applicant: Address
    request_hash: bytes
    request_cid: bytes
    peer_id: str
    admit_at: int = 0
    vetoes: frozenset[Address] = frozenset()
    standing: Standing = Standing.OPEN


@dataclass(frozen=True, slots=True)
class Seat:
    """A committee seat as set last: it has no holder from ``expires_at`` on."""

    holder: Address
    expires_at: int


@dataclass(frozen=True, slots=True)
class Membership:
    """Everything that the registry's events say, penalties and vesting included."""

    members: Mapping[Address, Member] = field(default_factory=dict)
    applications: Mapping[int, Application] = field(default_factory=dict)
    reviews: Mapping[int, Mapping[Address, bool]] = field(default_factory=dict)
    seats: Mapping[int, Seat] = field(default_factory=dict)
    granted: int = 0

    def member(self, address: Address) -> Member:
        """A member's record, empty for a stranger."""
        return self.members.get(address, Member(address))

    @property
    def peer_ids(self) -> Mapping[Address, str]:
        """Peer id every known account registered."""
        return {address: member.peer_id for address, member in self.members.items() if member.peer_id}

    @property
    def active(self) -> tuple[Address, ...]:
        """Active members, sorted by address."""
        chosen = (a for a, member in self.members.items() if member.status is MemberStatus.ACTIVE)
        return tuple(sorted(chosen, key=lambda address: bytes.fromhex(address[2:])))

    def seat_of(self, holder: Address, now: int) -> int | None:
        """Number of the committee seat that an account holds at a time."""
        held = (number for number, seat in self.seats.items() if seat.holder == holder and now < seat.expires_at)
        return next(held, None)


S = TypeVar("S", bound=Membership)


def put_member(state: S, member: Member) -> S:
    """State with one member's record more, or another one."""
    return replace(state, members=with_entry(state.members, member.address, member))


def application_of(state: Membership, event: ChainEvent) -> Application:
    """The application that an event names.

    Raises:
        InconsistentHistory: nobody made it.
    """
    number = event.arguments["application"]
    if number not in state.applications:
        raise InconsistentHistory(f"{event.name} names application {number}, which nobody made.")
    return state.applications[number]


def _applied(state: S, event: ChainEvent) -> S:
    a = event.arguments
    applicant = Address(a["applicant"])
    member = replace(
        state.member(applicant),
        status=MemberStatus.APPLIED,
        peer_id=bytes(a["peerId"]).decode("ascii", "replace"),
        encryption_key=a["encryptionKey"],
        application=a["application"],
    )
    application = Application(a["application"], applicant, a["requestHash"], a["requestCid"], member.peer_id)
    state = replace(state, applications=with_entry(state.applications, application.number, application))
    return put_member(state, member)


def _reviewed(state: S, event: ChainEvent) -> S:
    a = event.arguments
    votes = with_entry(state.reviews.get(a["application"], _EMPTY), Address(a["reviewer"]), bool(a["approve"]))
    return replace(state, reviews=with_entry(state.reviews, a["application"], votes))


def _rejected(state: S, event: ChainEvent) -> S:
    applicant = Address(event.arguments["applicant"])
    application = replace(application_of(state, event), standing=Standing.REFUSED)
    state = replace(state, applications=with_entry(state.applications, application.number, application))
    return put_member(state, replace(state.member(applicant), status=MemberStatus.NONE))


def _probation_started(state: S, event: ChainEvent) -> S:
    a = event.arguments
    application = replace(application_of(state, event), admit_at=a["admitAt"], standing=Standing.PROBATION)
    state = replace(state, applications=with_entry(state.applications, application.number, application))
    return put_member(state, replace(state.member(Address(a["applicant"])), status=MemberStatus.PROBATION))


def _vetoed(state: S, event: ChainEvent) -> S:
    application = application_of(state, event)
    reviewer = Address(event.arguments["reviewer"])
    application = replace(application, vetoes=application.vetoes | {reviewer})
    return replace(state, applications=with_entry(state.applications, application.number, application))


def _peer_updated(state: S, event: ChainEvent) -> S:
    a = event.arguments
    peer_id = bytes(a["peerId"]).decode("ascii", "replace")
    member = replace(state.member(Address(a["member"])), peer_id=peer_id, encryption_key=a["encryptionKey"])
    return put_member(state, member)


def _bonded(state: S, event: ChainEvent) -> S:
    member = state.member(Address(event.arguments["member"]))
    return put_member(state, replace(member, stake=event.arguments["stake"]))


def _exit_started(state: S, event: ChainEvent) -> S:
    member = state.member(Address(event.arguments["member"]))
    return put_member(state, replace(member, status=MemberStatus.EXITING, exit_at=event.arguments["exitAt"]))


def _exited(state: S, event: ChainEvent) -> S:
    member = state.member(Address(event.arguments["member"]))
    return put_member(state, replace(member, status=MemberStatus.NONE, stake=0, unvested=0, admitted_in=0, exit_at=0))


def _banned(state: S, event: ChainEvent) -> S:
    member = state.member(Address(event.arguments["account"]))
    return put_member(state, replace(member, status=MemberStatus.BANNED, stake=0, unvested=0, admitted_in=0, exit_at=0))


def _seat_set(state: S, event: ChainEvent) -> S:
    a = event.arguments
    return replace(state, seats=with_entry(state.seats, a["seat"], Seat(Address(a["holder"]), a["expiresAt"])))


MEMBER_HANDLERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "Applied": _applied,
        "Reviewed": _reviewed,
        "ProbationStarted": _probation_started,
        "Vetoed": _vetoed,
        "Rejected": _rejected,
        "PeerUpdated": _peer_updated,
        "Bonded": _bonded,
        "ExitStarted": _exit_started,
        "Exited": _exited,
        "Banned": _banned,
        "SeatSet": _seat_set,
    }
)
"""Handlers of the registry's events that concern no round, by name."""

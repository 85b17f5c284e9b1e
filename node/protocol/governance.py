"""Proposals, the timelock and the guardian as folds of their events. Part of `node.protocol.state`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from node.protocol.members import InconsistentHistory, with_entry
from node.protocol.trace import Trace
from node.protocol.types import Address, ChainEvent
from node.protocol.vault import NOBODY

FRACTIONAL = 255
"""Support of a vote that is split; its parameters say how (three times 128 bits: against, for, abstain)."""
QUORUM_DENOMINATOR = 100


class Support(IntEnum):
    """What a whole vote says; numbers equal the contract's."""

    AGAINST = 0
    FOR = 1
    ABSTAIN = 2


class ProposalState(IntEnum):
    """`IGovernor.ProposalState`; numbers equal the contract's."""

    PENDING = 0
    ACTIVE = 1
    CANCELLED = 2
    DEFEATED = 3
    SUCCEEDED = 4
    QUEUED = 5
    EXPIRED = 6
    EXECUTED = 7


class OperationState(IntEnum):
    """`TimelockController.OperationState`; numbers equal the contract's."""

    UNSET = 0
    WAITING = 1
    READY = 2
    DONE = 3


class Entry(IntEnum):
    """What the guardian can pause (`IGuardian.Entry`); numbers equal the contract's."""

    JOIN = 0
    OPEN_ROUND = 1
    LOCK = 2
    PUBLISH = 3


@dataclass(frozen=True, slots=True)
class GovernanceParams:
    """Constants of the votes and of releases: durations in seconds, amounts in 10⁻¹⁸ CWT, regression in ppm of a score."""

    voting_delay: int
    voting_period: int
    late_extension: int
    quorum_percent: int
    proposal_threshold: int
    quorum_floor: int
    timelock_delay: int
    linear_up_to: int
    unlock_delay: int
    guardian_term: int
    max_regression: int


@dataclass(frozen=True, slots=True)
class Vote:
    """All that one account has cast on a proposal. ``support`` and ``reason`` are those of its latest vote (255: split)."""

    support: int
    weight: int
    reason: str
    against: int = 0
    in_favour: int = 0
    abstain: int = 0
    at: int = 0


@dataclass(frozen=True, slots=True)
class GovernorProposal:
    """One proposal and what became of it. Times in seconds; ``vote_end`` includes an extension by a late quorum.

    ``operation`` is the timelock's id once queued, ``eta`` when that can be executed.
    """

    number: int
    proposer: Address
    targets: tuple[Address, ...]
    values: tuple[int, ...]
    calldatas: tuple[bytes, ...]
    description: str
    created_at: int
    vote_start: int
    vote_end: int
    first_end: int
    block: int
    transaction: bytes
    against: int = 0
    in_favour: int = 0
    abstain: int = 0
    voters: Mapping[Address, Vote] = field(default_factory=dict)
    eta: int = 0
    operation: bytes = b""
    is_executed: bool = False
    is_cancelled: bool = False
    touched_at: int = 0

    @property
    def snapshot(self) -> int:
        """The moment whose votes count: the start of the vote."""
        return self.vote_start


@dataclass(frozen=True, slots=True)
class TimelockCall:
    """One call of an operation."""

    target: Address
    value: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Operation:
    """What the timelock was told to do: its calls in order, from when, and how many were made."""

    calls: tuple[TimelockCall, ...]
    predecessor: bytes
    ready_at: int
    delay: int
    salt: bytes = bytes(32)
    executed: int = 0
    is_cancelled: bool = False

    def state(self, now: int) -> OperationState:
        """`getOperationState`."""
        if self.is_cancelled:
            return OperationState.UNSET
        if self.executed == len(self.calls):
            return OperationState.DONE
        return OperationState.READY if now >= self.ready_at else OperationState.WAITING


@dataclass(frozen=True, slots=True)
class Settings:
    """The governor's numbers now; durations in seconds, the threshold in voting units, the quorum in percent over time."""

    voting_delay: int = 0
    voting_period: int = 0
    proposal_threshold: int = 0
    late_extension: int = 0
    quorum_percent: Trace = field(default_factory=Trace)
    proposal_guardian: Address = NOBODY
    timelock: Address = NOBODY
    allowed: frozenset[tuple[Address, bytes]] = frozenset()


@dataclass(frozen=True, slots=True)
class Pause:
    """Until when an entry point is closed, and the seconds of all its pauses up to then."""

    until: int
    paused: int


@dataclass(frozen=True, slots=True)
class Governance:
    """Governor, timelock and guardian.

    Attributes:
        proposals: by id.
        settings: the governor's.
        operations: the timelock's, by id.
        roles: holders of the timelock's roles, by role.
        role_admins: which role gives out a role, where it is not the administrator's (0).
        min_delay: the timelock's, seconds.
        last_operation: id of the operation scheduled last.
        guardian: the guardian's account; `NOBODY` once the office ended.
        pauses: by entry point.
    """

    proposals: Mapping[int, GovernorProposal] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    operations: Mapping[bytes, Operation] = field(default_factory=dict)
    roles: Mapping[bytes, frozenset[Address]] = field(default_factory=dict)
    role_admins: Mapping[bytes, bytes] = field(default_factory=dict)
    min_delay: int = 0
    last_operation: bytes = b""
    guardian: Address = NOBODY
    pauses: Mapping[Entry, Pause] = field(default_factory=dict)

    def is_paused(self, entry: Entry, now: int) -> bool:
        """Whether an entry point is closed."""
        return entry in self.pauses and now < self.pauses[entry].until

    def operation_of(self, proposal: GovernorProposal) -> Operation | None:
        """The timelock's operation of a queued proposal."""
        return self.operations.get(proposal.operation)


def quorum_of(total: int, percent: int, floor: int) -> int:
    """``CommunityGovernor.quorum``: max(⌊all units · percent / 100⌋, floor), units of one moment."""
    return max(total * percent // QUORUM_DENOMINATOR, floor)


def has_quorum(proposal: GovernorProposal, quorum: int) -> bool:
    """For and abstain reach the quorum."""
    return proposal.in_favour + proposal.abstain >= quorum


def proposal_state(
    proposal: GovernorProposal, now: int, *, quorum: int, operation: Operation | None = None
) -> ProposalState:
    """`CommunityGovernor.state`.

    Args:
        proposal: as folded.
        now: the chain's time, seconds.
        quorum: at the proposal's snapshot (`quorum_of`).
        operation: of the timelock, once it is queued.
    """
    if proposal.is_executed:
        return ProposalState.EXECUTED
    if proposal.is_cancelled:
        return ProposalState.CANCELLED
    if now <= proposal.snapshot:
        return ProposalState.PENDING
    if now <= proposal.vote_end:
        return ProposalState.ACTIVE
    if not has_quorum(proposal, quorum) or proposal.in_favour <= proposal.against:
        return ProposalState.DEFEATED
    if proposal.eta == 0:
        return ProposalState.SUCCEEDED
    standing = OperationState.UNSET if operation is None else operation.state(now)
    if standing is OperationState.UNSET:
        return ProposalState.CANCELLED
    return ProposalState.EXECUTED if standing is OperationState.DONE else ProposalState.QUEUED


# --- governor -------------------------------------------------------------------------------------------------------


def _proposal_created(law: Governance, event: ChainEvent) -> Governance:
    a = event.arguments
    number = a["proposalId"]
    if number in law.proposals:
        raise InconsistentHistory(f"Proposal {number} was made twice.")
    proposal = GovernorProposal(
        number=number,
        proposer=Address(a["proposer"]),
        targets=tuple(Address(target) for target in a["targets"]),
        values=tuple(a["values"]),
        calldatas=tuple(a["calldatas"]),
        description=a["description"],
        created_at=event.timestamp,
        vote_start=a["voteStart"],
        vote_end=a["voteEnd"],
        first_end=a["voteEnd"],
        block=event.block,
        transaction=event.transaction,
        touched_at=event.timestamp,
    )
    return replace(law, proposals=with_entry(law.proposals, number, proposal))


def _known(law: Governance, event: ChainEvent) -> GovernorProposal:
    number = event.arguments["proposalId"]
    if number not in law.proposals:
        raise InconsistentHistory(f"{event.name} names proposal {number}, which nobody made.")
    return law.proposals[number]


def _put(law: Governance, proposal: GovernorProposal, event: ChainEvent) -> Governance:
    proposal = replace(proposal, touched_at=event.timestamp)
    return replace(law, proposals=with_entry(law.proposals, proposal.number, proposal))


def split_vote(support: int, weight: int, params: bytes) -> tuple[int, int, int]:
    """(against, for, abstain) of one vote.

    Raises:
        InconsistentHistory: a support that does not exist, or parameters that do not say what the weight says.
    """
    if support == FRACTIONAL:
        parts = tuple(int.from_bytes(params[start : start + 16], "big") for start in (0, 16, 32))
        if len(params) != 48 or sum(parts) != weight:
            raise InconsistentHistory(f"A split vote of {weight} says {params.hex()}.")
        return parts[0], parts[1], parts[2]
    if support > Support.ABSTAIN or params:
        raise InconsistentHistory(f"A vote says {support}, which means nothing.")
    return (
        weight if support == Support.AGAINST else 0,
        weight if support == Support.FOR else 0,
        weight if support == Support.ABSTAIN else 0,
    )


def _vote_cast(law: Governance, event: ChainEvent) -> Governance:
    a = event.arguments
    proposal, voter = _known(law, event), Address(a["voter"])
    against, in_favour, abstain = split_vote(a["support"], a["weight"], a.get("params", b""))
    before = proposal.voters.get(voter, Vote(a["support"], 0, ""))
    vote = Vote(
        support=a["support"],
        weight=before.weight + a["weight"],
        reason=a["reason"],
        against=before.against + against,
        in_favour=before.in_favour + in_favour,
        abstain=before.abstain + abstain,
        at=event.timestamp,
    )
    counted = replace(
        proposal,
        against=proposal.against + against,
        in_favour=proposal.in_favour + in_favour,
        abstain=proposal.abstain + abstain,
        voters=with_entry(proposal.voters, voter, vote),
    )
    return _put(law, counted, event)


def _proposal_extended(law: Governance, event: ChainEvent) -> Governance:
    proposal = _known(law, event)
    return _put(law, replace(proposal, vote_end=max(proposal.vote_end, event.arguments["extendedDeadline"])), event)


def _proposal_queued(law: Governance, event: ChainEvent) -> Governance:
    if law.last_operation not in law.operations:
        raise InconsistentHistory(f"Proposal {event.arguments['proposalId']} was queued, but the timelock has nothing.")
    queued = replace(_known(law, event), eta=event.arguments["etaSeconds"], operation=law.last_operation)
    return _put(law, queued, event)


def _proposal_executed(law: Governance, event: ChainEvent) -> Governance:
    return _put(law, replace(_known(law, event), is_executed=True), event)


def _proposal_cancelled(law: Governance, event: ChainEvent) -> Governance:
    return _put(law, replace(_known(law, event), is_cancelled=True), event)


def _setting(name: str, argument: str) -> Callable[[Governance, ChainEvent], Governance]:
    def fold(law: Governance, event: ChainEvent) -> Governance:
        value: dict[str, object] = {name: event.arguments[argument]}
        return replace(law, settings=replace(law.settings, **value))  # type: ignore[arg-type]

    return fold


def _quorum_updated(law: Governance, event: ChainEvent) -> Governance:
    trace = law.settings.quorum_percent.push(event.timestamp, event.arguments["newQuorumNumerator"])
    return replace(law, settings=replace(law.settings, quorum_percent=trace))


def _allowed(law: Governance, event: ChainEvent) -> Governance:
    entry = (Address(event.arguments["target"]), event.arguments["selector"])
    return replace(law, settings=replace(law.settings, allowed=law.settings.allowed | {entry}))


# --- timelock -------------------------------------------------------------------------------------------------------


def _call_scheduled(law: Governance, event: ChainEvent) -> Governance:
    a = event.arguments
    call = TimelockCall(Address(a["target"]), a["value"], a["data"])
    known = law.operations.get(a["id"])
    if a["index"] == 0:
        if known is not None and not known.is_cancelled:
            raise InconsistentHistory(f"Operation 0x{a['id'].hex()} was scheduled twice.")
        operation = Operation((call,), a["predecessor"], event.timestamp + a["delay"], a["delay"])
    elif known is None or a["index"] != len(known.calls):
        raise InconsistentHistory(f"Operation 0x{a['id'].hex()} got call {a['index']} out of turn.")
    else:
        operation = replace(known, calls=(*known.calls, call))
    return replace(law, operations=with_entry(law.operations, a["id"], operation), last_operation=a["id"])


def _with_operation(law: Governance, event: ChainEvent, **changes: object) -> Governance:
    identity = event.arguments["id"]
    if identity not in law.operations:
        raise InconsistentHistory(f"{event.name} names operation 0x{identity.hex()}, which nobody scheduled.")
    changed = replace(law.operations[identity], **changes)  # type: ignore[arg-type]
    return replace(law, operations=with_entry(law.operations, identity, changed))


def _call_salt(law: Governance, event: ChainEvent) -> Governance:
    return _with_operation(law, event, salt=event.arguments["salt"])


def _call_executed(law: Governance, event: ChainEvent) -> Governance:
    a = event.arguments
    known = law.operations.get(a["id"])
    call = TimelockCall(Address(a["target"]), a["value"], a["data"])
    if known is None or known.calls[known.executed : known.executed + 1] != (call,) or a["index"] != known.executed:
        raise InconsistentHistory(f"The timelock made a call to {call.target} that nobody scheduled.")
    return _with_operation(law, event, executed=known.executed + 1)


def _cancelled(law: Governance, event: ChainEvent) -> Governance:
    return _with_operation(law, event, is_cancelled=True)


def _min_delay_changed(law: Governance, event: ChainEvent) -> Governance:
    return replace(law, min_delay=event.arguments["newDuration"])


def _role_granted(law: Governance, event: ChainEvent) -> Governance:
    role, account = event.arguments["role"], Address(event.arguments["account"])
    return replace(law, roles=with_entry(law.roles, role, law.roles.get(role, frozenset()) | {account}))


def _role_revoked(law: Governance, event: ChainEvent) -> Governance:
    role, account = event.arguments["role"], Address(event.arguments["account"])
    return replace(law, roles=with_entry(law.roles, role, law.roles.get(role, frozenset()) - {account}))


def _role_admin_changed(law: Governance, event: ChainEvent) -> Governance:
    a = event.arguments
    return replace(law, role_admins=with_entry(law.role_admins, a["role"], a["newAdminRole"]))


# --- guardian -------------------------------------------------------------------------------------------------------


def _replaced(law: Governance, event: ChainEvent) -> Governance:
    return replace(law, guardian=Address(event.arguments["current"]))


def _paused(law: Governance, event: ChainEvent) -> Governance:
    a = event.arguments
    return replace(law, pauses=with_entry(law.pauses, Entry(a["entry"]), Pause(a["until"], a["paused"])))


def _unpaused(law: Governance, event: ChainEvent) -> Governance:
    a = event.arguments
    return replace(law, pauses=with_entry(law.pauses, Entry(a["entry"]), Pause(event.timestamp, a["paused"])))


Handler = Callable[[Governance, ChainEvent], Governance]

GOVERNANCE_HANDLERS: Mapping[tuple[str, str], Handler] = {
    ("CommunityGovernor", "ProposalCreated"): _proposal_created,
    ("CommunityGovernor", "VoteCast"): _vote_cast,
    ("CommunityGovernor", "VoteCastWithParams"): _vote_cast,
    ("CommunityGovernor", "ProposalExtended"): _proposal_extended,
    ("CommunityGovernor", "ProposalQueued"): _proposal_queued,
    ("CommunityGovernor", "ProposalExecuted"): _proposal_executed,
    ("CommunityGovernor", "ProposalCanceled"): _proposal_cancelled,
    ("CommunityGovernor", "VotingDelaySet"): _setting("voting_delay", "newVotingDelay"),
    ("CommunityGovernor", "VotingPeriodSet"): _setting("voting_period", "newVotingPeriod"),
    ("CommunityGovernor", "ProposalThresholdSet"): _setting("proposal_threshold", "newProposalThreshold"),
    ("CommunityGovernor", "LateQuorumVoteExtensionSet"): _setting("late_extension", "newVoteExtension"),
    ("CommunityGovernor", "ProposalGuardianSet"): _setting("proposal_guardian", "newProposalGuardian"),
    ("CommunityGovernor", "TimelockChange"): _setting("timelock", "newTimelock"),
    ("CommunityGovernor", "QuorumNumeratorUpdated"): _quorum_updated,
    ("CommunityGovernor", "Allowed"): _allowed,
    ("TimelockController", "CallScheduled"): _call_scheduled,
    ("TimelockController", "CallSalt"): _call_salt,
    ("TimelockController", "CallExecuted"): _call_executed,
    ("TimelockController", "Cancelled"): _cancelled,
    ("TimelockController", "MinDelayChange"): _min_delay_changed,
    ("TimelockController", "RoleGranted"): _role_granted,
    ("TimelockController", "RoleRevoked"): _role_revoked,
    ("TimelockController", "RoleAdminChanged"): _role_admin_changed,
    ("Guardian", "Replaced"): _replaced,
    ("Guardian", "Paused"): _paused,
    ("Guardian", "Unpaused"): _unpaused,
}
"""Handlers of the events of governor, timelock and guardian."""

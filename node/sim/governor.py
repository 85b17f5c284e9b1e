"""Reference model of CommunityGovernor: proposals, votes, the queue, its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from node.protocol.calls import OWN_SETTINGS, operation_id, proposal_id, salt_of, selector_of
from node.protocol.errors import TransactionReverted
from node.protocol.governance import (
    FRACTIONAL,
    GovernanceParams,
    GovernorProposal,
    Operation,
    OperationState,
    ProposalState,
    Support,
    TimelockCall,
    Vote,
    has_quorum,
    proposal_state,
    quorum_of,
)
from node.protocol.hashing import keccak256
from node.protocol.trace import Trace
from node.protocol.types import Address, Call
from node.sim.abi import ZERO_ADDRESS, ZERO_BYTES32, Contract, Log, Transaction, convert, external, view
from node.sim.timelock import TimelockController
from node.sim.vault import VotingVault

THRESHOLD_DIVISOR = 100
Proposed = tuple[tuple[Address, ...], tuple[int, ...], tuple[bytes, ...], bytes]


class CommunityGovernor(Contract):
    """Proposals and their votes.

    Args:
        address: of the contract.
        vault: whose votes count.
        timelock: that carries proposals out.
        guardian: address of the contract that can cancel.
        params: first settings.
        allowed: what proposals may call beside the settings: (target, selector).
        now: the chain's time.
    """

    NAME = "CommunityGovernor"

    def __init__(
        self,
        address: Address,
        vault: VotingVault,
        timelock: TimelockController,
        *,
        guardian: Address,
        params: GovernanceParams,
        allowed: tuple[tuple[Address, bytes], ...],
        now: Callable[[], int],
        deployed_at: int,
    ) -> None:
        super().__init__(address)
        self._vault = vault
        self._timelock = timelock
        self._guardian = guardian
        self._first = params
        self._allowed = frozenset(allowed) | {(address, selector_of(signature)) for signature in OWN_SETTINGS}
        self._now = now
        self._delay = params.voting_delay
        self._period = params.voting_period
        self._threshold = params.proposal_threshold
        self._extension = params.late_extension
        self._percent = Trace().push(deployed_at, params.quorum_percent)
        self._proposals: dict[int, GovernorProposal] = {}
        self._reached: set[int] = set()
        self.founding_logs = [
            self._log("VotingDelaySet", oldVotingDelay=0, newVotingDelay=self._delay),
            self._log("VotingPeriodSet", oldVotingPeriod=0, newVotingPeriod=self._period),
            self._log("ProposalThresholdSet", oldProposalThreshold=0, newProposalThreshold=self._threshold),
            self._log("QuorumNumeratorUpdated", oldQuorumNumerator=0, newQuorumNumerator=params.quorum_percent),
            self._log("LateQuorumVoteExtensionSet", oldVoteExtension=0, newVoteExtension=self._extension),
            self._log("TimelockChange", oldTimelock=ZERO_ADDRESS, newTimelock=timelock.address),
            self._log("ProposalGuardianSet", oldProposalGuardian=ZERO_ADDRESS, newProposalGuardian=guardian),
            *(self._log("Allowed", target=target, selector=selector) for target, selector in allowed),
        ]

    def _log(self, name: str, /, **arguments: Any) -> Log:
        return Log(self.NAME, name, arguments)

    # --- proposals ---

    @external("address[]", "uint256[]", "bytes[]", "string")
    def propose(
        self,
        transaction: Transaction,
        targets: tuple[Address, ...],
        values: tuple[int, ...],
        calldatas: tuple[bytes, ...],
        description: str,
    ) -> int:
        """Ask the members; needs votes of one's own."""
        proposer, now = transaction.sender, transaction.timestamp
        named = description[-42:] if description[-52:-42] == "#proposer=" else proposer
        transaction.require(named.lower() == proposer.lower(), "GovernorRestrictedProposer", proposer)
        needed = min(self._threshold, self._vault.get_past_total_supply(now - 1) // THRESHOLD_DIVISOR)
        power = self._vault.get_past_votes(proposer, now - 1)
        transaction.require(power >= needed, "GovernorInsufficientProposerVotes", proposer, power, needed)
        sizes = (len(targets), len(calldatas), len(values))
        is_whole = sizes[0] == sizes[1] == sizes[2] != 0
        transaction.require(is_whole, "GovernorInvalidProposalLength", *sizes)
        number = proposal_id(targets, values, calldatas, keccak256(description.encode()))
        if number in self._proposals:
            transaction.revert("GovernorUnexpectedProposalState", number, int(self.state(number)), ZERO_BYTES32)
        for target, data in zip(targets, calldatas, strict=True):
            selector = data[:4].ljust(4, b"\0")
            is_allowed = len(data) >= 4 and (target, selector) in self._allowed
            transaction.require(is_allowed, "NotAllowed", target, selector)
        transaction.effects()
        start, end = now + self._delay, now + self._delay + self._period
        self._proposals[number] = GovernorProposal(
            number, proposer, targets, values, calldatas, description, now, start, end, end, transaction.number, b""
        )
        transaction.emit(
            self.NAME,
            "ProposalCreated",
            proposalId=number,
            proposer=proposer,
            targets=targets,
            values=values,
            signatures=("",) * len(targets),
            calldatas=calldatas,
            voteStart=start,
            voteEnd=end,
            description=description,
        )
        return number

    @external("uint256", "uint8")
    def cast_vote(self, transaction: Transaction, number: int, support: int) -> int:
        """Vote with everything one has."""
        return self._vote(transaction, number, support, "", b"")

    @external("uint256", "uint8", "string")
    def cast_vote_with_reason(self, transaction: Transaction, number: int, support: int, reason: str) -> int:
        """The same, with a reason."""
        return self._vote(transaction, number, support, reason, b"")

    @external("uint256", "uint8", "string", "bytes")
    def cast_vote_with_reason_and_params(
        self, transaction: Transaction, number: int, support: int, reason: str, params: bytes
    ) -> int:
        """The same, or split: support 255 and (against, for, abstain) of 128 bits each."""
        return self._vote(transaction, number, support, reason, params)

    def _vote(self, transaction: Transaction, number: int, support: int, reason: str, params: bytes) -> int:
        voter = transaction.sender
        found = self._in_state(transaction, number, ProposalState.ACTIVE)
        used = found.voters[voter].weight if voter in found.voters else 0
        left = max(0, self._vault.get_past_votes(voter, found.snapshot) - used)
        transaction.require(left, "GovernorAlreadyCastVote", voter)
        if support == FRACTIONAL:
            transaction.require(len(params) == 48, "GovernorInvalidVoteParams")
            parts = [int.from_bytes(params[start : start + 16], "big") for start in (0, 16, 32)]
            transaction.require(sum(parts) <= left, "GovernorExceedRemainingWeight", voter, sum(parts), left)
        else:
            transaction.require(support <= Support.ABSTAIN, "GovernorInvalidVoteType")
            transaction.require(not params, "GovernorInvalidVoteParams")
            parts = [left if support == kind else 0 for kind in Support]
        transaction.effects()
        weight = sum(parts)
        before = found.voters.get(voter, Vote(support, 0, ""))
        vote = Vote(support, before.weight + weight, reason)
        counted = replace(
            found,
            against=found.against + parts[0],
            in_favour=found.in_favour + parts[1],
            abstain=found.abstain + parts[2],
            voters={**found.voters, voter: vote},
        )
        told = {"voter": voter, "proposalId": number, "support": support, "weight": weight, "reason": reason}
        if params:
            transaction.emit(self.NAME, "VoteCastWithParams", **told, params=params)
        else:
            transaction.emit(self.NAME, "VoteCast", **told)
        self._proposals[number] = self._extended(transaction, counted)
        return weight

    def _extended(self, transaction: Transaction, found: GovernorProposal) -> GovernorProposal:
        """The late-quorum rule."""
        if found.number in self._reached or not has_quorum(found, self.quorum(found.snapshot)):
            return found
        self._reached.add(found.number)
        deadline = transaction.timestamp + self._extension
        if deadline <= found.vote_end:
            return found
        transaction.emit(self.NAME, "ProposalExtended", proposalId=found.number, extendedDeadline=deadline)
        return replace(found, vote_end=deadline)

    @external("address[]", "uint256[]", "bytes[]", "bytes32")
    def queue(
        self,
        transaction: Transaction,
        targets: tuple[Address, ...],
        values: tuple[int, ...],
        calldatas: tuple[bytes, ...],
        description_hash: bytes,
    ) -> int:
        """Hand a proposal that succeeded to the timelock."""
        number = proposal_id(targets, values, calldatas, description_hash)
        found = self._in_state(transaction, number, ProposalState.SUCCEEDED)
        salt = salt_of(self.address, description_hash)
        identity = operation_id(targets, values, calldatas, ZERO_BYTES32, salt)
        transaction.effects()
        delay = self._timelock.get_min_delay()
        eta = transaction.timestamp + delay
        calls = tuple(TimelockCall(*call) for call in zip(targets, values, calldatas, strict=True))
        self._timelock.schedule(transaction, identity, Operation(calls, ZERO_BYTES32, eta, delay, salt))
        self._proposals[number] = replace(found, eta=eta, operation=identity)
        transaction.emit(self.NAME, "ProposalQueued", proposalId=number, etaSeconds=eta)
        return number

    def carry_out(self, transaction: Transaction, proposed: Proposed) -> int:
        """`execute`: carry out a proposal whose time has come."""
        number = proposal_id(*proposed)
        found = self._in_state(transaction, number, ProposalState.QUEUED)
        operation = self._timelock.operations[found.operation]
        is_ready = transaction.timestamp >= operation.ready_at
        transaction.require(is_ready, "TimelockUnexpectedOperationState", found.operation, READY_BIT)
        self._timelock.check(transaction, operation)
        transaction.effects()
        self._proposals[number] = replace(found, is_executed=True)
        self._timelock.execute_batch(transaction, found.operation)
        transaction.emit(self.NAME, "ProposalExecuted", proposalId=number)
        return number

    @external("address[]", "uint256[]", "bytes[]", "bytes32")
    def cancel(
        self,
        transaction: Transaction,
        targets: tuple[Address, ...],
        values: tuple[int, ...],
        calldatas: tuple[bytes, ...],
        description_hash: bytes,
    ) -> int:
        """Cancel: the guardian's contract before execution, the proposer before the vote."""
        return self.cancel_as(transaction, transaction.sender, (targets, values, calldatas, description_hash))

    def cancel_as(self, transaction: Transaction, caller: Address, proposed: Proposed) -> int:
        """`cancel` by a caller that need not be the transaction's sender."""
        number = proposal_id(*proposed)
        standing = self._state(transaction, number)
        is_own = standing is ProposalState.PENDING and caller == self._proposals[number].proposer
        transaction.require(is_own or caller == self._guardian, "GovernorUnableToCancel", number, caller)
        if standing in (ProposalState.EXECUTED, ProposalState.CANCELLED):
            transaction.revert("GovernorUnexpectedProposalState", number, int(standing), _cancellable())
        transaction.effects()
        found = self._proposals[number]
        self._proposals[number] = replace(found, is_cancelled=True)
        transaction.emit(self.NAME, "ProposalCanceled", proposalId=number)
        if found.operation:
            self._timelock.cancel(transaction, found.operation)
        return number

    def _find(self, kind: str, call: Call) -> tuple[Callable[..., Any], list[Any]]:
        """`execute` is a function of this contract and of every model's: it gets a name of its own."""
        if call.function != "execute":
            return super()._find(kind, call)
        types = ("address[]", "uint256[]", "bytes[]", "bytes32")
        given = tuple(convert(one, value, "execute") for one, value in zip(types, call.arguments, strict=True))
        return self.carry_out, [given]

    # --- settings, by proposals alone ---

    @external("uint48")
    def set_voting_delay(self, transaction: Transaction, value: int) -> None:
        """Seconds from a proposal to its vote."""
        self._check_setting(transaction, value, self._first.voting_delay)
        transaction.effects()
        transaction.emit(self.NAME, "VotingDelaySet", oldVotingDelay=self._delay, newVotingDelay=value)
        self._delay = value

    @external("uint32")
    def set_voting_period(self, transaction: Transaction, value: int) -> None:
        """Seconds of a vote."""
        self._check_setting(transaction, value, self._first.voting_period)
        self._check_duration(transaction, value, self._extension)
        transaction.effects()
        transaction.emit(self.NAME, "VotingPeriodSet", oldVotingPeriod=self._period, newVotingPeriod=value)
        self._period = value

    @external("uint256")
    def set_proposal_threshold(self, transaction: Transaction, value: int) -> None:
        """Units that a proposer needs."""
        self._check_setting(transaction, value, self._first.proposal_threshold)
        transaction.effects()
        told = {"oldProposalThreshold": self._threshold, "newProposalThreshold": value}
        transaction.emit(self.NAME, "ProposalThresholdSet", **told)
        self._threshold = value

    @external("uint256")
    def update_quorum_numerator(self, transaction: Transaction, value: int) -> None:
        """Percent of all units that is a quorum, for later snapshots."""
        self._check_setting(transaction, value, self._first.quorum_percent)
        transaction.effects()
        told = {"oldQuorumNumerator": self._percent.latest, "newQuorumNumerator": value}
        self._percent = self._percent.push(transaction.timestamp, value)
        transaction.emit(self.NAME, "QuorumNumeratorUpdated", **told)

    @external("uint48")
    def set_late_quorum_vote_extension(self, transaction: Transaction, value: int) -> None:
        """Seconds that a vote lasts at least after its quorum."""
        self._check_setting(transaction, value, self._first.late_extension)
        self._check_duration(transaction, self._period, value)
        transaction.effects()
        told = {"oldVoteExtension": self._extension, "newVoteExtension": value}
        transaction.emit(self.NAME, "LateQuorumVoteExtensionSet", **told)
        self._extension = value

    def _check_setting(self, transaction: Transaction, value: int, first: int) -> None:
        sender = transaction.sender
        transaction.require(sender == self._timelock.address, "GovernorOnlyExecutor", sender)
        least, most = first - first // 2, 2 * first
        transaction.require(least <= value <= most, "SettingOutOfBounds", value, least, most)

    def _check_duration(self, transaction: Transaction, period: int, extension: int) -> None:
        duration, delay = period + extension + self._timelock.get_min_delay(), self._vault.unlock_delay()
        transaction.require(duration < delay, "VoteOutlastsLock", duration, delay)

    # --- views ---

    @view("uint256")
    def state(self, number: int) -> int:
        """Where a proposal stands now."""
        return int(self._state(None, number))

    @view("uint256")
    def proposal_snapshot(self, number: int) -> int:
        """Whose votes count: those of this moment."""
        return self._known(number).snapshot

    @view("uint256")
    def proposal_deadline(self, number: int) -> int:
        """End of its vote."""
        return self._known(number).vote_end

    @view("uint256")
    def proposal_proposer(self, number: int) -> Address:
        """Who made it."""
        return self._known(number).proposer

    @view("uint256")
    def proposal_eta(self, number: int) -> int:
        """When it can be executed; 0 before it is queued."""
        return self._known(number).eta

    @view("uint256")
    def proposal_votes(self, number: int) -> tuple[int, int, int]:
        """(against, for, abstain)."""
        found = self._known(number)
        return found.against, found.in_favour, found.abstain

    @view("uint256", "address")
    def used_votes(self, number: int, account: Address) -> int:
        """What an account has cast."""
        voters = self._known(number).voters
        return voters[account].weight if account in voters else 0

    @view("uint256")
    def quorum(self, timepoint: int) -> int:
        """Votes for and abstaining that a proposal with this snapshot needs."""
        total = self._vault.get_past_total_supply(timepoint)
        return quorum_of(total, self._percent.at(timepoint), self._first.quorum_floor)

    @view()
    def voting_delay(self) -> int:
        """Seconds from a proposal to its vote."""
        return self._delay

    @view()
    def voting_period(self) -> int:
        """Seconds of a vote."""
        return self._period

    @view()
    def late_quorum_vote_extension(self) -> int:
        """Seconds that a vote lasts at least after its quorum."""
        return self._extension

    @view()
    def quorum_numerator(self) -> int:
        """Percent of all units."""
        return self._percent.latest

    @view()
    def proposal_guardian(self) -> Address:
        """The contract that can cancel."""
        return self._guardian

    @view()
    def timelock(self) -> Address:
        """The contract that carries proposals out."""
        return self._timelock.address

    @view()
    def clock(self) -> int:
        """The chain's time."""
        return self._now()

    @view("address", "bytes4")
    def is_allowed(self, target: Address, selector: bytes) -> bool:
        """Whether proposals may call it."""
        return (target, selector) in self._allowed

    def _known(self, number: int) -> GovernorProposal:
        if number not in self._proposals:
            raise TransactionReverted("GovernorNonexistentProposal", (number,))
        return self._proposals[number]

    def _state(self, transaction: Transaction | None, number: int) -> ProposalState:
        found = self._known(number)
        now = self._now() if transaction is None else transaction.timestamp
        operation = self._timelock.operations.get(found.operation)
        return proposal_state(found, now, quorum=self.quorum(found.snapshot), operation=operation)

    def _in_state(self, transaction: Transaction, number: int, wanted: ProposalState) -> GovernorProposal:
        standing = self._state(transaction, number)
        if standing is not wanted:
            bits = (1 << wanted).to_bytes(32, "big")
            transaction.revert("GovernorUnexpectedProposalState", number, int(standing), bits)
        return self._proposals[number]


READY_BIT = (1 << OperationState.READY).to_bytes(32, "big")


def _cancellable() -> bytes:
    """States in which `cancel` is allowed: every one but cancelled, expired and executed."""
    refused = {ProposalState.CANCELLED, ProposalState.EXPIRED, ProposalState.EXECUTED}
    return sum(1 << one for one in ProposalState if one not in refused).to_bytes(32, "big")

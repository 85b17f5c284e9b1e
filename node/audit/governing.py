"""The auditor's checks of proposals: who may propose, what each vote weighs, quorums, extensions, the timelock's delay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from incentives.voting import CAP_DIVISOR
from node.audit.base import ZERO, Check, Checks, ReplayBase
from node.protocol.calls import OWN_SETTINGS, PROPOSABLE, operation_id, proposal_id, salt_of, selector_of
from node.protocol.governance import (
    FRACTIONAL,
    GovernorProposal,
    ProposalState,
    has_quorum,
    proposal_state,
    split_vote,
)
from node.protocol.hashing import keccak256
from node.protocol.types import Address

THRESHOLD_DIVISOR = 100
MARKER = "#proposer="


class GovernorChecks(Checks):
    """Proposals and votes against the rules of CommunityGovernor and its timelock."""

    def __init__(self, replay: ReplayBase) -> None:
        super().__init__(replay)
        at = self.rules.contracts
        own = ((at["CommunityGovernor"], selector_of(signature)) for signature in OWN_SETTINGS)
        self._listed = frozenset((at[contract], selector_of(signature)) for contract, signature in PROPOSABLE)
        self._allowed = self._listed | frozenset(own)
        self._extension: tuple[int, int] | None = None  # (proposal, end) that a late quorum asks for
        self._scheduled: set[bytes] = set()
        self._cancelled: set[bytes] = set()

    def handlers(self) -> Mapping[tuple[str, str], Check]:
        """Events of governor and timelock."""
        governor, timelock = "CommunityGovernor", "TimelockController"
        return {
            (governor, "Allowed"): self._on_allowed,
            (governor, "ProposalCreated"): self._created,
            (governor, "VoteCast"): self._vote,
            (governor, "VoteCastWithParams"): self._vote,
            (governor, "ProposalExtended"): self._extended,
            (governor, "ProposalQueued"): self._queued,
            (governor, "ProposalExecuted"): self._executed,
            (governor, "ProposalCanceled"): self._on_cancelled,
            (timelock, "CallScheduled"): self._call_scheduled,
            (timelock, "CallExecuted"): self._call_executed,
            (timelock, "Cancelled"): self._operation_cancelled,
        }

    def _quorum(self, proposal: GovernorProposal) -> int:
        return self.state.quorum_at(proposal.snapshot, self.rules.governance.quorum_floor)

    def _standing(self, proposal: GovernorProposal) -> ProposalState:
        operation = self.state.governance.operation_of(proposal)
        return proposal_state(proposal, self.now, quorum=self._quorum(proposal), operation=operation)

    def _on_allowed(self, a: Mapping[str, Any]) -> None:
        entry = (Address(a["target"]), a["selector"])
        self.expect(
            "proposals", entry in self._listed, f"Proposals were let call 0x{a['selector'].hex()} of {a['target']}."
        )

    def _created(self, a: Mapping[str, Any]) -> None:
        settings, now = self.state.governance.settings, self.now
        description, proposer = a["description"], Address(a["proposer"])
        number = proposal_id(a["targets"], a["values"], a["calldatas"], keccak256(description.encode()))
        self.equal("proposals", a["proposalId"], number, f"id of the proposal by {proposer}")
        starts, ends = now + settings.voting_delay, now + settings.voting_delay + settings.voting_period
        self.equal("proposals", (a["voteStart"], a["voteEnd"]), (starts, ends), f"time to vote on proposal {number}")
        for target, data in zip(a["targets"], a["calldatas"], strict=True):
            is_allowed = (Address(target), data[:4]) in self._allowed
            self.expect(
                "proposals", is_allowed, f"Proposal {number} calls 0x{data[:4].hex()} of {target}, which none may."
            )
        needed = min(settings.proposal_threshold, self.state.total_at(now - 1) // THRESHOLD_DIVISOR)
        power = self.state.votes_at(proposer, now - 1)
        self.expect("proposals", power >= needed, f"{proposer} proposed with {power} votes, but needs {needed}.")
        named = description[-42:] if description[-52:-42] == MARKER else proposer
        is_own = named.lower() == proposer.lower()
        self.expect("proposals", is_own, f"{proposer} made the proposal {number}, which names {named} as its proposer.")

    def _vote(self, a: Mapping[str, Any]) -> None:
        proposal, voter = self.state.proposals[a["proposalId"]], Address(a["voter"])
        where = f"vote of {voter} on proposal {proposal.number}"
        standing = self._standing(proposal)
        self.equal("votes", standing, ProposalState.ACTIVE, f"standing of the proposal at the {where}")
        power = self.state.votes_at(voter, proposal.snapshot)
        used = proposal.voters[voter].weight if voter in proposal.voters else 0
        left = power - used
        if a["support"] == FRACTIONAL:
            self.expect(
                "votes", a["weight"] <= left and left > 0, f"The {where} weighs {a['weight']}; {left} were left."
            )
        else:
            self.equal("votes", a["weight"], left, f"weight of the {where}")
            self.expect("votes", left > 0, f"The {where} came after all its votes were cast.")
        cap = self.state.total_at(proposal.snapshot) // CAP_DIVISOR
        self.expect("votes", used + a["weight"] <= cap, f"The {where} exceeds a tenth of all units.")
        self._expect_extension(proposal, a)

    def _expect_extension(self, proposal: GovernorProposal, a: Mapping[str, Any]) -> None:
        quorum = self._quorum(proposal)
        _, in_favour, abstain = split_vote(a["support"], a["weight"], a.get("params", b""))
        reached = proposal.in_favour + proposal.abstain + in_favour + abstain >= quorum
        end = self.now + self.state.governance.settings.late_extension
        if reached and not has_quorum(proposal, quorum) and end > proposal.vote_end:
            self._extension = (proposal.number, end)

    def _extended(self, a: Mapping[str, Any]) -> None:
        self.equal("extensions", (a["proposalId"], a["extendedDeadline"]), self._extension, "vote prolonged")
        self._extension = None

    def _queued(self, a: Mapping[str, Any]) -> None:
        proposal, law = self.state.proposals[a["proposalId"]], self.state.governance
        quorum, votes = self._quorum(proposal), proposal.in_favour + proposal.abstain
        where = f"proposal {proposal.number}"
        self.expect(
            "proposal quorums", votes >= quorum, f"The {where} was queued with {votes} votes of {quorum} needed."
        )
        self.equal(
            "proposals", self._standing(proposal), ProposalState.SUCCEEDED, f"standing of {where} when it was queued"
        )
        self.equal("timelock", a["etaSeconds"], self.now + law.min_delay, f"when {where} can be executed")
        salt = salt_of(self.rules.contracts["CommunityGovernor"], keccak256(proposal.description.encode()))
        calls = (proposal.targets, proposal.values, proposal.calldatas)
        identity = operation_id(*calls, bytes(32), salt)
        self.equal("timelock", law.last_operation, identity, f"operation of {where}")
        operation = law.operations.get(law.last_operation)
        told = () if operation is None else tuple((call.target, call.value, call.data) for call in operation.calls)
        self.equal("timelock", told, tuple(zip(*calls, strict=True)), f"calls of the operation of {where}")
        self._scheduled.discard(law.last_operation)

    def _call_scheduled(self, a: Mapping[str, Any]) -> None:
        is_long = a["delay"] >= self.state.governance.min_delay
        self.expect(
            "timelock", is_long, f"Operation 0x{a['id'].hex()} waits {a['delay']} s, less than the timelock's delay."
        )
        self._scheduled.add(a["id"])

    def _call_executed(self, a: Mapping[str, Any]) -> None:
        operation = self.state.governance.operations.get(a["id"])
        is_ready = operation is not None and not operation.is_cancelled and self.now >= operation.ready_at
        self.expect(
            "timelock", is_ready, f"Operation 0x{a['id'].hex()} was executed before its time, or never scheduled."
        )

    def _executed(self, a: Mapping[str, Any]) -> None:
        proposal = self.state.proposals[a["proposalId"]]
        operation = self.state.governance.operation_of(proposal)
        is_done = operation is not None and operation.executed == len(operation.calls)
        in_time = (
            bool(proposal.eta) and self.now >= proposal.eta and not proposal.is_cancelled and not proposal.is_executed
        )
        what = f"Proposal {proposal.number} was executed without its calls, or before its time."
        self.expect("proposals", is_done and in_time, what)

    def _on_cancelled(self, a: Mapping[str, Any]) -> None:
        proposal = self.state.proposals[a["proposalId"]]
        standing = self._standing(proposal)
        is_open = standing not in (ProposalState.EXECUTED, ProposalState.CANCELLED)
        self.expect("proposals", is_open, f"Proposal {proposal.number} was cancelled while {standing.name}.")
        if standing is not ProposalState.PENDING:  # the proposer could only before the vote
            in_office = self.state.governance.guardian != ZERO and self.now < self.rules.guardian_until
            self.expect("proposals", in_office, f"Proposal {proposal.number} was cancelled, but there is no guardian.")
        self._cancelled.add(proposal.operation)

    def _operation_cancelled(self, a: Mapping[str, Any]) -> None:
        known = a["id"] in self._cancelled
        self.expect("timelock", known, f"Operation 0x{a['id'].hex()} was cancelled without its proposal.")
        self._cancelled.discard(a["id"])

    def settle(self) -> None:
        """No extension is missing, and nothing was scheduled but by a proposal."""
        if self._extension is not None:
            self.expect("extensions", False, f"The vote on proposal {self._extension[0]} was not prolonged.")
            self._extension = None
        for identity in sorted(self._scheduled):
            self.expect("timelock", False, f"Operation 0x{identity.hex()} was scheduled by no proposal.")
        for identity in sorted(self._cancelled - {b""}):
            self.expect("timelock", False, f"Operation 0x{identity.hex()} outlived its cancelled proposal.")
        self._scheduled.clear()
        self._cancelled.clear()

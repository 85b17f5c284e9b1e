"""The network as a fold of its events: `apply(state, event) -> state`.

Node, auditor and simulation use the same fold, so they cannot disagree about what happened. Nothing here judges whether the
chain was right to emit an event (that is the auditor's work); an event that cannot follow the state raises
`InconsistentHistory` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from node.protocol import dispute, revenue
from node.protocol.dispute import Dispute, is_dispute_event
from node.protocol.governance import (
    GOVERNANCE_HANDLERS,
    Governance,
    GovernorProposal,
    ProposalState,
    proposal_state,
    quorum_of,
)
from node.protocol.guidelines import GUIDELINE_HANDLERS, Document, Epoch, Guidelines, Kind
from node.protocol.members import (
    MEMBER_HANDLERS,
    Application,
    InconsistentHistory,
    Member,
    Membership,
    Seat,
    Standing,
    application_of,
    put_member,
)
from node.protocol.members import with_entry as _with
from node.protocol.releases import RELEASE_HANDLERS, Benchmark, Catalogue, Release, decided_by
from node.protocol.revenue import CREDIT_HANDLERS, REVENUE_HANDLERS, Credits, Payment, Revenue
from node.protocol.round import Proposal, Reveal, Round, Settled, fold, is_round_event, opened
from node.protocol.types import Address, ChainEvent, MemberStatus, Scoring
from node.protocol.vault import VAULT_HANDLERS, Lock, Vault

__all__ = [
    "IGNORED",
    "Application",
    "Benchmark",
    "Credits",
    "Dispute",
    "Document",
    "Epoch",
    "GovernorProposal",
    "InconsistentHistory",
    "Lock",
    "Member",
    "Payment",
    "Proposal",
    "ProposalState",
    "Release",
    "Reveal",
    "Revenue",
    "Round",
    "Seat",
    "Settled",
    "State",
    "apply",
    "is_folded",
]


@dataclass(frozen=True, slots=True)
class State(Membership):
    """The network after some block. Starts with the time of deployment as ``last_round_ended_at`` (round 0).

    ``approvals`` are what owners let spenders take, by (owner, spender), as last approved: no event tells what was spent of it since.
    """

    rounds: Mapping[int, Round] = field(default_factory=dict)
    balances: Mapping[Address, int] = field(default_factory=dict)
    approvals: Mapping[tuple[Address, Address], int] = field(default_factory=dict)
    supply: int = 0
    rewards: Mapping[Address, int] = field(default_factory=dict)
    disputes: Mapping[int, Dispute] = field(default_factory=dict)
    guidelines: Guidelines = field(default_factory=Guidelines)
    vault: Vault = field(default_factory=Vault)
    governance: Governance = field(default_factory=Governance)
    catalogue: Catalogue = field(default_factory=Catalogue)
    credits: Credits = field(default_factory=Credits)
    revenue: Revenue = field(default_factory=Revenue)
    payments: tuple[Payment, ...] = ()
    last_round_ended_at: int = 0
    block: int = 0
    events: int = field(default=0)

    @property
    def current(self) -> Round | None:
        """The newest round."""
        return self.rounds.get(max(self.rounds)) if self.rounds else None

    # --- votes ---

    @property
    def locks(self) -> Mapping[Address, Lock]:
        """Locked tokens by account."""
        return self.vault.locks

    @property
    def delegates(self) -> Mapping[Address, Address]:
        """Whom an account's units follow."""
        return self.vault.delegates

    @property
    def units(self) -> Mapping[Address, int]:
        """Voting units by account."""
        return self.vault.units

    def votes_at(self, account: Address, timepoint: int) -> int:
        """Votes of a delegate at a time (`getPastVotes`), capped; 0 unless it is a member now."""
        is_member = self.member(account).status in (MemberStatus.ACTIVE, MemberStatus.EXITING)
        return self.vault.votes_at(account, timepoint, is_member=is_member)

    def total_at(self, timepoint: int) -> int:
        """All voting units at a time (`getPastTotalSupply`)."""
        return self.vault.total_at(timepoint)

    @property
    def proposals(self) -> Mapping[int, GovernorProposal]:
        """Proposals by id."""
        return self.governance.proposals

    def quorum_at(self, timepoint: int, floor: int) -> int:
        """Votes for and abstaining that a proposal with this snapshot needs; ``floor`` is the governor's constant."""
        return quorum_of(self.total_at(timepoint), self.governance.settings.quorum_percent.at(timepoint), floor)

    def proposal_state(self, number: int, now: int, floor: int) -> ProposalState:
        """`CommunityGovernor.state` of a proposal at a time; ``floor`` is the governor's constant.

        Raises:
            KeyError: nobody made it.
        """
        found = self.proposals[number]
        operation = self.governance.operation_of(found)
        return proposal_state(found, now, quorum=self.quorum_at(found.snapshot, floor), operation=operation)

    # --- guidelines, releases, ownership ---

    @property
    def documents(self) -> Mapping[Kind, tuple[Document, ...]]:
        """Revisions of each of the guideline's documents, oldest first."""
        return self.guidelines.documents

    @property
    def epochs(self) -> Mapping[int, Epoch]:
        """Guideline epochs by number."""
        return self.guidelines.epochs

    def scoring_of(self, epoch: int, default: Scoring) -> Scoring:
        """How verdicts are reached under a guideline epoch; ``default`` where its beginning was not folded."""
        found = self.epochs.get(epoch)
        return default if found is None else found.scoring

    @property
    def releases(self) -> Mapping[int, Release]:
        """Releases by number."""
        return self.catalogue.releases

    @property
    def benchmarks(self) -> Mapping[bytes, Benchmark]:
        """Benchmarks of releases by name, retired ones too."""
        return self.catalogue.benchmarks

    def credits_at(self, account: Address, number: int) -> int:
        """A member's credits from rounds up to one, claimed so far."""
        return self.credits.at(account, number)

    def credit_total_at(self, number: int) -> int | None:
        """All members' credits from rounds up to one; None until they are rolled up, and so final."""
        return self.catalogue.credit_totals.get(number) if number else 0


Handler = Callable[[State, ChainEvent], State]


def apply(state: State, event: ChainEvent) -> State:
    """State after one event.

    Raises:
        InconsistentHistory: the event cannot follow.
    """
    if event.block < state.block:
        raise InconsistentHistory(f"{event.name} of block {event.block} comes after block {state.block}.")
    handler = _HANDLERS.get((event.contract, event.name))
    if handler is not None:
        state = handler(state, event)
    state = _fold_dispute(_fold_round(state, event), event)
    return replace(state, block=event.block, events=state.events + 1)


def _fold_round(state: State, event: ChainEvent) -> State:
    found = state.rounds.get(event.arguments.get("round", 0))
    if found is None:
        if is_round_event(event):
            raise InconsistentHistory(f"{event.name} names round {event.arguments['round']}, which was never opened.")
        return state
    after = fold(found, event)
    if after.is_over and not found.is_over:
        state = replace(state, last_round_ended_at=event.timestamp)
    return _put(state, after)


def _fold_dispute(state: State, event: ChainEvent) -> State:
    if not is_dispute_event(event):
        return state
    number = event.arguments["id"]
    if number not in state.disputes:
        raise InconsistentHistory(f"{event.name} names dispute {number}, which was never opened.")
    after = dispute.fold(state.disputes[number], event)
    return replace(state, disputes=_with(state.disputes, number, after))


def _put(state: State, found: Round) -> State:
    return replace(state, rounds=_with(state.rounds, found.number, found))


# --- registry -------------------------------------------------------------------------------------------------------


def _admitted(state: State, event: ChainEvent) -> State:
    a = event.arguments
    member = state.member(Address(a["member"]))
    application = replace(application_of(state, event), standing=Standing.APPROVED)
    applications = _with(state.applications, application.number, application)
    state = replace(state, granted=state.granted + a["grant"], applications=applications)
    return put_member(
        state,
        replace(
            member,
            status=MemberStatus.ACTIVE,
            stake=member.stake + a["grant"],
            active_since=event.timestamp,
            unvested=a["grant"],
            admitted_in=len(state.rounds),
        ),
    )


def _vested(state: State, event: ChainEvent) -> State:
    a = event.arguments
    number, member = a["round"], state.member(Address(a["member"]))
    if number not in state.rounds:
        raise InconsistentHistory(f"{event.name} names round {number}, which was never opened.")
    found = state.rounds[number]
    if a["index"] in found.vested or a["amount"] > member.unvested:
        raise InconsistentHistory(f"Update {a['index']} of round {found.number} vested twice, or more than there was.")
    state = _put(state, replace(found, vested=found.vested | {a["index"]}))
    return put_member(state, replace(member, unvested=a["unvested"]))


def _slashed(state: State, event: ChainEvent) -> State:
    a = event.arguments
    address = Address(a["member"])
    member = state.member(address)
    if a["amount"] > member.stake:
        raise InconsistentHistory(f"{address} was slashed {a['amount']} of a stake of {member.stake}.")
    unvested = min(member.unvested, a["stake"])
    slashed = member.slashed + a["amount"]
    state = put_member(state, replace(member, stake=a["stake"], unvested=unvested, slashed=slashed))
    if a["round"] in state.rounds:
        found = state.rounds[a["round"]]
        state = _put(state, replace(found, slashed=found.slashed | {(address, a["fault"])}))
    return state


# --- rounds ---------------------------------------------------------------------------------------------------------


def _round_opened(state: State, event: ChainEvent) -> State:
    number = event.arguments["round"]
    if number != len(state.rounds) + 1:
        raise InconsistentHistory(f"Round {number} was opened after {len(state.rounds)} rounds.")
    # Active since before the opening, as the contract demands of trainers, so all who could take part are among them.
    known = map(state.member, state.active)
    members = tuple((one.address, one.encryption_key) for one in known if one.active_since < event.timestamp)
    before = state.current.members if state.current is not None else ()
    return _put(
        state, replace(opened(event), members=before if before == members else members)
    )  # mostly the same again


def _dispute_opened(state: State, event: ChainEvent) -> State:
    number = event.arguments["id"]
    if number != len(state.disputes) + 1:
        raise InconsistentHistory(f"Dispute {number} was opened after {len(state.disputes)} disputes.")
    return replace(state, disputes=_with(state.disputes, number, dispute.opened(event)))


# --- money ----------------------------------------------------------------------------------------------------------

_ZERO = Address("0x" + "00" * 20)


def _transfer(state: State, event: ChainEvent) -> State:
    sender, receiver, value = Address(event.arguments["from"]), Address(event.arguments["to"]), event.arguments["value"]
    balances, supply = dict(state.balances), state.supply
    if sender == _ZERO:
        supply += value
    else:
        balances[sender] = balances.get(sender, 0) - value
        if balances[sender] < 0:
            raise InconsistentHistory(f"{sender} moved {value} more than it had in block {event.block}.")
    if receiver == _ZERO:
        supply -= value
    else:
        balances[receiver] = balances.get(receiver, 0) + value
    return replace(state, balances=MappingProxyType(balances), supply=supply)


def _claimed(state: State, event: ChainEvent) -> State:
    a = event.arguments
    member = Address(a["member"])
    earned = state.rewards.get(member, 0) + a["trainerReward"] + a["verifierReward"] + a["attesterReward"]
    credited = CREDIT_HANDLERS[event.name](state.credits, event)
    return replace(state, rewards=_with(state.rewards, member, earned), credits=credited)


def _approved(state: State, event: ChainEvent) -> State:
    a = event.arguments
    key = (Address(a["owner"]), Address(a["spender"]))
    return replace(state, approvals=_with(state.approvals, key, a["value"]))


# --- votes, guidelines, releases, revenue -----------------------------------------------------------------------------


def _within(part: str, handler: Callable[[Any, ChainEvent], Any]) -> Handler:
    """A handler of one part of the state, as one of the whole."""

    def fold_part(state: State, event: ChainEvent) -> State:
        changes: dict[str, Any] = {part: handler(getattr(state, part), event)}
        return replace(state, **changes)

    return fold_part


def _decided(state: State, event: ChainEvent) -> State:
    state = replace(state, governance=GOVERNANCE_HANDLERS[event.contract, event.name](state.governance, event))
    proposal = state.proposals[event.arguments["proposalId"]]
    return replace(state, catalogue=decided_by(state.catalogue, event.transaction, proposal))


_HANDLERS: Mapping[tuple[str, str], Handler] = {
    **{("MemberRegistry", name): handler for name, handler in MEMBER_HANDLERS.items()},
    **{("GuidelineRegistry", name): _within("guidelines", handler) for name, handler in GUIDELINE_HANDLERS.items()},
    **{("VotingVault", name): _within("vault", handler) for name, handler in VAULT_HANDLERS.items()},
    **{key: _within("governance", handler) for key, handler in GOVERNANCE_HANDLERS.items()},
    **{("ReleaseRegistry", name): _within("catalogue", handler) for name, handler in RELEASE_HANDLERS.items()},
    **{("RevenueSplitter", name): _within("revenue", handler) for name, handler in REVENUE_HANDLERS.items()},
    **{("RewardDistributor", name): _within("credits", handler) for name, handler in CREDIT_HANDLERS.items()},
    ("CommunityGovernor", "ProposalExecuted"): _decided,
    ("MemberRegistry", "Admitted"): _admitted,
    ("MemberRegistry", "Slashed"): _slashed,
    ("MemberRegistry", "Vested"): _vested,
    ("RoundManager", "RoundOpened"): _round_opened,
    ("RoundCourt", "DisputeOpened"): _dispute_opened,
    ("ContributionToken", "Transfer"): _transfer,
    ("ContributionToken", "Approval"): _approved,
    ("RewardDistributor", "Claimed"): _claimed,
    ("Treasury", "Paid"): _within("payments", revenue.paid),
}

IGNORED: Mapping[tuple[str, str], str] = {
    ("ContributionToken", "EIP712DomainChanged"): "never emitted: name and version are constants",
    ("VotingVault", "EIP712DomainChanged"): "never emitted: name and version are constants",
    ("CommunityGovernor", "EIP712DomainChanged"): "never emitted: name and version are constants",
    ("VotingVault", "Evicted"): "UnlockStarted follows in the same call and says what moved",
}
"""Events that change no state, and why. Every other event of the contracts' ABIs is folded."""


def is_folded(contract: str, name: str) -> bool:
    """Whether an event of a contract changes the state."""
    event = ChainEvent(contract, name, {}, 0, 0, b"", 0)
    return (contract, name) in _HANDLERS or is_round_event(event) or is_dispute_event(event)

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

from node.protocol import dispute
from node.protocol.dispute import Dispute, is_dispute_event
from node.protocol.round import (
    InconsistentHistory,
    Proposal,
    Reveal,
    Round,
    Settled,
    fold,
    is_round_event,
    opened,
)
from node.protocol.round import with_entry as _with
from node.protocol.types import Address, ChainEvent, MemberStatus, Scoring

__all__ = [
    "Application",
    "Dispute",
    "InconsistentHistory",
    "Member",
    "Proposal",
    "Reveal",
    "Round",
    "Settled",
    "State",
    "apply",
]

_EMPTY: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Member:
    """One account in the registry. Amounts in 10⁻¹⁸ CWT."""

    address: Address
    status: MemberStatus = MemberStatus.NONE
    stake: int = 0
    unvested: int = 0
    peer_id: str = ""
    application: int = 0
    slashed: int = 0
    active_since: int = 0


@dataclass(frozen=True, slots=True)
class Application:
    """A request to join: who asks, and hash and CID of the signed request."""

    number: int
    applicant: Address
    request_hash: bytes
    request_cid: bytes
    peer_id: str


@dataclass(frozen=True, slots=True)
class State:
    """The network after some block. Starts with the time of deployment as ``last_round_ended_at`` (round 0)."""

    members: Mapping[Address, Member] = field(default_factory=dict)
    applications: Mapping[int, Application] = field(default_factory=dict)
    reviews: Mapping[int, Mapping[Address, bool]] = field(default_factory=dict)
    rounds: Mapping[int, Round] = field(default_factory=dict)
    balances: Mapping[Address, int] = field(default_factory=dict)
    supply: int = 0
    rewards: Mapping[Address, int] = field(default_factory=dict)
    disputes: Mapping[int, Dispute] = field(default_factory=dict)
    epochs: Mapping[int, Scoring] = field(default_factory=dict)
    last_round_ended_at: int = 0
    block: int = 0
    events: int = field(default=0)

    @property
    def current(self) -> Round | None:
        """The newest round."""
        return self.rounds.get(max(self.rounds)) if self.rounds else None

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


def _put_member(state: State, member: Member) -> State:
    return replace(state, members=_with(state.members, member.address, member))


# --- registry -------------------------------------------------------------------------------------------------------


def _applied(state: State, event: ChainEvent) -> State:
    a = event.arguments
    applicant = Address(a["applicant"])
    member = replace(
        state.member(applicant),
        status=MemberStatus.APPLIED,
        peer_id=bytes(a["peerId"]).decode("ascii", "replace"),
        application=a["application"],
    )
    application = Application(a["application"], applicant, a["requestHash"], a["requestCid"], member.peer_id)
    state = replace(state, applications=_with(state.applications, application.number, application))
    return _put_member(state, member)


def _reviewed(state: State, event: ChainEvent) -> State:
    a = event.arguments
    votes = _with(state.reviews.get(a["application"], _EMPTY), Address(a["reviewer"]), bool(a["approve"]))
    return replace(state, reviews=_with(state.reviews, a["application"], votes))


def _rejected(state: State, event: ChainEvent) -> State:
    applicant = Address(event.arguments["applicant"])
    return _put_member(state, replace(state.member(applicant), status=MemberStatus.NONE))


def _admitted(state: State, event: ChainEvent) -> State:
    a = event.arguments
    member = state.member(Address(a["member"]))
    return _put_member(
        state,
        replace(
            member,
            status=MemberStatus.ACTIVE,
            stake=member.stake + a["grant"],
            unvested=a["grant"],
            active_since=event.timestamp,
        ),
    )


def _bonded(state: State, event: ChainEvent) -> State:
    member = state.member(Address(event.arguments["member"]))
    return _put_member(state, replace(member, stake=event.arguments["stake"]))


def _exit_started(state: State, event: ChainEvent) -> State:
    member = state.member(Address(event.arguments["member"]))
    return _put_member(state, replace(member, status=MemberStatus.EXITING))


def _exited(state: State, event: ChainEvent) -> State:
    member = state.member(Address(event.arguments["member"]))
    return _put_member(state, replace(member, status=MemberStatus.NONE, stake=0, unvested=0))


def _banned(state: State, event: ChainEvent) -> State:
    member = state.member(Address(event.arguments["account"]))
    return _put_member(state, replace(member, status=MemberStatus.BANNED, stake=0, unvested=0))


def _slashed(state: State, event: ChainEvent) -> State:
    a = event.arguments
    address = Address(a["member"])
    member = state.member(address)
    if a["amount"] > member.stake:
        raise InconsistentHistory(f"{address} was slashed {a['amount']} of a stake of {member.stake}.")
    left, unvested = a["stake"], min(member.unvested, a["stake"])
    member = replace(member, stake=left, unvested=unvested, slashed=member.slashed + a["amount"])
    state = _put_member(state, member)
    if a["round"] in state.rounds:
        found = state.rounds[a["round"]]
        state = _put(state, replace(found, slashed=found.slashed | {(address, a["fault"])}))
    return state


# --- rounds ---------------------------------------------------------------------------------------------------------


def _round_opened(state: State, event: ChainEvent) -> State:
    number = event.arguments["round"]
    if number != len(state.rounds) + 1:
        raise InconsistentHistory(f"Round {number} was opened after {len(state.rounds)} rounds.")
    return _put(state, opened(event))


def _dispute_opened(state: State, event: ChainEvent) -> State:
    number = event.arguments["id"]
    if number != len(state.disputes) + 1:
        raise InconsistentHistory(f"Dispute {number} was opened after {len(state.disputes)} disputes.")
    return replace(state, disputes=_with(state.disputes, number, dispute.opened(event)))


def _epoch_begun(state: State, event: ChainEvent) -> State:
    a = event.arguments
    values = a["scoring"]
    scoring = Scoring(values["tau"], values["deltaMin"], values["harmMin"], values["gainCap"])
    return replace(state, epochs=_with(state.epochs, a["epoch"], scoring))


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
    return replace(state, rewards=_with(state.rewards, member, earned))


_HANDLERS: Mapping[tuple[str, str], Handler] = {
    ("MemberRegistry", "Applied"): _applied,
    ("MemberRegistry", "Reviewed"): _reviewed,
    ("MemberRegistry", "Rejected"): _rejected,
    ("MemberRegistry", "Admitted"): _admitted,
    ("MemberRegistry", "Bonded"): _bonded,
    ("MemberRegistry", "ExitStarted"): _exit_started,
    ("MemberRegistry", "Exited"): _exited,
    ("MemberRegistry", "Slashed"): _slashed,
    ("MemberRegistry", "Banned"): _banned,
    ("RoundManager", "RoundOpened"): _round_opened,
    ("GuidelineRegistry", "EpochBegun"): _epoch_begun,
    ("RoundCourt", "DisputeOpened"): _dispute_opened,
    ("ContributionToken", "Transfer"): _transfer,
    ("RewardDistributor", "Claimed"): _claimed,
}

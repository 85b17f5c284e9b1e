"""The network as a fold of its events: `apply(state, event) -> state`.

Node, auditor and simulation use the same fold, so they cannot disagree about what happened. Nothing here judges whether the
chain was right to emit an event (that is the auditor's work); an event that cannot follow the state raises
`InconsistentHistory` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from node.protocol import dispute
from node.protocol.dispute import Dispute, is_dispute_event
from node.protocol.members import (
    MEMBER_HANDLERS,
    Application,
    InconsistentHistory,
    Member,
    Membership,
    Seat,
    put_member,
)
from node.protocol.members import with_entry as _with
from node.protocol.round import Proposal, Reveal, Round, Settled, fold, is_round_event, opened
from node.protocol.types import Address, ChainEvent, MemberStatus, Scoring

__all__ = [
    "Application",
    "Dispute",
    "InconsistentHistory",
    "Member",
    "Proposal",
    "Reveal",
    "Round",
    "Seat",
    "Settled",
    "State",
    "apply",
]


@dataclass(frozen=True, slots=True)
class State(Membership):
    """The network after some block. Starts with the time of deployment as ``last_round_ended_at`` (round 0)."""

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
    state = replace(state, granted=state.granted + a["grant"])
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
    **{("MemberRegistry", name): handler for name, handler in MEMBER_HANDLERS.items()},
    ("MemberRegistry", "Admitted"): _admitted,
    ("MemberRegistry", "Slashed"): _slashed,
    ("MemberRegistry", "Vested"): _vested,
    ("RoundManager", "RoundOpened"): _round_opened,
    ("GuidelineRegistry", "EpochBegun"): _epoch_begun,
    ("RoundCourt", "DisputeOpened"): _dispute_opened,
    ("ContributionToken", "Transfer"): _transfer,
    ("RewardDistributor", "Claimed"): _claimed,
}

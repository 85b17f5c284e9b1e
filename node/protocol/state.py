"""The network as a fold of its events: `apply(state, event) -> state`.

Node, auditor and simulation use the same fold, so they cannot disagree about what happened. Nothing here judges whether the
chain was right to emit an event (that is the auditor's work); an event that cannot follow the state raises
`InconsistentHistory` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

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
from node.protocol.phases import Counters
from node.protocol.types import Address, ChainEvent, MemberStatus, Phase, UpdateStatus, VoidReason

__all__ = [
    "Application",
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
class Reveal:
    """One revealed update. ``index`` is its place in the ring's numbering, ``sequence`` its place among the commits."""

    index: int
    trainer: Address
    sequence: int
    content_hash: bytes
    cid: bytes
    samples: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The verdict on one update: gain in ppm, agreeing votes, reward weight."""

    status: UpdateStatus
    gain: int
    votes: int
    weight: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """The aggregate that reached a quorum."""

    proposer: Address
    secret: bytes
    model_hash: bytes
    cid: bytes
    votes: int


@dataclass(frozen=True, slots=True)
class Round:
    """Everything on chain about one round."""

    number: int
    opener: Address
    parent_model_hash: bytes
    parent_model_cid: bytes
    guideline_hash: bytes
    benchmark_commitment: bytes
    expected: int
    opened_block: int
    opened_at: int
    phase: Phase = Phase.COMMIT
    phase_since: int = 0
    touched_at: int = 0
    deadline: int = 0
    commits: Mapping[Address, tuple[int, bytes]] = field(default_factory=dict)
    reveals: tuple[Reveal, ...] = ()
    benchmark: tuple[bytes, bytes] | None = None
    seed_block: int = 0
    seed: bytes = b""
    is_sealed: bool = False
    score_commits: Mapping[int, bytes] = field(default_factory=dict)
    score_words: Mapping[int, int] = field(default_factory=dict)
    settled: Mapping[int, Settled] = field(default_factory=dict)
    attestations: Mapping[int, tuple[Address, bytes]] = field(default_factory=dict)
    proposal: Proposal | None = None
    sum_weight: int = 0
    void_reason: VoidReason = VoidReason.NONE
    slashed: frozenset[tuple[Address, int]] = frozenset()
    claimed: frozenset[int] = frozenset()
    treasury_claimed: bool = False
    vested: frozenset[int] = frozenset()

    @property
    def is_over(self) -> bool:
        """Finalized or voided."""
        return self.phase in (Phase.FINALIZED, Phase.VOIDED)

    @property
    def is_committed_slice_pending(self) -> bool:
        """A sealed slice was promised and not yet opened."""
        return self.benchmark_commitment != bytes(32) and self.benchmark is None

    @property
    def counters(self) -> Counters:
        """The counts that decide an early end of a phase."""
        return Counters(
            expected=self.expected,
            committed=len(self.commits),
            revealed=len(self.reveals),
            slice_pending=self.is_committed_slice_pending,
            seed_block=self.seed_block,
            score_commits=len(self.score_commits),
            score_reveals=len(self.score_words),
            settled=len(self.settled),
            accepted=len(self.accepted),
        )

    @property
    def accepted(self) -> tuple[Reveal, ...]:
        """Accepted updates in canonical order: by trainer address."""
        chosen = (
            reveal
            for reveal in self.reveals
            if (verdict := self.settled.get(reveal.index)) and verdict.status is UpdateStatus.ACCEPTED
        )
        return tuple(sorted(chosen, key=lambda reveal: bytes.fromhex(reveal.trainer[2:])))

    def reveal_of(self, trainer: Address) -> Reveal | None:
        """The update this trainer revealed, if any."""
        return next((reveal for reveal in self.reveals if reveal.trainer == trainer), None)


@dataclass(frozen=True, slots=True)
class State(Membership):
    """The network after some block. Starts with the time of deployment as ``last_round_ended_at`` (round 0)."""

    rounds: Mapping[int, Round] = field(default_factory=dict)
    balances: Mapping[Address, int] = field(default_factory=dict)
    supply: int = 0
    rewards: Mapping[Address, int] = field(default_factory=dict)
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
    touched = state.rounds.get(event.arguments.get("round", 0))
    if touched is not None:
        state = _put(state, replace(touched, touched_at=event.timestamp))
    return replace(state, block=event.block, events=state.events + 1)


def _round_of(state: State, event: ChainEvent) -> Round:
    number = event.arguments["round"]
    if number not in state.rounds:
        raise InconsistentHistory(f"{event.name} names round {number}, which was never opened.")
    return state.rounds[number]


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
    found, member = _round_of(state, event), state.member(Address(a["member"]))
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
    a = event.arguments
    if a["round"] != len(state.rounds) + 1:
        raise InconsistentHistory(f"Round {a['round']} was opened after {len(state.rounds)} rounds.")
    return _put(
        state,
        Round(
            number=a["round"],
            opener=Address(a["opener"]),
            parent_model_hash=a["parentModelHash"],
            parent_model_cid=a["parentModelCid"],
            guideline_hash=a["guidelineHash"],
            benchmark_commitment=a["benchmarkCommitment"],
            expected=a["expected"],
            opened_block=event.block,
            opened_at=event.timestamp,
            phase_since=event.timestamp,
            deadline=a["deadline"],
        ),
    )


def _phase_changed(state: State, event: ChainEvent) -> State:
    found, phase = _round_of(state, event), Phase(event.arguments["phase"])
    if phase < found.phase:
        raise InconsistentHistory(f"Round {found.number} went back from {found.phase.name} to {phase.name}.")
    return _put(state, replace(found, phase=phase, phase_since=event.timestamp, deadline=event.arguments["deadline"]))


def _update_committed(state: State, event: ChainEvent) -> State:
    found, a = _round_of(state, event), event.arguments
    trainer = Address(a["trainer"])
    if trainer in found.commits:
        raise InconsistentHistory(f"{trainer} committed twice in round {found.number}.")
    return _put(state, replace(found, commits=_with(found.commits, trainer, (a["sequence"], a["commitment"]))))


def _update_revealed(state: State, event: ChainEvent) -> State:
    found, a = _round_of(state, event), event.arguments
    reveal = Reveal(
        index=a["index"],
        trainer=Address(a["trainer"]),
        sequence=a["sequence"],
        content_hash=a["contentHash"],
        cid=a["cid"],
        samples=a["samples"],
    )
    if reveal.trainer not in found.commits or reveal.index != len(found.reveals):
        raise InconsistentHistory(
            f"{reveal.trainer} revealed index {reveal.index} out of turn in round {found.number}."
        )
    return _put(state, replace(found, reveals=(*found.reveals, reveal)))


def _benchmark_revealed(state: State, event: ChainEvent) -> State:
    found, a = _round_of(state, event), event.arguments
    return _put(state, replace(found, benchmark=(a["contentHash"], a["cid"])))


def _seed_pinned(state: State, event: ChainEvent) -> State:
    return _put(state, replace(_round_of(state, event), seed_block=event.arguments["seedBlock"]))


def _seed_drawn(state: State, event: ChainEvent) -> State:
    found, a = _round_of(state, event), event.arguments
    return _put(state, replace(found, seed=a["seed"], is_sealed=a["isSealed"]))


def _scores_committed(state: State, event: ChainEvent) -> State:
    found, a = _round_of(state, event), event.arguments
    return _put(state, replace(found, score_commits=_with(found.score_commits, a["index"], a["commitment"])))


def _scores_revealed(state: State, event: ChainEvent) -> State:
    found, a = _round_of(state, event), event.arguments
    return _put(state, replace(found, score_words=_with(found.score_words, a["index"], a["word"])))


def _update_settled(state: State, event: ChainEvent) -> State:
    found, a = _round_of(state, event), event.arguments
    if a["index"] in found.settled:
        raise InconsistentHistory(f"Update {a['index']} of round {found.number} was settled twice.")
    verdict = Settled(UpdateStatus(a["status"]), a["gain"], a["votes"], a["weight"])
    return _put(
        state,
        replace(
            found,
            settled=_with(found.settled, a["index"], verdict),
            sum_weight=found.sum_weight + verdict.weight,
        ),
    )


def _attested(state: State, event: ChainEvent) -> State:
    found, a = _round_of(state, event), event.arguments
    if a["slot"] in found.attestations:
        raise InconsistentHistory(f"Slot {a['slot']} of round {found.number} attested twice.")
    entry = (Address(a["attester"]), a["attestation"])
    return _put(state, replace(found, attestations=_with(found.attestations, a["slot"], entry)))


def _aggregate_proposed(state: State, event: ChainEvent) -> State:
    found, a = _round_of(state, event), event.arguments
    proposal = Proposal(Address(a["proposer"]), a["secret"], a["modelHash"], a["cid"], a["votes"])
    return _put(state, replace(found, proposal=proposal))


def _round_finalized(state: State, event: ChainEvent) -> State:
    found = _round_of(state, event)
    if found.proposal is None or found.proposal.model_hash != event.arguments["modelHash"]:
        raise InconsistentHistory(f"Round {found.number} was finalised with a model nobody proposed.")
    state = replace(state, last_round_ended_at=event.timestamp)
    return _put(state, replace(found, phase=Phase.FINALIZED, phase_since=event.timestamp))


def _round_voided(state: State, event: ChainEvent) -> State:
    found = _round_of(state, event)
    state = replace(state, last_round_ended_at=event.timestamp)
    reason = VoidReason(event.arguments["reason"])
    return _put(state, replace(found, phase=Phase.VOIDED, void_reason=reason, phase_since=event.timestamp))


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
    found, a = _round_of(state, event), event.arguments
    if a["index"] in found.claimed:
        raise InconsistentHistory(f"Index {a['index']} of round {found.number} was claimed twice.")
    member = Address(a["member"])
    earned = state.rewards.get(member, 0) + a["trainerReward"] + a["verifierReward"] + a["attesterReward"]
    state = replace(state, rewards=_with(state.rewards, member, earned))
    return _put(state, replace(found, claimed=found.claimed | {a["index"]}))


def _treasury_claimed(state: State, event: ChainEvent) -> State:
    return _put(state, replace(_round_of(state, event), treasury_claimed=True))


_HANDLERS: Mapping[tuple[str, str], Handler] = {
    **{("MemberRegistry", name): handler for name, handler in MEMBER_HANDLERS.items()},
    ("MemberRegistry", "Admitted"): _admitted,
    ("MemberRegistry", "Slashed"): _slashed,
    ("MemberRegistry", "Vested"): _vested,
    ("RoundManager", "RoundOpened"): _round_opened,
    ("RoundManager", "PhaseChanged"): _phase_changed,
    ("RoundManager", "UpdateCommitted"): _update_committed,
    ("RoundManager", "UpdateRevealed"): _update_revealed,
    ("RoundManager", "BenchmarkRevealed"): _benchmark_revealed,
    ("RoundManager", "SeedPinned"): _seed_pinned,
    ("RoundManager", "SeedDrawn"): _seed_drawn,
    ("RoundManager", "ScoresCommitted"): _scores_committed,
    ("RoundManager", "ScoresRevealed"): _scores_revealed,
    ("RoundManager", "UpdateSettled"): _update_settled,
    ("RoundManager", "Attested"): _attested,
    ("RoundManager", "AggregateProposed"): _aggregate_proposed,
    ("RoundManager", "RoundFinalized"): _round_finalized,
    ("RoundManager", "RoundVoided"): _round_voided,
    ("ContributionToken", "Transfer"): _transfer,
    ("RewardDistributor", "Claimed"): _claimed,
    ("RewardDistributor", "TreasuryClaimed"): _treasury_claimed,
}

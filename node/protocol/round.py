"""One round as a fold of its events: `fold(round, event) -> round`. Part of `node.protocol.state`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from node.protocol.members import InconsistentHistory, with_entry
from node.protocol.phases import Counters
from node.protocol.sortition import has_retry_panel, verifiers_per_update
from node.protocol.types import Address, ChainEvent, Fault, Phase, UpdateStatus, VoidReason


@dataclass(frozen=True, slots=True)
class Reveal:
    """One revealed update. ``index`` is its place in the ring's numbering, ``sequence`` its place among the commits.

    The salt stands in no event, only in the data of ``transaction``.
    """

    index: int
    trainer: Address
    sequence: int
    content_hash: bytes
    cid: bytes
    samples: int
    transaction: bytes = b""


@dataclass(frozen=True, slots=True)
class Settled:
    """The verdict on one update: gain in ppm, agreeing votes, reward weight; whether the retry panel reached it."""

    status: UpdateStatus
    gain: int
    votes: int
    weight: int
    is_retried: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """The aggregate that reached a quorum, and the indices that were accepted then: a jury judges it by them."""

    proposer: Address
    secret: bytes
    model_hash: bytes
    cid: bytes
    votes: int
    aggregated: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Round:
    """Everything on chain about one round.

    ``score_words`` hold the words of the first panel, ``retry_words`` those of the second, both by index. ``slashed`` names who was
    slashed for which fault; ``punished`` the (fault, subject) that the court punished, which it does once each (docs/protocol.md lists
    the subjects). ``forfeited`` indices are copies and paid nothing. ``challenge_end`` is the Challenge's own end. ``members`` were active
    before the round opened: account and the encryption key it had then, by address.
    """

    number: int
    opener: Address
    parent_model_hash: bytes
    parent_model_cid: bytes
    epoch: int
    guideline_hash: bytes
    benchmark_commitment: bytes
    expected: int
    opened_block: int
    opened_at: int
    phase: Phase = Phase.COMMIT
    phase_since: int = 0
    touched_at: int = 0
    deadline: int = 0
    challenge_end: int = 0
    commits: Mapping[Address, tuple[int, bytes]] = field(default_factory=dict)
    reveals: tuple[Reveal, ...] = ()
    benchmark: tuple[bytes, bytes] | None = None
    seed_block: int = 0
    seed: bytes = b""
    is_sealed: bool = False
    score_commits: Mapping[int, bytes] = field(default_factory=dict)
    score_words: Mapping[int, int] = field(default_factory=dict)
    settled: Mapping[int, Settled] = field(default_factory=dict)
    retry_commits: Mapping[int, bytes] = field(default_factory=dict)
    retry_words: Mapping[int, int] = field(default_factory=dict)
    attestations: Mapping[int, tuple[Address, bytes]] = field(default_factory=dict)
    proposal: Proposal | None = None
    sum_weight: int = 0
    void_reason: VoidReason = VoidReason.NONE
    slashed: frozenset[tuple[Address, int]] = frozenset()
    punished: frozenset[tuple[int, int]] = frozenset()
    forfeited: frozenset[int] = frozenset()
    disputes: frozenset[int] = frozenset()
    claimed: frozenset[int] = frozenset()
    treasury_claimed: bool = False
    vested: frozenset[int] = frozenset()
    members: tuple[tuple[Address, bytes], ...] = ()

    @property
    def audience(self) -> bytes:
        """SHA-256 of the members and their keys: whom an encrypted update of this round is for."""
        return sha256(b"".join(bytes.fromhex(address[2:]) + key for address, key in self.members)).digest()

    @property
    def is_over(self) -> bool:
        """Finalized or voided."""
        return self.phase in (Phase.FINALIZED, Phase.VOIDED)

    @property
    def is_committed_slice_pending(self) -> bool:
        """A sealed slice was promised and not yet opened."""
        return self.benchmark_commitment != bytes(32) and self.benchmark is None

    def verifiers(self, max_verifiers: int) -> int:
        """K: how many verifiers every update has."""
        return verifiers_per_update(len(self.reveals), max_verifiers)

    def has_retry(self, max_verifiers: int) -> bool:
        """Whether the ring holds a second full panel."""
        return has_retry_panel(len(self.reveals), self.verifiers(max_verifiers))

    @property
    def unscored(self) -> tuple[int, ...]:
        """Indices that are Unscored and were not tried again yet."""
        return tuple(
            index
            for index, verdict in self.settled.items()
            if verdict.status is UpdateStatus.UNSCORED and not verdict.is_retried
        )

    @property
    def left_unscored(self) -> frozenset[int]:
        """Indices that the first panel left Unscored, whatever became of them."""
        return frozenset(self.unscored) | {index for index, verdict in self.settled.items() if verdict.is_retried}

    def words(self, *, retry: bool) -> Mapping[int, int]:
        """Revealed words of one of the two panels, by index."""
        return self.retry_words if retry else self.score_words

    def counters(self, max_verifiers: int) -> Counters:
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
            unscored=len(self.unscored),
            has_retry_panel=self.has_retry(max_verifiers),
            retry_commits=len(self.retry_commits),
            retry_reveals=len(self.retry_words),
        )

    @property
    def accepted(self) -> tuple[Reveal, ...]:
        """Accepted updates in canonical order: by trainer address."""
        return self._canonical(
            {index for index, verdict in self.settled.items() if verdict.status is UpdateStatus.ACCEPTED}
        )

    @property
    def aggregated(self) -> tuple[Reveal, ...]:
        """Updates that the round's model is made of, in canonical order: those accepted when it was proposed, or until then now."""
        return self.accepted if self.proposal is None else self._canonical(self.proposal.aggregated)

    def _canonical(self, indices: Collection[int]) -> tuple[Reveal, ...]:
        chosen = (reveal for reveal in self.reveals if reveal.index in indices)
        return tuple(sorted(chosen, key=lambda reveal: bytes.fromhex(reveal.trainer[2:])))

    def reveal_of(self, trainer: Address) -> Reveal | None:
        """The update this trainer revealed, if any."""
        return next((reveal for reveal in self.reveals if reveal.trainer == trainer), None)


# --- rounds ---------------------------------------------------------------------------------------------------------


def opened(event: ChainEvent) -> Round:
    """The round that a RoundOpened event begins."""
    a = event.arguments
    return Round(
        number=a["round"],
        opener=Address(a["opener"]),
        parent_model_hash=a["parentModelHash"],
        parent_model_cid=a["parentModelCid"],
        epoch=a["epoch"],
        guideline_hash=a["guidelineHash"],
        benchmark_commitment=a["benchmarkCommitment"],
        expected=a["expected"],
        opened_block=event.block,
        opened_at=event.timestamp,
        phase_since=event.timestamp,
        deadline=a["deadline"],
    )


def _phase_changed(found: Round, event: ChainEvent) -> Round:
    phase = Phase(event.arguments["phase"])
    if phase < found.phase:
        raise InconsistentHistory(f"Round {found.number} went back from {found.phase.name} to {phase.name}.")
    deadline = event.arguments["deadline"]
    challenge_end = deadline if phase is Phase.CHALLENGE else found.challenge_end
    return replace(found, phase=phase, phase_since=event.timestamp, deadline=deadline, challenge_end=challenge_end)


def _update_committed(found: Round, event: ChainEvent) -> Round:
    a = event.arguments
    trainer = Address(a["trainer"])
    if trainer in found.commits:
        raise InconsistentHistory(f"{trainer} committed twice in round {found.number}.")
    return replace(found, commits=with_entry(found.commits, trainer, (a["sequence"], a["commitment"])))


def _update_revealed(found: Round, event: ChainEvent) -> Round:
    a = event.arguments
    reveal = Reveal(
        index=a["index"],
        trainer=Address(a["trainer"]),
        sequence=a["sequence"],
        content_hash=a["contentHash"],
        cid=a["cid"],
        samples=a["samples"],
        transaction=event.transaction,
    )
    if reveal.trainer not in found.commits or reveal.index != len(found.reveals):
        raise InconsistentHistory(
            f"{reveal.trainer} revealed index {reveal.index} out of turn in round {found.number}."
        )
    return replace(found, reveals=(*found.reveals, reveal))


def _benchmark_revealed(found: Round, event: ChainEvent) -> Round:
    a = event.arguments
    return replace(found, benchmark=(a["contentHash"], a["cid"]))


def _seed_pinned(found: Round, event: ChainEvent) -> Round:
    return replace(found, seed_block=event.arguments["seedBlock"])


def _seed_drawn(found: Round, event: ChainEvent) -> Round:
    a = event.arguments
    return replace(found, seed=a["seed"], is_sealed=a["isSealed"])


def _scores_committed(found: Round, event: ChainEvent) -> Round:
    a = event.arguments
    if found.phase >= Phase.RETRY_COMMIT:
        return replace(found, retry_commits=with_entry(found.retry_commits, a["index"], a["commitment"]))
    return replace(found, score_commits=with_entry(found.score_commits, a["index"], a["commitment"]))


def _scores_revealed(found: Round, event: ChainEvent) -> Round:
    a = event.arguments
    if found.phase >= Phase.RETRY_COMMIT:
        return replace(found, retry_words=with_entry(found.retry_words, a["index"], a["word"]))
    return replace(found, score_words=with_entry(found.score_words, a["index"], a["word"]))


def _update_settled(found: Round, event: ChainEvent) -> Round:
    a = event.arguments
    is_retry = found.phase >= Phase.RETRY_COMMIT
    if (a["index"] not in found.unscored) if is_retry else (a["index"] in found.settled):
        raise InconsistentHistory(f"Update {a['index']} of round {found.number} was settled twice.")
    return _judged(found, a["index"], Settled(UpdateStatus(a["status"]), a["gain"], a["votes"], a["weight"], is_retry))


def _judged(found: Round, index: int, verdict: Settled) -> Round:
    """The round with another verdict on one update."""
    before = found.settled.get(index)
    weight = found.sum_weight + verdict.weight - (before.weight if before else 0)
    return replace(found, settled=with_entry(found.settled, index, verdict), sum_weight=weight)


def _attested(found: Round, event: ChainEvent) -> Round:
    a = event.arguments
    if a["slot"] in found.attestations:
        raise InconsistentHistory(f"Slot {a['slot']} of round {found.number} attested twice.")
    entry = (Address(a["attester"]), a["attestation"])
    return replace(found, attestations=with_entry(found.attestations, a["slot"], entry))


def _aggregate_proposed(found: Round, event: ChainEvent) -> Round:
    a = event.arguments
    aggregated = frozenset(reveal.index for reveal in found.accepted)
    proposal = Proposal(Address(a["proposer"]), a["secret"], a["modelHash"], a["cid"], a["votes"], aggregated)
    return replace(found, proposal=proposal)


def _round_finalized(found: Round, event: ChainEvent) -> Round:
    if found.proposal is None or found.proposal.model_hash != event.arguments["modelHash"]:
        raise InconsistentHistory(f"Round {found.number} was finalised with a model nobody proposed.")
    return replace(found, phase=Phase.FINALIZED, phase_since=event.timestamp)


def _round_voided(found: Round, event: ChainEvent) -> Round:
    reason = VoidReason(event.arguments["reason"])
    return replace(found, phase=Phase.VOIDED, void_reason=reason, phase_since=event.timestamp)


# --- court ----------------------------------------------------------------------------------------------------------


def _extended(found: Round, event: ChainEvent) -> Round:
    deadline = event.arguments["deadline"]
    if found.phase is not Phase.CHALLENGE or deadline <= found.deadline:
        raise InconsistentHistory(f"Round {found.number} was prolonged from {found.deadline} to {deadline}.")
    return replace(found, deadline=deadline)


def _rescored(found: Round, event: ChainEvent) -> Round:
    a = event.arguments
    before = found.settled.get(a["index"])
    if before is None:
        raise InconsistentHistory(f"Update {a['index']} of round {found.number} was overturned before it was settled.")
    return _judged(
        found, a["index"], replace(before, status=UpdateStatus(a["status"]), gain=a["gain"], weight=a["weight"])
    )


def _forfeited(found: Round, event: ChainEvent) -> Round:
    return replace(found, forfeited=found.forfeited | {event.arguments["index"]})


def _dispute_opened(found: Round, event: ChainEvent) -> Round:
    return replace(found, disputes=found.disputes | {event.arguments["id"]})


def _fault_punished(found: Round, event: ChainEvent) -> Round:
    a = event.arguments
    fault = Fault.FIELD_WRONG if a["fault"] == Fault.LIE else Fault(a["fault"])
    if (fault, a["subject"]) in found.punished:
        raise InconsistentHistory(f"{fault.name} of {a['account']} in round {found.number} was punished twice.")
    return replace(found, punished=found.punished | {(int(fault), a["subject"])})


# --- pay ------------------------------------------------------------------------------------------------------------


def _claimed(found: Round, event: ChainEvent) -> Round:
    index = event.arguments["index"]
    if index in found.claimed:
        raise InconsistentHistory(f"Index {index} of round {found.number} was claimed twice.")
    return replace(found, claimed=found.claimed | {index})


def _treasury_claimed(found: Round, _event: ChainEvent) -> Round:
    return replace(found, treasury_claimed=True)


_HANDLERS: Mapping[tuple[str, str], Callable[[Round, ChainEvent], Round]] = {
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
    ("RoundManager", "DeadlineExtended"): _extended,
    ("RoundManager", "UpdateRescored"): _rescored,
    ("RoundManager", "UpdateForfeited"): _forfeited,
    ("RoundCourt", "DisputeOpened"): _dispute_opened,
    ("RoundCourt", "FaultPunished"): _fault_punished,
    ("RewardDistributor", "Claimed"): _claimed,
    ("RewardDistributor", "TreasuryClaimed"): _treasury_claimed,
}


def fold(found: Round, event: ChainEvent) -> Round:
    """The round after one event that names it.

    Raises:
        InconsistentHistory: the event cannot follow.
    """
    handler = _HANDLERS.get((event.contract, event.name))
    return replace(handler(found, event) if handler else found, touched_at=event.timestamp)


def is_round_event(event: ChainEvent) -> bool:
    """Whether the event belongs to a round that must have been opened."""
    return (event.contract, event.name) in _HANDLERS

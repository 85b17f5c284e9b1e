"""What the reference model's RoundManager stores of one round, and the questions it asks of that record."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from incentives.scoring import Tally as TallyResult
from incentives.scoring import TallyParams, Verdict, agrees, word_field
from node.protocol.commitments import attestation
from node.protocol.phases import Counters
from node.protocol.sortition import forward, has_retry_panel, inverse, verifiers_per_update
from node.protocol.types import Address, Phase, RoundParams, Scoring, UpdateStatus, VoidReason
from node.sim.abi import ZERO_ADDRESS


class Entry(IntEnum):
    """How far one commitment came; numbers equal the contract's."""

    NONE = 0
    COMMITTED = 1
    REVEALED = 2


class Seal(IntEnum):
    """Whether a round is scored on an unpublished slice; numbers equal the contract's."""

    UNSEALED = 0
    COMMITTED = 1
    REVEALED = 2


UPDATE_COMMITMENT_BYTES = 26
"""The contract stores the highest 208 bits of a trainer's commitment …"""

SCORE_COMMITMENT_BYTES = 31
"""… and the highest 248 bits of a verifier's."""


NO_SCORING = Scoring(0, 0, 0, 0)
"""Of round 0, which scores nothing."""


@dataclass(slots=True)
class UpdateCommit:
    """A trainer's commitment and its place among the commits (from 0)."""

    sequence: int
    commitment: bytes
    entry: Entry = Entry.COMMITTED


@dataclass(slots=True)
class Scores:
    """One score word, from its commitment on."""

    entry: Entry = Entry.NONE
    commitment: bytes = b""
    word: int = 0


@dataclass(slots=True)
class Participant:
    """One revealed update, its owner's words in both panels, and what was decided about it.

    ``first`` is about the k updates after it on the ring, ``retry`` about the k after those. ``is_retried``: the verdict is the
    retry panel's. ``is_forfeited``: its owner is paid nothing.
    """

    owner: Address
    first: Scores = field(default_factory=Scores)
    retry: Scores = field(default_factory=Scores)
    status: UpdateStatus = UpdateStatus.PENDING
    gain: int = 0
    weight: int = 0
    is_retried: bool = False
    is_forfeited: bool = False

    @property
    def is_denied(self) -> bool:
        """Paid nothing: its own update was Malformed or Harmful, or a proven copy."""
        return self.is_forfeited or self.status in (UpdateStatus.MALFORMED, UpdateStatus.HARMFUL)

    def scores(self, *, retry: bool) -> Scores:
        """The word for one of the two panels."""
        return self.retry if retry else self.first

    def set_verdict(self, status: UpdateStatus, gain: int, gain_cap: int) -> None:
        """Write status and gain; the weight follows from them."""
        self.status, self.gain = status, gain
        self.weight = min(gain, gain_cap) if status is UpdateStatus.ACCEPTED else 0


@dataclass(slots=True)
class Attestation:
    """One attester's keyed attestation."""

    attester: Address
    value: bytes


@dataclass(slots=True)
class Proposal:
    """The aggregate that reached a quorum."""

    secret: bytes
    model_hash: bytes
    cid: bytes


@dataclass(slots=True)
class RoundRecord:
    """One round. ``participants`` are in order of reveal, so their place is the index of docs/protocol.md."""

    number: int
    opener: Address
    opened_at: int
    expected: int
    benchmark_commitment: bytes
    phase: Phase
    deadline: int
    epoch: int = 0
    scoring: Scoring = NO_SCORING
    is_slice_revealed: bool = False
    commits: dict[Address, UpdateCommit] = field(default_factory=dict)
    participants: list[Participant] = field(default_factory=list)
    seed_block: int = 0
    seed: bytes = b""
    score_commits: int = 0
    score_reveals: int = 0
    settled: int = 0
    accepted: int = 0
    sum_weight: int = 0
    unscored: int = 0
    retry_commits: int = 0
    retry_reveals: int = 0
    attestations: dict[int, Attestation] = field(default_factory=dict)
    proposal: Proposal | None = None
    void_reason: VoidReason = VoidReason.NONE

    @property
    def is_over(self) -> bool:
        """Finalized or voided."""
        return self.phase in (Phase.FINALIZED, Phase.VOIDED)

    @property
    def steward(self) -> Address:
        """Who committed to the slice; the zero address where none was."""
        return self.opener if any(self.benchmark_commitment) else ZERO_ADDRESS

    @property
    def seal(self) -> Seal:
        """Whether a slice was promised, and opened."""
        if self.is_slice_revealed:
            return Seal.REVEALED
        return Seal.COMMITTED if any(self.benchmark_commitment) else Seal.UNSEALED

    def counters(self, params: RoundParams) -> Counters:
        """The counts that decide an early end of a phase."""
        return Counters(
            expected=self.expected,
            committed=len(self.commits),
            revealed=len(self.participants),
            slice_pending=self.seal is Seal.COMMITTED,
            seed_block=self.seed_block,
            score_commits=self.score_commits,
            score_reveals=self.score_reveals,
            settled=self.settled,
            accepted=self.accepted,
            unscored=self.unscored,
            has_retry_panel=self.has_retry(params),
            retry_commits=self.retry_commits,
            retry_reveals=self.retry_reveals,
        )

    def verifiers(self, params: RoundParams) -> int:
        """K: how many verifiers every update has."""
        return verifiers_per_update(len(self.participants), params.max_verifiers)

    def slots(self, params: RoundParams) -> int:
        """Attestation slots."""
        return min(len(self.participants), params.max_attesters)

    def position_of(self, index: int) -> int:
        """Ring position of a participant."""
        return forward(self.seed, len(self.participants), index)

    def index_at(self, position: int) -> int:
        """Participant's index at a ring position, modulo n: the inverse of `position_of`."""
        n = len(self.participants)
        return inverse(self.seed, n, position % n)

    def at_position(self, position: int) -> Participant:
        """Participant at a ring position, modulo n."""
        return self.participants[self.index_at(position)]

    def owner_of(self, index: int) -> Address:
        """Owner of a participant; the zero address where there is none."""
        return self.participants[index].owner if index < len(self.participants) else ZERO_ADDRESS

    def verifier_of(self, index: int, j: int, params: RoundParams, *, retry: bool) -> int:
        """Index of the verifier whose field ``j`` is about ``index``."""
        skipped = self.verifiers(params) if retry else 0
        return self.index_at(self.position_of(index) - 1 - skipped - j)

    def fields_on(self, index: int, params: RoundParams, *, retry: bool) -> list[int]:
        """The k fields about one update; 0 for a verifier that did not reveal."""
        scores = [
            self.participants[self.verifier_of(index, j, params, retry=retry)].scores(retry=retry)
            for j in range(self.verifiers(params))
        ]
        return [word_field(entry.word, j) for j, entry in enumerate(scores)]

    def window(self, index: int, params: RoundParams, *, retry: bool) -> list[Participant]:
        """The k updates that this participant's word is about, in the order of its fields."""
        k = self.verifiers(params)
        first = self.position_of(index) + 1 + (k if retry else 0)
        return [self.at_position(first + j) for j in range(k)]

    def correct_fields(self, index: int, params: RoundParams) -> int:
        """How many fields of this participant's words equal the results: of each update, those of its last panel."""
        participant = self.participants[index]
        correct = 0
        for retry in (False, True) if self.has_retry(params) else (False,):
            word = participant.scores(retry=retry).word
            correct += sum(
                update.is_retried is retry and _is_right(word_field(word, j), update, self.scoring.tau)
                for j, update in enumerate(self.window(index, params, retry=retry))
            )
        return correct

    def has_retry(self, params: RoundParams) -> bool:
        """Whether the ring has a second full panel."""
        return has_retry_panel(len(self.participants), self.verifiers(params))

    def opens(self, slot: int, proposal: Proposal) -> bool:
        """Whether the attestation in ``slot`` is to this model."""
        found = self.attestations.get(slot)
        return found is not None and found.value == attestation(
            self.number,
            found.attester,
            secret=proposal.secret,
            model_hash=proposal.model_hash,
            cid=proposal.cid,
        )


def _is_right(field_value: int, update: Participant, tau: int) -> bool:
    if update.status is UpdateStatus.PENDING:
        return False
    return agrees(field_value, TallyResult(Verdict(update.status), update.gain, 0, 0), tau)


def tally_params(scoring: Scoring) -> TallyParams:
    """The tally's constants of one guideline epoch."""
    return TallyParams(scoring.tau, scoring.delta_min, scoring.harm_min, scoring.gain_cap)

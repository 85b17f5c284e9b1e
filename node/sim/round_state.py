"""What the reference model's RoundManager stores of one round, and the questions it asks of that record."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from incentives.scoring import Tally as TallyResult
from incentives.scoring import TallyParams, Verdict, agrees, word_field
from node.protocol.commitments import attestation
from node.protocol.phases import Counters
from node.protocol.sortition import forward, inverse, verifiers_per_update
from node.protocol.types import Address, Phase, RoundParams, UpdateStatus, VoidReason
from node.sim.abi import ZERO_ADDRESS


class Entry(IntEnum):
    """How far one commitment came; numbers equal the contract's."""

    NONE = 0
    COMMITTED = 1
    REVEALED = 2
    SLASHED = 3


class Seal(IntEnum):
    """Whether a round is scored on an unpublished slice; numbers equal the contract's."""

    UNSEALED = 0
    COMMITTED = 1
    REVEALED = 2


UPDATE_COMMITMENT_BYTES = 26
"""The contract stores the highest 208 bits of a trainer's commitment …"""

SCORE_COMMITMENT_BYTES = 31
"""… and the highest 248 bits of a verifier's."""


@dataclass(slots=True)
class UpdateCommit:
    """A trainer's commitment and its place among the commits (from 0)."""

    sequence: int
    commitment: bytes
    entry: Entry = Entry.COMMITTED


@dataclass(slots=True)
class Participant:
    """One revealed update, its owner's scores, and what was decided about it."""

    owner: Address
    entry: Entry = Entry.NONE
    score_commitment: bytes = b""
    word: int = 0
    status: UpdateStatus = UpdateStatus.PENDING
    gain: int = 0
    weight: int = 0


@dataclass(slots=True)
class Attestation:
    """One attester's keyed attestation."""

    attester: Address
    value: bytes
    is_slashed: bool = False


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
    attestations: dict[int, Attestation] = field(default_factory=dict)
    proposal: Proposal | None = None
    void_reason: VoidReason = VoidReason.NONE

    @property
    def is_over(self) -> bool:
        """Finalized or voided."""
        return self.phase in (Phase.FINALIZED, Phase.VOIDED)

    @property
    def seal(self) -> Seal:
        """Whether a slice was promised, and opened."""
        if self.is_slice_revealed:
            return Seal.REVEALED
        return Seal.COMMITTED if any(self.benchmark_commitment) else Seal.UNSEALED

    @property
    def counters(self) -> Counters:
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

    def fields_on(self, index: int, params: RoundParams) -> list[int]:
        """The k fields about one update; 0 for a verifier that did not reveal."""
        position = self.position_of(index)
        words = [self.at_position(position - 1 - j).word for j in range(self.verifiers(params))]
        return [word_field(word, j) for j, word in enumerate(words)]

    def correct_fields(self, index: int, params: RoundParams) -> int:
        """How many fields of this participant's word equal the settled results."""
        position = self.position_of(index)
        word = self.participants[index].word
        return sum(
            _is_right(word_field(word, j), self.at_position(position + 1 + j), params.tau)
            for j in range(self.verifiers(params))
        )

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


def tally_params(params: RoundParams) -> TallyParams:
    """The tally's constants of one deployment."""
    return TallyParams(tau=params.tau, delta_min=params.delta_min, harm_min=params.harm_min, gain_cap=params.gain_cap)

"""Reference model of RoundManager, part 1: what is stored, every view of it, and the bounds of its constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple, Protocol

from incentives.scoring import FIELDS
from node.protocol.commitments import RoundScope
from node.protocol.errors import TransactionReverted
from node.protocol.phases import duration_of
from node.protocol.types import Address, Phase, RoundParams
from node.sim.abi import ZERO_ADDRESS, ZERO_BYTES32, Contract, Transaction, view
from node.sim.registry import MemberRegistry
from node.sim.registry_storage import Guardian
from node.sim.round_state import Entry, RoundRecord, Scores

LONGEST_PHASE = 30 * 24 * 3600
LONGEST_SEED_DELAY = 128
MOST_ATTESTERS = 31


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint: hash of its bytes, CID digest, round that made it (0 for the founding model)."""

    model_hash: bytes
    cid: bytes
    round: int = 0


class Earnings(NamedTuple):
    """All that a participant's pay depends on, in the order of `IRoundManager.Earnings`."""

    phase: int
    owner: Address = ZERO_ADDRESS
    status: int = 0
    weight: int = 0
    sum_weight: int = 0
    participants: int = 0
    verifiers: int = 0
    correct: int = 0
    attesters: int = 0
    is_correct_attester: bool = False
    is_sealed: bool = False
    is_forfeited: bool = False


class Epochs(Protocol):
    """What is read of the GuidelineRegistry."""

    address: Address

    def current(self) -> tuple[int, bytes, tuple[int, ...]]:
        """(epoch, hash of the combined guideline file, scoring in the order of `Scoring`)."""
        ...


class RoundStorage(Contract):
    """Storage and views of all rounds.

    Args:
        address: of the contract.
        registry: who may take part.
        guidelines: under which rounds open.
        court: the only account that may correct what was decided.
        guardian: who can pause the opening of rounds; None where nobody can.
        chain_id: of the chain.
        params: constants of the deployment.
        genesis: the founding model, stored as round 0.
        deployed_at: timestamp of deployment: the end of round 0.

    Raises:
        TransactionReverted: a constant is out of its bounds, or a member could leave before a round ends.
    """

    NAME = "RoundManager"

    def __init__(
        self,
        address: Address,
        registry: MemberRegistry,
        *,
        guidelines: Epochs,
        court: Address,
        guardian: Guardian | None = None,
        chain_id: int,
        params: RoundParams,
        genesis: Model,
        deployed_at: int,
    ) -> None:
        super().__init__(address)
        check_params(params)
        # A penalty that the end of the round makes provable needs time to be proven, too.
        least = longest_round(params) + params.challenge_duration
        if registry.exit_delay() <= least:
            raise TransactionReverted("ExitDelayTooShort", (registry.exit_delay(), least))
        self._registry = registry
        self._chain_id = chain_id
        self._params = params
        self._guidelines = guidelines
        self._court = court
        self._guardian = guardian
        self._model = genesis
        self._genesis = genesis
        self._rounds: dict[int, RoundRecord] = {
            0: RoundRecord(
                number=0,
                opener=ZERO_ADDRESS,
                opened_at=deployed_at,
                expected=0,
                benchmark_commitment=ZERO_BYTES32,
                phase=Phase.FINALIZED,
                deadline=deployed_at,
            )
        }

    @view()
    def current_round(self) -> int:
        """Number of the newest round; 0 before the first."""
        return len(self._rounds) - 1

    @view("uint256")
    def phase_of(self, round_number: int) -> tuple[int, int]:
        """(phase, deadline); zeros for a round that was never opened."""
        found = self._rounds.get(round_number)
        return (0, 0) if found is None else (int(found.phase), found.deadline)

    @view("uint256")
    def round_of(self, round_number: int) -> tuple[Any, ...]:
        """The record in the order of `IRoundManager.Round`; all zero for a round that was never opened."""
        found = self._rounds.get(round_number)
        if found is None:
            return (*(0,) * 23, ZERO_ADDRESS, *(ZERO_BYTES32,) * 4)
        proposal = found.proposal
        slots = range(found.slots(self._params)) if found.seed else ()
        right = sum(1 << slot for slot in slots if proposal is not None and found.opens(slot, proposal))
        model = self._genesis if round_number == 0 else proposal
        scoring = found.scoring
        return (
            int(found.phase),
            found.deadline,
            found.opened_at if round_number else 0,
            found.seed_block,
            found.expected,
            len(found.commits),
            len(found.participants),
            found.score_commits,
            found.score_reveals,
            found.settled,
            found.accepted,
            int(found.seal),
            int(found.void_reason),
            scoring.tau,
            scoring.delta_min,
            scoring.harm_min,
            scoring.gain_cap,
            found.sum_weight,
            right,
            found.epoch,
            found.unscored,
            found.retry_commits,
            found.retry_reveals,
            found.steward,
            found.seed or ZERO_BYTES32,
            found.benchmark_commitment,
            model.model_hash if model is not None else ZERO_BYTES32,
            model.cid if model is not None else ZERO_BYTES32,
        )

    @view()
    def latest_model(self) -> tuple[bytes, bytes, int]:
        """(model hash, CID digest, round) of the newest finalised model."""
        return self._model.model_hash, self._model.cid, self._model.round

    @view()
    def params(self) -> tuple[int, ...]:
        """The constants in the order of `IRoundManager.Params`: ``RoundParams(*value)`` names them."""
        return astuple(self._params)

    @view()
    def guidelines(self) -> Address:
        """Address of the guideline registry."""
        return self._guidelines.address

    @property
    def timelock(self) -> Address:
        """The registry's timelock."""
        return self._registry.timelock()

    @view()
    def guardian(self) -> Address:
        """Who can pause the opening of rounds; the zero address where nobody can."""
        return ZERO_ADDRESS if self._guardian is None else self._guardian.address

    @view()
    def court(self) -> Address:
        """The only account that may correct what was decided."""
        return self._court

    @view()
    def longest_round(self) -> int:
        """Longest time from opening to the end, seconds."""
        return longest_round(self._params)

    @view()
    def registry(self) -> Address:
        """Address of the registry."""
        return self._registry.address

    @view("uint256", "address")
    def trainer_of(self, round_number: int, trainer: Address) -> tuple[int, int, int, bytes]:
        """(entry, sequence, index, commitment) of a trainer."""
        found = self._rounds.get(round_number)
        commit = None if found is None else found.commits.get(trainer)
        if found is None or commit is None:
            return int(Entry.NONE), 0, 0, ZERO_BYTES32
        owners = [participant.owner for participant in found.participants]
        index = owners.index(trainer) if trainer in owners else 0
        return int(commit.entry), commit.sequence, index, commit.commitment.ljust(32, b"\0")

    @view("uint256", "uint256")
    def owner_of(self, round_number: int, index: int) -> Address:
        """Owner of a ring member; the zero address where there is none."""
        found = self._rounds.get(round_number)
        return ZERO_ADDRESS if found is None else found.owner_of(index)

    @view("uint256", "uint256")
    def scores_of(self, round_number: int, index: int) -> tuple[int, int]:
        """(entry, word) of a ring member's scores."""
        found = self._rounds.get(round_number)
        if found is None or index >= len(found.participants):
            return int(Entry.NONE), 0
        return _word(found.participants[index].first)

    @view("uint256", "uint256")
    def retry_scores_of(self, round_number: int, index: int) -> tuple[int, int]:
        """(entry, word) of a ring member's scores for the retry panel."""
        found = self._rounds.get(round_number)
        if found is None or index >= len(found.participants):
            return int(Entry.NONE), 0
        return _word(found.participants[index].retry)

    @view("uint256", "uint256")
    def position_of(self, round_number: int, index: int) -> int:
        """Ring position of a ring member."""
        return self.ring(round_number, index).position_of(index)

    @view("uint256", "uint256")
    def index_at(self, round_number: int, position: int) -> int:
        """Ring member at a position."""
        return self.ring(round_number, position).index_at(position)

    @view("uint256", "uint256")
    def result_of(self, round_number: int, index: int) -> tuple[int, int, int, bool, bool]:
        """(status, gain, weight, whether it is the retry's, whether its owner is paid nothing for being a copy)."""
        found = self.ring(round_number, index).participants[index]
        return int(found.status), found.gain, found.weight, found.is_retried, found.is_forfeited

    @view("uint256", "uint8")
    def attestation_of(self, round_number: int, slot: int) -> tuple[Address, bytes, bool]:
        """(attester, attestation or 0, whether it opened to the round's model)."""
        found = self.ring(round_number)
        attester = self.attester_at(found, slot)
        attestation = found.attestations.get(slot)
        if attestation is None:
            return attester, ZERO_BYTES32, False
        return attester, attestation.value, found.proposal is not None and found.opens(slot, found.proposal)

    @view("uint256", "uint256")
    def earnings_of(self, round_number: int, index: int) -> Earnings:
        """All that a ring member's pay depends on; nothing but the phase before the seed is drawn."""
        record = self._rounds.get(round_number)
        if record is None or not record.seed:
            return Earnings(int(Phase.NONE if record is None else record.phase))
        found = self.ring(round_number, index)
        participant = found.participants[index]
        position = found.position_of(index)
        return Earnings(
            phase=int(found.phase),
            owner=participant.owner,
            status=int(participant.status),
            weight=participant.weight,
            sum_weight=found.sum_weight,
            participants=len(found.participants),
            verifiers=found.verifiers(self._params),
            correct=found.correct_fields(index, self._params),
            attesters=found.slots(self._params),
            is_correct_attester=found.proposal is not None and found.opens(position, found.proposal),
            is_sealed=found.is_slice_revealed,
            is_forfeited=participant.is_denied,
        )

    def record(self, round_number: int) -> RoundRecord | None:
        """Record of a round; None where it was never opened."""
        return self._rounds.get(round_number)

    def in_phase(self, transaction: Transaction, round_number: int, phase: Phase) -> RoundRecord:
        """Record of a round that is in ``phase`` and within its deadline; reverts otherwise."""
        found = self._rounds.get(round_number)
        actual = Phase.NONE if found is None else found.phase
        if found is None or actual is not phase:
            transaction.revert("WrongPhase", int(actual), int(phase))
        now = transaction.timestamp
        transaction.require(now <= found.deadline, "DeadlinePassed", found.deadline, now)
        return found

    def ring(self, round_number: int, member: int | None = None) -> RoundRecord:
        """Record of a round whose ring is drawn, with ``member`` on it.

        Raises:
            TransactionReverted: no seed yet, or ``member`` is not below n.
        """
        found = self._rounds.get(round_number)
        if found is None or not found.seed:
            raise TransactionReverted("SeedNotReady", (found.seed_block if found is not None else 0,))
        n = len(found.participants)
        if member is not None and member >= n:
            raise TransactionReverted("OutsideRing", (member, n))
        return found

    def attester_at(self, found: RoundRecord, slot: int) -> Address:
        """Who attests for a slot.

        Raises:
            TransactionReverted: nobody.
        """
        slots = found.slots(self._params)
        if slot >= slots:
            raise TransactionReverted("NoSuchSlot", (slot, slots))
        return found.at_position(slot).owner

    def scope(self, round_number: int) -> RoundScope:
        """What this round's commitments are bound to."""
        return RoundScope(self._chain_id, self.address, round_number)


def _word(scores: Scores) -> tuple[int, int]:
    return int(scores.entry), scores.word


def longest_round(params: RoundParams) -> int:
    """Seconds from opening to the end when somebody advances at every deadline (the seed's blocks besides), with retry and dispute."""
    return sum(duration_of(phase, params) for phase in Phase) + params.dispute_duration


def check_params(params: RoundParams) -> None:
    """The bounds that the contract's constructor sets.

    Raises:
        TransactionReverted: `ParameterOutOfBounds` with the name of the first constant outside.
    """
    bounds: Sequence[tuple[str, int, int, int]] = (
        ("openWindow", params.open_window, 1, LONGEST_PHASE),
        ("commitDuration", params.commit_duration, 1, LONGEST_PHASE),
        ("revealDuration", params.reveal_duration, 1, LONGEST_PHASE),
        ("scoreDuration", params.score_duration, 1, LONGEST_PHASE),
        ("settleDuration", params.settle_duration, 1, LONGEST_PHASE),
        ("attestDuration", params.attest_duration, 1, LONGEST_PHASE),
        ("challengeDuration", params.challenge_duration, 1, LONGEST_PHASE),
        ("disputeDuration", params.dispute_duration, 1, LONGEST_PHASE),
        ("seedDelayBlocks", params.seed_delay_blocks, 1, LONGEST_SEED_DELAY),
        ("minParticipants", params.min_participants, 2, 2**16 - 1),
        ("maxVerifiers", params.max_verifiers, 1, FIELDS),
        ("maxAttesters", params.max_attesters, 1, MOST_ATTESTERS),
    )
    for name, value, least, most in bounds:
        if not least <= value <= most:
            raise TransactionReverted("ParameterOutOfBounds", (name, value, least, most))

"""Reference model of RoundManager, first half: opening a round, moving it through its phases, and the views."""

from __future__ import annotations

from dataclasses import dataclass

from node.protocol.commitments import RoundScope, ring_seed
from node.protocol.errors import LocalProtocolError
from node.protocol.phases import Step, next_step
from node.protocol.types import Address, Phase, RoundParams, VoidReason
from node.sim.abi import ZERO_BYTES32, Contract, Transaction, external, view
from node.sim.registry import MemberRegistry
from node.sim.round_state import RoundRecord

SEED_WINDOW = 256
"""Blocks for which the EVM still knows a block's hash."""


@dataclass(frozen=True, slots=True)
class Model:
    """A finalised checkpoint: hash of its bytes, CID digest, round that made it (0 for the founding model)."""

    model_hash: bytes
    cid: bytes
    round: int = 0


class RoundBase(Contract):
    """Rounds and their phases.

    Args:
        address: of the contract.
        registry: who may take part, and whom to slash.
        chain_id: of the chain.
        params: constants of the deployment.
        guideline_hash: of the developer guideline in force.
        genesis: the founding model.
        deployed_at: timestamp of deployment: the "end" of round 0.
    """

    NAME = "RoundManager"

    def __init__(
        self,
        address: Address,
        registry: MemberRegistry,
        *,
        chain_id: int,
        params: RoundParams,
        guideline_hash: bytes,
        genesis: Model,
        deployed_at: int,
    ) -> None:
        super().__init__(address)
        self._registry = registry
        self._chain_id = chain_id
        self._params = params
        self._guideline_hash = guideline_hash
        self._model = genesis
        self._ended_at = deployed_at
        self._rounds: dict[int, RoundRecord] = {}
        self._durations = {
            Phase.COMMIT: params.commit_duration,
            Phase.REVEAL: params.reveal_duration,
            Phase.SEED: 0,
            Phase.SCORE_COMMIT: params.score_duration,
            Phase.SCORE_REVEAL: params.score_duration,
            Phase.SETTLE: params.settle_duration,
            Phase.ATTEST: params.attest_duration,
            Phase.CHALLENGE: params.challenge_duration,
        }

    @external("bytes32")
    def open_round(self, transaction: Transaction, benchmark_commitment: bytes) -> int:
        """Open the next round: the steward with a sealed slice; after the open window anyone, unsealed."""
        previous = self._rounds.get(len(self._rounds))
        if previous is not None:
            transaction.require(previous.is_over, "RoundOngoing", previous.number)
        number = len(self._rounds) + 1
        steward = self._registry.seat_holder(number % self._registry.seat_count())
        is_promised = benchmark_commitment != ZERO_BYTES32
        if transaction.timestamp <= self._ended_at + self._params.open_window:
            transaction.require(transaction.sender == steward, "NotSteward", transaction.sender, steward)
            transaction.require(is_promised, "CommitmentRequired")
        elif is_promised:
            transaction.require(transaction.sender == steward, "NotSteward", transaction.sender, steward)
        transaction.effects()
        found = RoundRecord(
            number=number,
            opener=transaction.sender,
            opened_at=transaction.timestamp,
            expected=self._registry.eligible_count(),
            benchmark_commitment=benchmark_commitment,
            phase=Phase.COMMIT,
            deadline=transaction.timestamp + self._params.commit_duration,
        )
        self._rounds[number] = found
        transaction.emit(
            self.NAME,
            "RoundOpened",
            round=number,
            opener=found.opener,
            parentModelHash=self._model.model_hash,
            parentModelCid=self._model.cid,
            guidelineHash=self._guideline_hash,
            benchmarkCommitment=benchmark_commitment,
            expected=found.expected,
            deadline=found.deadline,
        )
        return number

    @external("uint256")
    def advance(self, transaction: Transaction, round_number: int) -> None:
        """Enter the next phase once the deadline passed or everything expected happened; anyone may call."""
        found = self.record(transaction, round_number)
        step = next_step(
            found.phase,
            found.counters,
            deadline=found.deadline,
            now=transaction.timestamp,
            block=transaction.number,
            min_participants=self._params.min_participants,
        )
        transaction.require(not found.is_over, "WrongPhase", round_number, int(found.phase))
        if step is None:
            transaction.revert("TooEarly", found.deadline)
        transaction.effects()
        if found.phase is Phase.SEED:
            self._draw(transaction, found)
        elif step.phase is Phase.VOIDED:
            self._void(transaction, found, step)
        else:
            self._enter(transaction, found, step.phase)

    def _enter(self, transaction: Transaction, found: RoundRecord, phase: Phase) -> None:
        found.phase = phase
        # Finalized has no end; Seed ends by height, so its deadline is the moment it began.
        found.deadline = transaction.timestamp + self._durations[phase] if phase in self._durations else 0
        transaction.emit(self.NAME, "PhaseChanged", round=found.number, phase=int(phase), deadline=found.deadline)
        if phase is Phase.SEED:
            self._pin(transaction, found)
        elif phase is Phase.FINALIZED:
            self._finalize(transaction, found)

    def _pin(self, transaction: Transaction, found: RoundRecord) -> None:
        found.seed_block = transaction.number + self._params.seed_delay_blocks
        transaction.emit(self.NAME, "SeedPinned", round=found.number, seedBlock=found.seed_block)

    def _draw(self, transaction: Transaction, found: RoundRecord) -> None:
        if transaction.number - found.seed_block > SEED_WINDOW:
            self._pin(transaction, found)
            return
        found.seed = ring_seed(transaction.block_hash(found.seed_block), found.number, self.address)
        transaction.emit(self.NAME, "SeedDrawn", round=found.number, seed=found.seed, isSealed=found.is_sealed)
        self._enter(transaction, found, Phase.SCORE_COMMIT)

    def _void(self, transaction: Transaction, found: RoundRecord, step: Step) -> None:
        found.phase, found.deadline, found.void_reason = Phase.VOIDED, 0, step.reason
        self._ended_at = transaction.timestamp
        transaction.emit(self.NAME, "PhaseChanged", round=found.number, phase=int(Phase.VOIDED), deadline=0)
        transaction.emit(self.NAME, "RoundVoided", round=found.number, reason=int(step.reason))

    def _finalize(self, transaction: Transaction, found: RoundRecord) -> None:
        if found.proposal is None:
            raise LocalProtocolError(f"Round {found.number} reached its end without a proposal.")
        self._model = Model(found.proposal.model_hash, found.proposal.cid, found.number)
        self._ended_at = transaction.timestamp
        transaction.emit(
            self.NAME,
            "RoundFinalized",
            round=found.number,
            modelHash=found.proposal.model_hash,
            cid=found.proposal.cid,
            accepted=found.accepted,
            sumWeight=found.sum_weight,
        )

    @view()
    def current_round(self) -> int:
        """Number of the newest round; 0 before the first."""
        return len(self._rounds)

    @view("uint256")
    def phase_of(self, round_number: int) -> tuple[int, int]:
        """(phase, deadline); zeros for a round that was never opened."""
        found = self._rounds.get(round_number)
        return (0, 0) if found is None else (int(found.phase), found.deadline)

    @view()
    def latest_model(self) -> tuple[bytes, bytes, int]:
        """(model hash, CID digest, round) of the newest finalised model."""
        return self._model.model_hash, self._model.cid, self._model.round

    @view()
    def params(self) -> tuple[int, ...]:
        """The constants in the order of `IRoundManager.Params`: ``RoundParams(*value)`` names them."""
        return tuple(getattr(self._params, name) for name in RoundParams.__dataclass_fields__)

    @view()
    def guideline_hash(self) -> bytes:
        """Hash of the developer guideline in force."""
        return self._guideline_hash

    @property
    def constants(self) -> RoundParams:
        """The constants by name."""
        return self._params

    def record(self, transaction: Transaction, round_number: int) -> RoundRecord:
        """Record of a round; reverts where it was never opened."""
        found = self._rounds.get(round_number)
        if found is None:
            transaction.revert("NoSuchRound", round_number)
        return found

    def in_phase(self, transaction: Transaction, round_number: int, phase: Phase) -> RoundRecord:
        """Record of a round that is in ``phase`` and within its deadline; reverts otherwise."""
        found = self.record(transaction, round_number)
        transaction.require(found.phase is phase, "WrongPhase", round_number, int(found.phase))
        transaction.require(transaction.timestamp <= found.deadline, "TooLate", found.deadline)
        return found

    def scope(self, round_number: int) -> RoundScope:
        """What this round's commitments are bound to."""
        return RoundScope(self._chain_id, self.address, round_number)

    def record_at(self, round_number: int) -> RoundRecord | None:
        """Record of a round for the other contracts; None where it was never opened."""
        return self._rounds.get(round_number)

"""Reference model of RoundManager, part 2: opening a round and moving it through its phases."""

from __future__ import annotations

from node.protocol.commitments import ring_seed
from node.protocol.errors import LocalProtocolError
from node.protocol.phases import Step, duration_of, next_step
from node.protocol.types import Phase, Scoring
from node.sim.abi import ZERO_BYTES32, Transaction, external
from node.sim.round_state import RoundRecord
from node.sim.round_storage import Model, RoundStorage

SEED_WINDOW = 256
"""Blocks for which the EVM still knows a block's hash."""

ENTRY_OPEN_ROUND = 1
"""`IGuardian.Entry.OpenRound`."""


class RoundPhases(RoundStorage):
    """`openRound` and `advance`; which step is due is decided by `node.protocol.phases`."""

    @external("bytes32")
    def open_round(self, transaction: Transaction, benchmark_commitment: bytes) -> int:
        """Open the next round: the steward with a sealed slice; after the open window anyone, unsealed."""
        is_paused = self._guardian is not None and self._guardian.is_paused(ENTRY_OPEN_ROUND)
        transaction.require(not is_paused, "EntryPaused", ENTRY_OPEN_ROUND)
        number = len(self._rounds)
        previous = self._rounds[number - 1]
        transaction.require(previous.is_over, "RoundRunning", previous.number, int(previous.phase))
        now = transaction.timestamp
        window_end = previous.deadline + self._params.open_window
        is_window_open = now <= window_end
        if is_window_open:
            self._require_steward(transaction, number)
        is_promised = benchmark_commitment != ZERO_BYTES32
        transaction.require(is_window_open == is_promised, "WrongSeal", benchmark_commitment, window_end, now)
        epoch, guideline_hash, scoring = self._guidelines.current()
        transaction.effects()
        found = RoundRecord(
            number=number,
            opener=transaction.sender,
            opened_at=now,
            expected=self._registry.eligible_count(),
            benchmark_commitment=benchmark_commitment,
            phase=Phase.COMMIT,
            deadline=now + self._params.commit_duration,
            epoch=epoch,
            scoring=Scoring(*scoring),
        )
        self._rounds[number] = found
        transaction.emit(
            self.NAME,
            "RoundOpened",
            round=number,
            opener=found.opener,
            parentModelHash=self._model.model_hash,
            parentModelCid=self._model.cid,
            epoch=epoch,
            guidelineHash=guideline_hash,
            benchmarkCommitment=benchmark_commitment,
            expected=found.expected,
            deadline=found.deadline,
        )
        return number

    @external("uint256")
    def advance(self, transaction: Transaction, round_number: int) -> None:
        """Enter the next phase once the deadline passed or everything expected happened; anyone may call."""
        found = self._rounds.get(round_number)
        if found is None:
            transaction.revert("NoSuchRound", round_number, self.current_round())
        transaction.require(not found.is_over, "RoundEnded", round_number, int(found.phase))
        step = next_step(
            found.phase,
            found.counters(self._params),
            deadline=found.deadline,
            now=transaction.timestamp,
            block=transaction.number,
            min_participants=self._params.min_participants,
        )
        if step is None and found.phase is Phase.SEED:
            transaction.revert("SeedNotReady", found.seed_block, transaction.number)
        if step is None:
            transaction.revert("TooEarly", found.deadline, transaction.timestamp)
        transaction.effects()
        if found.phase is Phase.SEED:
            self._draw(transaction, found)
        else:
            self._take(transaction, found, step)

    def _take(self, transaction: Transaction, found: RoundRecord, step: Step) -> None:
        found.void_reason = step.reason
        self.enter(transaction, found, step.phase)
        if step.phase is Phase.SEED:
            self._pin(transaction, found)
        elif step.phase is Phase.FINALIZED:
            self._finalize(transaction, found)
        elif step.phase is Phase.VOIDED:
            transaction.emit(self.NAME, "RoundVoided", round=found.number, reason=int(step.reason))

    def enter(self, transaction: Transaction, found: RoundRecord, phase: Phase) -> None:
        """Effect: begin ``phase``. Its deadline is 0 for Seed, which ends by height, and now for the two ends."""
        found.phase = phase
        found.deadline = 0 if phase is Phase.SEED else transaction.timestamp + duration_of(phase, self._params)
        transaction.emit(self.NAME, "PhaseChanged", round=found.number, phase=int(phase), deadline=found.deadline)

    def _pin(self, transaction: Transaction, found: RoundRecord) -> None:
        found.seed_block = transaction.number + self._params.seed_delay_blocks
        transaction.emit(self.NAME, "SeedPinned", round=found.number, seedBlock=found.seed_block)

    def _draw(self, transaction: Transaction, found: RoundRecord) -> None:
        if transaction.number - found.seed_block > SEED_WINDOW:
            self._pin(transaction, found)
            return
        found.seed = ring_seed(transaction.block_hash(found.seed_block), found.number, self.address)
        is_sealed = found.is_slice_revealed
        transaction.emit(self.NAME, "SeedDrawn", round=found.number, seed=found.seed, isSealed=is_sealed)
        self.enter(transaction, found, Phase.SCORE_COMMIT)

    def _finalize(self, transaction: Transaction, found: RoundRecord) -> None:
        if found.proposal is None:
            raise LocalProtocolError(f"Round {found.number} reached its end without a proposal.")
        model_hash, cid = found.proposal.model_hash, found.proposal.cid
        self._model = Model(model_hash, cid, found.number)
        transaction.emit(
            self.NAME,
            "RoundFinalized",
            round=found.number,
            modelHash=model_hash,
            cid=cid,
            accepted=found.accepted,
            sumWeight=found.sum_weight,
        )

    def _require_steward(self, transaction: Transaction, round_number: int) -> None:
        seat = self._registry.seat(round_number % self._registry.seat_count())
        steward = seat.holder_at(transaction.timestamp)
        transaction.require(transaction.sender == steward, "NotSteward", transaction.sender, steward)

"""Reference model of RoundCourt, part 1: proofs of fault, each once, and what each costs."""

from __future__ import annotations

from typing import NoReturn

from incentives.slashing import PENALTY_BPS
from node.protocol.commitments import update_commitment
from node.protocol.errors import TransactionReverted
from node.protocol.sortition import LEAST_JURORS
from node.protocol.types import Address, CourtParams, Fault, Outcome, Phase, RoundParams, UpdateStatus, VoidReason
from node.sim.abi import ZERO_ADDRESS, ZERO_BYTES32, Contract, Transaction, external, view
from node.sim.court_state import Dispute
from node.sim.registry import MemberRegistry
from node.sim.round_hooks import RoundManager
from node.sim.round_state import Entry, RoundRecord, Seal, UpdateCommit
from node.sim.round_storage import LONGEST_PHASE, LONGEST_SEED_DELAY
from node.sim.token import ContributionToken

FAULT_OF = {
    UpdateStatus.UNAVAILABLE: Fault.UNAVAILABLE,
    UpdateStatus.MALFORMED: Fault.MALFORMED,
    UpdateStatus.HARMFUL: Fault.HARMFUL,
}
MOST_JURORS = 31
MOST_DISPUTES = 16
RETRY_SUBJECT = 1 << 16
"""Added to an index where the fault belongs to the retry panel."""
_NO_REVEALS = (VoidReason.TOO_FEW_COMMITS,)
_NO_RING = (VoidReason.TOO_FEW_COMMITS, VoidReason.TOO_FEW_REVEALS)


class CourtFaults(Contract):
    """Anyone may prove a fault; half of what the culprit loses of its own part of the stake is the prover's.

    Args:
        address: of the contract.
        token: that bonds are held in.
        rounds: whose faults these are.
        registry: that penalties are taken through.
        chain_id: of the chain.
        params: constants of the disputes.
        round_params: constants of the rounds.
    """

    NAME = "RoundCourt"

    def __init__(
        self,
        address: Address,
        token: ContributionToken,
        rounds: RoundManager,
        registry: MemberRegistry,
        *,
        chain_id: int,
        params: CourtParams,
        round_params: RoundParams,
    ) -> None:
        super().__init__(address)
        check_court_params(params, round_params)
        self._token = token
        self._rounds = rounds
        self._registry = registry
        self._chain_id = chain_id
        self._params = params
        self._round_params = round_params
        self._punished: set[tuple[int, Fault, int]] = set()
        self._disputes: dict[int, Dispute] = {}
        self._score_disputes: dict[tuple[int, int], int] = {}
        self._challenge_ends: dict[int, int] = {}

    @external("uint256", "address")
    def slash_unrevealed_update(self, transaction: Transaction, round_number: int, trainer: Address) -> None:
        """An update was promised and never opened."""
        found = self._after(transaction, round_number, Phase.REVEAL, _NO_REVEALS)
        commit = found.commits.get(trainer)
        entry = Entry.NONE if commit is None else commit.entry
        if commit is None or entry is not Entry.COMMITTED:
            transaction.revert("NoFault", trainer, int(entry), int(Entry.COMMITTED))
        self._punish(transaction, found, trainer, Fault.UPDATE_NOT_REVEALED, commit.sequence)

    @external("uint256", "uint16", "bool")
    def slash_absent_verifier(
        self,
        transaction: Transaction,
        round_number: int,
        index: int,
        retry: bool,  # noqa: FBT001 - the contract's signature
    ) -> None:
        """A ring member promised no scores."""
        self._slash_verifier(transaction, round_number, index, Entry.NONE, Fault.VERIFIER_ABSENT, retry=retry)

    @external("uint256", "uint16", "bool")
    def slash_unrevealed_scores(
        self,
        transaction: Transaction,
        round_number: int,
        index: int,
        retry: bool,  # noqa: FBT001
    ) -> None:
        """A ring member promised scores and never opened them."""
        self._slash_verifier(transaction, round_number, index, Entry.COMMITTED, Fault.SCORES_NOT_REVEALED, retry=retry)

    def _slash_verifier(
        self, transaction: Transaction, round_number: int, index: int, faulty: Entry, fault: Fault, *, retry: bool
    ) -> None:
        over = Phase.RETRY_REVEAL if retry else Phase.SCORE_REVEAL
        found = self._after(transaction, round_number, over, _NO_RING)
        self._require_index(transaction, found, index)
        if retry:
            duty = self.has_retry_duty(round_number, index)
            transaction.require(duty, "NoRetryDuty", round_number, index)
        participant = found.participants[index]
        entry = participant.scores(retry=retry).entry
        transaction.require(entry is faulty, "NoFault", participant.owner, int(entry), int(faulty))
        self._punish(transaction, found, participant.owner, fault, index + (RETRY_SUBJECT if retry else 0))

    @external("uint256", "uint16")
    def slash_verdict(self, transaction: Transaction, round_number: int, index: int) -> None:
        """An update was found Unavailable, Malformed or Harmful, and the time to appeal is over. All burns."""
        found = self._rounds.record(round_number)
        judged = self._disputes.get(self.score_dispute_of(round_number, index))
        is_judged = judged is not None and judged.outcome in (Outcome.UPHELD, Outcome.OVERTURNED)
        is_court_void = found is not None and found.void_reason is VoidReason.COURT_VOIDED
        if found is None or not (found.phase is Phase.FINALIZED or (is_court_void and is_judged)):
            self._not_provable(transaction, found)
        participant = self._rounds.ring(round_number, index).participants[index]
        fault = FAULT_OF.get(participant.status)
        if fault is None:
            transaction.revert("NoFaultyVerdict", index, int(participant.status))
        self._punish(transaction, found, participant.owner, fault, index, prover=ZERO_ADDRESS)

    @external("uint256", "uint8")
    def slash_wrong_attestation(self, transaction: Transaction, round_number: int, slot: int) -> None:
        """An attestation is not to the finalised model."""
        found = self._rounds.record(round_number)
        if found is None or found.phase is not Phase.FINALIZED:
            self._not_provable(transaction, found)
        attester, attestation, is_correct = self._rounds.attestation_of(round_number, slot)
        is_wrong = attestation != ZERO_BYTES32 and not is_correct
        transaction.require(is_wrong, "NoWrongAttestation", slot, attestation)
        self._punish(transaction, found, attester, Fault.WRONG_ATTESTATION, slot)

    @external("uint256", "uint8")
    def slash_absent_attester(self, transaction: Transaction, round_number: int, slot: int) -> None:
        """An attester published nothing in a round that found no quorum."""
        found = self._rounds.record(round_number)
        if found is None or found.void_reason is not VoidReason.NO_QUORUM:
            self._not_provable(transaction, found)
        attester, attestation, _ = self._rounds.attestation_of(round_number, slot)
        is_absent = attestation == ZERO_BYTES32
        transaction.require(is_absent, "NoFault", attester, int(Entry.COMMITTED), int(Entry.NONE))
        self._punish(transaction, found, attester, Fault.ATTESTER_ABSENT, slot)

    @external("uint256")
    def slash_unrevealed_slice(self, transaction: Transaction, round_number: int) -> None:
        """The steward did not open its slice."""
        found = self._after(transaction, round_number, Phase.REVEAL, _NO_REVEALS)
        transaction.require(found.seal is Seal.COMMITTED, "NoSilentSteward", int(found.seal))
        self._punish(transaction, found, found.steward, Fault.SLICE_NOT_REVEALED, 0)

    @external("uint256", "address", "address", "bytes32", "(bytes32,uint32,bytes32)", "(bytes32,uint32,bytes32)")
    def prove_copy(  # noqa: PLR0917 - the contract's signature
        self,
        transaction: Transaction,
        round_number: int,
        original: Address,
        copy: Address,
        content_hash: bytes,
        original_opening: tuple[bytes, int, bytes],
        copy_opening: tuple[bytes, int, bytes],
    ) -> None:
        """Two updates have the same bytes: the one committed later earns nothing and is punished."""
        found = self._rounds.record(round_number)
        if found is None or found.phase < Phase.CHALLENGE:
            self._not_provable(transaction, found)
        first = self._opened(transaction, found, original, content_hash, original_opening)
        second = self._opened(transaction, found, copy, content_hash, copy_opening)
        is_later = first.sequence < second.sequence
        transaction.require(is_later, "NotTheCopy", first.sequence, second.sequence)
        index = [participant.owner for participant in found.participants].index(copy)
        self._require_new(transaction, found, Fault.COPY, index)
        transaction.effects()
        if found.phase is Phase.CHALLENGE:
            self._rounds.deny(transaction, found, index)
        self._punish(transaction, found, copy, Fault.COPY, index)

    def _opened(
        self,
        transaction: Transaction,
        found: RoundRecord,
        trainer: Address,
        content_hash: bytes,
        opening: tuple[bytes, int, bytes],
    ) -> UpdateCommit:
        """The revealed commitment of ``trainer`` that this opening opens; reverts where it does not."""
        commit = found.commits.get(trainer)
        entry = Entry.NONE if commit is None else commit.entry
        if commit is None or entry is not Entry.REVEALED:
            transaction.revert("NoFault", trainer, int(entry), int(Entry.REVEALED))
        cid, samples, salt = opening
        scope = self._rounds.scope(found.number)
        opened = update_commitment(scope, trainer, content_hash=content_hash, cid=cid, samples=samples, salt=salt)
        cut = opened[: len(commit.commitment)].ljust(32, b"\0")
        committed = commit.commitment.ljust(32, b"\0")
        transaction.require(cut == committed, "CommitmentMismatch", committed, cut)
        return commit

    # --- helpers ---

    def _after(
        self, transaction: Transaction, round_number: int, over: Phase, never_reached: tuple[VoidReason, ...]
    ) -> RoundRecord:
        """Record of a round in which the phase ``over`` took place and is over."""
        found = self._rounds.record(round_number)
        if found is None or found.phase <= over or found.void_reason in never_reached:
            self._not_provable(transaction, found)
        return found

    @staticmethod
    def _not_provable(transaction: Transaction, found: RoundRecord | None) -> NoReturn:
        phase, reason = (Phase.NONE, VoidReason.NONE) if found is None else (found.phase, found.void_reason)
        transaction.revert("FaultNotProvable", int(phase), int(reason))

    @staticmethod
    def _require_index(transaction: Transaction, found: RoundRecord, index: int) -> None:
        n = len(found.participants)
        transaction.require(index < n, "NoSuchIndex", index, n)

    def _require_new(self, transaction: Transaction, found: RoundRecord, fault: Fault, subject: int) -> None:
        is_new = (found.number, fault, subject) not in self._punished
        transaction.require(is_new, "AlreadyPunished", found.number, int(fault), subject)

    def _punish(
        self,
        transaction: Transaction,
        found: RoundRecord,
        account: Address,
        fault: Fault,
        subject: int,
        *,
        prover: Address | None = None,
    ) -> None:
        """Check that it is new, then slash; ``prover`` is the caller, unless somebody else is named (zero: all burns).

        A Lie is kept under FieldWrong, since one field cannot be both.
        """
        key = Fault.FIELD_WRONG if fault is Fault.LIE else fault
        if not transaction.is_effecting:
            self._require_new(transaction, found, key, subject)
            transaction.effects()
        self._punished.add((found.number, key, subject))
        paid = transaction.sender if prover is None else prover
        amount = self._registry.take(transaction, account, PENALTY_BPS[fault], int(fault), found.number, paid)
        transaction.emit(
            self.NAME,
            "FaultPunished",
            round=found.number,
            account=account,
            fault=int(fault),
            subject=subject,
            prover=paid,
            amount=amount,
        )
        if fault is Fault.LIE:
            self._registry.shut_out(transaction, account)

    # --- views ---

    @view("uint256", "uint8", "uint256")
    def is_punished(self, round_number: int, fault: int, subject: int) -> bool:
        """Whether a fault was punished; Lie is kept under FieldWrong."""
        return any(key == (round_number, fault, subject) for key in self._punished)

    @view("uint256", "uint256")
    def has_retry_duty(self, round_number: int, index: int) -> bool:
        """Whether the owner of ``index`` had an Unscored update to score again."""
        found = self._rounds.record(round_number)
        if found is None or not found.has_retry(self._round_params):
            return False
        found = self._rounds.ring(round_number, index)
        return any(
            update.is_retried or update.status is UpdateStatus.UNSCORED
            for update in found.window(index, self._round_params, retry=True)
        )

    @view("uint256", "uint256")
    def score_dispute_of(self, round_number: int, index: int) -> int:
        """The dispute of an update's verdict; 0 where there is none."""
        return self._score_disputes.get((round_number, index), 0)


def check_court_params(params: CourtParams, rounds: RoundParams) -> None:
    """The bounds that the contract's constructor sets.

    Raises:
        TransactionReverted: `ParameterOutOfBounds` with the name of the first constant outside.
    """
    bounds = (
        ("bond", params.bond, 1, 2**96 - 1),
        ("jurySize", params.jury_size, LEAST_JURORS, MOST_JURORS),
        ("maxDisputes", params.max_disputes, 1, MOST_DISPUTES),
        ("seedDelayBlocks", params.seed_delay_blocks, 1, LONGEST_SEED_DELAY),
        ("drawDuration", params.draw_duration, 1, LONGEST_PHASE),
        ("commitDuration", params.commit_duration, 1, LONGEST_PHASE),
        ("revealDuration", params.reveal_duration, 1, LONGEST_PHASE),
        ("resolveDuration", params.resolve_duration, 1, LONGEST_PHASE),
        ("disputeDuration", params.duration, 1, rounds.dispute_duration),
    )
    for name, value, least, most in bounds:
        if not least <= value <= most:
            raise TransactionReverted("ParameterOutOfBounds", (name, value, least, most))

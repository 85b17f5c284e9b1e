"""Reference model of RoundManager, part 2: proofs of fault and what each costs."""

from __future__ import annotations

from typing import NoReturn

from incentives.slashing import PENALTY_BPS
from node.protocol.types import Address, Fault, Phase, UpdateStatus, VoidReason
from node.sim.abi import ZERO_ADDRESS, ZERO_BYTES32, Transaction, external
from node.sim.round_state import Entry, RoundRecord
from node.sim.round_storage import RoundStorage

FAULT_OF = {
    UpdateStatus.UNAVAILABLE: Fault.UNAVAILABLE,
    UpdateStatus.MALFORMED: Fault.MALFORMED,
    UpdateStatus.HARMFUL: Fault.HARMFUL,
}


class RoundFaults(RoundStorage):
    """Anyone may prove a fault; half of the penalty is the prover's."""

    @external("uint256", "address")
    def slash_unrevealed_update(self, transaction: Transaction, round_number: int, trainer: Address) -> None:
        """Proof of fault: an update was promised and never opened."""
        found = self._provable(transaction, round_number, Phase.REVEAL, VoidReason.TOO_FEW_COMMITS)
        commit = found.commits.get(trainer)
        entry = Entry.NONE if commit is None else commit.entry
        if commit is None or entry is not Entry.COMMITTED:
            transaction.revert("WrongEntry", trainer, int(entry), int(Entry.COMMITTED))
        transaction.effects()
        commit.entry = Entry.SLASHED
        self.punish(transaction, found, trainer, Fault.UPDATE_NOT_REVEALED, transaction.sender)

    @external("uint256", "uint16")
    def slash_absent_verifier(self, transaction: Transaction, round_number: int, index: int) -> None:
        """Proof of fault: a ring member promised no scores."""
        self._punish_verifier(transaction, round_number, index, Entry.NONE, Fault.VERIFIER_ABSENT)

    @external("uint256", "uint16")
    def slash_unrevealed_scores(self, transaction: Transaction, round_number: int, index: int) -> None:
        """Proof of fault: a ring member promised scores and never opened them."""
        self._punish_verifier(transaction, round_number, index, Entry.COMMITTED, Fault.SCORES_NOT_REVEALED)

    @external("uint256", "uint8")
    def slash_wrong_attestation(self, transaction: Transaction, round_number: int, slot: int) -> None:
        """Proof of fault: an attestation is not to the model that reached the quorum."""
        found = self._rounds.get(round_number)
        if found is None or found.phase not in (Phase.CHALLENGE, Phase.FINALIZED):
            self._not_provable(transaction, found)
        attester = self.attester_at(self.ring(round_number), slot)
        attestation = found.attestations.get(slot)
        if attestation is None or (found.proposal is not None and found.opens(slot, found.proposal)):
            transaction.revert("NoWrongAttestation", slot, attestation.value if attestation else ZERO_BYTES32)
        transaction.require(not attestation.is_slashed, "AlreadySlashed", slot)
        transaction.effects()
        attestation.is_slashed = True
        self.punish(transaction, found, attester, Fault.WRONG_ATTESTATION, transaction.sender)

    def punish(
        self,
        transaction: Transaction,
        found: RoundRecord,
        member: Address,
        fault: Fault,
        prover: Address = ZERO_ADDRESS,
    ) -> None:
        """Effect: slash ``member``; without a prover all of it burns."""
        self._registry.take(transaction, member, PENALTY_BPS[fault], int(fault), found.number, prover)

    def _punish_verifier(
        self, transaction: Transaction, round_number: int, index: int, expected: Entry, fault: Fault
    ) -> None:
        reasons = (VoidReason.TOO_FEW_COMMITS, VoidReason.TOO_FEW_REVEALS)
        found = self._provable(transaction, round_number, Phase.SCORE_REVEAL, *reasons)
        n = len(found.participants)
        transaction.require(index < n, "NoSuchIndex", index, n)
        participant = found.participants[index]
        entry = participant.entry
        transaction.require(entry is expected, "WrongEntry", participant.owner, int(entry), int(expected))
        transaction.effects()
        participant.entry = Entry.SLASHED
        self.punish(transaction, found, participant.owner, fault, transaction.sender)

    def _provable(
        self, transaction: Transaction, round_number: int, after: Phase, *never_reached: VoidReason
    ) -> RoundRecord:
        """Record of a round in which the phase ``after`` took place and is over."""
        found = self._rounds.get(round_number)
        if found is None or found.phase <= after or found.void_reason in never_reached:
            self._not_provable(transaction, found)
        return found

    def _not_provable(self, transaction: Transaction, found: RoundRecord | None) -> NoReturn:
        phase, reason = (Phase.NONE, VoidReason.NONE) if found is None else (found.phase, found.void_reason)
        transaction.revert("FaultNotProvable", int(phase), int(reason))

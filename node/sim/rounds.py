"""Reference model of RoundManager, second half: what participants do in each phase, and proofs of fault."""

from __future__ import annotations

from incentives.scoring import FIELD_BITS, FIELDS, tally
from incentives.slashing import PENALTY_BPS
from node.protocol.commitments import benchmark_commitment, score_commitment, update_commitment
from node.protocol.types import Address, Fault, Phase, UpdateStatus
from node.sim.abi import ZERO_ADDRESS, ZERO_BYTES32, Transaction, external
from node.sim.round_base import RoundBase
from node.sim.round_state import Attestation, Participant, Proposal, RoundRecord, UpdateCommit, tally_params

MAX_SETTLED_PER_CALL = 16
MAX_WORD = (1 << (FIELDS * FIELD_BITS)) - 1
_FAULT_OF = {
    UpdateStatus.UNAVAILABLE: Fault.UNAVAILABLE,
    UpdateStatus.MALFORMED: Fault.MALFORMED,
    UpdateStatus.HARMFUL: Fault.HARMFUL,
}


class RoundManager(RoundBase):
    """The acts of trainers, stewards, verifiers, attesters and challengers."""

    @external("uint256", "bytes32")
    def commit_update(self, transaction: Transaction, round_number: int, commitment: bytes) -> None:
        """A trainer promises an update."""
        found = self.in_phase(transaction, round_number, Phase.COMMIT)
        sender = transaction.sender
        transaction.require(commitment != ZERO_BYTES32, "EmptyCommitment")
        transaction.require(self._registry.is_eligible(sender, found.opened_at), "NotEligible", sender)
        transaction.require(sender not in found.commits, "AlreadyDone")
        transaction.effects()
        commit = UpdateCommit(len(found.commits) + 1, commitment)
        found.commits[sender] = commit
        transaction.emit(
            self.NAME,
            "UpdateCommitted",
            round=round_number,
            trainer=sender,
            sequence=commit.sequence,
            commitment=commitment,
        )

    @external("uint256", "bytes32", "bytes32", "uint32", "bytes32")
    def reveal_update(
        self, transaction: Transaction, round_number: int, content_hash: bytes, cid: bytes, samples: int, salt: bytes
    ) -> None:
        """A trainer opens its commitment."""
        found = self.in_phase(transaction, round_number, Phase.REVEAL)
        sender = transaction.sender
        commit = found.commits.get(sender)
        if commit is None:
            transaction.revert("NothingCommitted", sender)
        transaction.require(not commit.is_revealed, "AlreadyDone")
        opened = update_commitment(
            self.scope(round_number), sender, content_hash=content_hash, cid=cid, samples=samples, salt=salt
        )
        transaction.require(opened == commit.commitment, "BadOpening")
        transaction.effects()
        commit.is_revealed = True
        index = len(found.participants)
        found.participants.append(Participant(sender))
        transaction.emit(
            self.NAME,
            "UpdateRevealed",
            round=round_number,
            trainer=sender,
            index=index,
            sequence=commit.sequence,
            contentHash=content_hash,
            cid=cid,
            samples=samples,
        )

    @external("uint256", "bytes32", "bytes32", "bytes32")
    def reveal_benchmark(
        self, transaction: Transaction, round_number: int, content_hash: bytes, cid: bytes, salt: bytes
    ) -> None:
        """The steward opens the benchmark slice it promised."""
        found = self.in_phase(transaction, round_number, Phase.REVEAL)
        sender = transaction.sender
        transaction.require(any(found.benchmark_commitment), "NothingCommitted", sender)
        transaction.require(sender == found.opener, "NotSteward", sender, found.opener)
        transaction.require(not found.is_slice_revealed, "AlreadyDone")
        opened = benchmark_commitment(self.scope(round_number), sender, content_hash=content_hash, cid=cid, salt=salt)
        transaction.require(opened == found.benchmark_commitment, "BadOpening")
        transaction.effects()
        found.is_slice_revealed = True
        transaction.emit(
            self.NAME, "BenchmarkRevealed", round=round_number, steward=sender, contentHash=content_hash, cid=cid
        )

    @external("uint256", "uint16", "bytes32")
    def commit_scores(self, transaction: Transaction, round_number: int, index: int, commitment: bytes) -> None:
        """A ring member promises its score word."""
        found = self.in_phase(transaction, round_number, Phase.SCORE_COMMIT)
        participant = self._owned(transaction, found, index)
        transaction.require(commitment != ZERO_BYTES32, "EmptyCommitment")
        transaction.require(not participant.score_commitment, "AlreadyDone")
        transaction.effects()
        participant.score_commitment = commitment
        found.score_commits += 1
        transaction.emit(
            self.NAME,
            "ScoresCommitted",
            round=round_number,
            index=index,
            verifier=participant.owner,
            commitment=commitment,
        )

    @external("uint256", "uint16", "uint256", "bytes32")
    def reveal_scores(self, transaction: Transaction, round_number: int, index: int, word: int, salt: bytes) -> None:
        """A ring member opens its score word."""
        found = self.in_phase(transaction, round_number, Phase.SCORE_REVEAL)
        participant = self._owned(transaction, found, index)
        transaction.require(word <= MAX_WORD, "WordTooWide", word, MAX_WORD)
        transaction.require(participant.score_commitment, "NothingCommitted", participant.owner)
        transaction.require(participant.word is None, "AlreadyDone")
        opened = score_commitment(self.scope(round_number), participant.owner, word=word, salt=salt)
        transaction.require(opened == participant.score_commitment, "BadOpening")
        transaction.effects()
        participant.word = word
        found.score_reveals += 1
        transaction.emit(
            self.NAME, "ScoresRevealed", round=round_number, index=index, verifier=participant.owner, word=word
        )

    @external("uint256", "uint16[]")
    def settle(self, transaction: Transaction, round_number: int, indices: tuple[int, ...]) -> None:
        """Anyone: tally up to 16 updates; those already settled are passed over."""
        found = self.in_phase(transaction, round_number, Phase.SETTLE)
        transaction.require(len(indices) <= MAX_SETTLED_PER_CALL, "TooMany", len(indices), MAX_SETTLED_PER_CALL)
        for index in indices:
            self._participant(transaction, found, index)
        transaction.effects()
        for index in dict.fromkeys(indices):
            if found.participants[index].status is UpdateStatus.PENDING:
                self._settle_one(transaction, found, index)

    def _settle_one(self, transaction: Transaction, found: RoundRecord, index: int) -> None:
        participant = found.participants[index]
        result = tally(found.fields_on(index, self._params), tally_params(self._params))
        participant.status = UpdateStatus(result.verdict)
        participant.gain, participant.weight = result.gain, result.weight
        found.settled += 1
        found.accepted += participant.status is UpdateStatus.ACCEPTED
        found.sum_weight += result.weight
        transaction.emit(
            self.NAME,
            "UpdateSettled",
            round=found.number,
            index=index,
            trainer=participant.owner,
            status=int(participant.status),
            gain=result.gain,
            votes=result.votes,
            weight=result.weight,
        )
        fault = _FAULT_OF.get(participant.status)
        if fault is not None:
            self._slash(transaction, found, participant.owner, fault, ZERO_ADDRESS)

    @external("uint256", "uint8", "bytes32")
    def attest(self, transaction: Transaction, round_number: int, slot: int, attestation: bytes) -> None:
        """The owner of an attestation slot says, in its own key, which model it computed."""
        found = self.in_phase(transaction, round_number, Phase.ATTEST)
        slots = found.slots(self._params)
        transaction.require(slot < slots, "NoSuchSlot", slot, slots)
        sender = transaction.sender
        transaction.require(found.at_position(slot).owner == sender, "NotOwner", sender)
        transaction.require(attestation != ZERO_BYTES32, "EmptyCommitment")
        transaction.require(slot not in found.attestations, "AlreadyDone")
        transaction.effects()
        found.attestations[slot] = Attestation(sender, attestation)
        transaction.emit(self.NAME, "Attested", round=round_number, slot=slot, attester=sender, attestation=attestation)

    @external("uint256", "bytes32", "bytes32", "bytes32")
    def propose_aggregate(
        self, transaction: Transaction, round_number: int, secret: bytes, model_hash: bytes, cid: bytes
    ) -> None:
        """Anyone: open the attestations; more than 2/3 of all slots must be to this model."""
        found = self.in_phase(transaction, round_number, Phase.ATTEST)
        slots = found.slots(self._params)
        proposal = Proposal(secret, model_hash, cid)
        votes = sum(found.opens(slot, proposal) for slot in range(slots))
        transaction.require(3 * votes > 2 * slots, "NoQuorum", votes, slots)
        transaction.effects()
        found.proposal = proposal
        transaction.emit(
            self.NAME,
            "AggregateProposed",
            round=round_number,
            proposer=transaction.sender,
            secret=secret,
            modelHash=model_hash,
            cid=cid,
            votes=votes,
        )
        self._enter(transaction, found, Phase.CHALLENGE)

    @external("uint256", "address")
    def slash_unrevealed_update(self, transaction: Transaction, round_number: int, trainer: Address) -> None:
        """Proof of fault: an update was promised and never opened."""
        found = self.record(transaction, round_number)
        transaction.require(found.has_revealed, "WrongPhase", round_number, int(found.phase))
        commit = found.commits.get(trainer)
        if commit is None or commit.is_revealed:
            transaction.revert("NoFault")
        transaction.require(not commit.is_slashed, "AlreadyDone")
        transaction.effects()
        commit.is_slashed = True
        self._slash(transaction, found, trainer, Fault.UPDATE_NOT_REVEALED, transaction.sender)

    @external("uint256", "uint16")
    def slash_absent_verifier(self, transaction: Transaction, round_number: int, index: int) -> None:
        """Proof of fault: a ring member promised no scores."""
        found, participant = self._accused(transaction, round_number, index)
        transaction.require(not participant.score_commitment, "NoFault")
        transaction.require(not participant.is_slashed, "AlreadyDone")
        transaction.effects()
        participant.is_slashed = True
        self._slash(transaction, found, participant.owner, Fault.VERIFIER_ABSENT, transaction.sender)

    @external("uint256", "uint16")
    def slash_unrevealed_scores(self, transaction: Transaction, round_number: int, index: int) -> None:
        """Proof of fault: a ring member promised scores and never opened them."""
        found, participant = self._accused(transaction, round_number, index)
        transaction.require(participant.score_commitment and participant.word is None, "NoFault")
        transaction.require(not participant.is_slashed, "AlreadyDone")
        transaction.effects()
        participant.is_slashed = True
        self._slash(transaction, found, participant.owner, Fault.SCORES_NOT_REVEALED, transaction.sender)

    @external("uint256", "uint8")
    def slash_wrong_attestation(self, transaction: Transaction, round_number: int, slot: int) -> None:
        """Proof of fault: an attestation is not to the model that reached the quorum."""
        found = self.record(transaction, round_number)
        if found.proposal is None or found.phase not in (Phase.CHALLENGE, Phase.FINALIZED):
            transaction.revert("WrongPhase", round_number, int(found.phase))
        attestation = found.attestations.get(slot)
        if attestation is None or found.opens(slot, found.proposal):
            transaction.revert("NoFault")
        transaction.require(not attestation.is_slashed, "AlreadyDone")
        transaction.effects()
        attestation.is_slashed = True
        self._slash(transaction, found, attestation.attester, Fault.WRONG_ATTESTATION, transaction.sender)

    def _participant(self, transaction: Transaction, found: RoundRecord, index: int) -> Participant:
        n = len(found.participants)
        transaction.require(index < n, "NoSuchIndex", index, n)
        return found.participants[index]

    def _owned(self, transaction: Transaction, found: RoundRecord, index: int) -> Participant:
        participant = self._participant(transaction, found, index)
        transaction.require(participant.owner == transaction.sender, "NotOwner", transaction.sender)
        return participant

    def _accused(self, transaction: Transaction, round_number: int, index: int) -> tuple[RoundRecord, Participant]:
        found = self.record(transaction, round_number)
        transaction.require(found.has_scored, "WrongPhase", round_number, int(found.phase))
        return found, self._participant(transaction, found, index)

    def _slash(
        self, transaction: Transaction, found: RoundRecord, member: Address, fault: Fault, prover: Address
    ) -> None:
        self._registry.take(transaction, member, PENALTY_BPS[fault], int(fault), found.number, prover)

"""Reference model of RoundManager, part 3: what participants do in each phase."""

from __future__ import annotations

from incentives.scoring import FIELD_BITS, FIELDS, tally
from node.protocol.commitments import benchmark_commitment, score_commitment, update_commitment
from node.protocol.types import Address, Phase, UpdateStatus
from node.sim.abi import ZERO_BYTES32, Transaction, external
from node.sim.round_phases import RoundPhases
from node.sim.round_state import (
    SCORE_COMMITMENT_BYTES,
    UPDATE_COMMITMENT_BYTES,
    Attestation,
    Entry,
    Participant,
    Proposal,
    RoundRecord,
    Scores,
    Seal,
    UpdateCommit,
    tally_params,
)

MAX_SETTLED_PER_CALL = 16
MAX_WORD = (1 << (FIELDS * FIELD_BITS)) - 1


class RoundActs(RoundPhases):
    """The acts of trainers, stewards, verifiers and attesters."""

    @external("uint256", "bytes32")
    def commit_update(self, transaction: Transaction, round_number: int, commitment: bytes) -> None:
        """A trainer promises an update."""
        found = self.in_phase(transaction, round_number, Phase.COMMIT)
        sender = transaction.sender
        is_eligible = self._registry.is_eligible(sender, found.opened_at)
        transaction.require(is_eligible, "NotEligible", sender, found.opened_at)
        before = found.commits.get(sender)
        if before is not None:
            transaction.revert("WrongEntry", sender, int(before.entry), int(Entry.NONE))
        transaction.effects()
        commit = UpdateCommit(len(found.commits), commitment[:UPDATE_COMMITMENT_BYTES])
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
    def reveal_update(  # noqa: PLR0917 - the contract's signature
        self, transaction: Transaction, round_number: int, content_hash: bytes, cid: bytes, samples: int, salt: bytes
    ) -> None:
        """A trainer opens its commitment."""
        found = self.in_phase(transaction, round_number, Phase.REVEAL)
        sender = transaction.sender
        commit = found.commits.get(sender)
        entry = Entry.NONE if commit is None else commit.entry
        if commit is None or entry is not Entry.COMMITTED:
            transaction.revert("WrongEntry", sender, int(entry), int(Entry.COMMITTED))
        opened = update_commitment(
            self.scope(round_number), sender, content_hash=content_hash, cid=cid, samples=samples, salt=salt
        )
        _require_match(transaction, commit.commitment, opened)
        transaction.effects()
        commit.entry = Entry.REVEALED
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
        transaction.require(found.seal is Seal.COMMITTED, "NoSealToReveal", int(found.seal), int(Seal.COMMITTED))
        transaction.require(sender == found.steward, "NotSteward", sender, found.steward)
        opened = benchmark_commitment(self.scope(round_number), sender, content_hash=content_hash, cid=cid, salt=salt)
        _require_match(transaction, found.benchmark_commitment, opened)
        transaction.effects()
        found.is_slice_revealed = True
        transaction.emit(
            self.NAME, "BenchmarkRevealed", round=round_number, steward=sender, contentHash=content_hash, cid=cid
        )

    @external("uint256", "uint16", "bytes32")
    def commit_scores(self, transaction: Transaction, round_number: int, index: int, commitment: bytes) -> None:
        """A ring member promises its score word: the first in ScoreCommit, the second in RetryCommit."""
        found = self._in_either(transaction, round_number, Phase.SCORE_COMMIT, Phase.RETRY_COMMIT)
        is_retry = found.phase is Phase.RETRY_COMMIT
        participant = self._owned(transaction, found, index)
        scores = participant.scores(retry=is_retry)
        _require_entry(transaction, participant.owner, scores, Entry.NONE)
        transaction.effects()
        scores.entry = Entry.COMMITTED
        scores.commitment = commitment[:SCORE_COMMITMENT_BYTES]
        if is_retry:
            found.retry_commits += 1
        else:
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
        found = self._in_either(transaction, round_number, Phase.SCORE_REVEAL, Phase.RETRY_REVEAL)
        is_retry = found.phase is Phase.RETRY_REVEAL
        participant = self._owned(transaction, found, index)
        scores = participant.scores(retry=is_retry)
        _require_entry(transaction, participant.owner, scores, Entry.COMMITTED)
        opened = score_commitment(self.scope(round_number), participant.owner, word=word, salt=salt)
        _require_match(transaction, scores.commitment, opened)
        transaction.require(word <= MAX_WORD, "WordTooWide", word, MAX_WORD)
        transaction.effects()
        scores.entry = Entry.REVEALED
        scores.word = word
        if is_retry:
            found.retry_reveals += 1
        else:
            found.score_reveals += 1
        transaction.emit(
            self.NAME, "ScoresRevealed", round=round_number, index=index, verifier=participant.owner, word=word
        )

    @external("uint256", "uint16[]")
    def settle(self, transaction: Transaction, round_number: int, indices: tuple[int, ...]) -> None:
        """Anyone: tally up to 16 updates; those already settled (in the retry: not Unscored, or retried) are passed over."""
        too_many = len(indices) > MAX_SETTLED_PER_CALL
        transaction.require(not too_many, "TooManyIndices", len(indices), MAX_SETTLED_PER_CALL)
        found = self._in_either(transaction, round_number, Phase.SETTLE, Phase.RETRY_SETTLE)
        n = len(found.participants)
        for index in indices:
            transaction.require(index < n, "NoSuchIndex", index, n)
        transaction.effects()
        for index in indices:
            self._settle_one(transaction, found, index)

    def _settle_one(self, transaction: Transaction, found: RoundRecord, index: int) -> None:
        participant = found.participants[index]
        is_retry = found.phase is Phase.RETRY_SETTLE
        is_due = participant.status is (UpdateStatus.UNSCORED if is_retry else UpdateStatus.PENDING)
        if not is_due or participant.is_retried:
            return
        result = tally(found.fields_on(index, self._params, retry=is_retry), tally_params(found.scoring))
        participant.set_verdict(UpdateStatus(result.verdict), result.gain, found.scoring.gain_cap)
        participant.is_retried = is_retry
        if is_retry:
            found.unscored -= 1
        else:
            found.settled += 1
            found.unscored += participant.status is UpdateStatus.UNSCORED
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

    @external("uint256", "uint8", "bytes32")
    def attest(self, transaction: Transaction, round_number: int, slot: int, attestation: bytes) -> None:
        """The owner of an attestation slot says, in its own key, which model it computed."""
        found = self.in_phase(transaction, round_number, Phase.ATTEST)
        sender = transaction.sender
        owner = self.attester_at(found, slot)
        transaction.require(sender == owner, "NotRingOwner", sender, owner)
        transaction.require(attestation != ZERO_BYTES32, "ZeroAttestation")
        before = found.attestations.get(slot)
        if before is not None:
            transaction.revert("AlreadyAttested", slot, before.value)
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
        needed = slots * 2 // 3 + 1
        transaction.require(votes >= needed, "NoQuorum", votes, needed)
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
        self.enter(transaction, found, Phase.CHALLENGE)

    def _in_either(self, transaction: Transaction, round_number: int, first: Phase, retry: Phase) -> RoundRecord:
        """As `in_phase`, for an act that the retry panel does too."""
        is_retry = self.phase_of(round_number)[0] == retry
        return self.in_phase(transaction, round_number, retry if is_retry else first)

    def _owned(self, transaction: Transaction, found: RoundRecord, index: int) -> Participant:
        owner = found.owner_of(index)
        transaction.require(transaction.sender == owner, "NotRingOwner", transaction.sender, owner)
        return found.participants[index]


def _require_entry(transaction: Transaction, owner: Address, scores: Scores, expected: Entry) -> None:
    transaction.require(scores.entry is expected, "WrongEntry", owner, int(scores.entry), int(expected))


def _require_match(transaction: Transaction, committed: bytes, opened: bytes) -> None:
    """Both sides are cut to the bits that the contract stores."""
    cut = opened[: len(committed)]
    transaction.require(cut == committed, "CommitmentMismatch", committed.ljust(32, b"\0"), cut.ljust(32, b"\0"))

"""Reference model of RoundCourt, part 2: bonded disputes of one verdict or one aggregate before a jury drawn from the ring."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from incentives.scoring import (
    FIELD_MASK,
    FIRST_NUMERIC,
    MALFORMED,
    UNAVAILABLE,
    Contradiction,
    Tally,
    Verdict,
    contradiction,
    is_upheld,
    tally,
    word_field,
)
from node.protocol.commitments import ballot_commitment, jury_key
from node.protocol.errors import TransactionReverted
from node.protocol.sortition import draw_jury
from node.protocol.types import Address, DisputeKind, Fault, Outcome, Phase, UpdateStatus
from node.sim.abi import ZERO_ADDRESS, ZERO_BYTES32, Transaction, external, view
from node.sim.court_faults import CourtFaults
from node.sim.court_state import Dispute, jury_plan
from node.sim.round_phases import SEED_WINDOW
from node.sim.round_state import SCORE_COMMITMENT_BYTES, Entry, RoundRecord, tally_params

RIGHT, WRONG = 1, 2
"""Ballots about an aggregate."""
DISPUTE_SUBJECT = 256
"""Subject of a fault in a dispute: this times its number, plus the place."""


class RoundCourt(CourtFaults):
    """Disputes; each goes on to its end even where another one voided the round."""

    @external("uint256", "uint16")
    def dispute_score(self, transaction: Transaction, round_number: int, index: int) -> int:
        """Dispute the verdict on an update, with a bond."""
        found = self._disputable(transaction, round_number)
        before = self.score_dispute_of(round_number, index)
        transaction.require(not before, "AlreadyDisputed", round_number, before)
        limit = self._params.max_disputes
        count = self._scores_disputed(round_number)
        transaction.require(count < limit, "TooManyDisputes", round_number, limit)
        participant = self._rounds.ring(round_number, index).participants[index]
        awaits_retry = found.has_retry(self._round_params) and not participant.is_retried
        is_unsettled = participant.status is UpdateStatus.PENDING or (
            participant.status is UpdateStatus.UNSCORED and awaits_retry
        )
        is_moot = is_unsettled or participant.status is UpdateStatus.UNAVAILABLE
        transaction.require(not is_moot, "NothingToDispute", index, int(participant.status))
        return self._open(transaction, found, index)

    @external("uint256")
    def dispute_aggregate(self, transaction: Transaction, round_number: int) -> int:
        """Dispute the round's model, with a bond."""
        found = self._disputable(transaction, round_number)
        before = self._aggregate_dispute(round_number)
        transaction.require(not before, "AlreadyDisputed", round_number, before)
        return self._open(transaction, found, None)

    def _disputable(self, transaction: Transaction, round_number: int) -> RoundRecord:
        found = self._rounds.record(round_number)
        actual = Phase.NONE if found is None else found.phase
        if found is None or actual is not Phase.CHALLENGE:
            transaction.revert("WrongPhase", int(actual), int(Phase.CHALLENGE))
        end = self._challenge_ends.get(round_number, found.deadline)
        transaction.require(transaction.timestamp <= end, "DisputeTooLate", end, transaction.timestamp)
        return found

    def _open(self, transaction: Transaction, found: RoundRecord, index: int | None) -> int:
        self._token.check_spend(transaction, transaction.sender, self.address, self._params.bond)
        transaction.effects()
        kind = DisputeKind.AGGREGATE if index is None else DisputeKind.SCORE
        dispute = Dispute(
            number=len(self._disputes) + 1,
            disputer=transaction.sender,
            until=transaction.timestamp + self._params.duration,
            seed_block=transaction.number + self._params.seed_delay_blocks,
            index=index or 0,
            round=found.number,
            participants=len(found.participants),
            position=0 if index is None else found.position_of(index),
            kind=kind,
            is_retried=index is not None and found.participants[index].is_retried,
            plan=jury_plan(found, index, self._round_params, self._params.jury_size),
        )
        self._disputes[dispute.number] = dispute
        self._challenge_ends.setdefault(found.number, found.deadline)
        if index is not None:
            self._score_disputes[found.number, index] = dispute.number
        transaction.emit(
            self.NAME,
            "DisputeOpened",
            id=dispute.number,
            round=found.number,
            disputer=dispute.disputer,
            kind=int(kind),
            index=dispute.index,
            isRetried=dispute.is_retried,
            isIndependent=dispute.plan.is_independent,
            seedBlock=dispute.seed_block,
            until=dispute.until,
        )
        self._rounds.prolong(transaction, found, dispute.until)
        self._token.spend(transaction, transaction.sender, self.address, self.address, self._params.bond)
        return dispute.number

    @external("uint256")
    def draw_jury(self, transaction: Transaction, number: int) -> None:
        """Draw the jury once the seed block is mined; where its hash is gone, pin a later block."""
        dispute = self.dispute(number)
        transaction.require(not dispute.key, "JuryIsDrawn", number)
        end = self._draw_end(dispute)
        now = transaction.timestamp
        transaction.require(now <= end, "DeadlinePassed", end, now)
        is_mined = transaction.number > dispute.seed_block
        transaction.require(is_mined, "SeedNotReady", dispute.seed_block, transaction.number)
        transaction.effects()
        if transaction.number - dispute.seed_block > SEED_WINDOW:
            dispute.seed_block = transaction.number + self._params.seed_delay_blocks
            transaction.emit(self.NAME, "JurySeedPinned", id=number, seedBlock=dispute.seed_block)
            return
        dispute.key = jury_key(transaction.block_hash(dispute.seed_block), number, self.address)
        dispute.places = dispute.plan.places
        dispute.jury = draw_jury(dispute.key, dispute.participants, dispute.plan)
        dispute.commit_end = now + self._params.commit_duration
        transaction.emit(
            self.NAME,
            "JuryDrawn",
            id=number,
            key=dispute.key,
            places=dispute.places,
            jurors=len(dispute.jury),
            commitEnd=dispute.commit_end,
        )

    @external("uint256", "uint8", "bytes32")
    def commit_ballot(self, transaction: Transaction, number: int, place: int, commitment: bytes) -> None:
        """A juror promises its ballot."""
        dispute = self.dispute(number)
        juror = self._require_juror(transaction, dispute, place)
        now = transaction.timestamp
        transaction.require(now <= dispute.commit_end, "DeadlinePassed", dispute.commit_end, now)
        entry = dispute.ballot(place).entry
        transaction.require(entry is Entry.NONE, "WrongEntry", juror, int(entry), int(Entry.NONE))
        transaction.effects()
        ballot = dispute.ballot(place)
        ballot.entry, ballot.commitment = Entry.COMMITTED, commitment[:SCORE_COMMITMENT_BYTES]
        dispute.commits += 1
        transaction.emit(self.NAME, "BallotCommitted", id=number, place=place, juror=juror, commitment=commitment)

    @external("uint256", "uint8", "uint256", "bytes32")
    def reveal_ballot(self, transaction: Transaction, number: int, place: int, value: int, salt: bytes) -> None:
        """A juror opens its ballot."""
        dispute = self.dispute(number)
        juror = self._require_juror(transaction, dispute, place)
        now = transaction.timestamp
        is_time = now > dispute.commit_end or dispute.commits == len(dispute.jury)
        transaction.require(is_time, "TooEarly", dispute.commit_end, now)
        end = self._reveal_end(dispute)
        transaction.require(now <= end, "DeadlinePassed", end, now)
        ballot = dispute.ballot(place)
        is_committed = ballot.entry is Entry.COMMITTED
        transaction.require(is_committed, "WrongEntry", juror, int(ballot.entry), int(Entry.COMMITTED))
        opened = ballot_commitment(self._chain_id, self.address, number, juror, ballot=value, salt=salt)
        cut = opened[: len(ballot.commitment)]
        transaction.require(
            cut == ballot.commitment, "CommitmentMismatch", ballot.commitment.ljust(32, b"\0"), cut.ljust(32, b"\0")
        )
        transaction.require(_is_valid(dispute.kind, value), "InvalidBallot", value)
        transaction.effects()
        ballot.entry, ballot.value = Entry.REVEALED, value
        dispute.reveals += 1
        transaction.emit(self.NAME, "BallotRevealed", id=number, place=place, juror=juror, ballot=value)

    # --- the end ---

    @external("uint256")
    def resolve(self, transaction: Transaction, number: int) -> None:
        """End a dispute: count the ballots, correct the round, return or burn the bond."""
        dispute = self._running(transaction, number)
        now = transaction.timestamp
        has_lapsed = now > (dispute.until if dispute.key else self._draw_end(dispute))
        if not has_lapsed:
            transaction.require(dispute.key, "JuryNotDrawn", number)
            end = self._reveal_end(dispute)
            is_over = now > end or dispute.reveals == len(dispute.jury)
            transaction.require(is_over, "TooEarly", end, now)
        transaction.effects()
        found = self._rounds.ring(dispute.round)
        if has_lapsed:
            self._end(transaction, dispute, Outcome.LAPSED, votes=0)
        elif dispute.kind is DisputeKind.AGGREGATE:
            self._resolve_aggregate(transaction, dispute, found)
        else:
            self._resolve_score(transaction, dispute, found)

    def _resolve_aggregate(self, transaction: Transaction, dispute: Dispute, found: RoundRecord) -> None:
        need = len(dispute.jury) // 2 + 1
        values = [ballot.value for ballot in dispute.ballots.values()]
        wrong, right = values.count(WRONG), values.count(RIGHT)
        if wrong >= need:
            self._end(transaction, dispute, Outcome.OVERTURNED, votes=wrong)
            self._rounds.void(transaction, found)
        elif right >= need:
            self._end(transaction, dispute, Outcome.UPHELD, votes=right)
        else:
            self._end(transaction, dispute, Outcome.NO_MAJORITY, votes=max(wrong, right))

    def _resolve_score(self, transaction: Transaction, dispute: Dispute, found: RoundRecord) -> None:
        fields = [dispute.ballot(place).value for place in dispute.jury]
        verdict = tally(fields, tally_params(found.scoring))
        if verdict.verdict is Verdict.UNSCORED:
            self._end(transaction, dispute, Outcome.NO_MAJORITY, votes=verdict.votes)
            return
        participant = found.participants[dispute.index]
        settled = Tally(Verdict(participant.status), participant.gain, 0, 0)
        if is_upheld(verdict, settled, found.scoring.tau):
            self._end(transaction, dispute, Outcome.UPHELD, votes=verdict.votes)
            return
        dispute.status, dispute.gain = UpdateStatus(verdict.verdict), verdict.gain
        self._end(transaction, dispute, Outcome.OVERTURNED, votes=verdict.votes)
        self._rounds.overturn(transaction, found, dispute.index, dispute.status, dispute.gain)

    def _end(self, transaction: Transaction, dispute: Dispute, outcome: Outcome, *, votes: int) -> None:
        dispute.outcome = outcome
        transaction.emit(
            self.NAME,
            "DisputeResolved",
            id=dispute.number,
            outcome=int(outcome),
            status=int(dispute.status),
            gain=dispute.gain,
            votes=votes,
        )
        is_returned = outcome in (Outcome.OVERTURNED, Outcome.NO_MAJORITY)
        to = dispute.disputer if is_returned else ZERO_ADDRESS
        self._token.move(transaction, self.address, to, self._params.bond)

    # --- who was wrong ---

    @external("uint256", "uint8")
    def slash_field(self, transaction: Transaction, number: int, j: int) -> None:
        """A verifier of the panel said what an overturning jury contradicts."""
        dispute = self._overturned(transaction, number, DisputeKind.SCORE)
        found = self._rounds.ring(dispute.round)
        k = found.verifiers(self._round_params)
        transaction.require(j < k, "NoSuchVerifier", j, k)
        index = found.verifier_of(dispute.index, j, self._round_params, retry=dispute.is_retried)
        verifier = found.participants[index]
        field = word_field(verifier.scores(retry=dispute.is_retried).word, j)
        verdict = Tally(Verdict(dispute.status), dispute.gain, 0, 0)
        found_wrong = contradiction(field, verdict, tally_params(found.scoring))
        if found_wrong is Contradiction.NONE:
            transaction.revert("NoWrongField", verifier.owner, field)
        is_lie = found_wrong is Contradiction.LIE and dispute.plan.is_independent
        fault = Fault.LIE if is_lie else Fault.FIELD_WRONG
        subject = DISPUTE_SUBJECT * number + j
        self._punish(transaction, found, verifier.owner, fault, subject, prover=dispute.disputer)

    @external("uint256", "uint8")
    def slash_attester(self, transaction: Transaction, number: int, slot: int) -> None:
        """An attester was counted for a model that the jury refused."""
        dispute = self._overturned(transaction, number, DisputeKind.AGGREGATE)
        found = self._rounds.ring(dispute.round)
        attester, _, is_correct = self._rounds.attestation_of(dispute.round, slot)
        transaction.require(is_correct, "NotCounted", slot)
        self._punish(transaction, found, attester, Fault.WRONG_ATTESTATION, slot, prover=dispute.disputer)

    @external("uint256", "uint8")
    def slash_absent_juror(self, transaction: Transaction, number: int, place: int) -> None:
        """A juror promised no ballot."""
        dispute = self.dispute(number)
        self._slash_juror(transaction, dispute, place, Entry.NONE, Fault.BALLOT_ABSENT)

    @external("uint256", "uint8")
    def slash_unrevealed_ballot(self, transaction: Transaction, number: int, place: int) -> None:
        """A juror promised a ballot and never opened it."""
        dispute = self.dispute(number)
        self._slash_juror(transaction, dispute, place, Entry.COMMITTED, Fault.BALLOT_NOT_REVEALED)

    def _slash_juror(self, transaction: Transaction, dispute: Dispute, place: int, faulty: Entry, fault: Fault) -> None:
        juror = self._juror(dispute, place)
        end = dispute.commit_end if fault is Fault.BALLOT_ABSENT else self._reveal_end(dispute)
        transaction.require(transaction.timestamp > end, "TooEarly", end, transaction.timestamp)
        entry = dispute.ballot(place).entry
        transaction.require(entry is faulty, "NoFault", juror, int(entry), int(faulty))
        found = self._rounds.ring(dispute.round)
        self._punish(transaction, found, juror, fault, DISPUTE_SUBJECT * dispute.number + place)

    # --- helpers ---

    def dispute(self, number: int) -> Dispute:
        """Record of a dispute.

        Raises:
            TransactionReverted: there is none.
        """
        dispute = self._disputes.get(number)
        if dispute is None:
            raise TransactionReverted("NoSuchDispute", (number, len(self._disputes)))
        return dispute

    def _running(self, transaction: Transaction, number: int) -> Dispute:
        dispute = self.dispute(number)
        is_running = dispute.outcome is Outcome.NONE
        transaction.require(is_running, "WrongOutcome", number, int(dispute.outcome), int(Outcome.NONE))
        return dispute

    def _overturned(self, transaction: Transaction, number: int, kind: DisputeKind) -> Dispute:
        dispute = self.dispute(number)
        transaction.require(dispute.kind is kind, "WrongKind", number, int(dispute.kind), int(kind))
        is_overturned = dispute.outcome is Outcome.OVERTURNED
        transaction.require(is_overturned, "WrongOutcome", number, int(dispute.outcome), int(Outcome.OVERTURNED))
        return dispute

    def _require_juror(self, transaction: Transaction, dispute: Dispute, place: int) -> Address:
        juror = self._juror(dispute, place)
        transaction.require(transaction.sender == juror, "NotJuror", transaction.sender, juror)
        return juror

    def _juror(self, dispute: Dispute, place: int) -> Address:
        if not dispute.key:
            raise TransactionReverted("JuryNotDrawn", (dispute.number,))
        if place >= dispute.places:
            raise TransactionReverted("NoSuchPlace", (place, dispute.places))
        if place not in dispute.jury:
            raise TransactionReverted("PlaceExcluded", (dispute.number, place))
        return self._rounds.ring(dispute.round).at_position(dispute.jury[place]).owner

    def _draw_end(self, dispute: Dispute) -> int:
        return dispute.until - self._params.duration + self._params.draw_duration

    def _reveal_end(self, dispute: Dispute) -> int:
        return dispute.commit_end + self._params.reveal_duration

    def _scores_disputed(self, round_number: int) -> int:
        return sum(number == round_number for number, _ in self._score_disputes)

    def _aggregate_dispute(self, round_number: int) -> int:
        return next(
            (
                dispute.number
                for dispute in self._disputes.values()
                if dispute.round == round_number and dispute.kind is DisputeKind.AGGREGATE
            ),
            0,
        )

    # --- views ---

    @view()
    def params(self) -> tuple[int, ...]:
        """The constants in the order of `IRoundCourt.Params`."""
        return astuple(self._params)

    @view()
    def round_manager(self) -> Address:
        """The rounds that are judged."""
        return self._rounds.address

    @view()
    def registry(self) -> Address:
        """The registry that penalties are taken through."""
        return self._registry.address

    @view()
    def token(self) -> Address:
        """The token of the bonds."""
        return self._token.address

    @view()
    def dispute_count(self) -> int:
        """Number of disputes so far."""
        return len(self._disputes)

    @view()
    def total_bonds(self) -> int:
        """Sum of the bonds of disputes that have not ended."""
        return self._params.bond * sum(dispute.outcome is Outcome.NONE for dispute in self._disputes.values())

    @view("uint256")
    def dispute_of(self, number: int) -> tuple[Any, ...]:
        """The record in the order of `IRoundCourt.Dispute`."""
        dispute = self.dispute(number)
        return (
            dispute.disputer,
            dispute.until,
            dispute.seed_block,
            dispute.index,
            dispute.round,
            dispute.commit_end,
            dispute.participants,
            dispute.position,
            int(dispute.kind),
            int(dispute.outcome),
            dispute.is_retried,
            dispute.plan.is_independent,
            dispute.places,
            len(dispute.jury),
            dispute.commits,
            dispute.reveals,
            int(dispute.status),
            dispute.gain,
            dispute.key or ZERO_BYTES32,
        )

    @view("uint256")
    def disputes_of(self, round_number: int) -> tuple[int, int, int]:
        """(until when they can be opened, scores disputed, dispute of the aggregate)."""
        end = self._challenge_ends.get(round_number, 0)
        return end, self._scores_disputed(round_number), self._aggregate_dispute(round_number)

    @view("uint256", "uint256")
    def juror_at(self, number: int, place: int) -> Address:
        """Who sits at a place."""
        return self._juror(self.dispute(number), place)

    @view("uint256", "uint256")
    def ballot_of(self, number: int, place: int) -> tuple[int, int]:
        """(entry, ballot once revealed) of a place."""
        dispute = self._disputes.get(number)
        ballot = None if dispute is None else dispute.ballots.get(place)
        return (int(Entry.NONE), 0) if ballot is None else (int(ballot.entry), ballot.value)


def _is_valid(kind: DisputeKind, value: int) -> bool:
    """Whether a ballot says something that counts."""
    if kind is DisputeKind.AGGREGATE:
        return value in (RIGHT, WRONG)
    return value in (UNAVAILABLE, MALFORMED) or FIRST_NUMERIC <= value <= FIELD_MASK

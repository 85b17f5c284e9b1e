"""The challenger: prove to the court the faults that the chain can check by itself, and earn half of the slash.

Also what earns nothing and somebody must do: execute the verdicts that nobody overturned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from incentives.scoring import Contradiction, Tally, TallyParams, Verdict, contradiction, word_field
from node.protocol.commitments import attestation
from node.protocol.sortition import attesters, verifiers_of
from node.protocol.state import Dispute, Round
from node.protocol.types import (
    Address,
    Call,
    DisputeKind,
    Fault,
    Outcome,
    Phase,
    UpdateStatus,
    VoidReason,
)
from node.roles.actions import Action, ProveCopy, Submit
from node.roles.verifier import has_duty
from node.roles.view import View

ROUNDS_BACK = 2
"""Rounds that are looked at: the running one and the one before, whose verdicts become final when it ends."""
RETRY_SUBJECT = 1 << 16
DISPUTE_SUBJECT = 256
"""How the court numbers what it punishes once (docs/protocol.md, "Faults and penalties")."""
VERDICT_FAULTS = {
    UpdateStatus.UNAVAILABLE: Fault.UNAVAILABLE,
    UpdateStatus.MALFORMED: Fault.MALFORMED,
    UpdateStatus.HARMFUL: Fault.HARMFUL,
}


@dataclass(frozen=True, slots=True)
class Proof:
    """A fault that can be proven now: what, of whom, under which subject, and how."""

    fault: Fault
    culprit: Address
    subject: int
    function: str
    arguments: tuple[object, ...]


def decide(view: View) -> list[Action]:
    """Proofs of fault that are due now; members take turns, so that one bounty is not raced for by all."""
    newest = view.round
    if newest is None:
        return []
    actions: list[Action] = []
    for number in range(max(1, newest.number - ROUNDS_BACK + 1), newest.number + 1):
        found = view.state.rounds[number]
        if view.is_my_turn(number + 1, found.phase_since):
            actions += _submit(view, found)
    return actions


def _submit(view: View, found: Round) -> list[Action]:
    actions: list[Action] = [
        Submit(
            f"{found.number}:slash:{proof.fault.name}:{proof.subject}",
            Call("RoundCourt", proof.function, proof.arguments),
        )
        for proof in proofs(view, found)
        if (int(proof.fault), proof.subject) not in found.punished
        and proof.culprit != view.me
        and view.state.member(proof.culprit).stake > 0
    ]
    return actions + _copies(view, found)


def proofs(view: View, found: Round) -> Iterator[Proof]:
    """Every fault of a round that can be proven now, punished already or not."""
    if found.phase > Phase.REVEAL and found.void_reason is not VoidReason.TOO_FEW_COMMITS:
        yield from _silence(found)
    if found.seed and found.phase > Phase.SCORE_REVEAL:
        yield from _verifiers(view, found)
        yield from _attesters(view, found)
        yield from _verdicts(view, found)
    for number in sorted(found.disputes):
        yield from _dispute(view, found, view.state.disputes[number])


def _silence(found: Round) -> Iterator[Proof]:
    revealed = {reveal.trainer for reveal in found.reveals}
    for trainer, (sequence, _) in found.commits.items():
        if trainer not in revealed:
            arguments = (found.number, trainer)
            yield Proof(Fault.UPDATE_NOT_REVEALED, trainer, sequence, "slashUnrevealedUpdate", arguments)
    if found.is_committed_slice_pending:
        yield Proof(Fault.SLICE_NOT_REVEALED, found.opener, 0, "slashUnrevealedSlice", (found.number,))


def _verifiers(view: View, found: Round) -> Iterator[Proof]:
    for retry in (False, True):
        if retry and found.phase <= Phase.RETRY_REVEAL:
            return
        commits = found.retry_commits if retry else found.score_commits
        for reveal in found.reveals:
            if retry and not has_duty(found, reveal.index, view.params.max_verifiers):
                continue
            subject = reveal.index + (RETRY_SUBJECT if retry else 0)
            arguments = (found.number, reveal.index, retry)
            if reveal.index not in commits:
                yield Proof(Fault.VERIFIER_ABSENT, reveal.trainer, subject, "slashAbsentVerifier", arguments)
            elif reveal.index not in found.words(retry=retry):
                yield Proof(Fault.SCORES_NOT_REVEALED, reveal.trainer, subject, "slashUnrevealedScores", arguments)


def _attesters(view: View, found: Round) -> Iterator[Proof]:
    owners = attesters(found.seed, len(found.reveals), view.params.max_attesters)
    for slot, index in enumerate(owners):
        attester, arguments = found.reveals[index].trainer, (found.number, slot)
        if slot not in found.attestations:
            if found.void_reason is VoidReason.NO_QUORUM:
                yield Proof(Fault.ATTESTER_ABSENT, attester, slot, "slashAbsentAttester", arguments)
        elif found.phase is Phase.FINALIZED and not is_right(found, slot):
            yield Proof(Fault.WRONG_ATTESTATION, attester, slot, "slashWrongAttestation", arguments)


def is_right(found: Round, slot: int) -> bool:
    """Whether the attestation of ``slot`` opens to the model that reached the quorum."""
    proposal = found.proposal
    if proposal is None or slot not in found.attestations:
        return False
    attester, keyed = found.attestations[slot]
    return keyed == attestation(
        found.number, attester, secret=proposal.secret, model_hash=proposal.model_hash, cid=proposal.cid
    )


def _verdicts(view: View, found: Round) -> Iterator[Proof]:
    judged = {
        dispute.index
        for dispute in map(view.state.disputes.__getitem__, found.disputes)
        if dispute.kind is DisputeKind.SCORE and dispute.outcome in (Outcome.UPHELD, Outcome.OVERTURNED)
    }
    for index, verdict in found.settled.items():
        fault = VERDICT_FAULTS.get(verdict.status)
        is_final = found.phase is Phase.FINALIZED or (found.void_reason is VoidReason.COURT_VOIDED and index in judged)
        if fault is not None and is_final:
            yield Proof(fault, found.reveals[index].trainer, index, "slashVerdict", (found.number, index))


def _dispute(view: View, found: Round, dispute: Dispute) -> Iterator[Proof]:
    yield from _jurors(view, found, dispute)
    if dispute.outcome is not Outcome.OVERTURNED:
        return
    if dispute.kind is DisputeKind.AGGREGATE:
        for slot, (attester, _) in found.attestations.items():
            if is_right(found, slot):
                arguments = (dispute.number, slot)
                yield Proof(Fault.WRONG_ATTESTATION, attester, slot, "slashAttester", arguments)
        return
    for verifier, j, _ in wrong_fields(view, found, dispute):
        subject = DISPUTE_SUBJECT * dispute.number + j
        culprit = found.reveals[verifier].trainer
        yield Proof(Fault.FIELD_WRONG, culprit, subject, "slashField", (dispute.number, j))


def wrong_fields(view: View, found: Round, dispute: Dispute) -> Iterator[tuple[int, int, Contradiction]]:
    """(index of the verifier, its field's place, how far off) of every field that the jury's verdict contradicts."""
    scoring = view.scoring_of(found)
    params = TallyParams(scoring.tau, scoring.delta_min, scoring.harm_min, scoring.gain_cap)
    verdict = Tally(Verdict(dispute.status), dispute.gain, 0, 0)
    n, retry = len(found.reveals), dispute.is_retried
    k = found.verifiers(view.params.max_verifiers)
    for verifier, j in verifiers_of(found.seed, n, dispute.index, k, retry=retry):
        field = word_field(found.words(retry=retry).get(verifier, 0), j)
        how = contradiction(field, verdict, params)
        if how is not Contradiction.NONE:
            yield verifier, j, how


def _jurors(view: View, found: Round, dispute: Dispute) -> Iterator[Proof]:
    for place, index in dispute.jury(found, view.params).items():
        juror, arguments = found.reveals[index].trainer, (dispute.number, place)
        subject = DISPUTE_SUBJECT * dispute.number + place
        if place not in dispute.commits:
            if view.now > dispute.commit_end:
                yield Proof(Fault.BALLOT_ABSENT, juror, subject, "slashAbsentJuror", arguments)
        elif place not in dispute.ballots and view.now > dispute.reveal_end(view.court_params):
            yield Proof(Fault.BALLOT_NOT_REVEALED, juror, subject, "slashUnrevealedBallot", arguments)


def _copies(view: View, found: Round) -> list[Action]:
    """Updates with the bytes of one that was committed before."""
    if found.phase < Phase.CHALLENGE:
        return []
    firsts: dict[bytes, int] = {}
    actions: list[Action] = []
    for reveal in sorted(found.reveals, key=lambda reveal: reveal.sequence):
        original = firsts.setdefault(reveal.content_hash, reveal.index)
        is_new = (int(Fault.COPY), reveal.index) not in found.punished
        can_lose = view.state.member(reveal.trainer).stake > 0 and reveal.trainer != view.me
        if original != reveal.index and is_new and can_lose:
            actions.append(ProveCopy(found.number, original, reveal.index))
    return actions

"""Whether an account is guilty of what the court punished it for, computed from the history alone."""

from __future__ import annotations

from dataclasses import dataclass

from incentives.scoring import Contradiction, Tally, Verdict, contradiction, word_field
from node.audit.base import ReplayBase
from node.protocol.commitments import attestation
from node.protocol.sortition import assigned_updates, attesters, verifiers_of
from node.protocol.state import Dispute, Reveal, Round
from node.protocol.types import Address, DisputeKind, Fault, Outcome, Phase, UpdateStatus, VoidReason

RETRY_SUBJECT = 1 << 16
DISPUTE_SUBJECT = 256


@dataclass(frozen=True, slots=True)
class Charge:
    """What the court says: who did what (``subject`` says which of its acts), and who is paid for it."""

    fault: Fault
    account: Address
    subject: int
    prover: Address


def is_guilty(replay: ReplayBase, found: Round, charge: Charge) -> bool:
    """Whether the account did it, it could be proven now, and the right one is paid for it."""
    account, subject = charge.account, charge.subject
    match charge.fault:
        case Fault.UPDATE_NOT_REVEALED:
            sequence = found.commits.get(account, (-1, b""))[0]
            return _is_reveal_over(found) and sequence == subject and found.reveal_of(account) is None
        case Fault.SLICE_NOT_REVEALED:
            is_named = (account, subject) == (found.opener, 0)
            return _is_reveal_over(found) and found.is_committed_slice_pending and is_named
        case Fault.VERIFIER_ABSENT | Fault.SCORES_NOT_REVEALED:
            return _is_silent_verifier(replay, found, charge)
        case Fault.UNAVAILABLE | Fault.MALFORMED | Fault.HARMFUL:
            return _has_verdict(replay, found, charge)
        case Fault.ATTESTER_ABSENT | Fault.WRONG_ATTESTATION:
            return _is_bad_attester(replay, found, charge)
        case Fault.COPY:
            mine = found.reveals[subject]
            return mine.trainer == account and found.phase >= Phase.CHALLENGE and _copies(found, mine)
        case _:
            return _is_guilty_in_dispute(replay, found, charge)


def _is_reveal_over(found: Round) -> bool:
    return found.phase > Phase.REVEAL and found.void_reason is not VoidReason.TOO_FEW_COMMITS


def has_duty(replay: ReplayBase, found: Round, index: int) -> bool:
    """Whether the first panel left an update of this member's second window Unscored."""
    most = replay.rules.params.max_verifiers
    if not found.has_retry(most):
        return False
    n = len(found.reveals)
    window = assigned_updates(found.seed, n, index, found.verifiers(most), retry=True)
    return any(update in found.left_unscored for update in window)


def _is_silent_verifier(replay: ReplayBase, found: Round, charge: Charge) -> bool:
    index, retry = charge.subject % RETRY_SUBJECT, charge.subject >= RETRY_SUBJECT
    over = Phase.RETRY_REVEAL if retry else Phase.SCORE_REVEAL
    if found.phase <= over or not found.seed or found.reveals[index].trainer != charge.account:
        return False
    if retry and not has_duty(replay, found, index):
        return False
    committed = index in (found.retry_commits if retry else found.score_commits)
    if charge.fault is Fault.VERIFIER_ABSENT:
        return not committed
    return committed and index not in found.words(retry=retry)


def _has_verdict(replay: ReplayBase, found: Round, charge: Charge) -> bool:
    index = charge.subject
    verdict = found.settled.get(index)
    judged = any(
        dispute.index == index
        and dispute.kind is DisputeKind.SCORE
        and dispute.outcome in (Outcome.UPHELD, Outcome.OVERTURNED)
        for dispute in map(replay.state.disputes.__getitem__, found.disputes)
    )
    is_final = found.phase is Phase.FINALIZED or (found.void_reason is VoidReason.COURT_VOIDED and judged)
    is_bad = verdict is not None and verdict.status is UpdateStatus(int(charge.fault))
    return is_final and is_bad and found.reveals[index].trainer == charge.account


def is_counted(found: Round, slot: int) -> bool:
    """Whether the attestation of ``slot`` opens to the model that reached the quorum."""
    proposal = found.proposal
    if proposal is None or slot not in found.attestations:
        return False
    who, keyed = found.attestations[slot]
    right = attestation(found.number, who, secret=proposal.secret, model_hash=proposal.model_hash, cid=proposal.cid)
    return keyed == right


def _is_bad_attester(replay: ReplayBase, found: Round, charge: Charge) -> bool:
    slot = charge.subject
    owners = attesters(found.seed, len(found.reveals), replay.rules.params.max_attesters)
    if found.reveals[owners[slot]].trainer != charge.account:
        return False
    if charge.fault is Fault.ATTESTER_ABSENT:
        return found.void_reason is VoidReason.NO_QUORUM and slot not in found.attestations
    if found.phase is Phase.FINALIZED:
        return slot in found.attestations and not is_counted(found, slot)
    overturned = [
        dispute
        for dispute in map(replay.state.disputes.__getitem__, found.disputes)
        if dispute.kind is DisputeKind.AGGREGATE and dispute.outcome is Outcome.OVERTURNED
    ]
    return bool(overturned) and overturned[0].disputer == charge.prover and is_counted(found, slot)


def _copies(found: Round, mine: Reveal) -> bool:
    return any(other.content_hash == mine.content_hash and other.sequence < mine.sequence for other in found.reveals)


def _is_guilty_in_dispute(replay: ReplayBase, found: Round, charge: Charge) -> bool:
    number, place = divmod(charge.subject, DISPUTE_SUBJECT)
    dispute = replay.state.disputes.get(number)
    if dispute is None or dispute.round != found.number:
        return False
    if charge.fault in (Fault.FIELD_WRONG, Fault.LIE):
        return dispute.disputer == charge.prover and _is_wrong_field(replay, found, dispute, charge, place)
    index = dispute.jury(found, replay.rules.params).get(place)
    if index is None or found.reveals[index].trainer != charge.account:
        return False
    now = replay.event.timestamp
    if charge.fault is Fault.BALLOT_ABSENT:
        return place not in dispute.commits and now > dispute.commit_end
    is_over = now > dispute.reveal_end(replay.rules.court_params)
    return place in dispute.commits and place not in dispute.ballots and is_over


def _is_wrong_field(replay: ReplayBase, found: Round, dispute: Dispute, charge: Charge, j: int) -> bool:
    if dispute.kind is not DisputeKind.SCORE or dispute.outcome is not Outcome.OVERTURNED:
        return False
    k = found.verifiers(replay.rules.params.max_verifiers)
    panel = verifiers_of(found.seed, len(found.reveals), dispute.index, k, retry=dispute.is_retried)
    verifier = panel[j][0]
    field = word_field(found.words(retry=dispute.is_retried).get(verifier, 0), j)
    verdict = Tally(Verdict(dispute.status), dispute.gain, 0, 0)
    how = contradiction(field, verdict, replay.tally_params(found))
    is_lie = how is Contradiction.LIE and dispute.is_independent
    is_named = (charge.fault is Fault.LIE) is is_lie and how is not Contradiction.NONE
    return is_named and found.reveals[verifier].trainer == charge.account

"""What one ring member of a finalised round earned, computed from the history alone."""

from __future__ import annotations

from incentives import rewards, scoring
from node.audit.base import AuditRules
from node.audit.guilt import is_counted
from node.protocol.sortition import assigned_updates, attesters
from node.protocol.state import Round
from node.protocol.types import Phase, Scoring, UpdateStatus


def rewards_of(found: Round, index: int, rules: AuditRules, scored: Scoring) -> tuple[int, int, int]:
    """(trainer, verifier, attester) reward of one ring member, in 10⁻¹⁸ CWT.

    Args:
        found: the round; one without a model pays nothing.
        index: of the member.
        rules: constants of the deployment.
        scored: how the round's verdicts were reached.
    """
    own = found.settled.get(index)
    is_bad = own is not None and own.status in (UpdateStatus.MALFORMED, UpdateStatus.HARMFUL)
    if found.phase is not Phase.FINALIZED or is_bad or index in found.forfeited:
        return (0, 0, 0)
    n, emitted = len(found.reveals), rewards.emission(found.number, rules.emission)
    k = found.verifiers(rules.params.max_verifiers)
    correct = correct_fields(found, index, rules, scored.tau)
    trainer = rewards.trainer_reward(
        emitted,
        weight=own.weight if own else 0,
        sum_weight=found.sum_weight,
        weight_target=rules.emission.weight_target,
        is_sealed=found.is_sealed,
    )
    verifier = rewards.verifier_reward(emitted, correct=correct, participants=n, verifiers=k)
    owners = attesters(found.seed, n, rules.params.max_attesters)
    is_right = index in owners and is_counted(found, owners.index(index))
    return trainer, verifier, rewards.attester_reward(emitted, attesters=len(owners)) if is_right else 0


def correct_fields(found: Round, index: int, rules: AuditRules, tau: int) -> int:
    """How many fields of a member's words equal the verdicts: of each update, those of its last panel."""
    k = found.verifiers(rules.params.max_verifiers)
    panels = (False, True) if found.has_retry(rules.params.max_verifiers) else (False,)
    return sum(_right_fields(found, index, k, tau, retry=retry) for retry in panels)


def _right_fields(found: Round, index: int, k: int, tau: int, *, retry: bool) -> int:
    """Fields of one of a member's words that equal the verdict, of the updates that this panel had the last word on."""
    word = found.words(retry=retry).get(index, 0)
    right = 0
    for j, update in enumerate(assigned_updates(found.seed, len(found.reveals), index, k, retry=retry)):
        verdict = found.settled.get(update)
        if verdict is not None and verdict.is_retried is retry:
            settled = scoring.Tally(scoring.Verdict(verdict.status), verdict.gain, verdict.votes, verdict.weight)
            right += scoring.agrees(scoring.word_field(word, j), settled, tau)
    return right

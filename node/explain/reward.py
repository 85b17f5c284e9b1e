"""Why one ring member of a round was paid what it was paid."""

from __future__ import annotations

from incentives import rewards, scoring
from node.explain.core import Explanation, Past, Step, cwt, ppm, require_index, sources
from node.explain.score import field_text, status_text
from node.protocol.commitments import attestation
from node.protocol.sortition import assigned_updates, attesters
from node.protocol.state import Round
from node.protocol.types import Phase, UpdateStatus

FORMULA = (
    "E(r) = E₀ halved every H rounds",
    "trainer = ⌊70 % of E (half of it in an unsealed round) · weight / max(Σ weights, target)⌋",
    "verifier = ⌊20 % of E / (n·k)⌋ · right fields: within tau of the verdict, or the same sentinel",
    "attester = ⌊5 % of E / attesters⌋ for an attestation that opens to the model",
    "a Malformed, Harmful or copied update forfeits all three; what is not earned is not minted",
)
_FORFEITING = (UpdateStatus.MALFORMED, UpdateStatus.HARMFUL)


def explain_reward(past: Past, number: int, index: int) -> Explanation:
    """What ring member ``index`` of round ``number`` earned."""
    found = past.round(number)
    member = require_index(found, index)
    claimed = past.last("RewardDistributor", "Claimed", round=number, index=index)
    steps, total, notes = _calculation(past, found, index)
    recorded = None
    if claimed is not None:
        a = claimed.arguments
        recorded = cwt(a["trainerReward"] + a["verifierReward"] + a["attesterReward"])
    elif found.phase is Phase.FINALIZED:
        notes.append("Nobody has claimed it yet; anybody may, and it is always paid to its owner.")
    settled = past.last("RoundManager", "UpdateRescored", round=number, index=index) or past.last(
        "RoundManager", "UpdateSettled", round=number, index=index
    )
    return Explanation(
        what="reward",
        id=f"{number}.{index}",
        title=f"Reward of {member}, index {index}, in round {number}",
        formula=FORMULA,
        steps=tuple(steps),
        computed=cwt(total),
        recorded=recorded,
        sources=sources(
            settled,
            *(event for _, event in past.find("RoundManager", "ScoresRevealed", round=number, index=index)),
            past.last("RoundManager", "Attested", round=number, attester=member),
            past.last("RoundManager", "UpdateForfeited", round=number, index=index),
            past.last("RoundManager", "RoundFinalized", round=number),
            past.last("RoundManager", "RoundVoided", round=number),
            claimed,
        ),
        notes=tuple(notes),
    )


def _calculation(past: Past, found: Round, index: int) -> tuple[list[Step], int, list[str]]:
    """Steps, total, notes."""
    if found.phase is not Phase.FINALIZED:
        step = Step("round", f"it is {found.phase.name}; only a finalised round pays", cwt(0))
        return [step], 0, [f"Round {found.number} is {found.phase.name}: nothing is minted for it."]
    terms = past.terms.emission
    emitted = rewards.emission(found.number, terms)
    halvings = (found.number - 1) // terms.halving
    steps = [
        Step("emission", f"{cwt(terms.initial)} >> ⌊({found.number} − 1) / {terms.halving}⌋ = {halvings}", cwt(emitted))
    ]
    own = found.settled.get(index)
    if index in found.forfeited or (own is not None and own.status in _FORFEITING):
        why = (
            "a proven copy" if index in found.forfeited else f"its update was {status_text(own.status) if own else ''}"
        )
        return [*steps, Step("forfeit", f"{why}: every reward of the round", cwt(0))], 0, []
    trainer = _trainer(past, found, index, emitted)
    verifier = _verifier(past, found, index, emitted)
    attester = _attester(past, found, index, emitted)
    parts = [part[1] for part in (trainer, verifier, attester)]
    total = sum(parts)
    expression = " + ".join(cwt(part).removesuffix(" CWT") for part in parts)
    return [*steps, *trainer[0], *verifier[0], *attester[0], Step("total", expression, cwt(total))], total, []


def reward_parts(past: Past, found: Round, index: int) -> tuple[int, int, int]:
    """(trainer, verifier, attester) reward of one ring member of a round, 10⁻¹⁸ CWT; nothing unless it is finalised."""
    own = found.settled.get(index)
    is_bad = index in found.forfeited or (own is not None and own.status in _FORFEITING)
    if found.phase is not Phase.FINALIZED or is_bad:
        return 0, 0, 0
    emitted = rewards.emission(found.number, past.terms.emission)
    part_of = (_trainer, _verifier, _attester)
    trainer, verifier, attester = (part(past, found, index, emitted)[1] for part in part_of)
    return trainer, verifier, attester


def _trainer(past: Past, found: Round, index: int, emitted: int) -> tuple[list[Step], int]:
    terms, own = past.terms.emission, found.settled.get(index)
    weight = own.weight if own else 0
    pool = emitted * rewards.TRAINER_PERCENT // 100 // (1 if found.is_sealed else 2)
    reward = rewards.trainer_reward(
        emitted,
        weight=weight,
        sum_weight=found.sum_weight,
        weight_target=terms.weight_target,
        is_sealed=found.is_sealed,
    )
    halved = "" if found.is_sealed else " / 2, as the round was unsealed"
    status = status_text(own.status) if own else "pending"
    return [
        Step("trainers' pool", f"⌊{cwt(emitted)} · 70 / 100⌋{halved}", cwt(pool)),
        Step("weight", f"its update was {status}, gain {ppm(own.gain) if own else '–'}", ppm(weight)),
        Step("divisor", f"max(Σ {ppm(found.sum_weight)}, target {ppm(terms.weight_target)})",
             ppm(max(found.sum_weight, terms.weight_target))),
        Step("trainer", f"⌊pool · {weight:,} / {max(found.sum_weight, terms.weight_target):,}⌋", cwt(reward)),
    ], reward  # fmt: skip


def _verifier(past: Past, found: Round, index: int, emitted: int) -> tuple[list[Step], int]:
    n, most = len(found.reveals), past.terms.rounds.max_verifiers
    k, tau = found.verifiers(most), past.scoring_of(found).tau
    steps, right = [], 0
    for retry in (False, True) if found.has_retry(most) else (False,):
        word = found.words(retry=retry).get(index, 0)
        for j, update in enumerate(assigned_updates(found.seed, n, index, k, retry=retry)):
            verdict = found.settled.get(update)
            if verdict is None or verdict.is_retried is not retry:
                continue  # the other panel had the last word on it
            settled = scoring.Tally(scoring.Verdict(verdict.status), verdict.gain, verdict.votes, verdict.weight)
            field = scoring.word_field(word, j)
            is_right = scoring.agrees(field, settled, tau)
            right += is_right
            against = f"{status_text(verdict.status)}, {ppm(verdict.gain)}"
            label = f"field on update {update}" + " (second word)" * retry
            steps.append(Step(label, f"{field_text(field)} against {against}", "right" if is_right else "pays nothing"))
    reward = rewards.verifier_reward(emitted, correct=right, participants=n, verifiers=k)
    price = rewards.verifier_reward(emitted, correct=1, participants=n, verifiers=k)
    return [
        *steps,
        Step("price of a field", f"⌊20 % of E / ({n} · {k})⌋", cwt(price)),
        Step("verifier", f"price · {right} right fields", cwt(reward)),
    ], reward


def _attester(past: Past, found: Round, index: int, emitted: int) -> tuple[list[Step], int]:
    owners = attesters(found.seed, len(found.reveals), past.terms.rounds.max_attesters)
    if index not in owners:
        return [Step("attester", "it had no slot", cwt(0))], 0
    slot = owners.index(index)
    share = rewards.attester_reward(emitted, attesters=len(owners))
    said, proposal = found.attestations.get(slot), found.proposal
    if said is None or proposal is None:
        return [Step("attester", f"slot {slot} did not attest", cwt(0))], 0
    opened = attestation(
        found.number, said[0], secret=proposal.secret, model_hash=proposal.model_hash, cid=proposal.cid
    )
    if opened != said[1]:
        return [Step("attester", f"slot {slot} attested to another model", cwt(0))], 0
    return [Step("attester", f"⌊5 % of E / {len(owners)}⌋, slot {slot} attested to the model", cwt(share))], share

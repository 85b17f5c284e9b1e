"""The challenger: prove faults that the chain can check by itself, and earn half of the slash."""

from __future__ import annotations

from node.protocol.commitments import attestation
from node.protocol.state import Round
from node.protocol.types import Address, Call, Fault, Phase
from node.roles.actions import Action, Submit
from node.roles.view import View


def decide(view: View) -> list[Action]:
    """Proofs of fault that are due now; members take turns, so that one bounty is not raced for by all."""
    found = view.round
    if found is None or not view.is_my_turn(found.number + 1, found.phase_since):
        return []
    return [
        Submit(f"{found.number}:slash:{fault.name}:{culprit}", Call("RoundManager", function, (found.number, argument)))
        for fault, culprit, function, argument in _faults(found)
        if (culprit, int(fault)) not in found.slashed and culprit != view.me and view.state.member(culprit).stake > 0
    ]


def _faults(found: Round) -> list[tuple[Fault, Address, str, int | Address]]:
    faults: list[tuple[Fault, Address, str, int | Address]] = []
    if found.phase >= Phase.SEED:
        revealed = {reveal.trainer for reveal in found.reveals}
        faults += [
            (Fault.UPDATE_NOT_REVEALED, trainer, "slashUnrevealedUpdate", trainer)
            for trainer in found.commits
            if trainer not in revealed
        ]
    if found.phase >= Phase.SETTLE and found.seed:
        for reveal in found.reveals:
            if reveal.index not in found.score_commits:
                faults.append((Fault.VERIFIER_ABSENT, reveal.trainer, "slashAbsentVerifier", reveal.index))
            elif reveal.index not in found.score_words:
                faults.append((Fault.SCORES_NOT_REVEALED, reveal.trainer, "slashUnrevealedScores", reveal.index))
    if found.proposal is not None and found.phase in (Phase.CHALLENGE, Phase.FINALIZED):
        proposal = found.proposal
        faults += [
            (Fault.WRONG_ATTESTATION, attester, "slashWrongAttestation", slot)
            for slot, (attester, keyed) in found.attestations.items()
            if keyed
            != attestation(
                found.number,
                attester,
                secret=proposal.secret,
                model_hash=proposal.model_hash,
                cid=proposal.cid,
            )
        ]
    return faults

"""What the views of rounds, participants and disputes must answer, given the state folded from the events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.audit.base import ZERO, AuditRules
from node.audit.guilt import is_counted
from node.audit.pay import correct_fields
from node.audit.view import View
from node.protocol.sortition import attesters, forward
from node.protocol.state import Dispute, Round, State
from node.protocol.types import Call, DisputeKind, UpdateStatus

COMMITTED, REVEALED = 1, 2
UPDATE_COMMITMENT_BYTES = 26
"""How much of an update's commitment the contract keeps."""


def round_views(state: State, rules: AuditRules, found: Round, *, is_detailed: bool) -> Iterator[View]:
    """Views of one round; with ``is_detailed`` also those of its participants, slots and disputes."""
    manager, number = "RoundManager", found.number
    yield View("rounds", Call(manager, "phaseOf", (number,)), (found.phase, found.deadline))
    yield View("rounds", Call(manager, "roundOf", (number,)), _record(state, rules, found))
    if not is_detailed:
        return
    for trainer, (sequence, commitment) in found.commits.items():
        reveal = found.reveal_of(trainer)
        kept = commitment[:UPDATE_COMMITMENT_BYTES].ljust(32, b"\0")
        told = (COMMITTED if reveal is None else REVEALED, sequence, 0 if reveal is None else reveal.index, kept)
        yield View("participants", Call(manager, "trainerOf", (number, trainer)), told)
    for reveal in found.reveals:
        yield View("participants", Call(manager, "ownerOf", (number, reveal.index)), reveal.trainer)
        for function, retry in (("scoresOf", False), ("retryScoresOf", True)):
            word = _word(found, reveal.index, retry=retry)
            yield View("scores", Call(manager, function, (number, reveal.index)), word)
        claimed = reveal.index in found.claimed
        yield View("claims", Call("RewardDistributor", "isClaimed", (number, reveal.index)), claimed)
        vested = reveal.index in found.vested
        yield View("vesting", Call("MemberRegistry", "isVested", (number, reveal.index)), vested)
    for fault, subject in sorted(found.punished):
        yield View("penalties", Call("RoundCourt", "isPunished", (number, fault, subject)), True)
    if found.seed:
        yield from _ring(state, rules, found)
    yield from _disputes(state, rules, found)


def _word(found: Round, index: int, *, retry: bool) -> tuple[int, int]:
    words, commits = found.words(retry=retry), found.retry_commits if retry else found.score_commits
    if index in words:
        return REVEALED, words[index]
    return (COMMITTED if index in commits else 0), 0


def _record(state: State, rules: AuditRules, found: Round) -> tuple[Any, ...]:
    """In the order of `IRoundManager.Round`."""
    scoring = state.scoring_of(found.epoch, rules.scoring)
    proposal, is_promised = found.proposal, found.benchmark_commitment != bytes(32)
    right = sum(1 << slot for slot in found.attestations if is_counted(found, slot))
    return (
        found.phase,
        found.deadline,
        found.opened_at,
        found.seed_block,
        found.expected,
        len(found.commits),
        len(found.reveals),
        len(found.score_commits),
        len(found.score_words),
        len(found.settled),
        len(found.accepted),
        (2 if found.benchmark is not None else 1) if is_promised else 0,
        found.void_reason,
        scoring.tau,
        scoring.delta_min,
        scoring.harm_min,
        scoring.gain_cap,
        found.sum_weight,
        right,
        found.epoch,
        len(found.unscored),
        len(found.retry_commits),
        len(found.retry_words),
        found.opener if is_promised else ZERO,
        found.seed or bytes(32),
        found.benchmark_commitment,
        bytes(32) if proposal is None else proposal.model_hash,
        bytes(32) if proposal is None else proposal.cid,
    )


def _ring(state: State, rules: AuditRules, found: Round) -> Iterator[View]:
    manager, number, n = "RoundManager", found.number, len(found.reveals)
    owners = attesters(found.seed, n, rules.params.max_attesters)
    for slot, index in enumerate(owners):
        keyed = found.attestations.get(slot, (ZERO, bytes(32)))[1]
        told = (found.reveals[index].trainer, keyed, is_counted(found, slot))
        yield View("attestations", Call(manager, "attestationOf", (number, slot)), told)
    for reveal in found.reveals:
        index = reveal.index
        position = forward(found.seed, n, index)
        yield View("rings", Call(manager, "positionOf", (number, index)), position)
        yield View("rings", Call(manager, "indexAt", (number, position)), index)
        verdict = found.settled.get(index)
        is_copy = index in found.forfeited
        pending = (UpdateStatus.PENDING, 0, 0, False, is_copy)
        result = (
            pending if verdict is None else (verdict.status, verdict.gain, verdict.weight, verdict.is_retried, is_copy)
        )
        yield View("verdicts", Call(manager, "resultOf", (number, index)), result)
        yield View("earnings", Call(manager, "earningsOf", (number, index)), _earnings(state, rules, found, index))


def _earnings(state: State, rules: AuditRules, found: Round, index: int) -> tuple[Any, ...]:
    """In the order of `IRoundManager.Earnings`."""
    n, verdict = len(found.reveals), found.settled.get(index)
    status = UpdateStatus.PENDING if verdict is None else verdict.status
    owners = attesters(found.seed, n, rules.params.max_attesters)
    is_bad = status in (UpdateStatus.MALFORMED, UpdateStatus.HARMFUL)
    return (
        found.phase,
        found.reveals[index].trainer,
        status,
        0 if verdict is None else verdict.weight,
        found.sum_weight,
        n,
        found.verifiers(rules.params.max_verifiers),
        correct_fields(found, index, rules, state.scoring_of(found.epoch, rules.scoring).tau),
        len(owners),
        index in owners and is_counted(found, owners.index(index)),
        found.benchmark is not None,
        is_bad or index in found.forfeited,
    )


def _disputes(state: State, rules: AuditRules, found: Round) -> Iterator[View]:
    court = "RoundCourt"
    mine = [state.disputes[number] for number in sorted(found.disputes)]
    scores = [dispute for dispute in mine if dispute.kind is DisputeKind.SCORE]
    aggregate = next((dispute.number for dispute in mine if dispute.kind is DisputeKind.AGGREGATE), 0)
    if mine:
        told = (found.challenge_end, len(scores), aggregate)
        yield View("disputes", Call(court, "disputesOf", (found.number,)), told)
    for dispute in scores:
        asked = Call(court, "scoreDisputeOf", (found.number, dispute.index))
        yield View("disputes", asked, dispute.number)
    for dispute in mine:
        yield View("disputes", Call(court, "disputeOf", (dispute.number,)), _dispute(found, dispute))
        for place, index in dispute.jury(found, rules.params).items():
            juror = found.reveals[index].trainer
            yield View("juries", Call(court, "jurorAt", (dispute.number, place)), juror)
            told_ballot = _ballot(dispute, place)
            yield View("ballots", Call(court, "ballotOf", (dispute.number, place)), told_ballot)


def _ballot(dispute: Dispute, place: int) -> tuple[int, int]:
    if place in dispute.ballots:
        return REVEALED, dispute.ballots[place]
    return (COMMITTED if place in dispute.commits else 0), 0


def _dispute(found: Round, dispute: Dispute) -> tuple[Any, ...]:
    """In the order of `IRoundCourt.Dispute`."""
    n, is_score = len(found.reveals), dispute.kind is DisputeKind.SCORE
    return (
        dispute.disputer,
        dispute.until,
        dispute.seed_block,
        dispute.index,
        dispute.round,
        dispute.commit_end,
        n,
        forward(found.seed, n, dispute.index) if is_score else 0,
        dispute.kind,
        dispute.outcome,
        dispute.is_retried,
        dispute.is_independent,
        dispute.places,
        dispute.jurors,
        len(dispute.commits),
        len(dispute.ballots),
        dispute.status,
        dispute.gain,
        dispute.key or bytes(32),
    )

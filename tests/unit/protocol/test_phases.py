from __future__ import annotations

from dataclasses import replace

import pytest

from node.protocol.phases import Counters, Step, is_complete, next_step
from node.protocol.types import Phase, VoidReason


def step(phase: Phase, counters: Counters, *, now: int = 0, deadline: int = 10, block: int = 0) -> Step | None:
    return next_step(phase, counters, deadline=deadline, now=now, block=block, min_participants=3)


FULL = Counters(
    expected=5, committed=5, revealed=5, seed_block=7, score_commits=5, score_reveals=5, settled=5, accepted=2
)


@pytest.mark.parametrize(
    ("phase", "after"),
    [
        (Phase.COMMIT, Phase.REVEAL),
        (Phase.REVEAL, Phase.SEED),
        (Phase.SCORE_COMMIT, Phase.SCORE_REVEAL),
        (Phase.SCORE_REVEAL, Phase.SETTLE),
        (Phase.SETTLE, Phase.ATTEST),
        (Phase.RETRY_SETTLE, Phase.ATTEST),
    ],
)
def test_ends_early_once_everything_happened(phase: Phase, after: Phase):
    assert is_complete(phase, FULL)
    assert step(phase, FULL) == Step(after)


@pytest.mark.parametrize(
    ("phase", "counters"),
    [
        (Phase.COMMIT, Counters(expected=5, committed=4)),
        (Phase.REVEAL, Counters(committed=5, revealed=4)),
        (Phase.REVEAL, Counters(committed=5, revealed=5, slice_pending=True)),
        (Phase.SCORE_COMMIT, Counters(revealed=5, score_commits=4)),
        (Phase.SCORE_REVEAL, Counters(score_commits=5, score_reveals=4)),
        (Phase.SETTLE, Counters(revealed=5, settled=4, accepted=4)),
        (Phase.RETRY_COMMIT, Counters(revealed=5, retry_commits=4)),
        (Phase.RETRY_REVEAL, Counters(retry_commits=2, retry_reveals=1)),
        (Phase.RETRY_SETTLE, Counters(revealed=5, accepted=4, unscored=1)),
        (Phase.ATTEST, FULL),
        (Phase.CHALLENGE, FULL),
    ],
)
def test_waits_for_the_deadline_otherwise(phase: Phase, counters: Counters):
    assert step(phase, counters, now=10) is None  # acts are allowed up to and including the deadline
    assert step(phase, counters, now=11) is not None


@pytest.mark.parametrize(
    ("phase", "counters", "reason"),
    [
        (Phase.COMMIT, Counters(expected=5, committed=2), VoidReason.TOO_FEW_COMMITS),
        (Phase.REVEAL, Counters(committed=5, revealed=2), VoidReason.TOO_FEW_REVEALS),
        (Phase.SETTLE, Counters(revealed=5, settled=5), VoidReason.NOTHING_ACCEPTED),
        (Phase.SETTLE, Counters(revealed=5, settled=5, unscored=5), VoidReason.NOTHING_ACCEPTED),
        (Phase.RETRY_SETTLE, Counters(revealed=5, has_retry_panel=True), VoidReason.NOTHING_ACCEPTED),
        (Phase.ATTEST, FULL, VoidReason.NO_QUORUM),
    ],
)
def test_voids(phase: Phase, counters: Counters, reason: VoidReason):
    assert step(phase, counters, now=11) == Step(Phase.VOIDED, reason)


def test_seed_waits_for_its_block_alone():
    assert step(Phase.SEED, FULL, now=10**9, block=7) is None
    assert step(Phase.SEED, FULL, now=0, block=8) == Step(Phase.SCORE_COMMIT)


@pytest.mark.parametrize("phase", [Phase.NONE, Phase.FINALIZED, Phase.VOIDED])
def test_ends_stay(phase: Phase):
    assert step(phase, FULL, now=10**9, block=10**9) is None
    assert not is_complete(phase, FULL)


def test_scores_of_nobody_end_at_once():
    # Nobody committed scores: nothing to wait for in ScoreReveal.
    assert step(Phase.SCORE_REVEAL, Counters(revealed=5)) == Step(Phase.SETTLE)


RETRY = Counters(revealed=15, settled=15, accepted=14, unscored=1, has_retry_panel=True)


def test_the_retry_comes_where_an_update_is_unscored_and_the_ring_has_a_second_panel():
    assert step(Phase.SETTLE, RETRY) == Step(Phase.RETRY_COMMIT)
    assert step(Phase.SETTLE, replace(RETRY, accepted=0)) == Step(Phase.RETRY_COMMIT)  # all may yet be well
    assert step(Phase.SETTLE, replace(RETRY, unscored=0)) == Step(Phase.ATTEST)
    assert step(Phase.SETTLE, replace(RETRY, has_retry_panel=False)) == Step(Phase.ATTEST)


def test_the_retry_goes_from_phase_to_phase():
    assert step(Phase.RETRY_COMMIT, replace(RETRY, retry_commits=15)) == Step(Phase.RETRY_REVEAL)
    assert step(Phase.RETRY_COMMIT, replace(RETRY, retry_commits=7), now=11) == Step(Phase.RETRY_REVEAL)
    assert step(Phase.RETRY_REVEAL, replace(RETRY, retry_commits=7, retry_reveals=7)) == Step(Phase.RETRY_SETTLE)
    assert step(Phase.RETRY_SETTLE, replace(RETRY, unscored=0)) == Step(Phase.ATTEST)
    assert step(Phase.RETRY_SETTLE, RETRY, now=11) == Step(Phase.ATTEST)

"""The phases of a round as a table: who must have acted for it to end early, and where it goes.

Theory of operation: a round's counters only grow, a deadline only passes, so "may it advance?" is a pure function of (counters,
time, height). The contract decides (`RoundManager.advance`); this table lets a node know when calling it will succeed, and is the
reference for `node.sim.chain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from node.protocol.types import Phase, RoundParams, VoidReason


@dataclass(frozen=True, slots=True)
class Counters:
    """What a round has seen so far. ``unscored`` counts updates that are Unscored and were not tried again yet."""

    expected: int = 0
    committed: int = 0
    revealed: int = 0
    slice_pending: bool = False
    seed_block: int = 0
    score_commits: int = 0
    score_reveals: int = 0
    settled: int = 0
    accepted: int = 0
    unscored: int = 0
    has_retry_panel: bool = False
    retry_commits: int = 0
    retry_reveals: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What `advance` would do now: enter ``phase``, or void for ``reason``."""

    phase: Phase
    reason: VoidReason = VoidReason.NONE


def is_complete(phase: Phase, counters: Counters) -> bool:
    """Whether every expected act of the phase has happened, so it may end before its deadline."""
    return phase in _COMPLETE and _COMPLETE[phase](counters)


_COMPLETE: Mapping[Phase, Callable[[Counters], bool]] = {
    Phase.COMMIT: lambda c: c.committed >= c.expected,
    Phase.REVEAL: lambda c: c.revealed == c.committed and not c.slice_pending,
    Phase.SCORE_COMMIT: lambda c: c.score_commits == c.revealed,
    Phase.SCORE_REVEAL: lambda c: c.score_reveals == c.score_commits,
    Phase.SETTLE: lambda c: c.settled == c.revealed,
    Phase.RETRY_COMMIT: lambda c: c.retry_commits == c.revealed,
    Phase.RETRY_REVEAL: lambda c: c.retry_reveals == c.retry_commits,
    Phase.RETRY_SETTLE: lambda c: c.unscored == 0,
}


def next_step(
    phase: Phase, counters: Counters, *, deadline: int, now: int, block: int, min_participants: int
) -> Step | None:
    """What `advance` would do at (``now``, ``block``); None where it would revert.

    Args:
        phase: current phase.
        counters: what happened so far.
        deadline: of the current phase, seconds; acts are allowed up to and including it.
        now: timestamp of the block that would hold the call.
        block: its height.
        min_participants: fewest commits and reveals of a valid round.
    """
    if phase is Phase.SEED:
        return Step(Phase.SCORE_COMMIT) if block > counters.seed_block else None
    if phase not in _AFTER or not (now > deadline or is_complete(phase, counters)):
        return None
    return _AFTER[phase](counters, min_participants)


def _void_unless(enough: bool, phase: Phase, reason: VoidReason) -> Step:  # noqa: FBT001 - a table's condition
    return Step(phase) if enough else Step(Phase.VOIDED, reason)


def _after_settle(counters: Counters, _least: int) -> Step:
    """Updates that the first panel could not score get the second one, where the ring has one."""
    if counters.unscored and counters.has_retry_panel:
        return Step(Phase.RETRY_COMMIT)
    return _after_verdicts(counters, _least)


def _after_verdicts(counters: Counters, _least: int) -> Step:
    return _void_unless(counters.accepted > 0, Phase.ATTEST, VoidReason.NOTHING_ACCEPTED)


def duration_of(phase: Phase, params: RoundParams) -> int:
    """Seconds that ``phase`` lasts at most; 0 for Seed, which ends by height, and for the two ends."""
    return {
        Phase.COMMIT: params.commit_duration,
        Phase.REVEAL: params.reveal_duration,
        Phase.SCORE_COMMIT: params.score_duration,
        Phase.SCORE_REVEAL: params.score_duration,
        Phase.SETTLE: params.settle_duration,
        Phase.RETRY_COMMIT: params.score_duration,
        Phase.RETRY_REVEAL: params.score_duration,
        Phase.RETRY_SETTLE: params.settle_duration,
        Phase.ATTEST: params.attest_duration,
        Phase.CHALLENGE: params.challenge_duration,
    }.get(phase, 0)


_AFTER: Mapping[Phase, Callable[[Counters, int], Step]] = {
    Phase.COMMIT: lambda c, least: _void_unless(c.committed >= least, Phase.REVEAL, VoidReason.TOO_FEW_COMMITS),
    Phase.REVEAL: lambda c, least: _void_unless(c.revealed >= least, Phase.SEED, VoidReason.TOO_FEW_REVEALS),
    Phase.SCORE_COMMIT: lambda _c, _least: Step(Phase.SCORE_REVEAL),
    Phase.SCORE_REVEAL: lambda _c, _least: Step(Phase.SETTLE),
    Phase.SETTLE: _after_settle,
    Phase.RETRY_COMMIT: lambda _c, _least: Step(Phase.RETRY_REVEAL),
    Phase.RETRY_REVEAL: lambda _c, _least: Step(Phase.RETRY_SETTLE),
    Phase.RETRY_SETTLE: _after_verdicts,
    Phase.ATTEST: lambda _c, _least: Step(Phase.VOIDED, VoidReason.NO_QUORUM),
    Phase.CHALLENGE: lambda _c, _least: Step(Phase.FINALIZED),
}

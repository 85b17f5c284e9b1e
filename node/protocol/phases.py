"""The phases of a round as a table: who must have acted for it to end early, and where it goes.

Theory of operation: a round's counters only grow, a deadline only passes, so "may it advance?" is a pure function of (counters,
time, height). The contract decides (`RoundManager.advance`); this table lets a node know when calling it will succeed, and is the
reference for `node.sim.chain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from node.protocol.types import Phase, VoidReason


@dataclass(frozen=True, slots=True)
class Counters:
    """What a round has seen so far."""

    expected: int = 0
    committed: int = 0
    revealed: int = 0
    slice_pending: bool = False
    seed_block: int = 0
    score_commits: int = 0
    score_reveals: int = 0
    settled: int = 0
    accepted: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What `advance` would do now: enter ``phase``, or void for ``reason``."""

    phase: Phase
    reason: VoidReason = VoidReason.NONE


def is_complete(phase: Phase, counters: Counters) -> bool:
    """Whether every expected act of the phase has happened, so it may end before its deadline."""
    match phase:
        case Phase.COMMIT:
            return counters.committed >= counters.expected
        case Phase.REVEAL:
            return counters.revealed == counters.committed and not counters.slice_pending
        case Phase.SCORE_COMMIT:
            return counters.score_commits == counters.revealed
        case Phase.SCORE_REVEAL:
            return counters.score_reveals == counters.score_commits
        case Phase.SETTLE:
            return counters.settled == counters.revealed
        case _:
            return False


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


_AFTER: Mapping[Phase, Callable[[Counters, int], Step]] = {
    Phase.COMMIT: lambda c, least: _void_unless(c.committed >= least, Phase.REVEAL, VoidReason.TOO_FEW_COMMITS),
    Phase.REVEAL: lambda c, least: _void_unless(c.revealed >= least, Phase.SEED, VoidReason.TOO_FEW_REVEALS),
    Phase.SCORE_COMMIT: lambda _c, _least: Step(Phase.SCORE_REVEAL),
    Phase.SCORE_REVEAL: lambda _c, _least: Step(Phase.SETTLE),
    Phase.SETTLE: lambda c, _least: _void_unless(c.accepted > 0, Phase.ATTEST, VoidReason.NOTHING_ACCEPTED),
    Phase.ATTEST: lambda _c, _least: Step(Phase.VOIDED, VoidReason.NO_QUORUM),
    Phase.CHALLENGE: lambda _c, _least: Step(Phase.FINALIZED),
}

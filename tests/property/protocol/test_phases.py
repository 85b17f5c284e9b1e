"""The phase table: forward only, and always to an end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.protocol.phases import Counters, next_step
from node.protocol.types import Phase, VoidReason

small = st.integers(0, 6)
counters = st.builds(
    Counters,
    expected=small,
    committed=small,
    revealed=small,
    slice_pending=st.booleans(),
    seed_block=small,
    score_commits=small,
    score_reveals=small,
    settled=small,
    accepted=small,
    unscored=small,
    has_retry_panel=st.booleans(),
    retry_commits=small,
    retry_reveals=small,
)
ENDS = (Phase.FINALIZED, Phase.VOIDED)
STEPS = 12


@given(st.sampled_from(Phase), counters, small, small, small, st.integers(0, 5))
def test_never_goes_backwards(  # noqa: PLR0917 - drawn values
    phase: Phase, found: Counters, deadline: int, now: int, block: int, least: int
):
    step = next_step(phase, found, deadline=deadline, now=now, block=block, min_participants=least)
    if step is not None:
        assert step.phase > phase
        assert (step.phase is Phase.VOIDED) == (step.reason is not VoidReason.NONE)


@given(st.sampled_from([phase for phase in Phase if phase is not Phase.NONE]), counters, st.integers(0, 5))
def test_time_alone_ends_every_round(phase: Phase, found: Counters, least: int):
    for _ in range(STEPS):
        if phase in ENDS:
            break
        step = next_step(phase, found, deadline=0, now=1, block=found.seed_block + 1, min_participants=least)
        assert step is not None, f"stuck in {phase.name}"
        phase = step.phase
    assert phase in ENDS


@given(st.sampled_from(Phase), counters, small, small, st.integers(0, 5))
def test_what_is_due_stays_due(phase: Phase, found: Counters, deadline: int, block: int, least: int):
    # Time passing never takes a step back: once `advance` would work, it works later too, with the same outcome.
    steps = [
        next_step(phase, found, deadline=deadline, now=now, block=block + now, min_participants=least)
        for now in range(10)
    ]
    due = [step for step in steps if step is not None]
    assert len(set(due)) <= 1
    assert steps == [None] * (len(steps) - len(due)) + due

"""Failures of training that carry something: what was reached before."""

from __future__ import annotations

from learning.errors import DeviceError, TrainingDiverged
from learning.learner import State


class Diverged(TrainingDiverged):
    """The loss or the state stopped being finite.

    Args:
        what: what happened.
        state: the last state that was looked at and found finite.
        step: steps that led to it.
        hint: what to try.
    """

    def __init__(self, what: str, state: State, step: int, *, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.state = state
        self.step = step


class OutOfMemory(DeviceError):
    """Not even one row fits into the device's memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)

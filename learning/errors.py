"""Errors of the learning room: what happened, why, and what to try.

```
LearningError
├── DataError           a corpus, slice or repository that cannot be used
├── ModelError          a model folder, checkpoint or update that does not fit
├── DeviceError         the device asked for is not there
├── SpecError           a guideline setting that is unknown or out of range
├── TrainingDiverged    the loss stopped being a finite number
└── TrainingStopped     the caller asked to stop; nothing was produced
```
The room knows nothing of the node; the trainer adapter turns these into the node's own errors.
"""

from __future__ import annotations


class LearningError(Exception):
    """Base of all expected failures of this package.

    Args:
        what: what happened, one sentence.
        why: the likely cause, if known.
        hint: what to try next.
    """

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        self.what = what
        self.why = why
        self.hint = hint
        super().__init__(" ".join(part for part in (what, why, hint) if part))


class DataError(LearningError):
    """Data are missing, too large, or not in the format the task asks for."""


class ModelError(LearningError):
    """A model folder, checkpoint or update does not have the expected files, names, shapes or hash."""


class DeviceError(LearningError):
    """The device asked for does not exist on this machine."""


class SpecError(LearningError):
    """A setting of the guideline is unknown, of the wrong type, or out of range."""


class TrainingDiverged(LearningError):
    """The loss or the update stopped being finite."""


class TrainingStopped(LearningError):
    """The caller asked to stop between two steps; no update was produced."""

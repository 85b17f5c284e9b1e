"""What a sample update does: the community's model without and with it, on benchmarks and offered test sets.

It is tried at the step at which verifiers try the updates of a round (the guideline's ``eta``): one client's update is meant to be
averaged with others', and taken whole it overshoots (docs/join.md has figures).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from aggregation.bundle import decode, encode
from learning.spec import LearningSpec
from node.combine import decode_update, model_tensors, trainable_schema
from node.ports import Trainer
from node.protocol.errors import TrainingError
from node.protocol.guideline import Guideline


@dataclass(frozen=True, slots=True)
class Gain:
    """A model's metrics on one benchmark, without and with an update; ``error`` where it could not be measured."""

    benchmark: str
    before: Mapping[str, float]
    after: Mapping[str, float]
    error: str = ""

    def change(self, metric: str) -> float:
        """after − before."""
        return self.after[metric] - self.before[metric]


def with_update(parent: bytes, update: bytes, guideline: Guideline) -> bytes:
    """Checkpoint of parent + eta·update, in float32.

    Args:
        parent: encoded checkpoint.
        update: as it travels; checked by `node.membership.checks.check_sample` before.
        guideline: names compression and limits.
    """
    base = decode(parent, max_bytes=guideline.update.max_bytes)
    moved = decode_update(update, trainable_schema(base, guideline), guideline)
    step = np.float32(step_of(guideline))
    added = {name: np.add(base[name], step * value, dtype=np.float32) for name, value in moved.items()}
    return encode({**model_tensors(base), **added})


def step_of(guideline: Guideline) -> float:
    """The guideline's ``eta``, or its default."""
    default = next(item.default for item in fields(LearningSpec) if item.name == "eta")
    return float(guideline.learning.get("eta", default))


async def gains(
    trainer: Trainer, parent: bytes, update: bytes | None, benchmarks: Mapping[str, bytes], guideline: Guideline
) -> Sequence[Gain]:
    """Measure on each benchmark; without an update only the parent model.

    A benchmark that cannot be read, or on which the model fails, gives a `Gain` with an error: it may be a stranger's.
    """
    after = None if update is None else with_update(parent, update, guideline)
    found = []
    for name, rows in benchmarks.items():
        try:
            before = await trainer.evaluate(parent, rows)
            found.append(Gain(name, before, before if after is None else await trainer.evaluate(after, rows)))
        except TrainingError as error:
            found.append(Gain(name, {}, {}, error.what))
    return found

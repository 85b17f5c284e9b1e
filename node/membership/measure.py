"""What a sample update does: the community's model without and with it, on benchmarks and offered test sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aggregation.bundle import decode, encode
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
    """Checkpoint of parent + update, in float32.

    Args:
        parent: encoded checkpoint.
        update: as it travels; checked by `node.membership.checks.check_sample` before.
        guideline: names compression and limits.
    """
    base = decode(parent, max_bytes=guideline.update.max_bytes)
    moved = decode_update(update, trainable_schema(base, guideline), guideline)
    added = {name: np.add(base[name], value, dtype=np.float32) for name, value in moved.items()}
    return encode({**model_tensors(base), **added})


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

"""Measures a model on benchmarks, as an attester of scores does: the guideline's metric, in ppm."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from incentives.ownership import BEST_SCORE
from node.adapters.trainer_local import LocalTrainer, TrainerSettings
from node.config import Config
from node.protocol.errors import ConfigError, TrainingError
from node.protocol.guideline import Guideline

Measure = Callable[[bytes, Mapping[str, bytes]], Awaitable[dict[str, int]]]
"""Scores (ppm) of a checkpoint by benchmark, from the benchmarks' rows."""


def metric_name(guideline: Guideline) -> str:
    """Metric of the versioning document.

    Raises:
        ConfigError: it names none.
    """
    name = guideline.documents["versioning"].get("metric")
    if not isinstance(name, str) or not name:
        raise ConfigError("The guideline's versioning document names no metric.", hint='E.g. "metric": "mrr".')
    return name


def to_score(value: float) -> int:
    """A metric between 0 and 1 as ppm, rounded half to even.

    Raises:
        TrainingError: it lies outside, or is no number.
    """
    if not 0 <= value <= 1:
        raise TrainingError(f"The metric is {value}; a score lies between 0 and 1.", hint="Choose another metric.")
    return min(BEST_SCORE, round(value * BEST_SCORE))


def local_measure(config: Config, guideline: Guideline) -> Measure:
    """Measures with this machine's model, loaded once per call."""
    metric = metric_name(guideline)

    async def measure(checkpoint: bytes, benchmarks: Mapping[str, bytes]) -> dict[str, int]:
        trainer = LocalTrainer(
            TrainerSettings(
                learning=guideline.learning,
                repositories=(),
                device=config.learning.device,
                threads=config.learning.threads,
                base_model=Path(config.learning.base_model) if config.learning.base_model else None,
                cache=config.learning.cache,
                max_bytes=guideline.update.max_bytes,
            )
        )
        try:
            found = {}
            for name, rows in sorted(benchmarks.items()):
                values = await trainer.evaluate(checkpoint, rows)
                if metric not in values:
                    raise ConfigError(
                        f"The guideline's metric {metric!r} is none that this task gives.",
                        hint=f"It gives {', '.join(values)}.",
                    )
                found[name] = to_score(values[metric])
            return found
        finally:
            trainer.close()

    return measure

"""Transformers models as an experiment file names them; the learner itself is `learning.training.learner.TransformerLearner`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, cast

from learning.device import single_threaded
from learning.experiment.transformer_options import Options, TinyOptions
from learning.learner import Learner
from learning.models.adapters import Adapter, AdapterKind
from learning.models.tiny_families import write_tiny_family
from learning.tasks.base import TaskData
from learning.tasks.encoding import Kind, Limits
from learning.training.learner import TransformerLearner
from learning.training.settings import Precision, Settings


def named(data: TaskData[Any], options: Options, seed: int) -> Learner:
    """A pretrained model; ``seed`` draws LoRA's frozen factor.

    Raises:
        ModelError: it is not on this machine, or does not fit.
    """
    defaults = data.task.limits
    settings = Settings(
        learning_rate=options.learning_rate or None,
        batch=options.batch,
        micro_batch=options.micro_batch or None,
        precision=cast("Precision", options.precision),
        beams=options.beams,
    )
    return TransformerLearner(
        data,
        options.model,
        kind=cast("Kind", options.encoding) if options.encoding else None,
        adapter=Adapter(cast("AdapterKind", options.adapter), options.rank, options.alpha, seed=seed),
        settings=settings,
        limits=Limits(options.source_tokens or defaults.source, options.target_tokens or defaults.target),
        device=options.device,
        online=options.online,
        expected=options.expected or None,
    )


def tiny(data: TaskData[Any], options: TinyOptions, seed: int) -> Learner:
    """A random model of a family, drawn from ``seed``, on one CPU thread."""
    single_threaded()
    with tempfile.TemporaryDirectory(prefix="commonweight-tiny-") as folder:
        written = write_tiny_family(
            Path(folder),
            options.family,
            seed=seed,
            layers=options.layers,
            hidden=options.hidden,
            vocabulary=options.vocabulary,
            positions=options.positions,
            initializer_range=0.05,
        )
        return TransformerLearner(
            data,
            written,
            adapter=Adapter("full"),
            settings=Settings(learning_rate=options.learning_rate, batch=options.batch, precision="float32"),
            limits=Limits(options.source_tokens, options.target_tokens),
            device="cpu",
        )

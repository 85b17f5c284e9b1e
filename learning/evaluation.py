"""Measures checkpoints and scores updates on a benchmark slice. Pure functions of model, data and settings.

docs/protocol.md, "Effective gain": base = parent + t·(last aggregate) + s·(public update), t and then s the look-aheads that fit the slice
best; raw gain = the mean gain of the slice's rows from base to base + η·update, less so many standard errors as the guideline asks for
(`incentives.scoring.confident_gain`); for none, round(10⁶·(L(base) − L(base + η·update))) with L the contrastive loss in nats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from incentives.scoring import confident_gain
from learning.errors import ModelError
from learning.models.base import Checkpoint, trainable
from learning.models.encoder import Encoder
from learning.prepared_pairs import PreparedPairs, prepare_pairs
from learning.tasks.code_search import PPM, Pair, contrastive_loss, contrastive_rows, mean_reciprocal_rank, to_ppm

Update = Mapping[str, NDArray[np.float32]]
WORST_GAIN = -1_000_000_000  # ppm; of an update that makes the loss overflow


def evaluate(model: Encoder, checkpoint: Checkpoint, pairs: Sequence[Pair] | PreparedPairs) -> dict[str, float]:
    """Mean reciprocal rank and mean contrastive loss (nats) of a checkpoint, every code of ``pairs`` being a distractor."""
    prepared = prepare_pairs(model, pairs, model.spec.scoring_precision)
    model.load(checkpoint)
    precision = model.spec.scoring_precision
    queries, codes = model.embed_all(prepared.queries, precision), model.embed_all(prepared.codes, precision)
    loss = contrastive_loss(queries.double(), codes.double(), temperature=model.spec.temperature)
    return {"mrr": mean_reciprocal_rank(queries, codes), "loss": float(loss)}


def score_updates(
    model: Encoder,
    checkpoint: Checkpoint,
    last_aggregate: Update | None,
    updates: Sequence[Update],
    slice: Sequence[Pair] | PreparedPairs,  # noqa: A002 - the protocol's word
    *,
    eta: float,
    grid: Sequence[float],
    public_update: Update | None = None,
    public_grid: Sequence[float] | None = None,
) -> list[int]:
    """Raw gain of each update in ppm of a nat (see the module's head); positive is better.

    Args:
        model: this process's encoder.
        checkpoint: parent model.
        last_aggregate: the previous round's aggregate, or None in the first round.
        updates: tensors named and shaped like the checkpoint's trainable ones.
        slice: benchmark pairs.
        eta: step at which an update is tried.
        grid: look-ahead multiples of the last aggregate; the first with the least loss wins.
        public_update: the steward's training on the public benchmark; the base is then moved along it as well, so that nobody is paid
            for what everybody could train (docs/adr/0018-public-look-ahead.md). None: the slice holds no valid one.
        public_grid: multiples of it; None: those of ``grid``.

    Raises:
        ModelError: an update, aggregate or public update of other names or shapes.
        DataError: fewer than two pairs.
    """
    prepared = prepare_pairs(model, slice, model.spec.scoring_precision)
    base, before = checkpoint, _losses(model, checkpoint, prepared)
    for direction, steps in ((last_aggregate, grid), (public_update, grid if public_grid is None else public_grid)):
        if direction is None:
            continue
        start = base
        for step in steps:
            if step == 0:
                continue
            candidate = stepped(start, direction, step)
            after = _losses(model, candidate, prepared)
            if after.mean < before.mean:
                base, before = candidate, after
    z_milli = round(1_000 * model.spec.confidence)
    return [_gain(before, _losses(model, stepped(base, update, eta), prepared), z_milli) for update in updates]


def stepped(checkpoint: Checkpoint, update: Update, step: float) -> dict[str, NDArray[np.float32]]:
    """checkpoint + step·update in float32 (multiply, then add, each rounded once); frozen tensors are shared.

    Raises:
        ModelError: names or shapes other than the checkpoint's trainable ones.
    """
    old = trainable(checkpoint)
    if set(update) != set(old) or any(update[name].shape != old[name].shape for name in old):
        raise ModelError("The update's tensors are not the checkpoint's trainable ones.")
    factor = np.float32(step)
    return {**checkpoint, **{name: old[name] + factor * update[name].astype(np.float32) for name in old}}


@dataclass(frozen=True, slots=True)
class _Losses:
    """Contrastive loss of a slice and each row's share of it, nats."""

    mean: float
    rows: NDArray[np.float64]


def _losses(model: Encoder, checkpoint: Checkpoint, prepared: PreparedPairs) -> _Losses:
    model.load(checkpoint)
    precision = model.spec.scoring_precision
    queries, codes = (model.embed_all(side, precision).double() for side in (prepared.queries, prepared.codes))
    temperature = model.spec.temperature
    rows = contrastive_rows(queries, codes, temperature=temperature)
    mean = contrastive_loss(queries, codes, temperature=temperature)
    return _Losses(float(mean), np.asarray(rows.cpu().numpy(), np.float64))


def _gain(before: _Losses, after: _Losses, z_milli: int) -> int:
    if not (math.isfinite(after.mean) and np.isfinite(after.rows).all()):
        return WORST_GAIN
    if z_milli == 0:
        return to_ppm(before.mean - after.mean)
    rows: list[int] = np.rint(PPM * (before.rows - after.rows)).astype(np.int64).tolist()
    return confident_gain(rows, z_milli)

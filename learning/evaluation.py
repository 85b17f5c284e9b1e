"""Measures checkpoints and scores updates on a benchmark slice. Pure functions of model, data and settings.

docs/protocol.md, "Effective gain": base = parent + t·(last aggregate), t the look-ahead that fits the slice best; raw gain =
round(10⁶·(L(base) − L(base + η·update))) with L the contrastive loss of the whole slice in nats. Where the guideline asks for confidence,
the gain is that of the rows less so many standard errors (`incentives.scoring.confident_gain`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

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
        public_update: what training on the public benchmark gives; the base is then moved along it by the same grid, so that nobody is
            paid for what everybody could train (docs/economics.md). None: not done.

    Raises:
        ModelError: an update or aggregate of other names or shapes.
        DataError: fewer than two pairs.
    """
    prepared = prepare_pairs(model, slice, model.spec.scoring_precision)
    base, base_loss = checkpoint, _slice_loss(model, checkpoint, prepared)
    for direction in (last_aggregate, public_update):
        if direction is None:
            continue
        start = base
        for step in grid:
            if step == 0:
                continue
            candidate = stepped(start, direction, step)
            loss = _slice_loss(model, candidate, prepared)
            if loss < base_loss:
                base, base_loss = candidate, loss
    moved = (stepped(base, update, eta) for update in updates)
    if model.spec.confidence == 0:
        return [_gain(base_loss, _slice_loss(model, tried, prepared)) for tried in moved]
    before = _row_losses(model, base, prepared)
    z_milli = round(1_000 * model.spec.confidence)
    return [_confident(before, _row_losses(model, tried, prepared), z_milli) for tried in moved]


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


def _gain(before: float, after: float) -> int:
    return to_ppm(before - after) if math.isfinite(after) else WORST_GAIN


def _confident(before: NDArray[np.float64], after: NDArray[np.float64], z_milli: int) -> int:
    if not np.isfinite(after).all():
        return WORST_GAIN
    rows: list[int] = np.rint(PPM * (before - after)).astype(np.int64).tolist()
    return confident_gain(rows, z_milli)


def _row_losses(model: Encoder, checkpoint: Checkpoint, prepared: PreparedPairs) -> NDArray[np.float64]:
    model.load(checkpoint)
    precision = model.spec.scoring_precision
    queries, codes = model.embed_all(prepared.queries, precision), model.embed_all(prepared.codes, precision)
    found = contrastive_rows(queries.double(), codes.double(), temperature=model.spec.temperature)
    return np.asarray(found.cpu().numpy(), np.float64)


def _slice_loss(model: Encoder, checkpoint: Checkpoint, prepared: PreparedPairs) -> float:
    return evaluate(model, checkpoint, prepared)["loss"]

"""One client's work in one round: FedAvg or FedProx steps on its own pairs, giving an update within the norm bound."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import process_time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learning.device import precision_context
from learning.errors import DataError, TrainingDiverged, TrainingStopped
from learning.models.base import Checkpoint, trainable
from learning.models.encoder import Encoder
from learning.prepared_pairs import PreparedPairs, prepare_pairs
from learning.privacy.accountant import Spending
from learning.privacy.dpsgd import fit_private
from learning.privacy.noise import Source, privatised, system_source
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair, contrastive_loss

Update = Mapping[str, NDArray[np.float32]]
Progress = Callable[[int, int, float], None]
_MARGIN = 1 - 1e-6  # float32 rounding of a clipped update must not lift it above the bound again


@dataclass(frozen=True, slots=True)
class LocalResult:
    """What local training gives.

    Attributes:
        update: new B − old B by name, float32, L2 norm ≤ the guideline's bound.
        samples: distinct pairs trained on.
        loss: mean contrastive loss of the last quarter of steps, nats.
        norm: L2 norm before clipping.
        cpu_seconds: processor time used by this process, preparation included.
        spending: what the guideline's noise was; None without.
    """

    update: dict[str, NDArray[np.float32]]
    samples: int
    loss: float
    norm: float
    cpu_seconds: float
    spending: Spending | None = None


def train(
    model: Encoder,
    checkpoint: Checkpoint,
    pairs: Sequence[Pair],
    spec: LearningSpec,
    *,
    round: int,  # noqa: A002 - the field's word
    seed: int,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    public: Sequence[Pair] = (),
    source: Source = system_source,
) -> LocalResult:
    """Train B on this round's share of ``pairs``, starting at ``checkpoint``. Same arguments and machine: same bytes (but for noise).

    Args:
        model: this process's encoder; left holding the trained factors.
        checkpoint: parent model.
        pairs: everything this client has; round r takes the r-th window of ``samples_per_round`` in a fixed hidden order.
        spec: the guideline.
        round: number of the round, from 1.
        seed: order of the batches.
        progress: called with (step, steps, loss) after each step.
        should_stop: asked before each batch of preparation and each step.
        public: rows that are no secret: the negatives of training with privacy ``example``.
        source: what noise is drawn from.

    Raises:
        DataError: fewer than two pairs; or of ``public``, where they are needed.
        TrainingDiverged: loss or update not finite.
        TrainingStopped: ``should_stop`` said yes.
    """
    began = process_time()
    window = round_window(pairs, spec.samples_per_round, round)
    prepared = prepare_pairs(model, window, spec.precision, should_stop)
    spending = None
    if spec.privacy == "example":
        negatives = prepare_pairs(model, public, spec.precision, should_stop)
        private = fit_private(
            model, checkpoint, prepared, negatives, spec,
            make_optimiser=_optimiser, source=source, progress=progress, should_stop=should_stop,
        )  # fmt: skip
        losses = private.losses or [math.nan]
        spending = Spending(round, "example", spec.noise_multiplier, private.sample_rate, private.steps)
    else:
        losses = fit(model, checkpoint, prepared, spec, seed=seed, progress=progress, should_stop=should_stop)
    update, norm = clipped_update(model, checkpoint, spec.max_norm)
    if spec.privacy == "client":
        update = privatised(
            update,
            clip=spec.privacy_clip,
            noise_multiplier=spec.noise_multiplier,
            max_norm=spec.max_norm,
            source=source,
        )
        spending = Spending(round, "client", spec.noise_multiplier, 1.0, 1)
    tail = losses[-max(1, len(losses) // 4) :]
    return LocalResult(update, len(prepared), sum(tail) / len(tail), norm, process_time() - began, spending)


def round_window(pairs: Sequence[Pair], size: int, round: int) -> list[Pair]:  # noqa: A002 - the field's word
    """The ``size`` pairs of one round: windows follow each other through a fixed order by hash and wrap around."""
    if len(pairs) < 2:
        raise DataError(
            f"This client has {len(pairs)} training pair(s); at least two are needed.",
            hint="Give it repositories with documented functions.",
        )
    order = sorted(pairs, key=lambda p: hashlib.sha256(f"{p.query}\0{p.code}".encode()).digest())
    start = (round - 1) * size % len(order)
    return (order[start:] + order[:start])[:size]


def fit(
    model: Encoder,
    checkpoint: Checkpoint,
    pairs: PreparedPairs,
    spec: LearningSpec,
    *,
    seed: int,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[float]:
    """The spec's optimiser on B over prepared pairs; returns every step's loss in nats and leaves the result in ``model``.

    The step size rises linearly over the first ``warmup`` share of steps, then falls linearly to zero. A last batch smaller than
    half the batch size is dropped: its negatives would be too few.
    """
    model.load(checkpoint)
    parameters = model.parameters()
    anchors = {name: p.detach().clone() for name, p in parameters.items()}
    optimiser = _optimiser(parameters, spec)
    batches = _batches(len(pairs), spec, seed)
    warm = max(1, round_half_even(spec.warmup * len(batches)))
    losses = []
    for step, rows in enumerate(batches):
        if should_stop is not None and should_stop():
            raise TrainingStopped(f"Training stopped before step {step + 1} of {len(batches)}, as asked.")
        rate = min((step + 1) / warm, (len(batches) - step) / max(1, len(batches) - warm))
        optimiser.param_groups[0]["lr"] = spec.learning_rate * rate
        loss = _loss(model, pairs, rows, spec)
        total = loss + _proximal(parameters, anchors, spec.prox_mu) if spec.prox_mu else loss
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise TrainingDiverged(
                f"The loss became {losses[-1]} at step {step + 1} of {len(batches)}.",
                hint="Lower the guideline's learning_rate.",
            )
        if progress is not None:
            progress(step + 1, len(batches), losses[-1])
    return losses


def clipped_update(
    model: Encoder, checkpoint: Checkpoint, max_norm: float
) -> tuple[dict[str, NDArray[np.float32]], float]:
    """(new B − old B scaled down to L2 norm ≤ ``max_norm``, its norm before), from the model's present factors.

    Raises:
        TrainingDiverged: a value that is not finite.
    """
    old = trainable(checkpoint)
    raw = {name: p.detach().cpu().numpy() - old[name] for name, p in sorted(model.parameters().items())}
    norm = math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in raw.values()))
    if not math.isfinite(norm):
        raise TrainingDiverged("The trained factors are not finite.", hint="Lower the guideline's learning_rate.")
    if norm <= max_norm * _MARGIN:
        return raw, norm
    factor = np.float32(max_norm * _MARGIN / norm)
    return {name: array * factor for name, array in raw.items()}, norm


def round_half_even(value: float) -> int:
    """Nearest integer, halves to even (the parameter named ``round`` hides the built-in elsewhere in this module)."""
    return int(np.rint(value))


def _optimiser(parameters: Mapping[str, torch.nn.Parameter], spec: LearningSpec) -> torch.optim.Optimizer:
    if spec.optimiser == "sgd":
        return torch.optim.SGD(parameters.values(), lr=spec.learning_rate, momentum=0.9, weight_decay=spec.weight_decay)
    return torch.optim.AdamW(
        parameters.values(), lr=spec.learning_rate, weight_decay=spec.weight_decay, betas=(0.9, 0.99)
    )


def _batches(count: int, spec: LearningSpec, seed: int) -> list[NDArray[np.int64]]:
    generator = np.random.Generator(np.random.PCG64(seed))
    batches = []
    for _ in range(spec.epochs):
        order = generator.permutation(count).astype(np.int64)
        cuts = [order[i : i + spec.batch_size] for i in range(0, count, spec.batch_size)]
        batches += [cut for cut in cuts if len(cut) >= min(count, max(2, spec.batch_size // 2))]
    return batches


def _loss(model: Encoder, pairs: PreparedPairs, rows: NDArray[np.int64], spec: LearningSpec) -> Tensor:
    with precision_context(model.device, spec.precision):
        queries, codes = model.embed(pairs.queries, rows), model.embed(pairs.codes, rows)
    return contrastive_loss(queries, codes, temperature=spec.temperature)


def _proximal(parameters: Mapping[str, Tensor], anchors: Mapping[str, Tensor], mu: float) -> Tensor:
    """FedProx: μ/2 · Σ‖B − B_old‖²."""
    return torch.stack([(p - anchors[name]).square().sum() for name, p in parameters.items()]).sum() * (mu / 2)

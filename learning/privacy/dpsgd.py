"""DP-SGD on the LoRA factors (Abadi et al. 2016, arXiv 1607.00133): what one example changes is bounded and drowned in noise.

Each step: every pair enters with probability q (Poisson), each one's gradient is clipped to L2 norm C over all factors, their sum gets
noise N(0, (σC)²) and is divided by the expected number q·n. What follows (momentum, step sizes, the norm bound) is post-processing.

**The loss must not mix examples.** In-batch contrast does: each pair is its neighbours' negative, so removing one changes all gradients and
clipping each bounds nothing. Here each pair is contrasted with *public* pairs only, drawn anew for each step; its gradient then depends on
itself and on what everybody may know.

**Per-example gradients are exact and cheap**, since only linear factors are trained: for y += s·B·(A·x), ∂L_i/∂B = s·Σ_t g_it·(A·x_it)ᵀ
with g_it the gradient at token t of example i, so one backward pass gives them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.device import precision_context
from learning.errors import DataError, TrainingDiverged, TrainingStopped
from learning.models.base import Checkpoint
from learning.models.encoder import Encoder
from learning.models.lora import LoraLinear
from learning.prepared_pairs import PreparedPairs
from learning.privacy.noise import Source, gaussian, system_source
from learning.spec import LearningSpec

MakeOptimiser = Callable[[Mapping[str, nn.Parameter], LearningSpec], torch.optim.Optimizer]
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class PrivateFit:
    """What a private training gives: each step's mean loss (nats; of empty steps none), and what the accountant needs."""

    losses: list[float]
    sample_rate: float
    steps: int


def fit_private(
    model: Encoder,
    checkpoint: Checkpoint,
    pairs: PreparedPairs,
    public: PreparedPairs,
    spec: LearningSpec,
    *,
    make_optimiser: MakeOptimiser,
    source: Source = system_source,
    progress: Callable[[int, int, float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> PrivateFit:
    """DP-SGD from ``checkpoint``; leaves the result in ``model``.

    Args:
        model: this process's encoder.
        checkpoint: parent model.
        pairs: this round's rows, prepared.
        public: rows that are no secret; as many of them as a batch has serve as each step's negatives.
        spec: the guideline; q = batch_size/n, steps = epochs·⌈n/batch_size⌉, C and σ are its ``privacy_clip`` and ``noise_multiplier``.
        make_optimiser: as in training without noise.
        source: of sampling and noise.
        progress: called with (step, steps, loss) after each step.
        should_stop: asked before each step.

    Raises:
        DataError: no public rows.
        TrainingDiverged: a loss that is not finite.
        TrainingStopped: ``should_stop`` said yes.
    """
    if len(public) < 1:
        raise DataError("Private training needs public rows as negatives.", hint="Set network.public_benchmark.")
    model.load(checkpoint)
    parameters = model.parameters()
    optimiser = make_optimiser(parameters, spec)
    rate = min(1.0, spec.batch_size / len(pairs))
    steps = spec.epochs * math.ceil(len(pairs) / spec.batch_size)
    draw = np.random.default_rng(int.from_bytes(source(16), "little"))  # of the public negatives: no secret
    warm = max(1, round(spec.warmup * steps))
    losses: list[float] = []
    for step in range(steps):
        if should_stop is not None and should_stop():
            raise TrainingStopped(f"Training stopped before step {step + 1} of {steps}, as asked.")
        rows = np.flatnonzero(uniform(len(pairs), source) < rate)
        negatives = draw.choice(len(public), min(len(public), spec.batch_size), replace=False)
        sums, loss = _clipped_sums(model, pairs, public, rows, negatives, spec=spec)
        for name, parameter in parameters.items():
            parameter.grad = _noised(sums[name], spec, source) / (rate * len(pairs))
        fraction = min((step + 1) / warm, (steps - step) / max(1, steps - warm))
        optimiser.param_groups[0]["lr"] = spec.learning_rate * fraction
        optimiser.step()
        if loss is not None:
            if not math.isfinite(loss):
                raise TrainingDiverged(
                    f"The loss became {loss} at step {step + 1} of {steps}.", hint="Lower learning_rate."
                )
            losses.append(loss)
            if progress is not None:
                progress(step + 1, steps, loss)
    return PrivateFit(losses, rate, steps)


def uniform(count: int, source: Source) -> NDArray[np.float64]:
    """``count`` numbers in [0, 1) of 53 random bits."""
    bits = np.frombuffer(source(8 * count), dtype="<u8") >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def row_losses(
    model: Encoder,
    pairs: PreparedPairs,
    public: PreparedPairs,
    rows: NDArray[np.int64],
    negatives: NDArray[np.int64],
    *,
    spec: LearningSpec,
) -> Tensor:
    """½·(−log softmax of query i over its own and the public codes, and of code i over its own and the public queries), shape (b,)."""
    with precision_context(model.device, spec.precision):
        with torch.no_grad():
            others = [model.embed(side, negatives).float() for side in (public.codes, public.queries)]
        queries, codes = model.embed(pairs.queries, rows).float(), model.embed(pairs.codes, rows).float()
    own = (queries * codes).sum(1, keepdim=True)
    target = torch.zeros(len(rows), dtype=torch.long, device=own.device)
    halves = [
        nn.functional.cross_entropy(torch.cat([own, side @ other.T], 1) / spec.temperature, target, reduction="none")
        for side, other in zip((queries, codes), others, strict=True)
    ]
    return (halves[0] + halves[1]) / 2


def per_example_gradients(model: Encoder, losses: Callable[[], Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """Gradient of each example's loss by every B, (b, out, rank) float32 by name, and the losses (b,).

    Args:
        model: its adapters are watched while ``losses`` runs.
        losses: gives one loss an example, which must depend on that example alone; every pass with gradients has one row an example.
    """
    with _watched(model.adapters()) as seen:
        values = losses()
        values.sum().backward()
    gradients = {}
    for name, passes in seen.items():
        scale = model.adapters()[name].scale
        parts = [torch.einsum("bto,btr->bor", grad.float(), low.float()) for low, grad in passes]
        gradients[f"{name}.lora_B"] = torch.stack(parts).sum(0) * scale
    for parameter in model.parameters().values():
        parameter.grad = None
    return gradients, values.detach()


def _clipped_sums(
    model: Encoder,
    pairs: PreparedPairs,
    public: PreparedPairs,
    rows: NDArray[np.int64],
    negatives: NDArray[np.int64],
    *,
    spec: LearningSpec,
) -> tuple[dict[str, Tensor], float | None]:
    """Σ_i g_i·min(1, C/‖g_i‖) by name, and the mean loss; zeros and None where no example was drawn."""
    if not len(rows):
        return {name: torch.zeros_like(p) for name, p in model.parameters().items()}, None
    gradients, values = per_example_gradients(
        model, lambda: row_losses(model, pairs, public, rows, negatives, spec=spec)
    )
    squares = torch.stack([g.double().square().sum((1, 2)) for g in gradients.values()]).sum(0)
    factors = (spec.privacy_clip / (squares.sqrt() + _TINY)).clamp(max=1.0).float()
    factors = torch.where(torch.isfinite(squares), factors, torch.zeros_like(factors))
    sums = {
        name: torch.einsum("b,bor->or", factors, torch.nan_to_num(g, 0.0, 0.0, 0.0)) for name, g in gradients.items()
    }
    return sums, float(values.mean())


def _noised(total: Tensor, spec: LearningSpec, source: Source) -> Tensor:
    """``total`` + N(0, (σC)²) in every coordinate."""
    noise = torch.from_numpy(gaussian(total.numel(), source).reshape(tuple(total.shape))).to(total)
    return total + noise * (spec.noise_multiplier * spec.privacy_clip)


@contextmanager
def _watched(adapters: Mapping[str, LoraLinear]) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """Collects (A·x, gradient at the output) of every pass through each adapter that is differentiated."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in adapters}
    hooks = []

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if output.requires_grad and torch.is_grad_enabled():
                assert isinstance(module, LoraLinear)
                low = nn.functional.linear(inputs[0], module.lora_a).detach()
                output.register_hook(lambda grad: seen[name].append((low, grad)))

        return hook

    try:
        hooks += [adapter.register_forward_hook(watch(name)) for name, adapter in adapters.items()]
        yield seen
    finally:
        for handle in hooks:
            handle.remove()

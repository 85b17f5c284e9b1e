"""The training loop: warm-up and linear decay, clipping, FedProx, AdamW; no value is read back from the device within it.

Losses stay on the device. Every ``check_every`` steps they and the parameters are looked at; what is finite then becomes the last good
state, and what is not ends the training with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.errors import TrainingStopped
from learning.learner import State
from learning.training.errors import Diverged
from learning.training.gradients import Gradients
from learning.training.keeper import Keeper, Progress, random_state, set_random_state
from learning.training.prepare import Ints
from learning.training.settings import Settings

Reduce = Callable[[Sequence[Tensor]], None]


@dataclass(frozen=True, slots=True)
class Fitted:
    """Result of `fit`: the trained tensors and every step's mean loss in nats."""

    state: State
    losses: NDArray[np.float64]


@dataclass
class Loop:
    """One training.

    Attributes:
        parameters: trained parameters by name, in order of name.
        gradients: adds a batch's gradient.
        settings: the numbers.
        rate: peak learning rate.
        device: where.
        keeper: checkpoints, or None.
        should_stop: asked before each step, or None.
        reduce: sums tensors over processes in place, or None.
    """

    parameters: Mapping[str, nn.Parameter]
    gradients: Gradients
    settings: Settings
    rate: float
    device: torch.device
    keeper: Keeper | None = None
    should_stop: Callable[[], bool] | None = None
    reduce: Reduce | None = None

    def run(self, batches: Sequence[Ints], *, seed: int, prox_mu: float = 0.0) -> Fitted:
        """Train from the parameters' present values.

        Raises:
            Diverged: something is not finite any more; it carries the last good state.
            TrainingStopped: ``should_stop`` said yes; a keeper has the state.
            OutOfMemory: one row alone does not fit.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            return self._run(batches, prox_mu)

    def _run(self, batches: Sequence[Ints], prox_mu: float) -> Fitted:
        values = list(self.parameters.values())
        anchors = [p.detach().clone() for p in values] if prox_mu else []
        optimiser = make_optimiser(values, self.settings, self.rate)
        losses = torch.zeros(len(batches), device=self.device)
        first = self._resume(optimiser, losses)
        good, good_step = state_of(self.parameters), first
        for step in range(first, len(batches)):
            if self.should_stop is not None and self.should_stop():
                self._keep(optimiser, losses, step)
                raise TrainingStopped(f"Training stopped before step {step + 1} of {len(batches)}, as asked.")
            losses[step] = self._step(
                optimiser, batches[step], anchors, prox_mu, rate_at(step, len(batches), self.settings)
            )
            done = step + 1
            if done % self.settings.check_every == 0 or done == len(batches):
                self._check(losses[good_step:done], good, good_step, done, len(batches))
                good, good_step = state_of(self.parameters), done
            if self.keeper is not None and self.keeper.every and done % self.keeper.every == 0 and done < len(batches):
                self._keep(optimiser, losses, done)
        if self.keeper is not None:
            self.keeper.clear()
        return Fitted(good, losses.double().cpu().numpy())

    def _step(
        self, optimiser: torch.optim.Optimizer, rows: Ints, anchors: list[Tensor], prox_mu: float, share: float
    ) -> Tensor:
        for group in optimiser.param_groups:
            group["lr"] = self.rate * share
        optimiser.zero_grad(set_to_none=True)
        loss = self.gradients.add(rows)
        values = list(self.parameters.values())
        for p in values:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        grads = [p.grad for p in values if p.grad is not None]
        if self.reduce is not None:
            self.reduce([*grads, loss])
        if prox_mu:
            away = torch._foreach_sub([p.detach() for p in values], anchors)  # noqa: SLF001 - the only name of these kernels
            torch._foreach_add_(grads, away, alpha=prox_mu)
        if self.settings.clip:
            nn.utils.clip_grad_norm_(values, self.settings.clip, foreach=True)
        optimiser.step()
        return loss

    def _check(self, losses: Tensor, good: State, good_step: int, done: int, steps: int) -> None:
        finite = torch.stack(
            [torch.isfinite(losses).all(), *(torch.isfinite(p).all() for p in self.parameters.values())]
        )
        if bool(finite.all()):
            return
        raise Diverged(
            f"The loss or the model stopped being finite between steps {good_step + 1} and {done} of {steps}.",
            good,
            good_step,
            hint="Lower the learning rate. The state of the last good step is kept.",
        )

    def _keep(self, optimiser: torch.optim.Optimizer, losses: Tensor, step: int) -> None:
        if self.keeper is None:
            return
        tensors: dict[str, Tensor] = {"losses": losses, **random_state(self.device)}
        for name, p in self.parameters.items():
            tensors[f"value.{name}"] = p
            if (held := optimiser.state.get(p)) is not None:
                tensors |= {f"{key}.{name}": held[key] for key in ("exp_avg", "exp_avg_sq", "step")}
        self.keeper.write(Progress(step, tensors))

    def _resume(self, optimiser: torch.optim.Optimizer, losses: Tensor) -> int:
        found = self.keeper.read() if self.keeper is not None else None
        if found is None:
            return 0
        losses.copy_(found.tensors["losses"])
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(found.tensors[f"value.{name}"])
                if f"exp_avg.{name}" in found.tensors:
                    held = {key: found.tensors[f"{key}.{name}"] for key in ("exp_avg", "exp_avg_sq", "step")}
                    optimiser.state[p] = {key: t.to(p.device) for key, t in held.items()}
        set_random_state(found.tensors, self.device)
        return found.step


def make_optimiser(values: Sequence[nn.Parameter], settings: Settings, rate: float) -> torch.optim.Optimizer:
    """AdamW, one fused kernel over all parameters; matrices decay, vectors do not."""
    groups = [
        {"params": [p for p in values if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in values if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, betas=settings.betas, fused=True)


def rate_at(step: int, steps: int, settings: Settings) -> float:
    """Share of the peak rate at a step (from 0): linear up over the warm-up, then linear down to zero after the last."""
    warm = max(1, round(settings.warmup * steps))
    return min((step + 1) / warm, (steps - step) / max(1, steps - warm))


def state_of(parameters: Mapping[str, nn.Parameter]) -> dict[str, NDArray[np.float32]]:
    """Copies of the parameters as float32 arrays, in order of name."""
    return {name: np.array(p.detach().float().cpu().numpy(), np.float32) for name, p in sorted(parameters.items())}

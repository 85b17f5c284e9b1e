"""The outer step: how an aggregate moves the model (FedAvg's server step, FedAvgM / DiLoCo's Nesterov).

With update direction Δ (what training *added* to the parent), learning rate η and momentum μ, all float32::

    v' = μ·v + Δ
    d  = μ·v' + Δ        (μ = 0: d = Δ)
    x' = x + η·d

Bit-exact on every machine: each multiplication and each addition is a numpy ufunc of its own that stores its float32
result before the next one starts, so no compiler can fuse them (an FMA would round once instead of twice), and
elementwise operations have no order. η and μ are rounded to float32 once, here. The one thing that could differ is a
process that flushes subnormals to zero (some libraries switch that on); `apply` refuses to run in it.

Reddi et al., ICLR 2021 (server optimisers); Douillard et al., arXiv 2311.08105 (outer Nesterov, μ = 0.9).
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from aggregation.bundle import Tensors, Vector, require_schema, schema_of
from aggregation.checks import require_finite
from aggregation.errors import AggregationError


def apply(
    parent: Tensors,
    aggregate: Tensors,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    velocity: Tensors | None = None,
) -> tuple[dict[str, Vector], dict[str, Vector]]:
    """One outer step (formula in the module docstring).

    Args:
        parent: all tensors of the checkpoint, trainable or frozen.
        aggregate: direction Δ for the trainable tensors only; tensors not named here pass through unchanged.
        learning_rate: η > 0.
        momentum: μ in [0, 1); 0 is plain SGD.
        velocity: v of the last step; None (or a missing tensor) is zero.

    Returns:
        ``(new tensors, new velocity)``: fresh arrays, in order of name; velocity is empty for μ = 0.

    Raises:
        AggregationError: a parameter out of range, a tensor the parent does not have, or subnormals are flushed.
        UpdateRejected: another shape or dtype than the parent's, or the step overflows float32.
    """
    if not (isfinite(learning_rate) and learning_rate > 0 and 0 <= momentum < 1):
        raise AggregationError(
            f"learning_rate={learning_rate} must be above 0 and momentum={momentum} within [0, 1).",
            hint="Correct the guideline's update section.",
        )
    if unknown := sorted(aggregate.keys() - parent.keys()):
        raise AggregationError(f"The aggregate moves {unknown[0]!r}, which the checkpoint does not have.")
    old = {name: tensor for name, tensor in (velocity or {}).items() if name in aggregate}
    require_schema(aggregate, schema_of({name: parent[name] for name in aggregate}))
    require_schema(old, schema_of({name: parent[name] for name in old}))
    _require_subnormals()
    rate, decay = np.float32(learning_rate), np.float32(momentum)
    new: dict[str, Vector] = {}
    new_velocity: dict[str, Vector] = {}
    with np.errstate(over="ignore", under="ignore"):  # overflow is reported below, by name
        for name in sorted(parent):
            if name not in aggregate:
                new[name] = parent[name].copy()
                continue
            direction = aggregate[name]
            if momentum:
                new_velocity[name] = _moved(direction, decay, old.get(name, np.zeros_like(direction)))
                direction = _moved(direction, decay, new_velocity[name])
            new[name] = _moved(parent[name], rate, direction)
    require_finite(new)
    return new, new_velocity


def _moved(start: Vector, factor: np.float32, direction: Vector) -> Vector:
    """``start + factor·direction``, rounded after the product and after the sum."""
    product = np.multiply(factor, direction, dtype=np.float32)
    return np.asarray(np.add(start, product, dtype=np.float32))


def _require_subnormals() -> None:
    """The processor keeps subnormal results (2^-126 / 2 is not zero)."""
    halved = np.multiply(np.full(16, 2.0**-126, np.float32), np.float32(0.5))  # 16: the vector unit too
    if not halved.all():
        raise AggregationError(
            "This process flushes subnormal floats to zero, so its model would differ from everybody else's.",
            why="Some library set the processor's FTZ/DAZ mode.",
            hint="Do not call torch.set_flush_denormal(True); do not load libraries built with -ffast-math.",
        )

"""What an update must pass before anybody scores or adds it: size, encoding, schema, finiteness, norm.

Verifiers vote on the outcome, so every check is exact or runs in a fixed order: two honest machines never disagree.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import fsum, isfinite, sqrt

import numpy as np

from aggregation.bundle import Schema, Tensors, Vector, decode, require_schema
from aggregation.errors import Reason, UpdateRejected

_LANES = 8192


def validate_update(data: bytes, schema: Schema, *, max_bytes: int, max_norm: float) -> dict[str, Vector]:
    """Decode an update and refuse it unless every check passes.

    Args:
        data: bytes from a peer; nothing about them is trusted.
        schema: names and shapes of the checkpoint's trainable tensors.
        max_bytes: longest acceptable length (`bundle.encoded_bytes` gives the exact one).
        max_norm: largest acceptable L2 norm over all tensors; equal is accepted.

    Returns:
        The tensors, read-only views into ``data``.

    Raises:
        UpdateRejected: its `reason` is that of the first failed check, in the order `TOO_LARGE`, `BAD_ENCODING` or
            `DTYPE`, `SCHEMA_MISMATCH`, `NOT_FINITE`, `NORM_EXCEEDED`.
    """
    tensors = decode(data, max_bytes=max_bytes)
    require_schema(tensors, schema)
    require_finite(tensors)
    norm = l2_norm(tensors)
    if not norm <= max_norm:
        raise UpdateRejected(
            Reason.NORM_EXCEEDED,
            f"The update's norm is {norm!r}, the guideline allows {max_norm!r}.",
            hint="Clip the update before publishing, or train with a smaller step.",
        )
    return tensors


def require_finite(tensors: Tensors) -> None:
    """No NaN and no infinity anywhere.

    Raises:
        UpdateRejected: `NOT_FINITE`, naming the tensor.
    """
    for name in sorted(tensors):
        # squares of finite float32 values cannot overflow float64, so the sum tells
        if not isfinite(fsum(_lane_sums(tensors[name]))):
            raise UpdateRejected(
                Reason.NOT_FINITE,
                f"Tensor {name!r} holds NaN or infinity.",
                hint="Training diverged: lower the learning rate or clip gradients.",
            )


def l2_norm(tensors: Tensors) -> float:
    """Euclidean norm over all tensors in float64, the same bits on every machine.

    ``sqrt(Σ x²)``: each square is exact in float64 (24-bit factors); lane j of 8192 adds elements j, j+8192, … in
    order, by elementwise ufuncs that round once; the lanes are added exactly by `math.fsum`. So neither SIMD width,
    FMA nor the tensors' order in the mapping can change it. Relative error below ``2⁻⁵³ · size/8192`` plus one ulp.
    """
    return sqrt(fsum(part for name in sorted(tensors) for part in _lane_sums(tensors[name])))


def _lane_sums(tensor: Vector) -> Iterable[float]:
    flat = tensor.reshape(-1)
    lanes = np.zeros(min(_LANES, flat.size), np.float64)
    square = np.empty_like(lanes)
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity are the caller's finding, not a warning
        for start in range(0, flat.size, _LANES):
            chunk = flat[start : start + _LANES]
            part = square[: chunk.size]
            np.multiply(chunk, chunk, out=part, dtype=np.float64)
            np.add(lanes[: chunk.size], part, out=lanes[: chunk.size])
    values: list[float] = lanes.tolist()
    return values

"""The tile kernels in plain numpy: the definition that `kernels_numba` must match bit for bit.

A tile is int32 ``[clients, m]``: m neighbouring coordinates of one tensor, quantised. Everything here is integer
arithmetic, or float arithmetic with exactly one rounding, so no choice of m, threads or machine can be seen in a result.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aggregation.bundle import Vector

Integers: TypeAlias = NDArray[np.int32]
Longs: TypeAlias = NDArray[np.int64]
Doubles: TypeAlias = NDArray[np.float64]

ONE = 1 << 16  # clip factors are k / 2^16
NAME = "numpy"


def quantise(values: Vector, scale: np.float32, limit: np.float32, out: Integers) -> tuple[int, int, int]:
    """``out = clamp(rint(values · scale), ±limit)``; returns how many saturated, were non-zero, became zero."""
    with np.errstate(over="ignore", under="ignore"):  # infinity is clamped, underflow rounds to 0
        scaled = np.multiply(values, scale)
    np.rint(scaled, out=scaled)
    saturated = np.count_nonzero(np.abs(scaled) > limit)
    if saturated:
        np.clip(scaled, -limit, limit, out=scaled)
    out[...] = scaled
    nonzero = np.count_nonzero(values)
    return int(saturated), int(nonzero), int(nonzero - np.count_nonzero(out))


def narrow(tile: Integers, drop: int, out: Doubles) -> None:
    """``out = (tile + 2^(drop-1)) >> drop`` (floor after adding half; drop = 0 copies), as float64."""
    if drop == 0:
        out[...] = tile
        return
    out[...] = (tile + np.int32(1 << (drop - 1))) >> np.int32(drop)


def clip(tile: Integers, factors: Longs) -> None:
    """Row i becomes ``(q · k_i + 2^15) >> 16`` for k_i < 2^16, in place."""
    for row, factor in zip(tile, factors, strict=True):
        if factor < ONE:
            row[...] = (row * factor + (ONE >> 1)) >> np.int64(16)


def mix(tile: Integers, excluded: Longs, out: Integers) -> None:
    """``out_i = Σ_j q_j - Σ_{j excluded by i} q_j``: sums of n-f rows. ``excluded`` is int64 ``[n, f]``."""
    total = tile.sum(axis=0, dtype=np.int32)
    for row, away in zip(out, excluded, strict=True):
        row[...] = total
        for other in away:
            np.subtract(row, tile[other], out=row)


def add_rows(tile: Integers, rows: Longs, sign: int, out: Longs) -> None:
    """``out += sign · Σ tile[rows]``."""
    for row in rows:
        if sign > 0:
            out += tile[row]
        else:
            out -= tile[row]


def exchange(tile: Integers, network: Integers) -> None:
    """Run a comparator network ``[c, 3]`` of (i, j, keep) on the rows, in place.

    ``keep`` 1: row i gets the minimum; 2: row j gets the maximum; 3: both.
    """
    spare = np.empty_like(tile[0])
    for i, j, keep in network.tolist():
        low, high = tile[i], tile[j]
        if keep == 1:
            np.minimum(low, high, out=low)
        elif keep == 2:
            np.maximum(low, high, out=high)
        else:
            np.minimum(low, high, out=spare)
            np.maximum(low, high, out=high)
            low[...] = spare


def finish(total: Longs, divisor: int, inverse: np.float32, out: Vector) -> None:
    """``out = float32(round_half_even(total / divisor)) · inverse``.

    float64 gives the exact integer: for ``|total| < 2^50`` and ``divisor ≤ 2^20`` a quotient that is no tie is at least
    ``2^-21`` away from one, and the division errs by at most ``2^-23``. The cast to int32 removes −0.
    """
    quotient = np.rint(total / np.float64(divisor)).astype(np.int32)
    np.multiply(quotient.astype(np.float32), inverse, out=out)

"""The tile kernels in plain numpy: the definition that `kernels_numba` must match bit for bit.

A tile is int32 ``[rows, m]``: m neighbouring coordinates of one tensor, quantised; it starts at a group's first coordinate.
Everything here is integer arithmetic, or float arithmetic with exactly one rounding, so no choice of m, threads or
machine can be seen in a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aggregation.bundle import Vector

Integers: TypeAlias = NDArray[np.int32]
Longs: TypeAlias = NDArray[np.int64]
Doubles: TypeAlias = NDArray[np.float64]

Bytes: TypeAlias = NDArray[np.uint8]

NAME = "numpy"
ONE = 1 << 16  # clip factors are k / 2^16
GROUP = 1024  # coordinates that share a scale (`aggregation.fixed_point`)
HEADROOM = 4  # bits above the voted exponent; values up to 2^4 times larger are still exact
MAX_SHIFT = 125
IMAGE_BITS = 12  # of the integers whose products make the Gram matrix (`aggregation.gram`)
REFUSED = 254  # exponent field from 2^127 on; 255: NaN and infinity. Rounded up, results would leave float32
BIAS = 126  # frexp exponent = IEEE exponent field - 126


def exponents(rows: Sequence[Vector]) -> Bytes:
    """IEEE exponent field of the largest magnitude per row and group; 255 if NaN or infinity is among them.

    Args:
        rows: float32 ``[m]`` each, contiguous, from a group's first coordinate on.

    Returns:
        uint8 ``[rows, ⌈m / 1024⌉]``.
    """
    starts = np.arange(0, rows[0].size, GROUP)
    largest = [np.maximum.reduceat(row.view(np.int32) & np.int32(0x7FFFFFFF), starts) for row in rows]
    return (np.stack(largest) >> np.int32(23)).astype(np.uint8)


def shifts(fields: Bytes, bits: int, guard: int) -> Integers:
    """Shift of every group from its clients' exponents (formula in `aggregation.fixed_point`); 0 where all are zero.

    Args:
        fields: uint8 ``[n, groups]`` of `exponents`; 0 (zero or subnormal) does not vote.
        bits: 20 … 30.
        guard: how many of the largest votes are skipped.

    Returns:
        int32 ``[groups]``.
    """
    votes = -np.sort(-fields.astype(np.int32), axis=0)
    voters = np.count_nonzero(fields, axis=0)
    chosen = votes[np.clip(np.minimum(guard, voters - 1), 0, None), np.arange(fields.shape[1])]
    found = np.minimum(bits - HEADROOM - (chosen - BIAS), MAX_SHIFT)
    return np.where(voters > 0, found, 0).astype(np.int32)


def quantise(values: Vector, scale: np.float32 | Vector, limit: np.float32, out: Integers) -> int:
    """``out = clamp(rint(values · scale), ±limit)``; returns how many were clamped."""
    with np.errstate(over="ignore", under="ignore"):  # infinity is clamped, underflow rounds to 0
        scaled = np.multiply(values, scale)
    np.rint(scaled, out=scaled)
    saturated = np.count_nonzero(np.abs(scaled) > limit)
    if saturated:
        np.clip(scaled, -limit, limit, out=scaled)
    out[...] = scaled
    return int(saturated)


def load(rows: Sequence[Vector], scales: Vector, limit: np.float32, tile: Integers) -> None:
    """Quantise every row into the tile, group by group.

    Args:
        rows: float32 ``[m]`` each, contiguous, from a group's first coordinate on.
        scales: float32 ``[⌈m / 1024⌉]``, a power of two per group.
        limit: the clamp.
        tile: int32 ``[rows, m]``, written.
    """
    spread = np.repeat(scales, GROUP)[: tile.shape[1]]
    for row, out in zip(rows, tile, strict=True):
        quantise(row, spread, limit, out)


def snap(row: Vector, scales: Vector, limit: np.float32, inverses: Vector, out: Vector) -> None:
    """One row to fixed point and back: what a rule returns that hands on one update."""
    values = np.empty(row.size, np.int32)
    load([row], scales, limit, values[None, :])
    finish(values.astype(np.int64), 1, inverses, out)


def products(rows: Sequence[Vector], bits: int, guard: int, fields: Bytes, found: Integers) -> dict[int, Longs]:
    """Inner products of the rows' 13-bit images, int64 ``[n, n]`` by shift (`aggregation.gram`).

    Args:
        rows: float32 ``[m]`` each, contiguous, from a group's first coordinate on.
        bits: of q.
        guard: of `shifts`.
        fields: uint8 ``[n, groups]``, written: `exponents`.
        found: int32 ``[groups]``, written: `shifts`.
    """
    fields[...] = exponents(rows)
    found[...] = shifts(fields, bits, guard)
    if np.any(fields >= REFUSED):
        return {}  # the engine refuses the update
    tile = np.empty((len(rows), rows[0].size), np.int32)
    load(rows, np.ldexp(np.float32(1), found), np.float32(2.0**bits), tile)
    drop = bits - IMAGE_BITS
    image = ((tile + np.int32((1 << drop) >> 1)) >> np.int32(drop)).astype(np.float64)
    of_group = np.repeat(found, GROUP)[: tile.shape[1]]
    total: dict[int, Longs] = {}
    for shift in sorted(set(found.tolist())):
        wide = image[:, of_group == shift]  # sums of 24-bit products: exact in any order up to 2^29 columns
        total[shift] = (wide @ wide.T).astype(np.int64)
    return total


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


def combine(tile: Integers, matrix: Longs, out: Integers) -> None:
    """``out = matrix · tile`` with small integer entries, int64 ``[rows out, rows]``; the caller sees to the bits."""
    np.matmul(matrix.astype(np.int32), tile, out=out)


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


def weigh(tile: Integers, rows: Longs, weights: Longs, out: Longs) -> None:
    """``out = Σ weights · tile[rows]``, int64 ``[m]``."""
    out[...] = 0
    for row, weight in zip(rows, weights, strict=True):
        out += weight * tile[row]


def ranks(tile: Integers, network: Integers, low: int, high: int, out: Longs) -> None:
    """``out = Σ of ranks low … high-1`` of each column, int64 ``[m]``; the tile is overwritten.

    ``network`` puts at least these ranks in place (`aggregation.network`).
    """
    exchange(tile, network)
    tile[low:high].sum(axis=0, dtype=np.int64, out=out)


def fused(n: int, low: int, high: int) -> None:
    """No one-pass kernel here: the engine goes tile by tile."""


def nearest(tile: Integers, keep: int, out: Longs) -> None:
    """Sum of the ``keep`` values of each column nearest to its median (for even n the mean of the two middle values).

    The columns are sorted ascending, so these are neighbours in rank: the window of ``keep`` ranks moves up while the value it
    would gain is nearer to the median than the one it would lose, and stays where they are equally near.

    Args:
        tile: int32 ``[n, m]``, sorted along rows.
        keep: 1 … n.
        out: int64 ``[m]``, overwritten.
    """
    n = len(tile)
    wide = tile.astype(np.int64)
    middle = wide[(n - 1) // 2] + wide[n // 2]  # twice the median
    out[...] = wide[:keep].sum(axis=0)
    for first in range(n - keep):
        lost, gained = wide[first], wide[first + keep]
        # gained - median < median - lost; once false it stays false, since both grow
        np.add(out, gained - lost, out=out, where=lost + gained < middle)


def finish(total: Longs, divisor: int, inverses: Vector, out: Vector) -> None:
    """``out = float32(round_half_even(total / divisor)) · inverse of its group``.

    float64 gives the exact integer: for a quotient below ``2^b`` and ``divisor < 2^(52-b)`` one that is no tie is at least
    ``1/(2·divisor)`` away from one, while the division errs by at most ``2^(b-53)``. The cast to int32 removes −0.
    """
    quotient = np.rint(total / np.float64(divisor)).astype(np.int32)
    np.multiply(quotient.astype(np.float32), np.repeat(inverses, GROUP)[: total.size], out=out)

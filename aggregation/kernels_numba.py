"""The tile kernels compiled by numba: same bits as `kernels_numpy`, which documents each.

Import this only through `aggregation.kernels`: it loads or compiles machine code (about ten seconds once, then from the
cache beside this file or, if that folder cannot be written, in `NUMBA_CACHE_DIR` or the user's cache folder; if no
folder can be written the kernels are compiled anew in every process, with the same results).

No fastmath: every float operation rounds once, in the order written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types

from aggregation.bundle import Vector
from aggregation.kernels_numpy import Doubles, Integers, Longs

NAME = "numba"

_FLOATS = types.Array(types.float32, 1, "C")
_READ_ONLY = types.Array(types.float32, 1, "C", readonly=True)
_ROW = types.Array(types.int32, 1, "C")
_TILE = types.Array(types.int32, 2, "C")
_LONGS = types.Array(types.int64, 1, "C")
_LONGS2 = types.Array(types.int64, 2, "C")
_NETWORK = types.Array(types.int32, 2, "C", readonly=True)
_DOUBLES2 = types.Array(types.float64, 2, "C")


def _compiled(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`njit` for one signature, cached on disk where a cache folder can be written."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(signature, cache=True, nogil=True, error_model="numpy")(function)
        except RuntimeError:  # "cannot cache function …: no locator available": every folder is read-only
            return njit(signature, nogil=True, error_model="numpy")(function)

    return decorate


@_compiled(types.UniTuple(types.int64, 3)(_READ_ONLY, types.float32, types.float32, _ROW))
def quantise(values: Vector, scale: np.float32, limit: np.float32, out: Integers) -> tuple[int, int, int]:
    """See `kernels_numpy.quantise`."""
    saturated = nonzero = kept = 0
    for i in range(values.size):
        scaled = np.rint(values[i] * scale)
        saturated += abs(scaled) > limit
        scaled = min(max(scaled, -limit), limit)
        integer = np.int32(scaled)
        out[i] = integer
        nonzero += values[i] != 0
        kept += integer != 0
    return saturated, nonzero, nonzero - kept


@_compiled(types.void(_TILE, types.int64, _DOUBLES2))
def narrow(tile: Integers, drop: int, out: Doubles) -> None:
    """See `kernels_numpy.narrow`."""
    half = np.int32((1 << drop) >> 1)
    shift = np.int32(drop)
    for i in range(tile.shape[0]):
        source, target = tile[i], out[i]
        for k in range(source.size):
            target[k] = np.float64((source[k] + half) >> shift)


@_compiled(types.void(_TILE, _LONGS))
def clip(tile: Integers, factors: Longs) -> None:
    """See `kernels_numpy.clip`."""
    for i in range(tile.shape[0]):
        factor = factors[i]
        if factor < 65536:
            row = tile[i]
            for k in range(row.size):
                row[k] = np.int32((np.int64(row[k]) * factor + 32768) >> 16)


@_compiled(types.void(_TILE, _LONGS2, _TILE))
def mix(tile: Integers, excluded: Longs, out: Integers) -> None:
    """See `kernels_numpy.mix`."""
    total = np.zeros(tile.shape[1], np.int32)
    for i in range(tile.shape[0]):
        source = tile[i]
        for k in range(total.size):
            total[k] += source[k]
    for i in range(out.shape[0]):
        target = out[i]
        for k in range(total.size):
            target[k] = total[k]
        for e in range(excluded.shape[1]):
            source = tile[excluded[i, e]]
            for k in range(total.size):
                target[k] -= source[k]


@_compiled(types.void(_TILE, _LONGS, types.int64, _LONGS))
def add_rows(tile: Integers, rows: Longs, sign: int, out: Longs) -> None:
    """See `kernels_numpy.add_rows`."""
    for r in range(rows.size):
        source = tile[rows[r]]
        for k in range(out.size):
            out[k] += sign * np.int64(source[k])


@_compiled(types.void(_TILE, _NETWORK))
def exchange(tile: Integers, network: Integers) -> None:
    """See `kernels_numpy.exchange`."""
    for c in range(network.shape[0]):
        low, high, keep = tile[network[c, 0]], tile[network[c, 1]], network[c, 2]
        if keep == 3:
            for k in range(low.size):
                a, b = low[k], high[k]
                low[k] = min(a, b)
                high[k] = max(a, b)
        elif keep == 1:
            for k in range(low.size):
                low[k] = min(low[k], high[k])
        else:
            for k in range(low.size):
                high[k] = max(low[k], high[k])


@_compiled(types.void(_LONGS, types.int64, types.float32, _FLOATS))
def finish(total: Longs, divisor: int, inverse: np.float32, out: Vector) -> None:
    """See `kernels_numpy.finish`."""
    for k in range(total.size):
        quotient = np.int32(np.rint(np.float64(total[k]) / np.float64(divisor)))
        out[k] = np.float32(quotient) * inverse

"""The tile kernels compiled by numba: same bits as `kernels_numpy`, which documents each.

Import this only through `aggregation.kernels`: it loads or compiles machine code (about ten seconds once, then from the
cache beside this file or, if that folder cannot be written, in `NUMBA_CACHE_DIR` or the user's cache folder; if no
folder can be written the kernels are compiled anew in every process, with the same results). The one-pass kernels of
`fused` and the networks of `ranks` are made for their n when first asked for, a fraction of a second each.

No fastmath: every float operation rounds once, in the order written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit, types

from aggregation import kernels_numpy, simd
from aggregation.bundle import Vector
from aggregation.kernels_numpy import BIAS, GROUP, HEADROOM, IMAGE_BITS, MAX_SHIFT, Bytes, Integers, Longs
from aggregation.network import selecting

NAME = "numba"
_SLOTS = 8  # different shifts whose products are kept apart in one call
_NO_SHIFT = 1 << 20
MOST_UNROLLED = 64  # rows whose network is written out in instructions; above, it runs from a table
_AHEAD = np.uint64(2 * 4 * GROUP)  # bytes: far enough to hide memory's latency, near enough to stay in the cache

_FLOATS = types.Array(types.float32, 1, "C")
_ROW = types.Array(types.int32, 1, "C")
_TILE = types.Array(types.int32, 2, "C")
_BYTES2 = types.Array(types.uint8, 2, "C")
_BYTES2A = types.Array(types.uint8, 2, "A")  # a span of a larger array
_ROWA = types.Array(types.int32, 1, "A")
_LONGS = types.Array(types.int64, 1, "C")
_LONGS2 = types.Array(types.int64, 2, "C")
_ADDRESSES = types.Array(types.uint64, 1, "C")
_NETWORK = types.Array(types.int32, 2, "C", readonly=True)


def _compiled(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`njit` for one signature, cached on disk where a cache folder can be written."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(signature, cache=True, nogil=True, error_model="numpy")(function)
        except RuntimeError:  # "cannot cache function …: no locator available": every folder is read-only
            return njit(signature, nogil=True, error_model="numpy")(function)

    return decorate


def addresses(rows: Sequence[Vector]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Where the rows' data start; valid while the caller holds the rows."""
    return np.array([row.__array_interface__["data"][0] for row in rows], np.uint64)  # faster than row.ctypes


def exponents(rows: Sequence[Vector]) -> Bytes:
    """See `kernels_numpy.exponents`."""
    whole = rows[0].size // GROUP
    fields = np.empty((len(rows), -(-rows[0].size // GROUP)), np.uint8)
    if whole:
        _exponents(addresses(rows), whole, fields)
    if whole * GROUP < rows[0].size:
        fields[:, whole:] = kernels_numpy.exponents([row[whole * GROUP :] for row in rows])
    return fields


@_compiled(types.void(_ADDRESSES, types.int64, _BYTES2))
def _exponents(pointers: Any, groups: int, fields: Bytes) -> None:
    for g in range(groups):
        offset = np.uint64(4 * GROUP * g)
        for i in range(pointers.size):
            fields[i, g] = simd.row_max(pointers[i] + offset, GROUP, _AHEAD) >> 23
            for line in range(0, 4 * GROUP, simd.BYTES):
                if not simd.in_row_max(line):
                    simd.prefetch(pointers[i] + offset + _AHEAD + np.uint64(line))


@_compiled(types.int32(_BYTES2A, types.int64, types.int64, types.int64, _ROW))
def _shift(fields: Bytes, g: int, bits: int, guard: int, counts: Integers) -> Any:
    """One group's shift; ``counts`` are 256 zeros, before and after."""
    voters, field = 0, 0
    for i in range(fields.shape[0]):
        counts[fields[i, g]] += 1
        voters += fields[i, g] != 0
        field = max(field, fields[i, g])
    left = min(guard, voters - 1)
    while voters and counts[field] <= left:
        left -= counts[field]
        field -= 1
    for i in range(fields.shape[0]):
        counts[fields[i, g]] = 0
    return np.int32(min(bits - HEADROOM - (field - BIAS), MAX_SHIFT) if voters else 0)


@_compiled(_ROW(_BYTES2A, types.int64, types.int64))
def shifts(fields: Bytes, bits: int, guard: int) -> Integers:
    """See `kernels_numpy.shifts`."""
    found = np.empty(fields.shape[1], np.int32)
    counts = np.zeros(256, np.int32)
    for g in range(found.size):
        found[g] = _shift(fields, g, bits, guard, counts)
    return found


def quantise(values: Vector, scale: np.float32, limit: np.float32, out: Integers) -> int:
    """See `kernels_numpy.quantise`."""
    return int(_quantise(values, scale, limit, out))


@_compiled(types.int64(types.Array(types.float32, 1, "C", readonly=True), types.float32, types.float32, _ROW))
def _quantise(values: Vector, scale: np.float32, limit: np.float32, out: Integers) -> int:
    saturated = 0
    for i in range(values.size):
        scaled = np.rint(values[i] * scale)
        saturated += abs(scaled) > limit
        out[i] = np.int32(min(max(scaled, -limit), limit))
    return saturated


def load(rows: Sequence[Vector], scales: Vector, limit: np.float32, tile: Integers) -> None:
    """See `kernels_numpy.load`."""
    _load(addresses(rows), scales, limit, tile)


@_compiled(types.void(_ADDRESSES, _FLOATS, types.float32, _TILE))
def _load(pointers: Any, scales: Vector, limit: np.float32, tile: Integers) -> None:
    width = tile.shape[1]
    for i in range(tile.shape[0]):
        target = np.uint64(tile.ctypes.data) + np.uint64(4 * width * i)
        for g in range(scales.size):
            start = np.uint64(4 * GROUP * g)
            count = min(GROUP, width - g * GROUP)
            whole = count - count % simd.WIDTH
            simd.quantise_row(pointers[i] + start, target + start, whole, scales[g], limit)
            if whole < count:
                values = simd.floats_at(pointers[i] + start, count)
                for k in range(whole, count):
                    scaled = np.rint(values[k] * scales[g])
                    tile[i, g * GROUP + k] = np.int32(min(max(scaled, -limit), limit))


def snap(row: Vector, scales: Vector, limit: np.float32, inverses: Vector, out: Vector) -> None:
    """See `kernels_numpy.snap`."""
    _snap(addresses([row]), scales, limit, inverses, out)


@_compiled(types.void(_ADDRESSES, _FLOATS, types.float32, _FLOATS, _FLOATS))
def _snap(pointers: Any, scales: Vector, limit: np.float32, inverses: Vector, out: Vector) -> None:
    target = np.uint64(out.ctypes.data)
    for g in range(scales.size):
        start = np.uint64(4 * GROUP * g)
        count = min(GROUP, out.size - g * GROUP)
        whole = count - count % simd.WIDTH
        simd.snap_row(pointers[0] + start, target + start, whole, scales[g], limit, inverses[g])
        values = simd.floats_at(pointers[0] + start, count)
        for k in range(whole, count):
            scaled = np.rint(values[k] * scales[g])
            out[g * GROUP + k] = np.float32(np.int32(min(max(scaled, -limit), limit))) * inverses[g]


def products(rows: Sequence[Vector], bits: int, guard: int, fields: Bytes, found: Integers) -> dict[int, Longs]:
    """See `kernels_numpy.products`; group by group, each in the cache from its scale to its inner products."""
    n = len(rows)
    whole = rows[0].size // GROUP
    total: dict[int, Longs] = {}
    loop = _products_loop(n % simd.BLOCK)

    def run(pointers: Any, groups: int, fields: Bytes, found: Integers) -> None:
        image = np.empty((n, GROUP), np.int16)
        done = 0
        while done < groups:
            keys, slots = np.full(_SLOTS, _NO_SHIFT, np.int32), np.zeros((_SLOTS, n, n), np.int64)
            done = loop(pointers, done, groups, bits, guard, image, fields, found, keys, slots)
            for key, slot in zip(keys.tolist(), slots, strict=True):
                if key != _NO_SHIFT:
                    both = slot + np.tril(slot, -1).T  # the kernels fill the lower half
                    total[key] = total.get(key, 0) + both

    pointers = addresses(rows)
    if whole:
        run(pointers, whole, fields, found)
    if whole * GROUP < rows[0].size:
        padded, places = _padded(pointers, rows[0].size)
        field, shift = np.empty((n, 1), np.uint8), np.empty(1, np.int32)
        run(places, 1, field, shift)
        del padded  # held until here: the kernel has its addresses only
        fields[:, whole:], found[whole:] = field, shift
    return total


def _padded(pointers: Any, size: int) -> tuple[Any, Any]:
    """The last, shorter group of every row of ``size`` values, filled up with zeros, and where each now starts."""
    padded = np.zeros((pointers.size, GROUP), np.float32)
    _pad(pointers, size - size % GROUP, size % GROUP, padded)
    start = padded.__array_interface__["data"][0]
    return padded, np.arange(start, start + padded.nbytes, 4 * GROUP, dtype=np.uint64)


@_compiled(types.void(_ADDRESSES, types.int64, types.int64, types.Array(types.float32, 2, "C")))
def _pad(pointers: Any, first: int, count: int, padded: Any) -> None:
    for i in range(pointers.size):
        values = simd.floats_at(pointers[i] + np.uint64(4 * first), count)
        for k in range(count):
            padded[i, k] = values[k]


@lru_cache(maxsize=simd.BLOCK)
def _products_loop(rest: int) -> Callable[..., int]:  # noqa: C901 - two flat loops, nested for numba's closures
    """The loop of `products` for n ≡ rest modulo 4: whole blocks of rows, and a last, lower one."""
    whole, corner = simd.dot_block(simd.BLOCK, simd.BLOCK), simd.dot_block(simd.BLOCK, simd.BLOCK, diagonal=True)
    low, low_corner = simd.dot_block(rest or 1, simd.BLOCK), simd.dot_block(rest or 1, rest or 1, diagonal=True)

    @njit(nogil=True, error_model="numpy")
    def add_dots(n: int, base: Any, block: Longs, total: Longs) -> None:
        stride, target = np.uint64(2 * GROUP), np.uint64(block.ctypes.data)
        for i in range(0, n, simd.BLOCK):
            height = min(simd.BLOCK, n - i)
            left = base + stride * np.uint64(i)
            for j in range(0, i + 1, simd.BLOCK):
                right = base + stride * np.uint64(j)
                if height == simd.BLOCK:
                    if i == j:
                        corner(left, right, stride, GROUP, target)
                    else:
                        whole(left, right, stride, GROUP, target)
                elif i == j:
                    low_corner(left, right, stride, GROUP, target)
                else:
                    low(left, right, stride, GROUP, target)
                for a in range(height):
                    for b in range(simd.BLOCK if i != j else a + 1):
                        total[i + a, j + b] += block[a, b]

    @njit(nogil=True, error_model="numpy")
    def loop(
        pointers: Any,
        first: int,
        groups: int,
        bits: int,
        guard: int,
        image: Any,
        fields: Bytes,
        found: Integers,
        keys: Integers,
        slots: Longs,
    ) -> int:
        n = pointers.size
        block = np.empty((simd.BLOCK, simd.BLOCK), np.int64)
        base, stride = np.uint64(image.ctypes.data), np.uint64(2 * GROUP)
        limit, drop = np.float32(2.0**bits), np.int32(bits - IMAGE_BITS)
        counts = np.zeros(256, np.int32)
        for g in range(first, groups):
            start = np.uint64(4 * GROUP * g)
            largest = 0
            for i in range(n):
                fields[i, g] = simd.row_max(pointers[i] + start, GROUP, _AHEAD) >> 23
                largest = max(largest, fields[i, g])
            shift = _shift(fields, g, bits, guard, counts)
            slot = 0
            while slot < keys.size and keys[slot] != shift and keys[slot] != _NO_SHIFT:
                slot += 1
            if slot == keys.size:
                return g
            keys[slot] = shift
            found[g] = shift
            scale = np.float32(2.0**shift)
            for i in range(n):
                for line in range(0, 4 * GROUP, simd.BYTES):
                    if not simd.in_row_max(line):
                        simd.prefetch(pointers[i] + start + _AHEAD + np.uint64(line))
                row = base + stride * np.uint64(i)
                if largest - BIAS + shift <= bits:
                    simd.plain_image_row(pointers[i] + start, row, GROUP, scale, limit, drop)
                else:
                    simd.image_row(pointers[i] + start, row, GROUP, scale, limit, drop)
            add_dots(n, base, block, slots[slot])
        return groups

    return loop


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
    """See `kernels_numpy.mix`; column strips keep the sums in the first-level cache."""
    columns = tile.shape[1]
    width = 512
    total = np.empty(width, np.int32)
    for start in range(0, columns, width):
        stop = min(start + width, columns)
        total[:] = 0
        for i in range(tile.shape[0]):
            source = tile[i, start:stop]
            for k in range(source.size):
                total[k] += source[k]
        for i in range(out.shape[0]):
            target = out[i, start:stop]
            for k in range(target.size):
                target[k] = total[k]
            for e in range(excluded.shape[1]):
                source = tile[excluded[i, e], start:stop]
                for k in range(target.size):
                    target[k] -= source[k]


@_compiled(types.void(_TILE, _LONGS2, _TILE))
def combine(tile: Integers, matrix: Longs, out: Integers) -> None:
    """See `kernels_numpy.combine`."""
    for i in range(out.shape[0]):
        target = out[i]
        for k in range(target.size):
            target[k] = 0
        for j in range(tile.shape[0]):
            factor = np.int32(matrix[i, j])
            if factor != 0:
                source = tile[j]
                for k in range(target.size):
                    target[k] += factor * source[k]


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


@_compiled(types.void(_TILE, _LONGS, _LONGS, _LONGS))
def weigh(tile: Integers, rows: Longs, weights: Longs, out: Longs) -> None:
    """See `kernels_numpy.weigh`."""
    for k in range(out.size):
        out[k] = 0
    for r in range(rows.size):
        source, weight = tile[rows[r]], weights[r]
        for k in range(out.size):
            out[k] += weight * np.int64(source[k])


def ranks(tile: Integers, network: Integers, low: int, high: int, out: Longs) -> None:
    """See `kernels_numpy.ranks`."""
    n, columns = tile.shape
    strips = columns - columns % simd.WIDTH if n <= MOST_UNROLLED else 0
    if strips:
        _rank_strips(n, low, high)(np.uint64(tile.ctypes.data), np.uint64(4 * columns), strips, out)
    if strips < columns:
        rest = np.ascontiguousarray(tile[:, strips:])
        exchange(rest, network)
        weigh(rest, np.arange(low, high), np.ones(high - low, np.int64), out[strips:])


@lru_cache(maxsize=64)
def _rank_strips(n: int, low: int, high: int) -> Callable[..., None]:
    strip = simd.rank_strip(n, low, high, selecting(n, frozenset(range(low, high))).tolist())

    @njit(types.void(types.uint64, types.uint64, types.int64, _LONGS), nogil=True, error_model="numpy")
    def run(base: Any, stride: Any, columns: int, out: Longs) -> None:
        target = np.uint64(out.ctypes.data)
        for j in range(0, columns, simd.WIDTH):
            strip(base + np.uint64(4 * j), stride, target + np.uint64(8 * j))

    return run


@_compiled(types.void(_TILE, types.int64, _LONGS))
def nearest(tile: Integers, keep: int, out: Longs) -> None:
    """See `kernels_numpy.nearest`."""
    n = tile.shape[0]
    for k in range(out.size):
        middle = np.int64(tile[(n - 1) // 2, k]) + np.int64(tile[n // 2, k])
        total = np.int64(0)
        for i in range(keep):
            total += tile[i, k]
        for first in range(n - keep):
            lost, gained = np.int64(tile[first, k]), np.int64(tile[first + keep, k])
            if lost + gained < middle:
                total += gained - lost
        out[k] = total


@_compiled(types.void(_LONGS, types.int64, _FLOATS, _FLOATS))
def finish(total: Longs, divisor: int, inverses: Vector, out: Vector) -> None:
    """See `kernels_numpy.finish`."""
    for g in range(inverses.size):
        start, count = g * GROUP, min(GROUP, total.size - g * GROUP)
        whole = count - count % simd.WIDTH
        source = np.uint64(total.ctypes.data) + np.uint64(8 * start)
        target = np.uint64(out.ctypes.data) + np.uint64(4 * start)
        if divisor == 1:
            simd.plain_finish_row(source, target, whole, np.float64(divisor), inverses[g])
        else:
            simd.finish_row(source, target, whole, np.float64(divisor), inverses[g])
        for k in range(start + whole, start + count):
            quotient = np.int32(np.rint(np.float64(total[k]) / np.float64(divisor)))
            out[k] = np.float32(quotient) * inverses[g]


@lru_cache(maxsize=64)
def fused(n: int, low: int, high: int) -> Callable[..., None] | None:
    """A kernel that finds the scale, quantises, sorts, averages and converts a group while it is in the cache.

    None where there are too many rows. Kept ranks lie below the voted exponent, so ``|q| < 2^26``.

    Returns:
        ``run(rows, bits, guard, out, fields, shifts)``: rows float32 from a group's first coordinate on; writes out float32,
        fields uint8 ``[n, groups]`` and shifts int32 ``[groups]``. ``low ≥ guard`` and ``n - high ≥ guard``.
    """
    if n > MOST_UNROLLED:
        return None
    network = selecting(n, frozenset(range(low, high))).tolist() if high - low < n else []
    loop = _fused_loop(
        n, simd.column_strip(n, low, high, network, floats=True), simd.column_strip(n, low, high, network, floats=False)
    )

    def run(rows: Sequence[Vector], bits: int, guard: int, out: Vector, fields: Bytes, found: Integers) -> None:
        whole = out.size // GROUP
        pointers = addresses(rows)
        clamped = np.empty((n, GROUP), np.int32)  # made here: the loop uses its address only, which keeps nothing alive
        if whole:
            loop(pointers, whole, bits, guard, clamped, out, fields, found)
        if whole * GROUP < out.size:  # the last, shorter group: the same on a copy filled up with zeros
            padded, places = _padded(pointers, out.size)
            last, field, shift = np.empty(GROUP, np.float32), np.empty((n, 1), np.uint8), np.empty(1, np.int32)
            loop(places, 1, bits, guard, clamped, last, field, shift)
            del padded  # held until here: the kernel has its addresses only
            out[whole * GROUP :] = last[: out.size - whole * GROUP]
            fields[:, whole:], found[whole:] = field, shift

    return run


def _fused_loop(n: int, strip: Any, clamped_strip: Any) -> Callable[..., None]:
    @njit(nogil=True, error_model="numpy")
    def loop(
        pointers: Any,
        groups: int,
        bits: int,
        guard: int,
        clamped: Integers,
        out: Vector,
        fields: Bytes,
        found: Integers,
    ) -> None:
        places = np.empty(n, np.uint64)
        for i in range(n):
            places[i] = np.uint64(clamped.ctypes.data) + np.uint64(4 * GROUP * i)
        target = np.uint64(out.ctypes.data)
        limit = np.float32(2.0**bits)
        counts = np.zeros(256, np.int32)
        for g in range(groups):
            start = np.uint64(4 * GROUP * g)
            largest = 0
            for i in range(n):
                fields[i, g] = simd.row_max(pointers[i] + start, GROUP, _AHEAD) >> 23
                largest = max(largest, fields[i, g])
            shift = _shift(fields, g, bits, guard, counts)
            found[g] = shift
            scale, inverse = np.float32(2.0**shift), np.float32(2.0**-shift)
            if largest - BIAS + shift <= bits:
                for j in range(0, 4 * GROUP, simd.BYTES):
                    if not simd.in_row_max(j):
                        for i in range(n):
                            simd.prefetch(pointers[i] + start + np.uint64(j) + _AHEAD)
                    strip(pointers, start + np.uint64(j), scale, inverse, target + start + np.uint64(j))
            else:
                for i in range(n):
                    simd.quantise_row(pointers[i] + start, places[i], GROUP, scale, limit)
                for j in range(0, 4 * GROUP, simd.BYTES):
                    clamped_strip(places, np.uint64(j), scale, inverse, target + start + np.uint64(j))

    return loop

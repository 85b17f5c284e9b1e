"""Top-k codec: of every 4096 consecutive values of a flattened tensor the k of largest magnitude, in 12 + 2 bits each.

A last chunk of m < 4096 values keeps ``⌈k · m / 4096⌉``. Ties of magnitude go to the smaller index. A kept value becomes
``±hi · 2^e`` or ``±lo · 2^e`` of its chunk, integers ``128 ≤ hi ≤ 255``, ``0 ≤ lo < hi``::

    g = rint(|x| · 2^(16 - E)), all |x| of the chunk < 2^E; what rounds to 0 counts as zero from the start
    the kept g, sorted, are cut in two so that the sum of squared distances to the two means is least
    (2-means in one dimension; at a tie the larger upper part)
    hi · 2^e, lo · 2^e = the two means; e such that hi has 8 bits; lo ≥ 1 unless its part is empty or all zero
    hi = lo: everything is hi, lo = 0

Bytes of a tensor: hi of every chunk, lo of every chunk, ``e + 128`` of every chunk; then all kept indices within their chunks, ascending,
12 bits each; then all 2-bit codes, 1 for hi, 2 for minus. Low bits first, unused bits zero. A chunk whose ``hi · 2^e`` would be below
2^-100 is zero: all three bytes 0, indices 0, 1, 2 …, codes 0. Code 2 is never used with lo = 0.

One image per content: what decodes to a chunk is compared with what that chunk encodes to (on the kept values alone), and a kept
zero must have the smallest index possible.

SparseLoCo: arXiv 2508.15706 (top-k of chunks, 2-bit values, error feedback with decay 0.95). Ours differs in the levels, which are
fitted per chunk, and in that their arithmetic is exact: integers, and float64 operations that round once, in a fixed order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aggregation.bundle import Vector
from aggregation.compress.blocks import BIAS, LIMIT, Bytes, require_padding
from aggregation.compress.container import bad

Index: TypeAlias = NDArray[np.int64]

CHUNK = 4096
MAX_K = 1024
_INDEX_BITS = 12
_FINE_BITS = 16
_CHUNKS_AT_ONCE = 256  # 1 Mi values: what one call of the selection holds in memory


@dataclass(frozen=True, slots=True)
class Levels:
    """Codebooks and codes of chunks.

    Attributes:
        table: uint8 ``[3, chunks]``: hi, lo, e + 128.
        codes: uint8 ``[chunks, k]``, in the order of the values given.
    """

    table: Bytes
    codes: Bytes


@dataclass(frozen=True, slots=True)
class TopK:
    """Top-k of chunks.

    Attributes:
        k: values kept of a full chunk, 1 … 1024.
    """

    k: int
    value_bits: int = 8

    def kept(self, size: int) -> int:
        """Values kept of a chunk of ``size``."""
        return -(-self.k * size // CHUNK)

    def length(self, size: int) -> int:
        """Bytes of a tensor of ``size`` values."""
        total = self._total(size)
        return 3 * -(-size // CHUNK) + (total * _INDEX_BITS + 7) // 8 + (total * 2 + 7) // 8

    def encode(self, flat: Vector) -> bytes:
        """Codes of a flat tensor, finite and within ±2^100."""
        tables, indices, codes = [], [], []
        for rows in self._parts(flat):
            index, values = _select(rows, self.kept(rows.shape[1]))
            levels = fit(values)
            zero = levels.table[2] == 0
            index[zero] = np.arange(index.shape[1])
            tables.append(levels.table)
            indices.append(index.reshape(-1))
            codes.append(levels.codes.reshape(-1))
        packed = _pack_indices(np.concatenate(indices)).tobytes() + _pack_pairs(np.concatenate(codes)).tobytes()
        return np.concatenate(tables, axis=1).tobytes() + packed

    def decode(self, data: memoryview, size: int) -> Vector:
        """Values of a flat tensor.

        Raises:
            UpdateRejected: `BAD_ENCODING`, if these are not the codes of what they decode to.
        """
        chunks, total = -(-size // CHUNK), self._total(size)
        table = np.frombuffer(data, np.uint8, 3 * chunks).reshape(3, chunks)
        middle = 3 * chunks + (total * _INDEX_BITS + 7) // 8
        index = _unpack_indices(np.frombuffer(data[3 * chunks : middle], np.uint8), total)
        codes = _unpack_pairs(np.frombuffer(data, np.uint8, offset=middle), total)
        flat = np.zeros(size, np.float32)
        full, rest = divmod(size, CHUNK)
        if full:
            count = full * self.k
            _fill(flat[: full * CHUNK].reshape(full, CHUNK), table[:, :full], index[:count], codes[:count])
        if rest:
            count = self.kept(rest)
            _fill(flat[full * CHUNK :].reshape(1, rest), table[:, full:], index[-count:], codes[-count:])
        return flat

    def _total(self, size: int) -> int:
        full, rest = divmod(size, CHUNK)
        return full * self.k + self.kept(rest)

    def _parts(self, flat: Vector) -> list[Vector]:
        """Views ``[chunks, size]``: groups of full chunks, then the short one."""
        full = flat.size // CHUNK
        step = _CHUNKS_AT_ONCE
        cuts = [(start, min(start + step, full)) for start in range(0, full, step)]
        parts = [flat[start * CHUNK : stop * CHUNK].reshape(-1, CHUNK) for start, stop in cuts]
        return parts if flat.size % CHUNK == 0 else [*parts, flat[full * CHUNK :].reshape(1, -1)]


def fit(values: Vector) -> Levels:
    """Codebook and codes of kept values ``[chunks, k]`` (formula in the module docstring)."""
    magnitudes = np.abs(values)
    top = np.frexp(magnitudes.max(axis=1))[1].astype(np.int32)
    fine = np.rint(np.ldexp(magnitudes, _FINE_BITS - top[:, None])).astype(np.int64)
    order = -np.sort(-fine, axis=1)
    width = values.shape[1]
    above, upper = np.cumsum(order, axis=1), np.arange(1, width + 1)
    below, lower = above[:, -1:] - above, np.maximum(width - upper, 1)
    # sums < 2^27: products of two are exact; the quotients round once, so all machines choose the same cut
    score = above.astype(np.float64) * above / upper + below.astype(np.float64) * below / lower
    cut = width - 1 - np.argmax(score[:, ::-1], axis=1)
    rows = np.arange(len(values))
    shift = np.frexp(above[rows, cut] / upper[cut])[1].astype(np.int32) - 8
    high = np.minimum(np.rint(np.ldexp(above[rows, cut] / upper[cut], -shift)), 255)
    low = np.rint(np.ldexp(below[rows, cut] / lower[cut], -shift))
    low = np.where(below[rows, cut] > 0, np.clip(low, 1, high), 0)
    merged = low == high
    low[merged] = 0
    is_high = (fine >= order[rows, cut][:, None]) | merged[:, None]
    exponents = shift + top - _FINE_BITS
    zero = ~(np.ldexp(high, exponents) >= 2.0**-LIMIT)
    table = np.where(zero, 0, np.stack([high, low, (exponents + BIAS).astype(np.float64)])).astype(np.uint8)
    negative = (values < 0) & (is_high | (table[1] > 0)[:, None])
    codes = np.where(zero[:, None], 0, is_high + 2 * negative).astype(np.uint8)
    return Levels(table, codes)


def _select(rows: Vector, k: int) -> tuple[Index, Vector]:
    """Indices, ascending, of the k largest magnitudes of each row, and their values.

    A key holds the bits of |x| (which order like |x|), then the index backwards: keys differ, so any selection agrees.
    """
    magnitudes = np.abs(rows)
    top = np.frexp(magnitudes.max(axis=1))[1].astype(np.int32)
    vanishing = magnitudes <= np.ldexp(np.float32(0.5), top - _FINE_BITS)[:, None]  # rint(1/2) = 0
    rows = np.where(vanishing, np.float32(0), rows)
    magnitudes[vanishing] = 0
    backwards = np.arange(CHUNK - 1, CHUNK - 1 - rows.shape[1], -1, dtype=np.uint64)
    keys = (magnitudes.view(np.uint32).astype(np.uint64) << np.uint64(_INDEX_BITS)) + backwards
    keys.partition(rows.shape[1] - k, axis=1)
    kept = keys[:, rows.shape[1] - k :] & np.uint64(CHUNK - 1)
    index = np.sort(CHUNK - 1 - kept.astype(np.int64), axis=1)
    return index, np.take_along_axis(rows, index, axis=1)


def _fill(out: Vector, table: Bytes, index: Index, codes: Bytes) -> None:
    """Check and decode chunks of one size into zeros ``[chunks, size]``."""
    index, codes = index.reshape(len(out), -1), codes.reshape(len(out), -1)
    if not (np.diff(index, axis=1) > 0).all() or not (index[:, -1] < out.shape[1]).all():
        raise bad("Indices of a chunk are not ascending, or beyond its end.")
    exponents = table[2].astype(np.int32) - BIAS
    high, low = (np.ldexp(level.astype(np.float64), exponents) for level in table[:2])
    if (high > 2.0**LIMIT).any():
        raise bad(f"A chunk's largest magnitude lies above 2^{LIMIT}.")
    magnitude = np.where(codes & 1, high[:, None], low[:, None]).astype(np.float32)
    values = np.where(codes & 2, -magnitude, magnitude)
    again = fit(values)
    if not np.array_equal(again.table, table) or not np.array_equal(again.codes, codes):
        raise bad("A chunk's levels and codes are not those of its values.")
    if not (index == np.arange(index.shape[1]))[values == 0].all():
        raise bad("A kept zero does not have the smallest index.")
    np.put_along_axis(out, index, values, axis=1)


def _pack_indices(index: Index) -> Bytes:
    """12 bits each: pairs a, b as the three bytes of ``a + 4096 · b``, little-endian; a last single one as two bytes."""
    padded = np.zeros(index.size + index.size % 2, np.int64)
    padded[: index.size] = index
    pairs = padded[0::2] | (padded[1::2] << _INDEX_BITS)
    packed = (pairs[:, None] >> np.array([0, 8, 16])).astype(np.uint8).reshape(-1)
    return packed[: (index.size * _INDEX_BITS + 7) // 8]


def _unpack_indices(packed: Bytes, count: int) -> Index:
    require_padding(packed, count, _INDEX_BITS)
    padded = np.zeros(3 * ((count + 1) // 2), np.int64)
    padded[: packed.size] = packed
    pairs = padded[0::3] | (padded[1::3] << 8) | (padded[2::3] << 16)
    return np.stack([pairs & (CHUNK - 1), pairs >> _INDEX_BITS], axis=1).reshape(-1)[:count]


def _pack_pairs(codes: Bytes) -> Bytes:
    """2 bits each."""
    padded = np.zeros(-(-codes.size // 4) * 4, np.uint8)
    padded[: codes.size] = codes
    quarters = padded.reshape(-1, 4) << np.array([0, 2, 4, 6], np.uint8)
    return np.asarray(np.bitwise_or.reduce(quarters, axis=1))


def _unpack_pairs(packed: Bytes, count: int) -> Bytes:
    require_padding(packed, count, 2)
    return np.asarray((packed[:, None] >> np.array([0, 2, 4, 6], np.uint8)) & 3).reshape(-1)[:count]

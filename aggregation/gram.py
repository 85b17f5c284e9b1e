"""Exact inner products of quantised updates: the only view of distance that selection rules and scoring ever get.

In a pipeline each value enters as a 13-bit integer ``g = (q + half) >> drop``, ``|g| ≤ 2^12``, made from the already clamped q:
what is scored is what is aggregated, a clamped coordinate cannot hide. The rounding adds about 10^-4 of a typical value's
square to a squared distance, the same for everybody. Sums of products are integers that neither int32 lanes (1024
columns) nor float64 (2^29 columns) can overflow or round, so every order of summation and every BLAS gives
the same result; beyond that int64 and Python integers add up. Spans of different scale are combined exactly::

    G_ij = Σ_t 2^(2S - s_it - s_jt) · Σ_k g_itk · g_jtk          S = largest shift

(S cancels in every use but static clipping: only ratios and orders of entries matter.)

`similarity_ppm`, which is about two updates and no round, takes 20 bits at each update's own scale instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import TypeAlias

import numpy as np

from aggregation.bundle import Schema, Tensors, require_schema
from aggregation.fixed_point import common_shift, exponent_of, power
from aggregation.kernels import Kernels, choose
from aggregation.kernels_numpy import HEADROOM, Longs

Gram: TypeAlias = list[list[int]]
"""Symmetric ``[n, n]`` matrix of Python integers, G_ii ≥ 0."""

GRAM_BITS = 19
MAX_COLUMNS = 8192
PPM = 1_000_000
_FLUSH_COLUMNS = 1 << 24  # 2^38 · 2^24 = 2^62 still fits int64


class GramSum:
    """Adds up tile products. Order of `add` calls does not matter.

    Args:
        n: number of rows.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._open: dict[tuple[int, ...], tuple[Longs, int]] = {}
        self._closed: dict[tuple[int, ...], np.ndarray[tuple[int, ...], np.dtype[np.object_]]] = {}

    def add(self, product: Longs, shifts: tuple[int, ...], columns: int) -> None:
        """Add ``product = g · gᵀ`` (int64 ``[n, n]``) over ``columns`` coordinates with row shifts ``shifts``."""
        matrix, count = self._open.pop(shifts, (np.zeros((self._n, self._n), np.int64), 0))
        if count + columns > _FLUSH_COLUMNS:
            self._close(shifts, matrix)
            matrix, count = np.zeros((self._n, self._n), np.int64), 0
        self._open[shifts] = (matrix + product, count + columns)

    @property
    def unit(self) -> int:
        """S: what is added under shift s weighs ``2^(2·(S - s))``; an entry is worth ``2^(-2·S)`` of its images' products."""
        return max((max(shifts) for shifts in (*self._open, *self._closed)), default=0)

    def total(self) -> Gram:
        """The Gram matrix of everything added so far."""
        base = self.unit
        for shifts, (matrix, _) in self._open.items():
            self._close(shifts, matrix)
        self._open.clear()
        total = np.zeros((self._n, self._n), np.object_)
        for shifts, closed in self._closed.items():
            factors = np.array([1 << (base - shift) for shift in shifts], np.object_)
            total += closed * factors[:, None] * factors[None, :]
        return [[int(value) for value in row] for row in total]

    def _close(self, shifts: tuple[int, ...], matrix: Longs) -> None:
        self._closed[shifts] = self._closed.get(shifts, np.zeros(matrix.shape, np.object_)) + matrix.astype(np.object_)


def cosine_ppm(gram: Gram, i: int, j: int) -> int:
    """Cosine between rows i and j in parts per million: ``sign(G_ij) · ⌊10⁶·|G_ij| / isqrt(G_ii · G_jj)⌋``.

    Truncated towards zero, so that cos(u, -v) = -cos(u, v); limited to ±10⁶ (isqrt rounds down); 0 if a row is zero.
    Exactly 10⁶ for i = j and for positive multiples.
    """
    norms = isqrt(gram[i][i] * gram[j][j])
    if norms == 0:
        return 0
    magnitude = min(PPM * abs(gram[i][j]) // norms, PPM)
    return magnitude if gram[i][j] > 0 else -magnitude


def squared_distances(gram: Gram) -> Gram:
    """``D_ij = G_ii + G_jj - 2·G_ij``, exact, D_ii = 0."""
    return [
        [gram[i][i] + gram[j][j] - 2 * gram[i][j] for j in range(len(gram))]  # symmetric, but this is not the hot spot
        for i in range(len(gram))
    ]


def similarity_ppm(
    updates: Sequence[Tensors], reference: Tensors | None, schema: Schema, *, kernels: str | None = None
) -> tuple[list[list[int]], list[int] | None]:
    """Cosines between updates, and of each update to a reference (the last aggregate), in ppm.

    Every tensor of every update is quantised to 20 bits at its own scale. So an entry depends on its two updates
    alone, not on who else is compared: verifiers holding different subsets compute equal numbers. Copies, also
    scaled by a power of two, give exactly 10⁶.

    Args:
        updates: the updates, all of this schema, finite.
        reference: None where there is no last aggregate.
        schema: names and shapes.
        kernels: see `aggregation.kernels.choose`.

    Returns:
        ``(matrix, to_reference)``: symmetric matrix of `cosine_ppm`, and one value per update (None without reference).

    Raises:
        UpdateRejected: another schema or dtype, or not finite.
    """
    rows = [*updates, *([] if reference is None else [reference])]
    for row in rows:
        require_schema(row, schema)
    gram = _own_scale_gram(rows, schema, choose(kernels))
    count = len(updates)
    matrix = [[cosine_ppm(gram, i, j) for j in range(count)] for i in range(count)]
    return matrix, None if reference is None else [cosine_ppm(gram, i, count) for i in range(count)]


def _own_scale_gram(rows: Sequence[Tensors], schema: Schema, kernels: Kernels) -> Gram:
    total = GramSum(len(rows))
    bits = GRAM_BITS + HEADROOM  # a tensor at its own scale stays below 2^(bits - HEADROOM)
    for name, _ in schema:
        flats = [row[name].reshape(-1) for row in rows]
        shifts = tuple(common_shift([exponent_of(flat)], bits) for flat in flats)
        for start in range(0, flats[0].size if flats else 0, MAX_COLUMNS):
            columns = min(MAX_COLUMNS, flats[0].size - start)
            tile = np.empty((len(rows), columns), np.int32)
            for flat, shift, out in zip(flats, shifts, tile, strict=True):
                kernels.quantise(flat[start : start + columns], power(shift), power(bits), out)
            wide = tile.astype(np.float64)  # at most 8192 products of 38 bits: below 2^53 in any order
            total.add((wide @ wide.T).astype(np.int64), shifts, columns)
    return total.total()

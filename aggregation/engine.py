"""Carries a plan out on tiles: two streaming passes over the updates, memory for one tile per thread.

Pass 1 (`measure`) quantises and adds up the exact Gram matrix; the plan is made from it. Pass 2 (`combine`) quantises
again, changes the rows, sums the selected ranks and divides once. Every number added across tiles is an integer, every
coordinate is computed from its own column: tile width and threads cannot be seen in a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from aggregation.bundle import Vector
from aggregation.errors import AggregationError
from aggregation.fixed_point import power
from aggregation.gram import GRAM_BITS, MAX_COLUMNS, Gram, GramSum, tile_product
from aggregation.kernels import Kernels
from aggregation.kernels_numpy import Integers, Longs
from aggregation.network import cost, selecting
from aggregation.stages import Selection, Step

_T = TypeVar("_T")
_TILE_VALUES = 1 << 17  # int32 values of one tile: two tiles stay in a 1 MiB second-level cache


@dataclass(frozen=True, slots=True)
class Source:
    """Updates ready to be quantised.

    Attributes:
        tensors: per tensor the clients' flat float32 arrays, in order of client id.
        shifts: per tensor the common shift.
        bits: ``|q| ≤ 2^bits``.
    """

    tensors: tuple[tuple[Vector, ...], ...]
    shifts: tuple[int, ...]
    bits: int

    @property
    def n(self) -> int:
        """Number of clients."""
        return len(self.tensors[0])


@dataclass(frozen=True, slots=True)
class Machine:
    """How to compute; never what.

    Attributes:
        kernels: numpy's or numba's.
        threads: workers, each with its own scratch.
        tile: columns per tile, 1 … 8192; 0 chooses by cache size.
    """

    kernels: Kernels
    threads: int = 1
    tile: int = 0

    def __post_init__(self) -> None:
        if self.threads < 1 or not 0 <= self.tile <= MAX_COLUMNS:
            raise AggregationError(
                f"threads={self.threads} must be at least 1 and tile={self.tile} within 0..{MAX_COLUMNS}."
            )

    def columns(self, n: int) -> int:
        """Tile width for n clients."""
        return self.tile or max(256, min(MAX_COLUMNS, _TILE_VALUES // n))


@dataclass(frozen=True, slots=True)
class _Span:
    tensor: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Ranks:
    """How to sum ranks low … high-1: add rows ``before``, sort by ``network``, then add ``sign`` times rows ``after``."""

    before: Longs
    network: Integers
    sign: int
    after: Longs


class _Scratch:
    """Buffers of one worker, viewed as contiguous tiles of any width up to the maximum."""

    def __init__(self, n: int, columns: int) -> None:
        self._n = n
        self._tile = np.empty(n * columns, np.int32)
        self._spare = np.empty(n * columns, np.int32)
        self._wide = np.empty(0, np.float64)
        self._total = np.empty(columns, np.int64)

    def tiles(self, columns: int) -> tuple[Integers, Integers]:
        shape = (self._n, columns)
        return self._tile[: self._n * columns].reshape(shape), self._spare[: self._n * columns].reshape(shape)

    def wide(self, columns: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        if self._wide.size < self._n * columns:
            self._wide = np.empty(self._n * columns, np.float64)
        return self._wide[: self._n * columns].reshape(self._n, columns)

    def total(self, columns: int) -> Longs:
        total = self._total[:columns]
        total[...] = 0
        return total


def measure(source: Source, machine: Machine) -> Gram:
    """Exact Gram matrix of the quantised updates (`aggregation.gram`)."""
    n, drop = source.n, source.bits - GRAM_BITS
    total = GramSum(n)

    def work(scratch: _Scratch, span: _Span) -> tuple[Longs, int, int]:
        tile, _ = scratch.tiles(span.stop - span.start)
        _load(source, span, machine.kernels, tile)
        product = tile_product(machine.kernels, tile, drop, scratch.wide(tile.shape[1]))
        return product, source.shifts[span.tensor], tile.shape[1]

    for product, shift, columns in _each_span(source, machine, work):
        total.add(product, (shift,) * n, columns)
    return total.total()


def combine(
    source: Source, steps: Sequence[Step], selection: Selection, machine: Machine
) -> tuple[list[Vector], list[tuple[int, int, int]]]:
    """The aggregate and what quantising cost.

    Returns:
        Per tensor the flat float32 result; per client how many coordinates (saturated, were non-zero, became zero).
    """
    kernels = machine.kernels
    divisor = selection.high - selection.low
    for step in steps:
        divisor *= step.divisor
    ranks = _ranks(len(selection.rows), selection.low, selection.high)
    everybody = selection.rows == tuple(range(source.n))
    outputs = [np.empty(rows[0].size, np.float32) for rows in source.tensors]

    def work(scratch: _Scratch, span: _Span) -> Longs:
        tile, spare = scratch.tiles(span.stop - span.start)
        counts = _load(source, span, kernels, tile)
        current = tile
        for step in steps:
            current = step.on_tile(kernels, current, spare if current is tile else tile)
        if not everybody:
            current = current[list(selection.rows)]
        total = scratch.total(current.shape[1])
        kernels.add_rows(current, ranks.before, 1, total)
        kernels.exchange(current, ranks.network)
        kernels.add_rows(current, ranks.after, ranks.sign, total)
        out = outputs[span.tensor][span.start : span.stop]
        kernels.finish(total, divisor, power(-source.shifts[span.tensor]), out)
        return counts

    counts = np.zeros((source.n, 3), np.int64)
    for part in _each_span(source, machine, work):
        counts += part
    return outputs, [(int(row[0]), int(row[1]), int(row[2])) for row in counts]


def _load(source: Source, span: _Span, kernels: Kernels, tile: Integers) -> Longs:
    """Quantise one span of every client into the tile; counts int64 ``[n, 3]``."""
    scale, limit = power(source.shifts[span.tensor]), power(source.bits)
    rows = source.tensors[span.tensor]
    counts = [
        kernels.quantise(row[span.start : span.stop], scale, limit, out) for row, out in zip(rows, tile, strict=True)
    ]
    return np.array(counts, np.int64)


@lru_cache(maxsize=256)
def _ranks(n: int, low: int, high: int) -> _Ranks:
    """The cheaper of sorting the wanted ranks into place, or the unwanted ones."""
    everything = np.arange(n, dtype=np.int64)
    inside = everything[low:high]
    outside = np.concatenate([everything[:low], everything[high:]])
    sort_inside = selecting(n, frozenset(inside.tolist()))
    sort_outside = selecting(n, frozenset(outside.tolist()))
    if cost(sort_outside) + n + outside.size < cost(sort_inside) + inside.size:
        return _Ranks(everything, sort_outside, -1, outside)
    return _Ranks(everything[:0], sort_inside, 1, inside)


def _each_span(source: Source, machine: Machine, work: Callable[[_Scratch, _Span], _T]) -> Iterator[_T]:
    """Results of ``work`` on every span of columns, in any order the threads like (the caller only adds them up)."""
    columns = machine.columns(source.n)
    spans = [
        _Span(index, start, min(start + columns, rows[0].size))
        for index, rows in enumerate(source.tensors)
        for start in range(0, rows[0].size, columns)
    ]
    widest = max((span.stop - span.start for span in spans), default=0)

    def run(share: Sequence[_Span]) -> list[_T]:
        scratch = _Scratch(source.n, widest)
        return [work(scratch, span) for span in share]

    if machine.threads == 1:
        yield from run(spans)
        return
    with ThreadPoolExecutor(machine.threads) as pool:
        for results in pool.map(run, [spans[worker :: machine.threads] for worker in range(machine.threads)]):
            yield from results

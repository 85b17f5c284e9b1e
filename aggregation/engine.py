"""Carries a plan out on tiles: at most two streaming passes over the updates, memory for one tile per thread.

Pass 1 (`measure`) finds every group's scale, quantises and adds up the exact Gram matrix; the plan is made from it. Pass 2
(`combine`) quantises again, changes the rows, sums and divides once; without a Gram matrix it is the only one. Every
number added across tiles is an integer, every coordinate is computed from its own column and its group's scale: tile
width and threads cannot be seen in a result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aggregation.bundle import Vector, to_float32
from aggregation.errors import AggregationError, Reason, UpdateRejected
from aggregation.gram import Gram, GramSum
from aggregation.kernels import Kernels
from aggregation.kernels_numpy import BIAS, GROUP, IMAGE_BITS, REFUSED, Bytes, Integers, Longs
from aggregation.network import selecting
from aggregation.stages import Nearest, Ranks, Selection, Step, Weighted

_TILE_VALUES = 1 << 17  # int32 values of one tile: two tiles stay in a 1 MiB second-level cache
# What one call of a one-pass kernel gets: enough to forget the call, little enough to share out.
_FUSED_COLUMNS = 1 << 20
Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Source:
    """Updates ready to be quantised.

    Attributes:
        tensors: per tensor the clients' flat arrays (float32, float16, or uint16 holding bfloat16), in order of client id.
        bits: ``|q| ≤ 2^bits``.
        guard: how many of a group's largest exponents are skipped (`aggregation.fixed_point`).
    """

    tensors: tuple[tuple[NDArray[Any], ...], ...]
    bits: int
    guard: int

    @property
    def n(self) -> int:
        """Number of clients."""
        return len(self.tensors[0])


@dataclass(slots=True)
class Scales:
    """What the first pass finds: per tensor the exponent fields uint8 ``[n, groups]`` and shifts int32 ``[groups]``."""

    fields: list[Bytes]
    shifts: list[Integers]

    @classmethod
    def empty(cls, source: Source) -> Scales:
        """Room for the scales of a source."""
        groups = [-(-rows[0].size // GROUP) for rows in source.tensors]
        return cls([np.zeros((source.n, g), np.uint8) for g in groups], [np.zeros(g, np.int32) for g in groups])

    def require_finite(self) -> None:
        """No NaN, no infinity.

        Raises:
            NotFinite: the first client, in order, that has one.
        """
        bad = [np.any(fields >= REFUSED, axis=1) for fields in self.fields]
        for client, is_bad in enumerate(np.any(bad, axis=0)):
            if is_bad:
                raise NotFinite(client)


class NotFinite(UpdateRejected):
    """A row holds NaN, infinity, or values from 2^127 on.

    Args:
        client: its row.
    """

    def __init__(self, client: int) -> None:
        self.client = client
        super().__init__(
            Reason.NOT_FINITE,
            "A tensor holds NaN, infinity, or values of 2^127 and more.",
            hint="Validate updates first.",
        )


@dataclass(frozen=True, slots=True)
class Machine:
    """How to compute; never what.

    Attributes:
        kernels: numpy's or numba's.
        threads: workers, each with its own scratch.
        tile: columns per tile, rounded up to whole groups of 1024; 0 chooses by cache size.
    """

    kernels: Kernels
    threads: int = 1
    tile: int = 0

    def __post_init__(self) -> None:
        if self.threads < 1 or self.tile < 0:
            raise AggregationError(f"threads={self.threads} must be at least 1 and tile={self.tile} at least 0.")

    def columns(self, n: int) -> int:
        """Tile width for n clients."""
        wanted = self.tile or min(1 << 16, _TILE_VALUES // n)
        return max(1, -(-wanted // GROUP) if self.tile else wanted // GROUP) * GROUP


@dataclass(frozen=True, slots=True)
class _Span:
    tensor: int
    start: int
    stop: int

    @property
    def groups(self) -> slice:
        """The span's groups within its tensor."""
        return slice(self.start // GROUP, -(-self.stop // GROUP))


class _Scratch:
    """Buffers of one worker, viewed as contiguous arrays of any shape up to the largest asked for."""

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[Any]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        size = int(np.prod(shape))
        if name not in self._buffers or self._buffers[name].size < size:
            self._buffers[name] = np.empty(size, dtype)
        return self._buffers[name][:size].reshape(shape)


class Passes(Protocol):
    """What a pipeline asks of an engine; `aggregation.device` is another one."""

    def measure(self) -> tuple[Gram, int, Scales]:
        """The Gram matrix, its unit, the scales: see `measure`."""
        ...

    def combine(self, steps: Sequence[Step], selection: Selection, scales: Scales | None) -> Scales:
        """Write the aggregate: see `combine`."""
        ...


@dataclass(frozen=True, slots=True)
class TilePasses:
    """The passes of this module over one source, into flat ``outputs``."""

    source: Source
    machine: Machine
    outputs: Sequence[Vector]

    def measure(self) -> tuple[Gram, int, Scales]:
        """See the function."""
        return measure(self.source, self.machine)

    def combine(self, steps: Sequence[Step], selection: Selection, scales: Scales | None) -> Scales:
        """See the function."""
        return combine(self.source, steps, selection, self.machine, self.outputs, scales)


def measure(source: Source, machine: Machine) -> tuple[Gram, int, Scales]:
    """Exact Gram matrix G of the quantised updates (`aggregation.gram`), its unit, and the scales.

    ``G · 2^-unit`` are the inner products in the updates' own units.

    Raises:
        NotFinite: a row holds NaN or infinity.
    """
    scales = Scales.empty(source)
    total, lock = GramSum(source.n), Lock()

    def work(scratch: _Scratch, span: _Span) -> None:
        rows = _rows(source, span, scratch)
        fields, shifts = scales.fields[span.tensor][:, span.groups], scales.shifts[span.tensor][span.groups]
        products = machine.kernels.products(rows, source.bits, source.guard, fields, shifts)
        with lock:
            for shift, product in products.items():
                total.add(product, (shift,) * source.n, span.stop - span.start)

    wide = machine.kernels.NAME != "numpy" and not machine.tile
    _each_span(source, machine, work, _FUSED_COLUMNS if wide else machine.columns(source.n))
    scales.require_finite()
    return total.total(), 2 * (total.unit - (source.bits - IMAGE_BITS)), scales


def combine(
    source: Source,
    steps: Sequence[Step],
    selection: Selection,
    machine: Machine,
    outputs: Sequence[Vector],
    scales: Scales | None = None,
) -> Scales:
    """Write the aggregate to ``outputs``, flat float32 per tensor.

    Args:
        source: the updates.
        steps: changes of the rows, in order.
        selection: what is averaged at the end.
        machine: how.
        outputs: written.
        scales: of `measure`; None finds them here.

    Raises:
        NotFinite: a row holds NaN or infinity; ``outputs`` are then worthless.
    """
    if scales is not None:
        if not steps and isinstance(selection, Ranks) and len(selection.rows) == 1:
            _combine_snapped(source, selection.rows, machine, outputs, scales)
            return scales
        _combine_tiles(source, steps, selection, machine, outputs, scales, known=True)
        return scales
    scales = Scales.empty(source)
    fused = None
    if not steps and isinstance(selection, Ranks) and selection.rows == tuple(range(source.n)):
        fused = machine.kernels.fused(source.n, selection.low, selection.high)
    if fused is None:
        _combine_tiles(source, steps, selection, machine, outputs, scales, known=False)
    else:
        _combine_fused(source, fused, machine, outputs, scales)
    scales.require_finite()
    return scales


def _combine_fused(
    source: Source, kernel: Callable[..., None], machine: Machine, outputs: Sequence[Vector], scales: Scales
) -> None:
    def work(scratch: _Scratch, span: _Span) -> None:
        out = outputs[span.tensor][span.start : span.stop]
        fields = np.empty((source.n, span.groups.stop - span.groups.start), np.uint8)
        shifts = scales.shifts[span.tensor][span.groups]
        kernel(_rows(source, span, scratch), source.bits, source.guard, out, fields, shifts)
        scales.fields[span.tensor][:, span.groups] = fields

    _each_span(source, machine, work, machine.columns(source.n) if machine.tile else _FUSED_COLUMNS)


def _combine_snapped(
    source: Source, only: tuple[int, ...], machine: Machine, outputs: Sequence[Vector], scales: Scales
) -> None:
    def work(scratch: _Scratch, span: _Span) -> None:
        row, shifts = _rows(source, span, scratch, only)[0], scales.shifts[span.tensor][span.groups]
        out = outputs[span.tensor][span.start : span.stop]
        machine.kernels.snap(row, _powers(shifts), np.float32(2.0**source.bits), _powers(-shifts), out)

    _each_span(source, machine, work, machine.columns(1) if machine.tile else _FUSED_COLUMNS)


def _combine_tiles(
    source: Source,
    steps: Sequence[Step],
    selection: Selection,
    machine: Machine,
    outputs: Sequence[Vector],
    scales: Scales,
    *,
    known: bool,
) -> None:
    kernels = machine.kernels
    divisor = selection.divisor
    for step in steps:
        divisor *= step.divisor
    only = _needed_rows(steps, selection) if known else None

    def work(scratch: _Scratch, span: _Span) -> None:
        rows = _rows(source, span, scratch, only)
        if not known:
            fields = scales.fields[span.tensor][:, span.groups] = kernels.exponents(rows)
            scales.shifts[span.tensor][span.groups] = kernels.shifts(fields, source.bits, source.guard)
            if np.any(fields >= REFUSED):
                return  # `Scales.require_finite` refuses the update once all are seen
        shifts = scales.shifts[span.tensor][span.groups]
        columns = span.stop - span.start
        tile = scratch.take("tile", (len(rows), columns), np.int32)
        _quantise(kernels, rows, shifts, source.bits, tile)
        for index, step in enumerate(steps):
            spare = scratch.take(f"step{index}", (step.rows(len(tile)), columns), np.int32)
            tile = step.on_tile(kernels, tile, spare)
        total = scratch.take("total", (columns,), np.int64)
        _select(kernels, tile, selection if only is None else _all_of(selection), total)
        kernels.finish(total, divisor, _powers(-shifts), outputs[span.tensor][span.start : span.stop])

    _each_span(source, machine, work, machine.columns(len(only) if only else source.n))


def _needed_rows(steps: Sequence[Step], selection: Selection) -> tuple[int, ...] | None:
    """The few rows that are read at all, where a rule without steps before it picks some; None for all."""
    if steps or not isinstance(selection, Ranks | Nearest):
        return None
    return selection.rows


def _all_of(selection: Selection) -> Selection:
    """The same selection once only its own rows are there."""
    if isinstance(selection, Ranks):
        return Ranks(tuple(range(len(selection.rows))), selection.low, selection.high)
    assert isinstance(selection, Nearest)
    return Nearest(tuple(range(len(selection.rows))), selection.keep)


def _select(kernels: Kernels, tile: Integers, selection: Selection, total: Longs) -> None:
    """Sum what the selection averages."""
    if isinstance(selection, Weighted):
        used = np.flatnonzero(np.array(selection.weights))
        kernels.weigh(tile, used, np.array(selection.weights, np.int64)[used], total)
        return
    rows = np.array(selection.rows, np.int64)
    if isinstance(selection, Ranks) and selection.high - selection.low == len(rows):
        kernels.weigh(tile, rows, np.ones(len(rows), np.int64), total)
        return
    if len(rows) < len(tile):
        tile = tile[rows]
    if isinstance(selection, Ranks):
        kernels.ranks(tile, _network(len(tile), selection.low, selection.high), selection.low, selection.high, total)
    else:
        kernels.exchange(tile, _network(len(tile), 0, len(tile)))
        kernels.nearest(tile, selection.keep, total)


@lru_cache(maxsize=64)
def _network(n: int, low: int, high: int) -> Integers:
    return selecting(n, frozenset(range(low, high)))


def _rows(source: Source, span: _Span, scratch: _Scratch, only: tuple[int, ...] | None = None) -> list[Vector]:
    """float32 views of one span of the clients, or copies where they are in half precision."""
    everybody = source.tensors[span.tensor]
    rows = [row[span.start : span.stop] for row in (everybody if only is None else [everybody[i] for i in only])]
    if all(row.dtype == np.float32 for row in rows):
        return rows
    copies: Floats = scratch.take("floats", (len(rows), span.stop - span.start), np.float32)
    for row, copy in zip(rows, copies, strict=True):
        to_float32(row, copy)
    return list(copies)


def _quantise(kernels: Kernels, rows: Sequence[Vector], shifts: Integers, bits: int, tile: Integers) -> None:
    kernels.load(rows, _powers(shifts), np.float32(2.0**bits), tile)


def _powers(exponents: Integers) -> Floats:
    """``2^exponent`` as float32, exact for -126 … 127."""
    return np.ldexp(np.float32(1), exponents).astype(np.float32, copy=False)


def coarse_groups(fields: Bytes, shifts: Integers, bits: int) -> tuple[Longs, Longs, Longs]:
    """Per client, in how many groups values (may saturate, are not all zero, all become zero)."""
    exponents = fields.astype(np.int32) - BIAS
    voting = fields > 0
    saturated = voting & (exponents + shifts > bits)
    lost = voting & (exponents + shifts < 0)
    return tuple(np.count_nonzero(found, axis=1).astype(np.int64) for found in (saturated, voting, lost))


def _each_span(source: Source, machine: Machine, work: Callable[[_Scratch, _Span], None], columns: int) -> None:
    """Do ``work`` on every span of columns, in any order the threads like."""
    spans = [
        _Span(index, start, min(start + columns, rows[0].size))
        for index, rows in enumerate(source.tensors)
        for start in range(0, rows[0].size, columns)
    ]

    def run(share: Sequence[_Span]) -> None:
        scratch = _Scratch()
        for span in share:
            work(scratch, span)

    if machine.threads == 1:
        run(spans)
        return
    with ThreadPoolExecutor(machine.threads) as pool:
        list(pool.map(run, [spans[worker :: machine.threads] for worker in range(machine.threads)]))

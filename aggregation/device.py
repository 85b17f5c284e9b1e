"""The same aggregate of torch tensors, on the device they are on: bit for bit what `aggregation.engine` makes of them.

A `Pipeline` decides, on the host, from the same integers; only the two passes run here. What makes bits on a device is chosen
so that no unit can round it differently:

* powers of two are put together from their bits (a ``pow`` need not be exact);
* ``x · 2^s`` is one float32 product, rounded once; `torch.round` rounds half to even;
* inner products are float64 matrix products of 13-bit integers: fewer than 2^29 columns a span, so every partial sum is an
  integer below 2^53, in whatever order, and TF32 and autocast leave float64 alone;
* the other sums, and the division at the end, are int32 or int64 (a float division by a number of the host may become a product
  with its reciprocal on an accelerator, which errs in the last bit).

Any device with float64 and int64 will do. Beside updates and result it needs up to some 40 bytes per value of a span (n · columns values).
torch is imported inside the functions, here and nowhere else in this room, which stays usable without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aggregation.bundle import Schema, require_schema
from aggregation.engine import Passes, Scales
from aggregation.errors import AggregationError, Reason, UpdateRejected
from aggregation.gram import Gram, GramSum
from aggregation.kernels_numpy import BIAS, GROUP, HEADROOM, IMAGE_BITS, MAX_SHIFT, ONE, Longs
from aggregation.network import selecting
from aggregation.registry import Pipeline, Report, named
from aggregation.stages import Clip, Combine, Mix, Nearest, Selection, Step, Weighted

if TYPE_CHECKING:
    import torch

_HOST_VALUES = 1 << 18  # values of one span: in a processor's cache,
_DEVICE_VALUES = 1 << 24  # or enough to keep an accelerator busy
_MOST_ROWS = 64  # up to here a network of comparators, above it a sort
_SIGN, _MANTISSA, _IEEE_BIAS = 0x7FFFFFFF, 23, 127


def aggregate(
    pipeline: Pipeline,
    updates: Mapping[bytes, Mapping[str, torch.Tensor]],
    schema: Schema,
    *,
    weights: Mapping[bytes, int] | None = None,
    seed: bytes = b"",
    gram: Gram | None = None,
    columns: int = 0,
) -> tuple[dict[str, torch.Tensor], Report]:
    """`Pipeline.aggregate` of tensors on one device: the same bits.

    Args:
        pipeline: what to do.
        updates: by client id; float32, float16 or bfloat16, all on one device.
        schema: names and shapes of every update.
        weights: see `Pipeline.aggregate`.
        seed: likewise.
        gram: likewise.
        columns: coordinates per span, rounded up to whole groups of 1024, 0 chooses; changes time and memory, never a bit.

    Returns:
        float32 tensors (no −0) on the updates' device, without gradient; and the report.

    Raises:
        UpdateRejected: an update has another schema or dtype, or is not finite; the id is in `why`.
        PreconditionFailed: f is too large for n.
        AggregationError: as `Pipeline.aggregate`; or the updates are on several devices, or ``columns`` is negative.
    """
    import torch  # noqa: PLC0415 - the room must be usable without torch

    if columns < 0:
        raise AggregationError(f"columns={columns} must be at least 0.", hint="0 chooses.")
    results: dict[str, torch.Tensor] = {}

    def begin(ids: list[bytes], bits: int, guard: int) -> Passes:
        device = _checked([updates[client] for client in ids], ids, schema)
        for name, shape in schema:
            results[name] = torch.empty(shape, dtype=torch.float32, device=device)
        tensors = [[updates[client][name].detach().reshape(-1) for client in ids] for name, _ in schema]
        return _DevicePasses(tensors, [result.view(-1) for result in results.values()], bits, guard, columns)

    with torch.no_grad():
        report = pipeline.carry_out(sorted(updates), schema, begin, weights=weights, seed=seed, gram=gram)
    return results, report


@dataclass(frozen=True, slots=True)
class _DevicePasses:
    """`aggregation.engine.Passes` on a device.

    Attributes:
        tensors: per tensor the clients' flat tensors.
        outputs: flat, written.
        bits: ``|q| ≤ 2^bits``.
        guard: see `aggregation.fixed_point`.
        columns: per span; 0 chooses.
    """

    tensors: Sequence[Sequence[torch.Tensor]]
    outputs: Sequence[torch.Tensor]
    bits: int
    guard: int
    columns: int

    def measure(self) -> tuple[Gram, int, Scales]:
        """Pass 1: see `aggregation.engine.measure`."""
        n = len(self.tensors[0])
        scales, total = self._no_scales(), GramSum(n)
        for index, start, stop in self._spans():
            groups = self._load(index, start, stop)
            shifts = self._scaled(groups, scales, index, start)
            tile = _quantised(groups, shifts, self.bits)
            for shift, product in _products(tile, shifts, self.bits).items():
                total.add(product, (shift,) * n, stop - start)
        scales.require_finite()
        return total.total(), 2 * (total.unit - (self.bits - IMAGE_BITS)), scales

    def combine(self, steps: Sequence[Step], selection: Selection, scales: Scales | None) -> Scales:
        """Pass 2, or the only one: see `aggregation.engine.combine`."""
        import torch  # noqa: PLC0415

        known = scales is not None
        scales = scales or self._no_scales()
        divisor = selection.divisor
        for step in steps:
            divisor *= step.divisor
        for index, start, stop in self._spans():
            groups = self._load(index, start, stop)
            if known:
                ours = scales.shifts[index][start // GROUP : -(-stop // GROUP)]
                shifts = torch.from_numpy(ours).to(groups.device)
            else:
                shifts = self._scaled(groups, scales, index, start)
            tile = _quantised(groups, shifts, self.bits)
            for step in steps:
                tile = _stepped(step, tile)
            average = _divided(_selected(selection, tile), divisor)
            values = average.to(torch.float32).view(-1, GROUP) * _powers(-shifts)[:, None]
            self.outputs[index][start:stop] = values.view(-1)[: stop - start]
        scales.require_finite()
        return scales

    def _no_scales(self) -> Scales:
        groups = [-(-rows[0].numel() // GROUP) for rows in self.tensors]
        n = len(self.tensors[0])
        return Scales([np.zeros((n, g), np.uint8) for g in groups], [np.zeros(g, np.int32) for g in groups])

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        """(tensor, start, stop) of pieces that fit the memory, each of whole groups or the tensor's last."""
        values = _HOST_VALUES if self.outputs[0].device.type == "cpu" else _DEVICE_VALUES
        wanted = self.columns or values // len(self.tensors[0])
        columns = max(-(-wanted // GROUP) if self.columns else wanted // GROUP, 1) * GROUP
        for index, output in enumerate(self.outputs):
            for start in range(0, output.numel(), columns):
                yield index, start, min(start + columns, output.numel())

    def _load(self, index: int, start: int, stop: int) -> torch.Tensor:
        """float32 ``[n, groups, 1024]``; the last group is filled up with zeros, which add nothing to anything."""
        import torch  # noqa: PLC0415

        rows = self.tensors[index]
        groups = -(-(stop - start) // GROUP)
        loaded = torch.zeros((len(rows), groups * GROUP), dtype=torch.float32, device=rows[0].device)
        for row, copy in zip(rows, loaded, strict=True):
            copy[: stop - start] = row[start:stop]
        return loaded.view(len(rows), groups, GROUP)

    def _scaled(self, groups: torch.Tensor, scales: Scales, index: int, start: int) -> torch.Tensor:
        """The span's shifts, noted down in ``scales`` together with what they were made of."""
        fields = _exponents(groups)
        shifts = _shifts(fields, self.bits, self.guard)
        span = slice(start // GROUP, start // GROUP + groups.shape[1])
        scales.fields[index][:, span] = fields.cpu().numpy()
        scales.shifts[index][span] = shifts.cpu().numpy()
        return shifts


def _checked(updates: list[Mapping[str, torch.Tensor]], ids: list[bytes], schema: Schema) -> torch.device:
    """The one device of all updates, once they have the schema."""
    if not schema:
        raise AggregationError("The schema names no tensors.", hint="Check which parameters are trainable.")
    devices = set()
    for client, update in zip(ids, updates, strict=True):
        devices |= {tensor.device for tensor in update.values()}
        try:
            require_schema({name: _stand_in(name, tensor) for name, tensor in update.items()}, schema, half=True)
        except UpdateRejected as error:
            raise named(error, client) from error
    if len(devices) != 1:
        where = ", ".join(sorted(map(str, devices)))
        raise AggregationError(f"The updates are on several devices: {where}.", hint="Move them to one.")
    return devices.pop()


def _stand_in(name: str, tensor: torch.Tensor) -> NDArray[Any]:
    """An array of the tensor's shape and dtype that takes no memory, for the host's checks."""
    import torch  # noqa: PLC0415

    dtypes: dict[torch.dtype, Any] = {torch.float32: np.float32, torch.float16: np.float16, torch.bfloat16: np.uint16}
    if tensor.dtype not in dtypes:
        raise UpdateRejected(Reason.DTYPE, f"Tensor {name!r} is {tensor.dtype}, not float32.")
    return np.broadcast_to(np.zeros((), dtypes[tensor.dtype]), tensor.shape)


def _powers(exponents: torch.Tensor) -> torch.Tensor:
    """``2^exponent`` as float32, exact for -126 … 127, from int32."""
    import torch  # noqa: PLC0415

    return ((exponents + _IEEE_BIAS) << _MANTISSA).view(torch.float32)


def _exponents(groups: torch.Tensor) -> torch.Tensor:
    """uint8 ``[n, groups]``: see `kernels_numpy.exponents`."""
    import torch  # noqa: PLC0415

    return ((groups.view(torch.int32) & _SIGN).amax(dim=2) >> _MANTISSA).to(torch.uint8)


def _shifts(fields: torch.Tensor, bits: int, guard: int) -> torch.Tensor:
    """int32 ``[groups]``: see `kernels_numpy.shifts`."""
    import torch  # noqa: PLC0415

    votes = fields.to(torch.int32).sort(dim=0, descending=True).values
    voters = (fields > 0).sum(dim=0)
    chosen = votes.gather(0, (voters - 1).clamp(0, guard)[None])[0]
    found = (bits - HEADROOM + BIAS - chosen).clamp(max=MAX_SHIFT)
    return torch.where(voters > 0, found, torch.zeros_like(found))


def _quantised(groups: torch.Tensor, shifts: torch.Tensor, bits: int) -> torch.Tensor:
    """``clamp(rint(x · 2^s), ±2^bits)``, int32 ``[n, m]``; overwrites ``groups``."""
    import torch  # noqa: PLC0415

    limit = 2.0**bits
    scaled = groups.mul_(_powers(shifts)[None, :, None]).round_().clamp_(-limit, limit)
    return scaled.to(torch.int32).view(len(groups), -1)


def _products(tile: torch.Tensor, shifts: torch.Tensor, bits: int) -> dict[int, Longs]:
    """Inner products of the 13-bit images by shift: see `kernels_numpy.products`."""
    import torch  # noqa: PLC0415

    drop = bits - IMAGE_BITS
    image = ((tile + ((1 << drop) >> 1)) >> drop).view(len(tile), -1, GROUP)
    total: dict[int, Longs] = {}
    distinct = shifts.unique().tolist()
    for shift in distinct:
        chosen = image if len(distinct) == 1 else image[:, shifts == shift]
        wide = chosen.reshape(len(tile), -1).to(torch.float64)
        total[shift] = (wide @ wide.T).to(torch.int64).cpu().numpy()
    return total


def _stepped(step: Step, tile: torch.Tensor) -> torch.Tensor:
    """The changed rows, int32 ``[rows, m]``."""
    import torch  # noqa: PLC0415

    if isinstance(step, Clip):
        if min(step.factors) == ONE:
            return tile
        rows = [(row.to(torch.int64) * k + (ONE >> 1)) >> 16 for row, k in zip(tile, step.factors, strict=True)]
        return torch.stack([row.to(torch.int32) for row in rows])
    if isinstance(step, Mix):
        mixed = tile.sum(dim=0, dtype=torch.int32).repeat(len(tile), 1)
        for away in zip(*step.excluded, strict=True):  # one more of each row's
            mixed -= tile[list(away)]
        return mixed
    if isinstance(step, Combine):
        # integers below 2^31 in float64: exact, and devices multiply no integer matrices
        matrix = torch.tensor(step.matrix, dtype=torch.float64, device=tile.device)
        return (matrix @ tile.to(torch.float64)).to(torch.int32)
    raise AggregationError(f"{type(step).__name__} has no form for devices.", hint="Aggregate on the host.")


def _selected(selection: Selection, tile: torch.Tensor) -> torch.Tensor:
    """Sum of what the selection averages, int64 ``[m]``; may overwrite the tile."""
    import torch  # noqa: PLC0415

    if isinstance(selection, Weighted):
        total = torch.zeros(tile.shape[1], dtype=torch.int64, device=tile.device)
        for row, weight in zip(tile, selection.weights, strict=True):
            if weight:
                total += row.to(torch.int64) * weight
        return total
    rows = [tile[row] for row in selection.rows]
    if isinstance(selection, Nearest):
        return _nearest(_in_rank(rows, 0, len(rows)), selection.keep)
    if selection.high - selection.low < len(rows):
        rows = _in_rank(rows, selection.low, selection.high)[selection.low : selection.high]
    return torch.stack(rows).sum(dim=0, dtype=torch.int64)


def _in_rank(rows: list[torch.Tensor], low: int, high: int) -> list[torch.Tensor]:
    """The rows with ranks ``low … high-1`` in their places; overwrites them."""
    import torch  # noqa: PLC0415

    if len(rows) > _MOST_ROWS:
        return list(torch.stack(rows).sort(dim=0).values)
    spare = torch.empty_like(rows[0])
    for i, j, _ in selecting(len(rows), frozenset(range(low, high))).tolist():
        torch.minimum(rows[i], rows[j], out=spare)
        torch.maximum(rows[i], rows[j], out=rows[j])
        rows[i], spare = spare, rows[i]
    return rows


def _nearest(rows: list[torch.Tensor], keep: int) -> torch.Tensor:
    """See `kernels_numpy.nearest`."""
    import torch  # noqa: PLC0415

    n = len(rows)
    wide = torch.stack(rows).to(torch.int64)
    middle = wide[(n - 1) // 2] + wide[n // 2]  # twice the median
    total = wide[:keep].sum(dim=0)
    for first in range(n - keep):
        lost, gained = wide[first], wide[first + keep]
        total += torch.where(lost + gained < middle, gained - lost, 0)
    return total


def _divided(total: torch.Tensor, divisor: int) -> torch.Tensor:
    """``round_half_even(total / divisor)`` in int64; ``|total| < 2^61``."""
    import torch  # noqa: PLC0415

    doubled = 2 * total + divisor
    quotient = torch.div(doubled, 2 * divisor, rounding_mode="floor")  # halves go up …
    tie_to_odd = (doubled == quotient * (2 * divisor)) & (quotient & 1 == 1)
    return quotient - tie_to_odd.to(torch.int64)  # … and back down where that is odd

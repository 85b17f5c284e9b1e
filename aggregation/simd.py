"""Vector code for the hot loops, written as LLVM instructions where numba's loop vectoriser gives up.

Each function here makes a numba intrinsic: sixteen columns at a time travel as one vector ``<16 x i32>`` through a sorting network
that stands in the instructions themselves, so nothing is stored between two comparators. LLVM cuts the vectors to what the
processor has (one AVX-512 register, two AVX2, four SSE or NEON). Every operation is an integer one or rounds once as IEEE
says, so the bits are those of `aggregation.kernels_numpy` on any of them.

Pointers come as uint64 addresses; callers own the arrays and the bounds.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import carray, config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

WIDTH = 16
BYTES = 4 * WIDTH
BLOCK = 4  # rows of one side of a `dot_block`
_I8, _I16, _I32, _I64 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)
_INTS, _LONGS = ir.VectorType(_I32, WIDTH), ir.VectorType(_I64, WIDTH)
_FLOATS, _DOUBLES = ir.VectorType(ir.FloatType(), WIDTH), ir.VectorType(ir.DoubleType(), WIDTH)
_SHORTS = ir.VectorType(_I16, 2 * WIDTH)
_LANES, _EARLY = 8, 2  # independent maxima hide the latency of a comparison; of as many lines, those asked for early
_MOST_ADDED = 31  # values below 2^26 whose sum fits int32
_MAGNITUDE = 0x7FFFFFFF  # an IEEE float without its sign; as an integer, ordered like the magnitude


def column_strip(n: int, low: int, high: int, network: Sequence[Sequence[int]], *, floats: bool) -> Callable[..., None]:
    """Intrinsic ``strip(pointers, offset, scale, inverse, output)``: 16 columns of a mean of ranks.

    Reads 16 values of each of the n rows at ``pointers[i] + offset`` (bytes), quantises them by ``scale`` (``floats``) or takes
    them as int32 below 2^26, runs the network, sums ranks low … high-1, divides by their number (at most 64), half to even, and
    stores ``float32(r) · inverse`` at ``output``.
    """

    @intrinsic
    def strip(_context: Any, _pointers: Any, _offset: Any, _scale: Any, _inverse: Any, _output: Any) -> Any:
        pointers = types.Array(types.uint64, 1, "C")
        signature = types.void(pointers, types.uint64, types.float32, types.float32, types.uint64)

        def generate(context: Any, b: Any, sig: Any, arguments: Any) -> Any:
            base = context.make_array(sig.args[0])(context, b, arguments[0]).data
            offset, scale, inverse, output = arguments[1:]
            values = []
            for i in range(n):
                address = b.add(b.load(b.gep(base, [_I64(i)])), offset)
                if floats:
                    loaded = b.load(b.inttoptr(address, _FLOATS.as_pointer()), align=4)
                    rounded = _call(b, "llvm.rint.v16f32", _FLOATS, b.fmul(loaded, _splat(b, scale)))
                    values.append(b.fptosi(rounded, _INTS))
                else:
                    values.append(b.load(b.inttoptr(address, _INTS.as_pointer()), align=4))
            _exchange(b, values, network)
            parts = []
            for start in range(low, high, _MOST_ADDED):
                total = values[start]
                for value in values[start + 1 : min(start + _MOST_ADDED, high)]:
                    total = b.add(total, value)
                parts.append(total)
            mean = _divided(b, parts, high - low)
            result = b.fmul(b.sitofp(mean, _FLOATS), _splat(b, inverse))
            b.store(result, b.inttoptr(output, _FLOATS.as_pointer()), align=4)
            return context.get_dummy_value()

        return signature, generate

    return strip


def rank_strip(n: int, low: int, high: int, network: Sequence[Sequence[int]]) -> Callable[..., None]:
    """Intrinsic ``strip(base, stride, output)``: 16 columns of int32 rows ``base + i · stride``; the int64 sum of ranks low … high-1."""

    @intrinsic
    def strip(_context: Any, _base: Any, _stride: Any, _output: Any) -> Any:
        def generate(context: Any, b: Any, _sig: Any, arguments: Any) -> Any:
            base, stride, output = arguments
            values = []
            for i in range(n):
                address = b.add(base, b.mul(stride, _I64(i)))
                values.append(b.load(b.inttoptr(address, _INTS.as_pointer()), align=4))
            _exchange(b, values, network)
            total = b.sext(values[low], _LONGS)
            for rank in range(low + 1, high):
                total = b.add(total, b.sext(values[rank], _LONGS))
            b.store(total, b.inttoptr(output, _LONGS.as_pointer()), align=8)
            return context.get_dummy_value()

        return types.void(types.uint64, types.uint64, types.uint64), generate

    return strip


@intrinsic
def row_max(_context: Any, _address: Any, _count: Any, _ahead: Any) -> Any:
    """``row_max(address, count, ahead)``: largest magnitude of ``count`` floats as its bit pattern; count a multiple of 128.

    Of every eight cache lines it asks for the first two, ``ahead`` bytes on (`in_row_max`), so that memory is not idle meanwhile.
    """

    def generate(_context: Any, b: Any, _sig: Any, arguments: Any) -> Any:
        address, count, ahead = arguments
        zero, mask = ir.Constant(_INTS, [0] * WIDTH), ir.Constant(_INTS, [_MAGNITUDE] * WIDTH)
        slots = [cgutils.alloca_once_value(b, zero) for _ in range(_LANES)]
        for slot in slots:
            b.store(zero, slot)
        with cgutils.for_range_slice(b, _I64(0), b.mul(count, _I64(4)), _I64(BYTES * _LANES)) as (start, _):
            for lane, slot in enumerate(slots):
                place = b.add(address, b.add(start, _I64(BYTES * lane)))
                if lane < _EARLY:
                    _prefetch(b, b.add(place, ahead))
                loaded = b.load(b.inttoptr(place, _INTS.as_pointer()), align=4)
                b.store(_larger(b, b.and_(loaded, mask), b.load(slot)), slot)
        most = b.load(slots[0])
        for slot in slots[1:]:
            most = _larger(b, b.load(slot), most)
        reduce = cgutils.get_or_insert_function(
            b.module, ir.FunctionType(_I32, [_INTS]), "llvm.vector.reduce.smax.v16i32"
        )
        return b.call(reduce, [most])

    return types.int32(types.uint64, types.int64, types.uint64), generate


@njit(inline="always")
def in_row_max(offset: Any) -> Any:
    """Whether `row_max` asks for the cache line at this offset (bytes) in a row."""
    return (offset // BYTES) % _LANES < _EARLY


def dot_block(height: int, width: int, *, diagonal: bool = False) -> Callable[..., None]:
    """Intrinsic ``block(left, right, stride, count, output)``: inner products of int16 rows, exact.

    Rows start at ``left + i · stride`` and ``right + j · stride`` (bytes); count is a multiple of 32, at most 1024, and values have at
    most 13 bits, so 32 sums of two 24-bit products fit a 32-bit lane. Writes int64 at ``output``, row i of 4; on the diagonal
    only j ≤ i.
    """

    @intrinsic
    def block(_context: Any, _left: Any, _right: Any, _stride: Any, _count: Any, _output: Any) -> Any:
        pairs = [(i, j) for i in range(height) for j in range(width) if not diagonal or j <= i]

        def generate(context: Any, b: Any, _sig: Any, arguments: Any) -> Any:
            left, right, stride, count, output = arguments
            zero = ir.Constant(_INTS, [0] * WIDTH)
            slots = {pair: cgutils.alloca_once_value(b, zero) for pair in pairs}
            for slot in slots.values():
                b.store(zero, slot)
            ups = [b.add(left, b.mul(stride, _I64(i))) for i in range(height)]
            downs = ups if diagonal else [b.add(right, b.mul(stride, _I64(j))) for j in range(width)]
            with cgutils.for_range_slice(b, _I64(0), b.mul(count, _I64(2)), _I64(BYTES)) as (start, _):
                xs = [b.load(b.inttoptr(b.add(row, start), _SHORTS.as_pointer()), align=2) for row in ups]
                ys = (
                    xs
                    if diagonal
                    else [b.load(b.inttoptr(b.add(row, start), _SHORTS.as_pointer()), align=2) for row in downs]
                )
                for (i, j), slot in slots.items():
                    b.store(b.add(b.load(slot), _pair_products(b, xs[i], ys[j])), slot)
            kind = ir.FunctionType(_I64, [_LONGS])
            reduce = cgutils.get_or_insert_function(b.module, kind, "llvm.vector.reduce.add.v16i64")
            for (i, j), slot in slots.items():
                target = b.inttoptr(b.add(output, _I64(8 * (BLOCK * i + j))), _I64.as_pointer())
                b.store(b.call(reduce, [b.sext(b.load(slot), _LONGS)]), target)
            return context.get_dummy_value()

        return types.void(types.uint64, types.uint64, types.uint64, types.int64, types.uint64), generate

    return block


@intrinsic
def quantise_row(_context: Any, _source: Any, _target: Any, _count: Any, _scale: Any, _limit: Any) -> Any:
    """``quantise_row(source, target, count, scale, limit)``: float32 to clamped int32; count is a multiple of 16."""

    def generate(context: Any, b: Any, _sig: Any, arguments: Any) -> Any:
        source, target, count, scale, limit = arguments
        with cgutils.for_range_slice(b, _I64(0), b.mul(count, _I64(4)), _I64(BYTES)) as (start, _):
            integers = _quantised(b, b.add(source, start), scale, limit)
            b.store(integers, b.inttoptr(b.add(target, start), _INTS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.int64, types.float32, types.float32), generate


@intrinsic
def snap_row(_context: Any, _source: Any, _target: Any, _count: Any, _scale: Any, _limit: Any, _inverse: Any) -> Any:
    """``snap_row(source, target, count, scale, limit, inverse)``: floats to fixed point and back; count is a multiple of 16."""

    def generate(context: Any, b: Any, _sig: Any, arguments: Any) -> Any:
        source, target, count, scale, limit, inverse = arguments
        with cgutils.for_range_slice(b, _I64(0), b.mul(count, _I64(4)), _I64(BYTES)) as (start, _):
            integers = _quantised(b, b.add(source, start), scale, limit)
            result = b.fmul(b.sitofp(integers, _FLOATS), _splat(b, inverse))
            b.store(result, b.inttoptr(b.add(target, start), _FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.int64, types.float32, types.float32, types.float32), generate


def _image_row(*, clamped: bool) -> Callable[..., None]:
    """``image_row(source, target, count, scale, limit, drop)``: float32 to ``(q + half) >> drop`` in int16; count a multiple of 16."""

    @intrinsic
    def image_row(_context: Any, _source: Any, _target: Any, _count: Any, _scale: Any, _limit: Any, _drop: Any) -> Any:
        def generate(context: Any, b: Any, _sig: Any, arguments: Any) -> Any:
            source, target, count, scale, limit, drop = arguments
            half = _splat(b, b.lshr(b.shl(_I32(1), drop), _I32(1)))
            amount = _splat(b, drop)
            with cgutils.for_range_slice(b, _I64(0), b.mul(count, _I64(4)), _I64(BYTES)) as (start, _):
                integers = _quantised(b, b.add(source, start), scale, limit if clamped else None)
                narrow = b.trunc(b.ashr(b.add(integers, half), amount), ir.VectorType(_I16, WIDTH))
                place = b.inttoptr(b.add(target, b.lshr(start, _I64(1))), narrow.type.as_pointer())
                b.store(narrow, place, align=2)
            return context.get_dummy_value()

        return types.void(types.uint64, types.uint64, types.int64, types.float32, types.float32, types.int32), generate

    return image_row


image_row = _image_row(clamped=True)
plain_image_row = _image_row(clamped=False)
"""The same where no value can reach the limit."""


def _quantised(b: Any, address: Any, scale: Any, limit: Any) -> Any:
    """16 floats as ``clamp(rint(x · scale), ±limit)``; no clamp for None."""
    loaded = b.load(b.inttoptr(address, _FLOATS.as_pointer()), align=4)
    rounded = _call(b, "llvm.rint.v16f32", _FLOATS, b.fmul(loaded, _splat(b, scale)))
    if limit is not None:
        most = _splat(b, limit)
        least = b.fsub(ir.Constant(_FLOATS, [0.0] * WIDTH), most)
        rounded = b.select(b.fcmp_ordered("<", rounded, most), rounded, most)
        rounded = b.select(b.fcmp_ordered(">", rounded, least), rounded, least)
    return b.fptosi(rounded, _INTS)


def _finish_row(*, divided: bool) -> Callable[..., None]:
    """``finish_row(total, target, count, divisor, inverse)``: int64 sums to ``float32(round_half_even(sum / divisor)) · inverse``.

    count is a multiple of 16.
    """

    @intrinsic
    def finish_row(_context: Any, _total: Any, _target: Any, _count: Any, _divisor: Any, _inverse: Any) -> Any:
        def generate(context: Any, b: Any, _sig: Any, arguments: Any) -> Any:
            total, target, count, divisor, inverse = arguments
            with cgutils.for_range_slice(b, _I64(0), b.mul(count, _I64(4)), _I64(BYTES)) as (start, _):
                place = b.inttoptr(b.add(total, b.shl(start, _I64(1))), _LONGS.as_pointer())
                values = b.load(place, align=8)
                if divided:
                    quotient = b.fdiv(b.sitofp(values, _DOUBLES), _splat(b, divisor))
                    whole = b.fptosi(_call(b, "llvm.rint.v16f64", _DOUBLES, quotient), _INTS)
                else:
                    whole = b.trunc(values, _INTS)
                result = b.fmul(b.sitofp(whole, _FLOATS), _splat(b, inverse))
                b.store(result, b.inttoptr(b.add(target, start), _FLOATS.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(types.uint64, types.uint64, types.int64, types.float64, types.float32), generate

    return finish_row


finish_row = _finish_row(divided=True)
plain_finish_row = _finish_row(divided=False)
"""The same for a divisor of 1."""


@intrinsic
def prefetch(_context: Any, _address: Any) -> Any:
    """Ask for a cache line that will be read soon; any address is allowed."""

    def generate(context: Any, b: Any, _sig: Any, arguments: Any) -> Any:
        _prefetch(b, arguments[0])
        return context.get_dummy_value()

    return types.void(types.uint64), generate


def _prefetch(b: Any, address: Any) -> None:
    pointer = b.inttoptr(address, _I8.as_pointer())
    name = "llvm.prefetch.p0" if pointer.type.is_opaque else "llvm.prefetch.p0i8"
    kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
    # read, second-level cache (rows often share a page offset, and with it the few ways of a first-level set), data
    b.call(cgutils.get_or_insert_function(b.module, kind, name), [pointer, _I32(0), _I32(2), _I32(1)])


def _exchange(b: Any, values: list[Any], network: Sequence[Sequence[int]]) -> None:
    """The comparators (i, j, keep) of `aggregation.network` on vectors."""
    for i, j, keep in network:
        less = b.icmp_signed("<", values[i], values[j])
        smaller, larger = b.select(less, values[i], values[j]), b.select(less, values[j], values[i])
        if keep & 1:
            values[i] = smaller
        if keep & 2:
            values[j] = larger


def _divided(b: Any, parts: Sequence[Any], divisor: int) -> Any:
    """``round_half_even(sum of parts / divisor)`` of int32 without a division; the sum is at most 2^32, the divisor at most 64.

    y = float64(1 / divisor) is off by at most 2^-54 of itself (49, which is odd, by 2^-53). So the product of a tie, less than 2^(e+1),
    is off by less than half a unit of float64 there, 2^(e-53), and comes out as the tie; any other quotient is at least
    1/(2·divisor) away from one, and its product within 2^-20. rint does the rest.
    """
    if divisor == 1:
        return parts[0]
    exact = b.sitofp(parts[0], _DOUBLES)
    for part in parts[1:]:
        exact = b.fadd(exact, b.sitofp(part, _DOUBLES))
    factor = ir.Constant(_DOUBLES, [1.0 / divisor] * WIDTH)
    return b.fptosi(_call(b, "llvm.rint.v16f64", _DOUBLES, b.fmul(exact, factor)), _INTS)


def _pair_products(b: Any, x: Any, y: Any) -> Any:
    """``x[2k]·y[2k] + x[2k+1]·y[2k+1]`` in int32; one instruction a register on x86, which LLVM does not find by itself."""
    name, lanes = _PAIRS
    if lanes:
        kinds = ir.VectorType(_I32, lanes), ir.VectorType(_I16, 2 * lanes)
        function = cgutils.get_or_insert_function(b.module, ir.FunctionType(kinds[0], [kinds[1], kinds[1]]), name)
        pieces = [
            b.call(function, [_slice(b, v, part, 2 * lanes) for v in (x, y)]) for part in range(0, 2 * WIDTH, 2 * lanes)
        ]
        return _joined(b, pieces, lanes)
    undefined = ir.Constant(_SHORTS, ir.Undefined)
    parts = []
    for parity in (0, 1):
        pick = ir.Constant(_INTS, list(range(parity, 2 * WIDTH, 2)))
        first, second = (b.sext(b.shuffle_vector(v, undefined, pick), _INTS) for v in (x, y))
        parts.append(b.mul(first, second))
    return b.add(*parts)


def _slice(b: Any, vector: Any, start: int, count: int) -> Any:
    if count == 2 * WIDTH:
        return vector
    pick = ir.Constant(ir.VectorType(_I32, count), list(range(start, start + count)))
    return b.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), pick)


def _joined(b: Any, pieces: list[Any], lanes: int) -> Any:
    while len(pieces) > 1:
        lanes *= 2
        pick = ir.Constant(ir.VectorType(_I32, lanes), list(range(lanes)))
        pieces = [b.shuffle_vector(one, two, pick) for one, two in zip(pieces[::2], pieces[1::2], strict=True)]
    return pieces[0]


def _pair_instruction() -> tuple[str, int]:
    """The processor's multiply-add of 16-bit pairs and its 32-bit lanes; ("", 0) where it has none that we know."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return "", 0
    if config.CPU_NAME is None and config.CPU_FEATURES is None:  # else numba compiles for another processor than this
        features = get_host_cpu_features()
        if features.get("avx512bw"):
            return "llvm.x86.avx512.pmaddw.d.512", 16
        if features.get("avx2"):
            return "llvm.x86.avx2.pmadd.wd", 8
    return "llvm.x86.sse2.pmadd.wd", 4


_PAIRS = _pair_instruction()


def _larger(b: Any, x: Any, y: Any) -> Any:
    return b.select(b.icmp_signed(">", x, y), x, y)


def _splat(b: Any, scalar: Any) -> Any:
    kind = ir.VectorType(scalar.type, WIDTH)
    single = b.insert_element(ir.Constant(kind, ir.Undefined), scalar, _I32(0))
    return b.shuffle_vector(single, ir.Constant(kind, ir.Undefined), ir.Constant(_INTS, [0] * WIDTH))


def _call(b: Any, name: str, kind: Any, argument: Any) -> Any:
    return b.call(cgutils.get_or_insert_function(b.module, ir.FunctionType(kind, [kind]), name), [argument])


@intrinsic
def _float_pointer(_context: Any, _address: Any) -> Any:
    def generate(context: Any, b: Any, sig: Any, arguments: Any) -> Any:
        return b.inttoptr(arguments[0], context.get_value_type(sig.return_type))

    return types.CPointer(types.float32)(types.uint64), generate


@njit(inline="always")
def floats_at(address: Any, count: Any) -> Any:
    """float32 ``[count]`` that starts at an address; the caller keeps the memory."""
    return carray(_float_pointer(address), (count,))

"""Block codecs: 256 consecutive values of a flattened tensor share one power of two; a last shorter block has its own.

``int8``, ``int4`` (qmax = 127, 7)::

    e = the smallest with max|x| ≤ qmax · 2^e        q = rint(x · 2^-e), half to even        value q · 2^e

``sign``::

    e: 2^e is the power of two nearest to the block's mean |x|, the larger one at a tie       value ±2^e, + for zero

The mean is taken of integers ``rint(|x| · 2^(20 - E))``, ``max|x| < 2^E``, so it depends on no order of adding.

Bytes of a tensor: one per block, ``e + 128`` or 0 for a block of zeros; then the codes: int8 two's complement; int4 two's complement
nibbles, the low one first; sign one bit, 1 for minus, the low bit first. Unused bits are zero.

A block whose largest decoded magnitude would be below 2^-100 becomes zero, and none may exceed 2^100: so all decoded values are
normal float32, and scaling is exact on every unit, also on one that flushes subnormals.

One image per content: the exponent is the smallest possible exactly if the largest |q| exceeds qmax/2.

Seide et al., Interspeech 2014 (1 bit with error feedback); Karimireddy et al., ICML 2019 (scaled sign with error feedback);
Dettmers et al., ICLR 2022 (blockwise 8 bit, there with float scales).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aggregation.bundle import Vector
from aggregation.compress.container import bad

Bytes: TypeAlias = NDArray[np.uint8]
Exponents: TypeAlias = NDArray[np.int32]

BLOCK = 256
LIMIT = 100  # decoded magnitudes lie in 2^-100 … 2^100, or are zero
BIAS = 128
_MEAN_BITS = 20


@dataclass(frozen=True, slots=True)
class IntegerBlocks:
    """int8 or int4.

    Attributes:
        bits: 8 or 4 of one code.
    """

    bits: int

    @property
    def qmax(self) -> int:
        """Largest code: 127 or 7."""
        return (1 << (self.bits - 1)) - 1

    @property
    def value_bits(self) -> int:
        """Every value of a block is a multiple of ``2^(b - value_bits)``, where all are below 2^b."""
        return self.bits - 1

    def length(self, size: int) -> int:
        """Bytes of a tensor of ``size`` values."""
        return _blocks(size) + (size * self.bits + 7) // 8

    def encode(self, flat: Vector) -> bytes:
        """Codes of a flat tensor, finite and within ±2^100."""
        rows = _rows(flat)
        fraction, exponent = np.frexp(np.abs(rows).max(axis=1))
        exponents = exponent.astype(np.int32) - self.value_bits
        exponents += fraction > np.float32(self.qmax / 2**self.value_bits)
        rows *= _powers(-exponents)[:, None]
        codes = np.rint(rows, out=rows).astype(np.int8)
        small = ~_in_range(_largest(codes), exponents)
        codes[small] = 0
        stored = np.where(small, 0, exponents + BIAS).astype(np.uint8)
        codes = codes.reshape(-1)[: flat.size]
        return stored.tobytes() + (codes.tobytes() if self.bits == 8 else _pack_nibbles(codes).tobytes())

    def decode(self, data: memoryview, size: int) -> Vector:
        """Values of a flat tensor.

        Raises:
            UpdateRejected: `BAD_ENCODING`, if these are not the codes of what they decode to.
        """
        blocks = _blocks(size)
        stored = np.frombuffer(data, np.uint8, blocks)
        raw = np.frombuffer(data, np.uint8, offset=blocks)
        codes = raw.view(np.int8) if self.bits == 8 else _unpack_nibbles(raw, size)
        rows = np.zeros((blocks, BLOCK), np.int8)
        rows.reshape(-1)[:size] = codes
        largest = _largest(rows)
        exponents = stored.astype(np.int32) - BIAS
        if (largest > self.qmax).any():
            raise bad(f"A code is -{self.qmax + 1}, the least is -{self.qmax}.")
        zero = stored == 0
        if (largest[zero] != 0).any() or not (2 * largest[~zero] > self.qmax).all():
            raise bad("A block's exponent is not the smallest possible, or not the one of zeros.")
        if not _in_range(largest[~zero], exponents[~zero]).all():
            raise bad(f"A block's largest magnitude lies outside 2^-{LIMIT} … 2^{LIMIT}.")
        return (rows * _powers(exponents)[:, None]).reshape(-1)[:size]


@dataclass(frozen=True, slots=True)
class SignBlocks:
    """One bit a value."""

    value_bits: int = 1

    def length(self, size: int) -> int:
        """Bytes of a tensor of ``size`` values."""
        return _blocks(size) + (size + 7) // 8

    def encode(self, flat: Vector) -> bytes:
        """Codes of a flat tensor, finite and within ±2^100."""
        rows = _rows(flat)
        counts = np.full(len(rows), BLOCK, np.int64)
        counts[-1] = flat.size - (len(rows) - 1) * BLOCK
        exponents = _mean_exponents(np.abs(rows), counts)
        zero = exponents < -LIMIT
        stored = np.where(zero, 0, exponents + BIAS).astype(np.uint8)
        negative = (rows < 0) & ~zero[:, None]
        return stored.tobytes() + np.packbits(negative.reshape(-1)[: flat.size], bitorder="little").tobytes()

    def decode(self, data: memoryview, size: int) -> Vector:
        """Values of a flat tensor.

        Raises:
            UpdateRejected: `BAD_ENCODING`, if these are not the codes of what they decode to.
        """
        blocks = _blocks(size)
        stored = np.frombuffer(data, np.uint8, blocks)
        packed = np.frombuffer(data, np.uint8, offset=blocks)
        require_padding(packed, size, 1)
        negative = np.zeros((blocks, BLOCK), np.uint8)
        negative.reshape(-1)[:size] = np.unpackbits(packed, count=size, bitorder="little")
        zero = stored == 0
        if negative[zero].any():
            raise bad("A block of zeros has signs.")
        exponents = stored.astype(np.int32) - BIAS
        if (np.abs(exponents[~zero]) > LIMIT).any():
            raise bad(f"A block's magnitude lies outside 2^-{LIMIT} … 2^{LIMIT}.")
        scales = np.where(zero, np.float32(0), _powers(exponents))
        return np.where(negative, -scales[:, None], scales[:, None]).reshape(-1)[:size]


def require_padding(packed: Bytes, count: int, bits: int) -> None:
    """The bits after ``count`` codes of ``bits`` each, low bits first, are zero.

    Raises:
        UpdateRejected: `BAD_ENCODING`.
    """
    used = count * bits % 8
    if used and int(packed[-1]) >> used:
        raise bad("Unused bits are not zero.")


def _blocks(size: int) -> int:
    return -(-size // BLOCK)


def _rows(flat: Vector) -> Vector:
    """``[blocks, 256]``, zeros after the end."""
    rows = np.zeros((_blocks(flat.size), BLOCK), np.float32)
    rows.reshape(-1)[: flat.size] = flat
    return rows


def _largest(codes: NDArray[np.int8]) -> Exponents:
    """max|q| of each row; -128 gives 128."""
    return np.maximum(codes.max(axis=1).astype(np.int32), -codes.min(axis=1).astype(np.int32))


def _in_range(largest: Exponents, exponents: Exponents) -> NDArray[np.bool_]:
    """``2^-100 ≤ largest · 2^exponent ≤ 2^100``, exactly (float64 holds both factors and the product)."""
    magnitude = np.ldexp(largest.astype(np.float64), exponents)
    return np.asarray((magnitude >= 2.0**-LIMIT) & (magnitude <= 2.0**LIMIT))


def _powers(exponents: Exponents) -> Vector:
    """``2^e`` as float32; beyond ±126, where only blocks of zeros or to become zero lie, 2^±126."""
    return np.ldexp(np.float32(1), np.clip(exponents, -126, 126))


def _mean_exponents(magnitudes: Vector, counts: NDArray[np.int64]) -> Exponents:
    """e with 2^e nearest to the mean of each row, from integers of 20 bits; below -100 where the row is zero or tiny."""
    top = np.maximum(np.frexp(magnitudes.max(axis=1))[1].astype(np.int32), -LIMIT - 5)
    magnitudes *= _powers(_MEAN_BITS - top)[:, None]
    # integers below 2^53: their float64 sum has no order
    sums = np.rint(magnitudes, out=magnitudes).sum(axis=1, dtype=np.float64).astype(np.int64)
    place = np.maximum(np.frexp((sums // counts).astype(np.float64))[1].astype(np.int64) - 1, 0)  # of the highest bit
    upper = 2 * sums >= 3 * (counts << place)
    return np.where(sums == 0, -2 * LIMIT, place + upper + top - _MEAN_BITS).astype(np.int32)


def _pack_nibbles(codes: NDArray[np.int8]) -> Bytes:
    nibbles = np.zeros(codes.size + codes.size % 2, np.uint8)
    nibbles[: codes.size] = codes.view(np.uint8) & 15
    return np.asarray(nibbles[0::2] | (nibbles[1::2] << 4))


def _unpack_nibbles(packed: Bytes, size: int) -> NDArray[np.int8]:
    require_padding(packed, size, 4)
    codes = np.empty(2 * packed.size, np.int8)
    codes[0::2] = (packed << 4).view(np.int8) >> 4
    codes[1::2] = packed.view(np.int8) >> 4
    return codes[:size]

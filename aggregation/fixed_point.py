"""Fixed point: floats become integers before any rule sees them, so that adding them has no order.

One power of two per *group*, agreed by all clients of the round. A group is 1024 neighbouring coordinates of one
tensor (its first 1024, the next 1024, …, the last one shorter)::

    e_i = smallest e with max|x_i| < 2^e over the group (frexp exponent); a client whose group is all zero does not vote
    E   = the (g+1)-th largest vote, or the smallest if there are no more than g
    s   = min(bits - 4 - E, 125)
    q   = clamp(rint(x · 2^s), ±2^bits)       int32, rint rounds half to even

g (the guard) is the number of faulty clients the pipeline withstands (for the median, half of all). Where more than g honest
clients are non-zero in a group, E lies within the honest exponents, whatever f ≤ g attackers send: f huge votes are
skipped, and f tiny ones are not reached. With g = 0 nothing ever saturates: the mean is FedAvg. Otherwise at most the
g loudest clients of a group can exceed ``2^E``; they saturate from 16 times that on. Rank rules keep their
guarantee: the clamp is monotone, and some honest client is never clamped.

Why groups of this size: a group of all clients stays in a core's cache while its scale is found, so the updates are read from memory
once; and a scale per group is finer than one per tensor (docs/adr/0010).

Exactness: a product with a power of two, rint and the clamp round at most once, identically on every IEEE-754 unit,
with or without FMA. With ``s ≤ 125`` a subnormal x has ``|x · 2^s| < 1/2`` and becomes 0 whether or not the unit flushes
subnormals; results are multiples of ``2^-125``, hence normal or zero.

Error of one unsaturated coordinate: ``|x - q·2^-s| ≤ 2^-(s+1)``. Of a rule's output r (an integer quotient, rounded half to
even) published as ``float32(r)·2^-s``, against the same rule in exact arithmetic on the unsaturated inputs:
``≤ 2^-s + 2^-24·|output|`` for the rules without clipping. Proof: a weighted mean, an order statistic and a mean of order statistics
each move by at most the largest move of an input, ½ step; the division rounds by at most ½ step; the conversion
to float32 by at most 2^-24 of the value; the last product is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import frexp, isfinite

import numpy as np

from aggregation import kernels_numpy
from aggregation.bundle import Tensors, Vector
from aggregation.errors import AggregationError, Reason, UpdateRejected
from aggregation.kernels_numpy import HEADROOM, MAX_SHIFT, Integers

MAX_BITS = 30
MAX_CLIENTS = 1024  # the largest n for which sums of n rows leave 20 bits, 16 of them below the voted exponent
_CHUNK = 1 << 15
_SMALLEST_NORMAL_EXPONENT = -125  # frexp exponent of 2^-126


@dataclass(frozen=True, slots=True)
class Quantised:
    """One tensor of one client in fixed point.

    Attributes:
        values: int32, flat, ``|q| ≤ 2^bits``.
        shift: s of ``q = rint(x · 2^s)``.
        saturated: how many coordinates were clamped.
        nonzero: how many coordinates were not zero before.
        lost: how many of these became zero.
    """

    values: Integers
    shift: int
    saturated: int
    nonzero: int
    lost: int

    @property
    def coarse(self) -> bool:
        """More than half of the non-zero coordinates vanished: the update is too small for the round's scale."""
        return too_coarse(self.nonzero, self.lost)


def too_coarse(nonzero: int, lost: int) -> bool:
    """More than half of the non-zero coordinates vanished."""
    return 2 * lost > nonzero


def exponent_of(tensor: Vector) -> int | None:
    """Smallest e with ``max|x| < 2^e``; None if all values are zero or subnormal.

    Raises:
        UpdateRejected: `NOT_FINITE`.
    """
    flat = tensor.reshape(-1)
    largest = 0.0
    for start in range(0, flat.size, _CHUNK):
        chunk = flat[start : start + _CHUNK]
        low, high = float(chunk.min()), float(chunk.max())
        if not (isfinite(low) and isfinite(high)):  # min and max hand NaN on
            raise UpdateRejected(Reason.NOT_FINITE, "A tensor holds NaN or infinity.", hint="Validate updates first.")
        largest = max(largest, -low, high)
    exponent = frexp(largest)[1]
    return exponent if largest and exponent >= _SMALLEST_NORMAL_EXPONENT else None


def common_shift(exponents: Sequence[int | None], bits: int, guard: int = 0) -> int:
    """The shift s of one group (or tensor) from its clients' exponents (formula above); 0 if no client votes.

    Args:
        exponents: `exponent_of` of every client, in any order.
        bits: 20 … 30.
        guard: how many of the largest votes are skipped.
    """
    votes = sorted((exponent for exponent in exponents if exponent is not None), reverse=True)
    if not votes:
        return 0
    return min(bits - HEADROOM - votes[min(guard, len(votes) - 1)], MAX_SHIFT)


def sum_bits(n: int) -> int:
    """Bits that leave room for the sum of n values in int32: ``30 - ⌈log2 n⌉``."""
    return MAX_BITS - (n - 1).bit_length()


def quantise(tensor: Vector, shift: int, bits: int) -> Quantised:
    """``clamp(rint(x · 2^shift), ±2^bits)`` with counts (module docstring).

    Raises:
        UpdateRejected: `NOT_FINITE`.
        AggregationError: bits or shift out of range.
    """
    if not 1 <= bits <= MAX_BITS or not -126 <= shift <= MAX_SHIFT:
        raise AggregationError(f"bits={bits} must be in 1..{MAX_BITS} and shift={shift} in -126..{MAX_SHIFT}.")
    exponent_of(tensor)
    flat = tensor.reshape(-1)
    values = np.empty(flat.size, np.int32)
    saturated = kernels_numpy.quantise(flat, power(shift), power(bits), values)
    nonzero = int(np.count_nonzero(flat))
    return Quantised(values, shift, saturated, nonzero, nonzero - int(np.count_nonzero(values)))


def dequantise(values: Integers, shift: int) -> Vector:
    """``float32(q) · 2^-shift``: one rounding (int32 to float32); never −0."""
    return values.astype(np.float32) * power(-shift)


def require_fine(tensors: Tensors, *, bits: int = MAX_BITS) -> None:
    """Most of an update survives quantising at its own scale: what a trainer asks before it publishes.

    Raises:
        UpdateRejected: `TOO_COARSE` (a few outliers in one tensor dwarf the rest), or `NOT_FINITE`.
    """
    for name in sorted(tensors):
        quantised = quantise(tensors[name], common_shift([exponent_of(tensors[name])], bits), bits)
        if quantised.coarse:
            raise UpdateRejected(
                Reason.TOO_COARSE,
                f"{quantised.lost} of {quantised.nonzero} non-zero values of {name!r} are below the tensor's resolution.",
                why=f"They are more than 2^{bits - HEADROOM} times smaller than its largest value.",
                hint="Look for exploding coordinates; clip gradients.",
            )


def power(exponent: int) -> np.float32:
    """``2^exponent`` as float32, exact for -126 … 127."""
    return np.float32(2.0**exponent)

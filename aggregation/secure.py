"""Sums in Z_2^32 of which nobody sees a term: fixed point for a cluster of clients that mask their updates (`node.confidential.sums`).

One power of two for everybody, known before the round: with ``2^(e-1) < max_norm ≤ 2^e`` and ``bits = 30 - ⌈log2 members⌉``

```
s = bits - e
q = clamp(rint(x · 2^s), ±2^bits)        int32 as uint32; |Σ q| ≤ members · 2^bits ≤ 2^30 < 2^31, so the sum mod 2^32 is the sum
mean = float32(rint(Σ q / count)) · 2^-s     ties to even
```
No coordinate of an update within the norm bound is clamped, and the scale says nothing about anybody. Unlike `aggregation.fixed_point` the
scale does not follow the data: a client cannot be asked for its exponents without giving something away. Error of the mean of
unclamped values: at most ``2^-s + 2^-24 · |mean|``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp, inf

import numpy as np
from numpy.typing import NDArray

from aggregation.bundle import Vector
from aggregation.errors import AggregationError, Reason, UpdateRejected

Words = NDArray[np.uint32]

TOP = 30
MAX_MEMBERS = 1 << 10
MAX_EXPONENT = 90


@dataclass(frozen=True, slots=True)
class Grid:
    """Fixed point of one cluster.

    Attributes:
        bits: largest |q| is ``2^bits``.
        shift: s of ``q = rint(x · 2^s)``.
    """

    bits: int
    shift: int

    @classmethod
    def of(cls, members: int, max_norm: float) -> Grid:
        """The grid of a cluster.

        Args:
            members: clients of the cluster, 1 to 1024.
            max_norm: bound of an update's L2 norm, hence of every coordinate.

        Raises:
            AggregationError: one of them is out of range.
        """
        if not 1 <= members <= MAX_MEMBERS or not 2.0**-MAX_EXPONENT <= max_norm <= 2.0**MAX_EXPONENT:
            raise AggregationError(f"There is no grid for {members} clients with max_norm={max_norm}.")
        bits = TOP - (members - 1).bit_length()
        mantissa, exponent = frexp(max_norm)
        return cls(bits, bits - (exponent - 1 if mantissa == 0.5 else exponent))

    def encode(self, vector: Vector) -> Words:
        """Words of a flat float32 vector.

        Raises:
            UpdateRejected: NaN or infinity in it.
        """
        scaled = np.ldexp(vector.astype(np.float64), self.shift)  # exact
        if not np.all(np.abs(scaled) < inf):
            raise UpdateRejected(Reason.NOT_FINITE, "An update to be summed holds NaN or infinity.")
        limit = float(1 << self.bits)
        return np.clip(np.rint(scaled), -limit, limit).astype(np.int32).view(np.uint32)

    def mean(self, total: Words, count: int) -> Vector:
        """Mean of ``count`` clients from the sum of their words, float32."""
        if count < 1:
            raise AggregationError("A mean needs at least one client.")
        # |total| < 2^31 and count ≤ 2^10: the quotient in float64 is rounded once, and never across a tie that is none.
        quotient = np.rint(total.view(np.int32).astype(np.float64) / count)
        return np.ldexp(quotient.astype(np.float32), -self.shift).astype(np.float32, copy=False)


def add(left: Words, right: Words) -> Words:
    """``left + right`` mod 2^32."""
    return np.add(left, right, dtype=np.uint32)


def subtract(left: Words, right: Words) -> Words:
    """``left - right`` mod 2^32."""
    return np.subtract(left, right, dtype=np.uint32)

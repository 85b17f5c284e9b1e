"""Which kernels run: numpy's or numba's. The choice changes the time taken, never a bit of the result.

``auto`` takes numpy while the work is small: loading numba and its kernels costs more than it saves (see
`NUMBA_PAYS_FROM`). `COMMONWEIGHT_KERNELS` (``auto``, ``numpy``, ``numba``) overrides the default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Protocol, cast

import numpy as np

from aggregation import kernels_numpy
from aggregation.bundle import Vector
from aggregation.errors import AggregationError
from aggregation.kernels_numpy import Bytes, Integers, Longs

CHOICES = ("auto", "numpy", "numba")
VARIABLE = "COMMONWEIGHT_KERNELS"
NUMBA_PAYS_FROM = 1 << 25  # clients · parameters


class Kernels(Protocol):
    """The tile kernels; `aggregation.kernels_numpy` defines what each does."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a module's constant
        """``numpy`` or ``numba``."""
        ...

    def exponents(self, rows: Sequence[Vector]) -> Bytes:
        """Exponent fields by row and group."""
        ...

    def shifts(self, fields: Bytes, bits: int, guard: int) -> Integers:
        """The groups' scales."""
        ...

    def quantise(self, values: Vector, scale: np.float32, limit: np.float32, out: Integers) -> int:
        """One row of floats to integers, one scale."""
        ...

    def load(self, rows: Sequence[Vector], scales: Vector, limit: np.float32, tile: Integers) -> None:
        """Rows of floats to a tile, a scale per group."""
        ...

    def snap(self, row: Vector, scales: Vector, limit: np.float32, inverses: Vector, out: Vector) -> None:
        """One row to fixed point and back."""
        ...

    def products(
        self, rows: Sequence[Vector], bits: int, guard: int, fields: Bytes, found: Integers
    ) -> dict[int, Longs]:
        """Scales, and inner products of rows by shift."""
        ...

    def clip(self, tile: Integers, factors: Longs) -> None:
        """Scale rows down."""
        ...

    def mix(self, tile: Integers, excluded: Longs, out: Integers) -> None:
        """Sums of neighbours."""
        ...

    def combine(self, tile: Integers, matrix: Longs, out: Integers) -> None:
        """Integer combinations of rows."""
        ...

    def exchange(self, tile: Integers, network: Integers) -> None:
        """Run a comparator network."""
        ...

    def weigh(self, tile: Integers, rows: Longs, weights: Longs, out: Longs) -> None:
        """Weighted sum of rows."""
        ...

    def ranks(self, tile: Integers, network: Integers, low: int, high: int, out: Longs) -> None:
        """Sum of ranks."""
        ...

    def nearest(self, tile: Integers, keep: int, out: Longs) -> None:
        """Sum of the values nearest to the median."""
        ...

    def finish(self, total: Longs, divisor: int, inverses: Vector, out: Vector) -> None:
        """Divide and convert back."""
        ...

    def fused(self, n: int, low: int, high: int) -> Callable[..., None] | None:
        """One-pass kernel of a mean of ranks, if there is one."""
        ...


def choose(name: str | None = None, *, values: int = 0) -> Kernels:
    """Kernels by name.

    Args:
        name: one of `CHOICES`; None asks `COMMONWEIGHT_KERNELS`, then ``auto``.
        values: clients times parameters of the work ahead, for ``auto``.

    Raises:
        AggregationError: unknown name.
    """
    wanted = name or os.environ.get(VARIABLE) or "auto"
    if wanted not in CHOICES:
        raise AggregationError(f"Unknown kernels {wanted!r}.", hint=f"Known: {', '.join(CHOICES)} ({VARIABLE}).")
    if wanted == "numpy" or (wanted == "auto" and values < NUMBA_PAYS_FROM):
        return cast(Kernels, kernels_numpy)
    return cast(Kernels, import_module("aggregation.kernels_numba"))

"""Which kernels run: numpy's or numba's. The choice changes the time taken, never a bit of the result.

``auto`` takes numpy while the work is small: loading numba and its kernels costs more than it saves (see
`NUMBA_PAYS_FROM`). `COMMONWEIGHT_KERNELS` (``auto``, ``numpy``, ``numba``) overrides the default.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Protocol, cast

import numpy as np

from aggregation import kernels_numpy
from aggregation.bundle import Vector
from aggregation.errors import AggregationError
from aggregation.kernels_numpy import Doubles, Integers, Longs

CHOICES = ("auto", "numpy", "numba")
VARIABLE = "COMMONWEIGHT_KERNELS"
NUMBA_PAYS_FROM = 1 << 25  # clients · parameters


class Kernels(Protocol):
    """The tile kernels; `aggregation.kernels_numpy` defines what each does."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a module's constant
        """``numpy`` or ``numba``."""
        ...

    def quantise(self, values: Vector, scale: np.float32, limit: np.float32, out: Integers) -> tuple[int, int, int]:
        """Floats to integers, with counts."""
        ...

    def narrow(self, tile: Integers, drop: int, out: Doubles) -> None:
        """Integers to 20-bit integers held in float64."""
        ...

    def clip(self, tile: Integers, factors: Longs) -> None:
        """Scale rows down."""
        ...

    def mix(self, tile: Integers, excluded: Longs, out: Integers) -> None:
        """Sums of neighbours."""
        ...

    def add_rows(self, tile: Integers, rows: Longs, sign: int, out: Longs) -> None:
        """Add rows up."""
        ...

    def exchange(self, tile: Integers, network: Integers) -> None:
        """Run a comparator network."""
        ...

    def finish(self, total: Longs, divisor: int, inverse: np.float32, out: Vector) -> None:
        """Divide and convert back."""
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

"""What a pipeline is made of: pre-aggregations yield steps on rows, a rule yields a selection of rows and ranks.

Both are decided on the exact Gram matrix alone, before a single coordinate is combined. `aggregation.engine` carries
the decisions out on tiles. So a new pre-aggregation or rule is one file with one pure function (see `aggregation.pre`,
`aggregation.rules`) and says nothing about threads, tiles or kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from aggregation.errors import PreconditionFailed
from aggregation.gram import Gram
from aggregation.kernels import Kernels
from aggregation.kernels_numpy import ONE, Integers


class Step(Protocol):
    """A linear change of the rows."""

    @property
    def divisor(self) -> int:
        """Rows come out multiplied by this; the engine divides once, at the end."""
        ...

    def on_gram(self, gram: Gram) -> Gram:
        """Gram matrix of the changed rows, up to a common positive factor."""
        ...

    def on_tile(self, kernels: Kernels, tile: Integers, spare: Integers) -> Integers:
        """Changed rows int32 ``[n, m]``, in ``tile`` or ``spare``; both may be overwritten."""
        ...


@dataclass(frozen=True, slots=True)
class Clip:
    """Row i is multiplied by ``factors[i] / 2^16 ≤ 1``."""

    factors: tuple[int, ...]

    @property
    def divisor(self) -> int:
        """The scaled row is already on the old scale."""
        return 1

    def on_gram(self, gram: Gram) -> Gram:
        """``G_ij · k_i · k_j``."""
        return [
            [value * row_factor * factor for value, factor in zip(row, self.factors, strict=True)]
            for row, row_factor in zip(gram, self.factors, strict=True)
        ]

    def on_tile(self, kernels: Kernels, tile: Integers, spare: Integers) -> Integers:  # noqa: ARG002 - in place
        """``(q · k + 2^15) >> 16`` in place."""
        if min(self.factors) < ONE:
            kernels.clip(tile, np.array(self.factors, np.int64))
        return tile


@dataclass(frozen=True, slots=True)
class Mix:
    """Row i becomes the sum of all rows but ``excluded[i]``; each entry names the same number f of rows."""

    excluded: tuple[tuple[int, ...], ...]

    @property
    def divisor(self) -> int:
        """``n - f``: the sums are that many times the means."""
        return len(self.excluded) - len(self.excluded[0])

    def on_gram(self, gram: Gram) -> Gram:
        """``M · G · Mᵀ`` with the 0/1 membership matrix M."""
        half = [self._mixed(row) for row in gram]  # G · Mᵀ
        return [list(row) for row in zip(*(self._mixed(column) for column in zip(*half, strict=True)), strict=True)]

    def on_tile(self, kernels: Kernels, tile: Integers, spare: Integers) -> Integers:
        """Sums of n-f rows, into ``spare``."""
        if not self.excluded[0]:
            spare[...] = tile.sum(axis=0, dtype=np.int32)
            return spare
        kernels.mix(tile, np.array(self.excluded, np.int64), spare)
        return spare

    def _mixed(self, row: list[int] | tuple[int, ...]) -> list[int]:
        total = sum(row)
        return [total - sum(row[j] for j in away) for away in self.excluded]


@dataclass(frozen=True, slots=True)
class Selection:
    """The output: per coordinate, sort the chosen rows and average ranks ``low … high-1``.

    All rows and all ranks: mean. The middle rank or two: median. Without f at either end: trimmed mean. Some rows, all
    ranks: Krum's family.
    """

    rows: tuple[int, ...]
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class PreAggregation:
    """A step before the rule.

    Attributes:
        name: as written in a pipeline.
        condition: when it guarantees something, for people.
        tolerates: largest f ≥ 0 for n ≥ 1 clients.
        plan: ``(gram, f) -> Step``; rows are in order of client id, which is how ties are broken.
        sums_rows: whether the step adds rows up, which costs ``⌈log2 n⌉`` bits of resolution.
    """

    name: str
    condition: str
    tolerates: Callable[[int], int]
    plan: Callable[[Gram, int], Step]
    sums_rows: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """The last stage.

    Attributes:
        name: as written in a pipeline.
        condition: when it guarantees something, for people.
        tolerates: largest f ≥ 0 for n ≥ 1 clients.
        plan: ``(n, f, gram) -> Selection``; gram is None where ``uses_gram`` is false.
        uses_gram: whether the plan looks at distances.
    """

    name: str
    condition: str
    tolerates: Callable[[int], int]
    plan: Callable[[int, int, Gram | None], Selection]
    uses_gram: bool = False


def require_tolerated(stage: PreAggregation | Rule, n: int, f: int) -> None:
    """The stage's precondition holds.

    Raises:
        PreconditionFailed: it does not; the error holds n and f.
    """
    if f > stage.tolerates(n):
        raise PreconditionFailed(
            stage.name, stage.condition, {"n": n, "f": f}, hint="Lower f, wait for more updates, or use f=auto."
        )


def below_half(n: int) -> int:
    """Largest f with ``n > 2f``."""
    return (n - 1) // 2

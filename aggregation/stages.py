"""What a pipeline is made of: pre-aggregations yield steps on rows, a rule yields a selection of what is averaged.

Both are decided on the exact Gram matrix alone, before a single coordinate is combined. `aggregation.engine` carries
the decisions out on tiles. So a new pre-aggregation or rule is one file with one pure function (see `aggregation.pre`,
`aggregation.rules`) and says nothing about threads, tiles or kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol, TypeAlias

import numpy as np

from aggregation.errors import PreconditionFailed
from aggregation.gram import Gram
from aggregation.kernels import Kernels
from aggregation.kernels_numpy import ONE, Integers

MAX_WEIGHT = 1 << 20  # largest sum of weights: with 30-bit rows the total stays below 2^50
Members: TypeAlias = tuple[tuple[int, ...], ...]
"""Per current row the clients it is made of."""


@dataclass(frozen=True, slots=True)
class View:
    """All that a stage may look at when it decides.

    Attributes:
        n: number of rows before this stage.
        f: faulty clients to withstand.
        gram: exact inner products of the rows, up to a common positive factor; None where no stage asks for them.
        ids: what orders the rows and breaks ties, one per row.
        seed: public randomness of the round.
        weights: per row, for the rules that heed them.
        unit: ``gram · 2^-unit`` is in the updates' own units, once divided by ``scale``.
        scale: see ``unit``.
        parameters: the stage's own, by name.
    """

    n: int
    f: int
    gram: Gram | None = None
    ids: tuple[bytes, ...] = ()
    seed: bytes = b""
    weights: tuple[int, ...] = ()
    unit: int = 0
    scale: int = 1
    parameters: Mapping[str, Fraction] = field(default_factory=dict)

    @property
    def distances(self) -> Gram:
        """The Gram matrix, which a stage with ``uses_gram`` always has."""
        assert self.gram is not None
        return self.gram


class Step(Protocol):
    """A linear change of the rows."""

    @property
    def divisor(self) -> int:
        """Rows come out multiplied by this; the engine divides once, at the end."""
        ...

    def rows(self, n: int) -> int:
        """How many rows come out of n."""
        ...

    def on_gram(self, gram: Gram) -> tuple[Gram, int]:
        """Gram matrix of the changed rows, multiplied by the second number."""
        ...

    def on_tile(self, kernels: Kernels, tile: Integers, spare: Integers) -> Integers:
        """Changed rows int32 ``[rows, m]``, in ``tile`` or ``spare``; both may be overwritten."""
        ...

    def members(self, members: Members) -> Members:
        """Which clients the changed rows stand for."""
        ...


@dataclass(frozen=True, slots=True)
class Clip:
    """Row i is multiplied by ``factors[i] / 2^16 ≤ 1``."""

    factors: tuple[int, ...]

    @property
    def divisor(self) -> int:
        """The scaled row is already on the old scale."""
        return 1

    def rows(self, n: int) -> int:
        """All of them."""
        return n

    def on_gram(self, gram: Gram) -> tuple[Gram, int]:
        """``G_ij · k_i · k_j``."""
        changed = [
            [value * row_factor * factor for value, factor in zip(row, self.factors, strict=True)]
            for row, row_factor in zip(gram, self.factors, strict=True)
        ]
        return changed, ONE * ONE

    def on_tile(self, kernels: Kernels, tile: Integers, spare: Integers) -> Integers:  # noqa: ARG002 - in place
        """``(q · k + 2^15) >> 16`` in place."""
        if min(self.factors) < ONE:
            kernels.clip(tile, np.array(self.factors, np.int64))
        return tile

    def members(self, members: Members) -> Members:
        """The same."""
        return members


@dataclass(frozen=True, slots=True)
class Mix:
    """Row i becomes the sum of all rows but ``excluded[i]``; each entry names the same number f of rows."""

    excluded: tuple[tuple[int, ...], ...]

    @property
    def divisor(self) -> int:
        """``n - f``: the sums are that many times the means."""
        return len(self.excluded) - len(self.excluded[0])

    def rows(self, n: int) -> int:
        """All of them."""
        return n

    def on_gram(self, gram: Gram) -> tuple[Gram, int]:
        """``M · G · Mᵀ`` with the 0/1 membership matrix M."""
        half = [self._mixed(row) for row in gram]  # G · Mᵀ
        mixed = [list(row) for row in zip(*(self._mixed(column) for column in zip(*half, strict=True)), strict=True)]
        return mixed, self.divisor**2

    def on_tile(self, kernels: Kernels, tile: Integers, spare: Integers) -> Integers:
        """Sums of n-f rows, into ``spare``."""
        kernels.mix(tile, np.array(self.excluded, np.int64).reshape(len(tile), -1), spare)
        return spare

    def members(self, members: Members) -> Members:
        """Each row still stands for its own client."""
        return members

    def _mixed(self, row: list[int] | tuple[int, ...]) -> list[int]:
        total = sum(row)
        return [total - sum(row[j] for j in away) for away in self.excluded]


@dataclass(frozen=True, slots=True)
class Combine:
    """Rows become integer combinations ``matrix · rows / divisor``: bucketing, or dropping rows."""

    matrix: tuple[tuple[int, ...], ...]
    divisor: int

    def rows(self, n: int) -> int:  # noqa: ARG002 - the matrix knows
        """As many as the matrix has."""
        return len(self.matrix)

    def on_gram(self, gram: Gram) -> tuple[Gram, int]:
        """``M · G · Mᵀ``."""
        half = [[sum(m * g for m, g in zip(line, row, strict=True) if m) for line in self.matrix] for row in gram]
        changed = [
            [sum(m * half[j][column] for j, m in enumerate(line) if m) for column in range(len(self.matrix))]
            for line in self.matrix
        ]
        return changed, self.divisor**2

    def on_tile(self, kernels: Kernels, tile: Integers, spare: Integers) -> Integers:
        """Into ``spare``."""
        kernels.combine(tile, np.array(self.matrix, np.int64), spare)
        return spare

    def members(self, members: Members) -> Members:
        """The clients of all rows that take part."""
        return tuple(
            tuple(sorted(client for j, m in enumerate(line) if m for client in members[j])) for line in self.matrix
        )


@dataclass(frozen=True, slots=True)
class Ranks:
    """Per coordinate, sort the chosen rows and average ranks ``low … high-1``.

    All rows and all ranks: mean. The middle rank or two: median. Without f at either end: trimmed mean. Some rows, all
    ranks: Krum's family.
    """

    rows: tuple[int, ...]
    low: int
    high: int

    @property
    def divisor(self) -> int:
        """How many values are averaged."""
        return self.high - self.low

    def uses(self, row: int) -> bool:
        """Whether a row has any say."""
        return row in self.rows


@dataclass(frozen=True, slots=True)
class Nearest:
    """Per coordinate, average the ``keep`` values of the chosen rows nearest to their median."""

    rows: tuple[int, ...]
    keep: int

    @property
    def divisor(self) -> int:
        """How many values are averaged."""
        return self.keep

    def uses(self, row: int) -> bool:
        """Whether a row has any say."""
        return row in self.rows


@dataclass(frozen=True, slots=True)
class Weighted:
    """``Σ weights_i · row_i / total``; weights are integers ≥ 0, their sum is at most `MAX_WEIGHT`."""

    weights: tuple[int, ...]
    total: int

    @property
    def divisor(self) -> int:
        """What the sum is divided by."""
        return self.total

    def uses(self, row: int) -> bool:
        """Whether a row has any say."""
        return self.weights[row] > 0


Selection: TypeAlias = Ranks | Nearest | Weighted


def _unchanged(n: int, f: int, parameters: Mapping[str, Fraction]) -> tuple[int, int]:  # noqa: ARG001
    return n, f


def _no_growth(n: int, parameters: Mapping[str, Fraction]) -> int:  # noqa: ARG001
    return 1


@dataclass(frozen=True, slots=True)
class PreAggregation:
    """A step before the rule.

    Attributes:
        name: as written in a pipeline.
        condition: when it guarantees something, for people.
        tolerates: largest f ≥ 0 for n ≥ 1 rows.
        plan: the decision; rows are in order of client id, which is how ties are broken.
        growth: ``(n, parameters) ->`` by how much the rows' integers may grow, which costs that many bits of resolution.
        after: ``(n, f, parameters) -> (n, f)`` behind this stage (n at most, where it depends on the rows).
        parameters: its own parameters with their defaults; None must be given.
        uses_gram: whether the plan looks at distances.
    """

    name: str
    condition: str
    tolerates: Callable[[int], int]
    plan: Callable[[View], Step]
    growth: Callable[[int, Mapping[str, Fraction]], int] = _no_growth
    after: Callable[[int, int, Mapping[str, Fraction]], tuple[int, int]] = _unchanged
    parameters: Mapping[str, Fraction | None] = field(default_factory=dict)
    uses_gram: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """The last stage.

    Attributes:
        name: as written in a pipeline.
        condition: when it guarantees something, for people.
        tolerates: largest f ≥ 0 for n ≥ 1 rows.
        plan: the decision.
        uses_gram: whether the plan looks at distances.
        coordinate_wise: whether it takes order statistics of single coordinates (unsuited to sparse updates).
        guard: ``(n, f) ->`` how many loud clients the scale of a group must not follow; f where None.
        parameters: its own parameters with their defaults; None must be given.
    """

    name: str
    condition: str
    tolerates: Callable[[int], int]
    plan: Callable[[View], Selection]
    uses_gram: bool = False
    coordinate_wise: bool = False
    guard: Callable[[int, int], int] | None = None
    parameters: Mapping[str, Fraction | None] = field(default_factory=dict)


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

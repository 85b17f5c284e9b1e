"""Drop every update whose norm exceeds a bound: ``norm_bound(c=5)``.

Where honest clients keep the bound by protocol, whoever breaks it is faulty, so f shrinks by the number dropped. If all break
it, all are dropped and the aggregate is zero: nobody moves the model. The norm is that of the 13-bit image
(`aggregation.gram`): right to about 10^-4, so clients should clip a little below. A node refuses such updates before they get here
(`aggregation.checks`); this stage serves those who aggregate without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from aggregation.pre.clip import squared_bound
from aggregation.stages import Combine, PreAggregation, View, below_half


def plan(view: View) -> Combine:
    """Keep the rows within the bound; one row of zeros if there is none."""
    bound = squared_bound(view)
    kept = [i for i, row in enumerate(view.distances) if row[i] <= bound]
    return Combine(tuple(tuple(int(i == j) for j in range(view.n)) for i in kept) or ((0,) * view.n,), 1)


def after(n: int, f: int, parameters: Mapping[str, Fraction]) -> tuple[int, int]:  # noqa: ARG001
    """At most n rows stay."""
    return n, f


PRE_AGGREGATION = PreAggregation("norm_bound", "n > 2f", below_half, plan, after=after, parameters={"c": None})

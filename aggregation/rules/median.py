"""Coordinate-wise median.

Per coordinate the middle of the sorted values; for even n the mean of the two middle ones, rounded half to even in
fixed point. Stays within the honest values' range for ``n > 2f`` (breakdown point 1/2). f only enters that condition.
Unsuited to sparse (top-k) updates: most clients send 0. O(n log² n) per coordinate. Yin et al., ICML 2018.
"""

from __future__ import annotations

from aggregation.stages import Ranks, Rule, View, below_half


def plan(view: View) -> Ranks:
    """Ranks ``⌊(n-1)/2⌋ … ⌊n/2⌋`` of all rows."""
    return Ranks(tuple(range(view.n)), (view.n - 1) // 2, view.n // 2 + 1)


RULE = Rule(
    "median", "n > 2f", below_half, plan, coordinate_wise=True, guard=lambda n, _f: below_half(n)
)  # it withstands below_half(n), whatever f says

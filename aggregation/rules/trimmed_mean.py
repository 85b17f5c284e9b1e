"""Coordinate-wise trimmed mean.

Per coordinate drop the f smallest and the f largest values, average the other n - 2f. Stays within the honest values'
range for ``n > 2f`` (breakdown point f/n < 1/2). f = 0 is the mean. Unsuited to sparse (top-k) updates unless behind nnm.
O(n log² n) per coordinate. Yin et al., ICML 2018.
"""

from __future__ import annotations

from aggregation.stages import Ranks, Rule, View, below_half


def plan(view: View) -> Ranks:
    """Ranks ``f … n-f-1`` of all rows."""
    return Ranks(tuple(range(view.n)), view.f, view.n - view.f)


RULE = Rule("trimmed_mean", "n > 2f", below_half, plan, coordinate_wise=True)

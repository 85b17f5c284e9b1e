"""Mean around the median (MeaMed).

Per coordinate average the n - f values nearest to the median; for even n the median is the mean of the two middle values;
of equally near values the lower one. For ``n > 2f`` (Xie, Koyejo, Gupta, arXiv 1802.10116, there for
``n ≥ 2f + 1``). Unsuited to sparse (top-k) updates. O(n log² n) per coordinate.
"""

from __future__ import annotations

from aggregation.stages import Nearest, Rule, View, below_half


def plan(view: View) -> Nearest:
    """All rows, all but f values."""
    return Nearest(tuple(range(view.n)), view.n - view.f)


RULE = Rule("meamed", "n > 2f", below_half, plan, coordinate_wise=True)

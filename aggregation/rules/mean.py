"""Mean: FedAvg with equal weights.

``out = (1/n) Σ_i x_i``. Breakdown point 0: one client moves it anywhere, f is ignored; use it after clipping, or
among clients who trust each other. O(n) per coordinate. McMahan et al., AISTATS 2017 (there weighted by samples, which
a client reports about itself: `weighted_mean`; here every accepted update counts once).
"""

from __future__ import annotations

from aggregation.stages import Ranks, Rule, View


def plan(view: View) -> Ranks:
    """All rows, all ranks."""
    return Ranks(tuple(range(view.n)), 0, view.n)


RULE = Rule("mean", "f ≤ n (and withstands nobody)", lambda n: n, plan, guard=lambda _n, _f: 0)

"""Mean: FedAvg with equal weights.

``out = (1/n) Σ_i x_i``. Breakdown point 0: one client moves it anywhere, f is ignored; use it after clipping, or
among clients who trust each other. O(n) per coordinate. McMahan et al., AISTATS 2017 (there weighted by samples, which
a client reports about itself; here every accepted update counts once).
"""

from __future__ import annotations

from aggregation.gram import Gram
from aggregation.stages import Rule, Selection


def plan(n: int, f: int, gram: Gram | None) -> Selection:  # noqa: ARG001 - one signature for all rules
    """All rows, all ranks."""
    return Selection(tuple(range(n)), 0, n)


RULE = Rule("mean", "f ≤ n (and withstands nobody)", lambda n: n, plan)

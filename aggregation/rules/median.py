"""Coordinate-wise median.

Per coordinate the middle of the sorted values; for even n the mean of the two middle ones, rounded half to even in
fixed point. Stays within the honest values' range for ``n > 2f`` (breakdown point 1/2). f only enters that condition.
Unsuited to sparse (top-k) updates: most clients send 0. O(n log² n) per coordinate. Yin et al., ICML 2018.
"""

from __future__ import annotations

from aggregation.gram import Gram
from aggregation.stages import Rule, Selection, below_half


def plan(n: int, f: int, gram: Gram | None) -> Selection:  # noqa: ARG001 - one signature for all rules
    """Ranks ``⌊(n-1)/2⌋ … ⌊n/2⌋`` of all rows."""
    return Selection(tuple(range(n)), (n - 1) // 2, n // 2 + 1)


RULE = Rule("median", "n > 2f", below_half, plan)

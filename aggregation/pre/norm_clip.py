"""Clip every update to the median norm.

``x_i · min(1, c / ‖x_i‖)``, c the lower median of the norms: with ``n > 2f`` some honest client's norm bounds c from above.
Bounds how far one client can pull a mean; alone it is no robust rule. Compare Sun et al. 1911.07963 (fixed bound).
"""

from __future__ import annotations

from math import isqrt

from aggregation.gram import Gram
from aggregation.kernels_numpy import ONE
from aggregation.stages import Clip, PreAggregation, View, below_half


def clip_to(gram: Gram, squared_bound: int) -> Clip:
    """Factors ``⌊2^16 · √(squared_bound / G_ii)⌋ / 2^16``, at most 1, on integers alone.

    Rounding down keeps every clipped norm at or below the bound (up to half a step per coordinate).
    """
    return Clip(
        tuple(
            ONE if row[i] <= squared_bound else isqrt((squared_bound * ONE * ONE) // row[i])
            for i, row in enumerate(gram)
        )
    )


def plan(view: View) -> Clip:
    """Clip to the lower median norm."""
    gram = view.distances
    norms = sorted(row[i] for i, row in enumerate(gram))
    return clip_to(gram, norms[(len(norms) - 1) // 2])


PRE_AGGREGATION = PreAggregation("norm_clip", "n > 2f", below_half, plan)

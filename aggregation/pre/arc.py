"""Adaptive robust clipping (ARC).

With ``k = ⌊2·(f/n)·(n - f)⌋``: the k updates of largest norm are clipped to the norm of the (k+1)-th largest. f = 0 clips
nothing. Keeps the resilience of the rule behind it for ``n > 2f`` and removes the advantage of large updates under
heterogeneous data. Equal norms need no tie rule: they are clipped to themselves. Allouah et al., arXiv 2405.14432.
"""

from __future__ import annotations

from aggregation.pre.norm_clip import clip_to
from aggregation.stages import Clip, PreAggregation, View, below_half


def plan(view: View) -> Clip:
    """Clip to the (k+1)-th largest norm."""
    gram = view.distances
    largest = 2 * view.f * (view.n - view.f) // view.n
    norms = sorted(row[i] for i, row in enumerate(gram))
    return clip_to(gram, norms[view.n - largest - 1])


PRE_AGGREGATION = PreAggregation("arc", "n > 2f", below_half, plan)

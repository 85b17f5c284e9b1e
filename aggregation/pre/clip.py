"""Clip every update to a fixed norm: ``x_i · min(1, c / ‖x_i‖)``, c > 0 a decimal in the updates' own units.

``clip(c=2.5)``. What every honest client does to itself; done again here it binds the others. The norm is that of the
13-bit image (`aggregation.gram`): right to about 10^-4. Sun et al., arXiv 1911.07963 (norm thresholding).
"""

from __future__ import annotations

from aggregation.errors import AggregationError
from aggregation.pre.norm_clip import clip_to
from aggregation.stages import Clip, PreAggregation, View, below_half


def squared_bound(view: View) -> int:
    """``c²`` in the Gram matrix's units, rounded down.

    Raises:
        AggregationError: c is not above 0.
    """
    c = view.parameters["c"]
    if c <= 0:
        raise AggregationError(f"A norm bound of c={c} cannot be, it must be above 0.")
    exact = c * c * view.scale
    return int(exact * (1 << view.unit) if view.unit >= 0 else exact / (1 << -view.unit))


def plan(view: View) -> Clip:
    """Clip to c."""
    return clip_to(view.distances, squared_bound(view))


PRE_AGGREGATION = PreAggregation("clip", "n > 2f", below_half, plan, parameters={"c": None})

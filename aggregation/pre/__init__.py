"""Pre-aggregations, one a file: each a pure function from a `View` to a `Step` on the rows.

To add one: write the file, list it in `PRE_AGGREGATIONS`.
"""

from __future__ import annotations

from aggregation.pre import arc, bucketing, clip, nnm, norm_bound, norm_clip

PRE_AGGREGATIONS = (
    arc.PRE_AGGREGATION,
    bucketing.PRE_AGGREGATION,
    clip.PRE_AGGREGATION,
    nnm.PRE_AGGREGATION,
    norm_bound.PRE_AGGREGATION,
    norm_clip.PRE_AGGREGATION,
)

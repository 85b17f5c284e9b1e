"""Pre-aggregations, one a file: each a pure function from the Gram matrix and f to a `Step` on the rows.

To add one: write the file, list it in `PRE_AGGREGATIONS`.
"""

from __future__ import annotations

from aggregation.pre import arc, nnm, norm_clip

PRE_AGGREGATIONS = (arc.PRE_AGGREGATION, nnm.PRE_AGGREGATION, norm_clip.PRE_AGGREGATION)

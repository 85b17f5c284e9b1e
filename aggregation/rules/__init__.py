"""The rules, one a file: each a pure function from a `View` (n, f and, where it needs distances, the Gram matrix) to a `Selection`.

To add one: write the file, list it in `RULES`.
"""

from __future__ import annotations

from aggregation.rules import (
    bulyan,
    centred_clipping,
    dnc,
    geometric_median,
    krum,
    meamed,
    mean,
    median,
    multi_krum,
    trimmed_mean,
    weighted_mean,
)

RULES = (
    bulyan.RULE,
    centred_clipping.RULE,
    dnc.RULE,
    geometric_median.RULE,
    krum.RULE,
    meamed.RULE,
    mean.RULE,
    median.RULE,
    multi_krum.RULE,
    trimmed_mean.RULE,
    weighted_mean.RULE,
)

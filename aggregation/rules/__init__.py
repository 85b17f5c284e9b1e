"""The rules, one a file: each a pure function from n, f and, where it needs distances, the Gram matrix to a `Selection`.

To add one: write the file, list it in `RULES`.
"""

from __future__ import annotations

from aggregation.rules import mean, median, multi_krum, trimmed_mean

RULES = (mean.RULE, median.RULE, multi_krum.RULE, trimmed_mean.RULE)

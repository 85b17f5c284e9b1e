"""Nearest-neighbour mixing (NNM).

Every update is replaced by the mean of its n - f nearest updates, itself first; equal distances: the smaller client id
is nearer. Makes trimmed mean, median and Krum near-optimal under heterogeneous data for ``n > 2f``. In fixed point the
rows stay sums (`Mix.divisor`), so nothing is rounded here. Allouah et al., AISTATS 2023, algorithm 2.
"""

from __future__ import annotations

from aggregation.gram import Gram, squared_distances
from aggregation.stages import Mix, PreAggregation, below_half


def plan(gram: Gram, f: int) -> Mix:
    """Exclude each row's f farthest."""
    n = len(gram)
    return Mix(
        tuple(
            tuple(sorted(range(n), key=lambda j: (row[j], j != i, j))[n - f :])
            for i, row in enumerate(squared_distances(gram))
        )
    )


PRE_AGGREGATION = PreAggregation("nnm", "n > 2f", below_half, plan, sums_rows=True)

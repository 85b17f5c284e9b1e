"""Nearest-neighbour mixing (NNM).

Every update is replaced by the mean of its n - f nearest updates, itself first; equal distances: the smaller client id
is nearer. Makes trimmed mean, median and Krum near-optimal under heterogeneous data for ``n > 2f``. In fixed point the
rows stay sums (`Mix.divisor`), so nothing is rounded here. Allouah et al., AISTATS 2023, algorithm 2.
"""

from __future__ import annotations

from aggregation.gram import squared_distances
from aggregation.stages import Mix, PreAggregation, View, below_half


def plan(view: View) -> Mix:
    """Exclude each row's f farthest."""
    return Mix(
        tuple(
            tuple(sorted(range(view.n), key=lambda j: (row[j], j != i, j))[view.n - view.f :])
            for i, row in enumerate(squared_distances(view.distances))
        )
    )


PRE_AGGREGATION = PreAggregation("nnm", "n > 2f", below_half, plan, growth=lambda n, _parameters: n)

"""Bulyan of Krum.

First choose θ = n - 2f rows, one at a time: the row of lowest Krum score among those left (its ``r - f - 2`` nearest of
the r left, at least one; equal scores: the smaller client id). Then per coordinate average the θ - 2f values of the chosen nearest
to their median. For ``n ≥ 4f + 3`` an attacker's leverage per coordinate falls like 1/√d (El Mhamdi, Guerraoui, Rouault, ICML 2018,
arXiv 1802.07927). Variants elsewhere: Flower picks by Krum scores that are not recomputed for fewer rows. O(n²) per coordinate for the
distances, O(n³) once.
"""

from __future__ import annotations

from aggregation.gram import squared_distances
from aggregation.stages import Nearest, Rule, View


def plan(view: View) -> Nearest:
    """θ rows by repeated Krum, θ - 2f values around the median."""
    distances = squared_distances(view.distances)
    left = list(range(view.n))
    chosen: list[int] = []
    while len(chosen) < view.n - 2 * view.f:
        neighbours = max(len(left) - view.f - 2, 1)
        scores = {i: sum(sorted(distances[i][j] for j in left if j != i)[:neighbours]) for i in left}
        best = min(left, key=lambda i: (scores[i], i))
        chosen.append(best)
        left.remove(best)
    return Nearest(tuple(sorted(chosen)), view.n - 4 * view.f)


def tolerates(n: int) -> int:
    """Largest f with ``n ≥ 4f + 3``, or 0."""
    return max((n - 3) // 4, 0)


RULE = Rule("bulyan", "n ≥ 4f + 3 or f = 0", tolerates, plan, uses_gram=True, coordinate_wise=True)

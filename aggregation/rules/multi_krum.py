"""Multi-Krum, the variant of Blanchard et al. with m = n - f.

Score of client i: sum of its squared L2 distances to its ``n - f - 2`` nearest *others* (at least one). The n - f
clients of lowest score are averaged; equal scores: the smaller client id first. Guarantee of Krum (m = 1): Byzantine
resilience for ``n > 2f + 2``; for m = n - f it is empirical. f = 0 selects everybody and is the mean.

Other variants in use choose differently: n - f - 1 or n - f nearest counting oneself (byzfl), sums over all others (p2pfl),
re-scoring after each pick. Distances are exact integers of the 13-bit image (`aggregation.gram`). O(n²) per
coordinate. Blanchard, El Mhamdi, Guerraoui, Stainer, NeurIPS 2017, section 4.
"""

from __future__ import annotations

from aggregation.gram import Gram, squared_distances
from aggregation.stages import Ranks, Rule, View


def scores(gram: Gram, f: int) -> list[int]:
    """Krum scores, in the Gram matrix's units."""
    neighbours = max(len(gram) - f - 2, 1)
    return [
        sum(sorted(distance for j, distance in enumerate(row) if j != i)[:neighbours])
        for i, row in enumerate(squared_distances(gram))
    ]


def plan(view: View) -> Ranks:
    """The n - f rows of lowest score, all ranks."""
    ranked = scores(view.distances, view.f)
    chosen = sorted(range(view.n), key=lambda i: (ranked[i], i))[: view.n - view.f]
    return Ranks(tuple(sorted(chosen)), 0, view.n - view.f)


def tolerates(n: int) -> int:
    """Largest f with ``n > 2f + 2``, or 0."""
    return max((n - 3) // 2, 0)


RULE = Rule("multi_krum", "n > 2f + 2 or f = 0", tolerates, plan, uses_gram=True)

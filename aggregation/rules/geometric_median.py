"""Geometric median (RFA): the point of least summed distance to all updates.

Smoothed Weiszfeld iterations ``z ← Σ β_i x_i / Σ β_i, β_i = 1 / max(ν, ‖x_i - z‖)``, from the mean, at most 32, with ν a
thousandth of the lower median distance. z is always a combination of the updates, so the iterations run on the Gram matrix alone::

    W²·‖x_i - z‖² = W²·G_ii - 2W·Σ_j a_j G_ij + Σ_jk a_j a_k G_jk        z = Σ a_j x_j / W

in Python integers; the weights a_j are rounded to a sum of about 2^20 each time, and the last ones are carried out exactly. f is not
used; breakdown point 1/2. Pillutla, Kakade, Harchaoui, arXiv 1912.13445 (algorithm 2); Weiszfeld 1937. O(n²) per coordinate for the
distances, O(n²) an iteration.
"""

from __future__ import annotations

from math import isqrt

from aggregation.gram import Gram
from aggregation.stages import MAX_WEIGHT, Rule, View, Weighted, below_half

ITERATIONS = 32
_SMOOTHING = 1_000  # ν is the median distance over this
_PRECISION = 1 << 64  # distances are compared after scaling them to integers of at least this size


def squared_distances_to(gram: Gram, weights: list[int], total: int) -> list[int]:
    """``total² · ‖x_i - Σ_j weights_j x_j / total‖²`` for every row."""
    towards = [sum(w * g for w, g in zip(weights, row, strict=True)) for row in gram]
    own = sum(w * t for w, t in zip(weights, towards, strict=True))
    return [total * total * gram[i][i] - 2 * total * towards[i] + own for i in range(len(gram))]


def plan(view: View) -> Weighted:
    """Weights of the last iteration."""
    n = view.n
    weights, total = [1] * n, n
    for _ in range(ITERATIONS):
        distances = [isqrt(_PRECISION * squared) for squared in squared_distances_to(view.distances, weights, total)]
        floor = max(sorted(distances)[(n - 1) // 2] // _SMOOTHING, 1)
        inverses = [(1 << 128) // max(distance, floor) for distance in distances]
        # at most 2^20 in all, since each is rounded down
        changed = [inverse * MAX_WEIGHT // sum(inverses) for inverse in inverses]
        if changed == weights:
            break
        weights, total = changed, sum(changed)
    return Weighted(tuple(weights), total)


RULE = Rule("geometric_median", "n > 2f", below_half, plan, uses_gram=True)

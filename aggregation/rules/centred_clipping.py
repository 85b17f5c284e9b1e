"""Centred clipping.

``v ← v + (1/n) Σ_i (x_i - v) · min(1, τ / ‖x_i - v‖)``, five times from v = 0 (updates are differences to the parent model, so
0 is "no change"), with τ the lower median of the updates' norms; in the paper v starts at the last aggregate and τ is a
constant of the operator's. v stays a combination of the updates, so everything is decided on the Gram matrix, in integers
(coefficients in units of 2^-20, clip factors of 2^-16). Useful for ``n > 2f``; its proof wants f/n ≤ 0.1.
Karimireddy, He, Jaggi, ICML 2021. O(n²) per coordinate for the distances.
"""

from __future__ import annotations

from math import isqrt

from aggregation.kernels_numpy import ONE
from aggregation.rules.geometric_median import squared_distances_to
from aggregation.stages import MAX_WEIGHT, Rule, View, Weighted, below_half

ITERATIONS = 5


def plan(view: View) -> Weighted:
    """Coefficients of the last v."""
    gram, n = view.distances, view.n
    bound = sorted(row[i] for i, row in enumerate(gram))[(n - 1) // 2] * MAX_WEIGHT * MAX_WEIGHT
    weights = [0] * n
    for _ in range(ITERATIONS):
        distances = squared_distances_to(gram, weights, MAX_WEIGHT)
        factors = [ONE if d <= bound else isqrt(bound * ONE * ONE // d) for d in distances]
        kept = n * ONE - sum(factors)
        weights = [
            (weight * kept + factor * MAX_WEIGHT) // (n * ONE) for weight, factor in zip(weights, factors, strict=True)
        ]
    return Weighted(tuple(weights), MAX_WEIGHT)


RULE = Rule("centred_clipping", "n > 2f", below_half, plan, uses_gram=True)

"""Weighted mean: FedAvg as published.

``out = Σ_i w_i x_i / Σ_i w_i`` with integers ``w_i ≥ 0``, ``1 ≤ Σ w_i ≤ 2^20``; exact in fixed point, one division at the end.
Breakdown point 0, and whoever reports its own weight is its own amplifier: take weights from records (stake, audited counts),
never from the update. O(n) per coordinate. McMahan et al., AISTATS 2017.
"""

from __future__ import annotations

from aggregation.errors import AggregationError
from aggregation.stages import MAX_WEIGHT, Rule, View, Weighted


def plan(view: View) -> Weighted:
    """The given weights; behind steps that merge rows, equal ones are all there is.

    Raises:
        AggregationError: no weights, a negative one, or a sum out of range.
    """
    weights = view.weights
    total = sum(weights)
    if len(weights) != view.n or min(weights) < 0 or not 1 <= total <= MAX_WEIGHT:
        raise AggregationError(
            f"weighted_mean needs an integer weight ≥ 0 for each of the {view.n} rows, their sum within 1..{MAX_WEIGHT}; "
            f"got {len(weights)} with sum {total}.",
            hint="Pass weights={client: integer}; scale large ones down. Bucketing and norm_bound do not go with weights.",
        )
    return Weighted(weights, total)


RULE = Rule("weighted_mean", "f ≤ n (and withstands nobody)", lambda n: n, plan, guard=lambda _n, _f: 0)

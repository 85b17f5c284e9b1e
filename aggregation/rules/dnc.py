"""Divide and conquer (DnC): drop the f rows that stand out most along the direction of largest spread.

The n - f rows with the smallest ``⟨x_i - μ, u⟩²`` are averaged, u the top principal direction of all rows and μ their mean; equal
scores: the smaller client id stays. The variant: one pass over all coordinates (the paper repeats on random subsets of
them and intersects), dropping 1·f. By duality ``⟨x_i - μ, u⟩ ∝ v_i``, v the top eigenvector of the centred Gram matrix:
64 power iterations on Python integers, from the row of largest spread (where the two largest spreads are nearly equal, the
direction may be a mixture of both). For ``n > 2f``. Shejwalkar & Houmansadr, NDSS 2021. O(n²) per coordinate for the distances.
"""

from __future__ import annotations

from aggregation.gram import Gram
from aggregation.stages import Ranks, Rule, View, below_half

ITERATIONS = 64
_BITS = 64  # of the iterated vector's largest entry


def principal(gram: Gram) -> list[int]:
    """Top eigenvector of the centred Gram matrix, up to a factor; all zero if the rows are equal."""
    n = len(gram)
    sums = [sum(row) for row in gram]
    everything = sum(sums)
    centred = [[n * n * gram[i][j] - n * (sums[i] + sums[j]) + everything for j in range(n)] for i in range(n)]
    vector = list(max(centred, key=lambda row: max(map(abs, row))))
    for _ in range(ITERATIONS):
        excess = max(max(map(abs, vector)).bit_length() - _BITS, 0)
        # towards zero, so that the sign of the start does not matter
        vector = [x >> excess if x >= 0 else -(-x >> excess) for x in vector]
        vector = [sum(a * b for a, b in zip(row, vector, strict=True)) for row in centred]
    return vector


def plan(view: View) -> Ranks:
    """The n - f rows nearest to the mean along the principal direction."""
    spread = principal(view.distances)
    chosen = sorted(range(view.n), key=lambda i: (abs(spread[i]), i))[: view.n - view.f]
    return Ranks(tuple(sorted(chosen)), 0, view.n - view.f)


RULE = Rule("dnc", "n > 2f", below_half, plan, uses_gram=True)

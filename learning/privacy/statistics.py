"""How well a score tells members from others: AUC and true-positive rate at a low false-positive rate, with 95 % intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.errors import DataError

Scores = NDArray[np.float64]
_Z = 1.959963984540054  # standard normal, 97.5 %


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


def auc(members: Scores, others: Scores) -> Estimate:
    """P(member's score > other's) + ½·P(equal), with DeLong's interval.

    Args:
        members: scores of examples that were trained on; higher means more like a member. Shape (m,).
        others: scores of examples that were not, shape (n,).

    The variance is S₁₀/m + S₀₁/n of the placement values (DeLong et al. 1988). Where all placements are equal (perfect separation) it
    would be 0; the interval then is that of a share of min(m, n) trials (rule of three).

    Raises:
        DataError: fewer than two of either, or a score that is not a number.
    """
    m, n = len(members), len(others)
    if min(m, n) < 2:
        raise DataError(f"{m} members and {n} others were given; at least two of each are needed.")
    if not (np.isfinite(members).all() and np.isfinite(others).all()):
        raise DataError("A score is not finite.", why="The model gives losses that are no numbers.")
    below, upto = (np.searchsorted(np.sort(others), members, side=side) for side in ("left", "right"))
    placed = (below + upto) / (2 * n)
    under, through = (np.searchsorted(np.sort(members), others, side=side) for side in ("left", "right"))
    placed_others = 1 - (under + through) / (2 * m)
    value = float(placed.mean())
    error = math.sqrt(float(placed.var(ddof=1)) / m + float(placed_others.var(ddof=1)) / n)
    if error == 0:
        slack = 3 / min(m, n)
        return Estimate(value, max(0.0, value - slack), min(1.0, value + slack))
    return Estimate(value, max(0.0, value - _Z * error), min(1.0, value + _Z * error))


def tpr_at_fpr(members: Scores, others: Scores, fpr: float = 0.01) -> Estimate:
    """Largest share of members found while at most ``fpr`` of the others are taken for members; Clopper–Pearson interval.

    The threshold is the least score that ⌊fpr·n⌋ others exceed; with fewer than 1/fpr others it must lie above all of them. The interval is
    that of the share for this threshold; the threshold's own uncertainty is not in it.

    Raises:
        DataError: no scores on one side.
    """
    m, n = len(members), len(others)
    if min(m, n) < 1:
        raise DataError(f"{m} members and {n} others were given; at least one of each is needed.")
    threshold = np.sort(others)[::-1][math.floor(fpr * n)]
    return proportion(int((members > threshold).sum()), m)


def proportion(hits: int, trials: int) -> Estimate:
    """hits/trials with the exact interval of Clopper & Pearson 1934."""
    from scipy.stats import beta  # noqa: PLC0415 - a second of import

    low = 0.0 if hits == 0 else float(beta.ppf(0.025, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(beta.ppf(0.975, hits + 1, trials - hits))
    return Estimate(hits / trials, low, high)


def mean(values: Scores) -> Estimate:
    """Mean with a normal interval from the sample's own deviation; of one value alone the interval is unbounded."""
    if len(values) == 0:
        raise DataError("There is no value to take the mean of.")
    value = float(np.mean(values))
    if len(values) == 1:
        return Estimate(value, -math.inf, math.inf)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(value, value - _Z * error, value + _Z * error)

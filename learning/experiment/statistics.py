"""Means over seeds with t intervals, and comparisons paired by seed. Standard library only."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over n values and the half-width of its 95 % confidence interval, None for fewer than two values."""

    mean: float
    half_width: float | None
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.half_width is not None and abs(self.mean) > self.half_width


@dataclass(frozen=True, slots=True)
class Paired:
    """Second minus first, over the seeds that both have.

    Attributes:
        difference: its mean and interval.
        better: seeds in which the second is larger.
        seeds: seeds compared.
    """

    difference: Estimate
    better: int
    seeds: tuple[int, ...]


def estimate(values: Sequence[float]) -> Estimate:
    """mean ± t₀.₉₇₅(n − 1)·s/√n with s the sample standard deviation; the values must be independent and near normal."""
    n = len(values)
    mean = statistics.fmean(values)
    if n < 2:
        return Estimate(mean, None, n)
    return Estimate(mean, t_quantile(0.975, n - 1) * statistics.stdev(values) / math.sqrt(n), n)


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Paired | None:
    """Values by seed; None if they share no seed. What differs between seeds but not between the two cancels out."""
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    differences = [second[seed] - first[seed] for seed in seeds]
    return Paired(estimate(differences), sum(d > 0 for d in differences), tuple(seeds))


def t_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t with ``freedom`` ≥ 1 degrees, for 0.5 ≤ ``probability`` < 1, by bisection of `t_cdf`."""
    low, high = 0.0, 1.0
    while t_cdf(high, freedom) < probability:
        high *= 2
    while high - low > _TOLERANCE * max(1.0, high):
        middle = (low + high) / 2
        if t_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def t_cdf(t: float, freedom: int) -> float:
    """P(T ≤ t) for integer degrees of freedom, by the finite sums of Abramowitz & Stegun 26.7.3 and 26.7.4."""
    theta = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    if freedom % 2 == 0:
        term, total = 1.0, 1.0
        for k in range(1, freedom // 2):
            term *= (2 * k - 1) / (2 * k) * cosine**2
            total += term
        return (1 + sine * total) / 2
    term, total = cosine, cosine if freedom > 1 else 0.0
    for k in range(1, (freedom - 1) // 2):
        term *= 2 * k / (2 * k + 1) * cosine**2
        total += term
    return (1 + 2 / math.pi * (theta + sine * total)) / 2

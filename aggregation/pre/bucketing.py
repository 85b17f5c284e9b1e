"""Bucketing: average s random updates at a time, then aggregate the ``⌈n/s⌉`` means.

``bucketing(s=2)``, s = 2 by default. Order: the clients sorted by SHA-256 of (round seed, client id), so everybody draws the same
buckets and nobody can choose its neighbours if the seed is drawn after the updates are committed. The last bucket may be smaller;
all are weighted so that each row is a true mean. f faulty clients can spoil f buckets, so the rule behind it needs ``⌈n/s⌉ > 2f``.
Lowers the spread of heterogeneous updates by s; measured weaker than nnm here (docs/aggregation.md). Karimireddy, He, Jaggi, ICLR
2022 (s-resampling without replacement).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from math import lcm

from aggregation.errors import AggregationError
from aggregation.stages import Combine, PreAggregation, View, below_half

MAX_SIZE = 32  # lcm of two bucket sizes stays below 2^10


def _sizes(n: int, parameters: Mapping[str, Fraction]) -> list[int]:
    size = parameters["s"]
    if size.denominator != 1 or not 1 <= size <= MAX_SIZE:
        raise AggregationError(f"bucketing(s={size}) cannot be, s is a whole number from 1 to {MAX_SIZE}.")
    whole = int(size)
    return [min(whole, n - start) for start in range(0, n, whole)]


def plan(view: View) -> Combine:
    """Rows that are means of s clients."""
    order = sorted(range(view.n), key=lambda i: (hashlib.sha256(view.seed + view.ids[i]).digest(), i))
    sizes = _sizes(view.n, view.parameters)
    common = lcm(*sizes)
    matrix, start = [], 0
    for size in sizes:
        members = set(order[start : start + size])
        matrix.append(tuple(common // size if i in members else 0 for i in range(view.n)))
        start += size
    return Combine(tuple(sorted(matrix, reverse=True)), common)  # in order of their first clients: s=1 changes nothing


def growth(n: int, parameters: Mapping[str, Fraction]) -> int:
    """Rows come out up to lcm of the bucket sizes times as large."""
    return lcm(*_sizes(n, parameters))


def after(n: int, f: int, parameters: Mapping[str, Fraction]) -> tuple[int, int]:
    """⌈n/s⌉ rows, still f of them spoilt."""
    return len(_sizes(n, parameters)), f


PRE_AGGREGATION = PreAggregation(
    "bucketing",
    "n > 2f",
    below_half,
    plan,
    growth=growth,
    after=after,
    parameters={"s": Fraction(2)},
    uses_gram=False,
)

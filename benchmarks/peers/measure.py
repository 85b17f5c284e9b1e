"""Timing of two calls in turn, the figures derived from it, and the goals they are held to.

Seconds are of the process's CPU time where a name says ``cpu``, elapsed time where it says ``wall``. Nothing here knows the libraries.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

FORMULAS = {
    "ratio_cpu": "median over pairs of peer CPU seconds / our CPU seconds, one thread each, the calls in turn in one process; "
    "ours writes to arrays made before (as the copy does), the peers have no such option",
    "ratio_wall": "the same with elapsed time; on rows of 2 threads: our elapsed time with 1 thread / with 2 threads",
    "percent_of_copy_bandwidth": "100 · ((n + 1) · 4 · p / our CPU seconds) / (2 · size / CPU seconds of a copy), median over pairs; "
    "size: bytes of the copied array; the faster of numpy and torch; on rows of 2 threads with elapsed time",
    "peak_extra_bytes": "peak RssAnon of a fresh process during the call, minus before it; inputs memory-mapped; the result is counted",
    "sha256_equal": "our bytes are equal for given and reversed order, 1 and 2 threads, two tile widths, numpy and numba kernels",
    "peer_orders_equal": "the peer's bytes are equal for four orders of the clients, on the first peer_orders_p parameters",
    "max_difference": "largest |ours − peer| of a coordinate, where both compute the same variant",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """One call's seconds."""

    cpu: float
    wall: float


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: ours, the peer's and the copy's seconds, taken directly after one another."""

    ours: Cost
    peer: Cost
    copy: Cost


def timed(call: Callable[[], object]) -> Cost:
    """Seconds of one call; its result is freed outside the clock."""
    gc.collect()
    gc.disable()
    try:
        wall, cpu = perf_counter(), process_time()
        kept = call()
        cost = Cost(process_time() - cpu, perf_counter() - wall)
    finally:
        gc.enable()
    del kept
    return cost


def turns(seconds: float, most: int = 5) -> int:
    """How many turns for a call that took ``seconds`` on warming up: fewer where it takes over 5 s."""
    if seconds > 40:
        return 1
    return min(most, 2) if seconds > 5 else most


def middle(values: Sequence[float]) -> float:
    """Median."""
    return float(statistics.median(values))


def ratio_cpu(taken: Sequence[Turn]) -> float:
    """`FORMULAS`."""
    return middle([turn.peer.cpu / turn.ours.cpu for turn in taken])


def ratio_wall(taken: Sequence[Turn]) -> float:
    """`FORMULAS`."""
    return middle([turn.peer.wall / turn.ours.wall for turn in taken])


def percent_of_copy(n: int, p: int, seconds: float, copied: int, copy_seconds: float) -> float:
    """Reading n float32 updates of p and writing one, against copying ``copied`` bytes (which moves twice that)."""
    return 100 * ((n + 1) * 4 * p / seconds) / (2 * copied / copy_seconds)


@dataclass(frozen=True, slots=True)
class Row:
    """One measured line; what was not measured is None. The fields are those of the JSON (`FORMULAS`)."""

    n: int
    p: int
    rule: str
    f: int
    peer: str
    threads: int = 1
    pairs: int = 0
    ours_cpu_s: float | None = None
    ours_wall_s: float | None = None
    peer_cpu_s: float | None = None
    peer_wall_s: float | None = None
    ratio_cpu: float | None = None
    ratio_wall: float | None = None
    copy_gb_per_cpu_s: float | None = None
    percent_of_copy_bandwidth: float | None = None
    peak_extra_bytes: int | None = None
    output_bytes: int | None = None
    sha256_equal: bool | None = None
    peer_orders_equal: bool | None = None
    peer_orders_p: int | None = None
    max_difference: float | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """``field`` of every row that matches is at least (or, ``at_most``, at most) ``bound``."""

    text: str
    n: int
    p: int
    rules: tuple[str, ...]
    peers: tuple[str, ...]
    field: str
    bound: float
    at_most: bool = False

    def values(self, rows: Sequence[Row]) -> list[float]:
        """What was measured for it."""
        return [
            float(value)
            for row in rows
            if row.n == self.n and row.p == self.p and row.threads == 1
            if row.rule in self.rules and row.peer in self.peers
            if (value := getattr(row, self.field)) is not None
        ]

    def verdict(self, rows: Sequence[Row]) -> tuple[str, float | None]:
        """``met``, ``missed`` or ``not measured``, with the value furthest from the goal's good side."""
        values = self.values(rows)
        if len(values) < len(self.rules) * len(self.peers):
            return "not measured", None
        worst = max(values) if self.at_most else min(values)
        return ("met" if (worst <= self.bound if self.at_most else worst >= self.bound) else "missed"), worst


_BIG, _WIDE = (10, 10_000_000), (50, 1_000_000)
_ORDER = ("median", "trimmed_mean")
_BOTH = ("flwr", "byzfl-torch")
_FREE = 64 << 20
MEMORY = "(memory)"  # stands for a peer on rows of memory alone
GOALS = (
    *(Goal(f"{rule} ≥ 40 × {peer}", *_BIG, (rule,), (peer,), "ratio_cpu", 40) for rule in _ORDER for peer in _BOTH),
    Goal("mean ≥ 10 × flwr", *_BIG, ("mean",), ("flwr",), "ratio_cpu", 10),
    *(
        Goal(f"{rule} ≥ 60 % of copy bandwidth", *_BIG, (rule,), ("flwr",), "percent_of_copy_bandwidth", 60)
        for rule in ("mean", *_ORDER)
    ),
    *(Goal(f"krum ≥ 20 × {peer}", *_BIG, ("krum",), (peer,), "ratio_cpu", 20) for peer in _BOTH),
    *(Goal(f"{rule} ≥ 15 × {peer}", *_WIDE, (rule,), (peer,), "ratio_cpu", 15) for rule in _ORDER for peer in _BOTH),
    *(
        Goal(f"{rule} ≤ output + 64 MiB", n, p, (rule,), (MEMORY,), "peak_extra_bytes", 4 * p + _FREE, at_most=True)
        for n, p in (_BIG, (50, 10_000_000))
        for rule in ("median", "arc+nnm+trimmed_mean")
    ),
)

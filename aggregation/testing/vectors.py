"""Golden vectors: inputs from a generator that any language can retype, outputs as SHA-256.

``python -m aggregation.testing.vectors > tests/vectors/aggregation.json`` writes the file; do that only when the
arithmetic is meant to change, since a change here splits a running community.

Generator: xorshift64* (Vigna 2016). State starts at ``0x9E3779B97F4A7C15 ^ seed``; every draw does ``x ^= x>>12;
x ^= x<<25; x ^= x>>27`` and returns ``x · 0x2545F4914F6CDD1D mod 2^64``. A draw r becomes the float
``(r>>40 - 2^23) · 2^(-23 + e)``: 24 bits, exact, uniform in ``[-2^e, 2^e)``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np

from aggregation import bundle, outer
from aggregation.bundle import Schema, Vector
from aggregation.gram import similarity_ppm
from aggregation.registry import parse

MASK = (1 << 64) - 1
SCHEMA: Schema = (("a.bias", (7,)), ("a.weight", (7, 33)), ("scale", ()), ("t", (2500,)), ("z", (3, 1, 5)))
EXPONENTS = {"a.bias": -3, "a.weight": -9, "scale": 2, "t": -6, "z": -40}
OUTLIERS = {"t": (1024, 2048, 9)}  # the second of three groups is 2^9 times larger in every third update
PIPELINES = (
    "mean",
    "weighted_mean",
    "median",
    "trimmed_mean",
    "meamed",
    "krum",
    "multi_krum",
    "bulyan",
    "geometric_median",
    "centred_clipping",
    "norm_clip+dnc",
    "norm_clip+mean",
    "clip(c=0.5)+mean",
    "norm_bound(c=20)+trimmed_mean",
    "bucketing(s=3)+median",
    "nnm+median",
    "arc+trimmed_mean",
    "arc+nnm+trimmed_mean",
)
COUNTS = (1, 2, 3, 5, 10, 17)
OUTER_STEPS = (
    outer.OuterStep("sgd", 0.7),
    outer.OuterStep("momentum", 0.7, momentum=0.9),
    outer.OuterStep("adam", 0.01, momentum=0.9, second_momentum=0.99, epsilon=1e-6),
)


def xorshift(seed: int) -> Iterator[int]:
    """Draws of 64 bits."""
    state = 0x9E3779B97F4A7C15 ^ seed
    while True:
        state ^= state >> 12
        state = (state ^ (state << 25)) & MASK
        state ^= state >> 27
        yield state * 0x2545F4914F6CDD1D & MASK


def tensors(seed: int, *, louder: int = 0, outlier: bool = False) -> dict[str, Vector]:
    """One update of `SCHEMA`; ``louder`` adds to every exponent, ``outlier`` to those of `OUTLIERS`."""
    draws = xorshift(seed)
    made: dict[str, Vector] = {}
    for name, shape in SCHEMA:
        size = bundle.size_of(((name, shape),))
        integers = np.array([(draw >> 40) - (1 << 23) for draw in islice(draws, size)], np.float64)
        made[name] = (integers * 2.0 ** (-23 + EXPONENTS[name] + louder)).astype(np.float32).reshape(shape)
        if outlier and name in OUTLIERS:
            start, stop, exponent = OUTLIERS[name]
            made[name][start:stop] *= np.float32(2.0**exponent)
    return made


def updates(count: int, seed: int) -> dict[bytes, dict[str, Vector]]:
    """``count`` updates; ids descend while indices ascend, every fifth is 2^6 times larger (and saturates)."""
    return {
        bytes([255 - index]): tensors(seed * 1000 + index, louder=6 if index % 5 == 4 else 0, outlier=index % 3 == 2)
        for index in range(count)
    }


def arguments(count: int) -> dict[str, Any]:
    """What some pipelines need besides updates: weights (client i of `updates` has ``i² + 1``) and a seed."""
    return {"weights": {bytes([255 - i]): i * i + 1 for i in range(count)}, "seed": b"golden"}


def build(kernels: str = "numpy") -> dict[str, Any]:
    """The whole vector file; ``kernels`` must not matter."""
    cases = [_case(text, count, 1, kernels) for text in PIPELINES for count in COUNTS]
    chosen = list(updates(5, 2).values())
    matrix, to_reference = similarity_ppm(chosen, tensors(77), SCHEMA, kernels=kernels)
    new, state = outer.OuterStep("nesterov", 0.7, momentum=0.9).apply(tensors(3), tensors(4), {"velocity": tensors(5)})
    return {
        "generator": "xorshift64*, see aggregation/testing/vectors.py",
        "bundle": {"seed": 1, "sha256": _digest(bundle.encode(tensors(1)))},
        "pipelines": cases,
        "similarity": {"count": 5, "seed": 2, "reference": 77, "matrix": matrix, "to_reference": to_reference},
        "outer": {"new": _digest(bundle.encode(new)), "velocity": _digest(bundle.encode(state["velocity"]))},
        "outer_steps": [_outer_case(step) for step in OUTER_STEPS],
    }


def _case(text: str, count: int, seed: int, kernels: str) -> dict[str, Any]:
    result = parse(text).aggregate(updates(count, seed), SCHEMA, kernels=kernels, **arguments(count))
    return {
        "pipeline": text,
        "count": count,
        "seed": seed,
        "f": result.report.f,
        "sha256": _digest(bundle.encode(result.tensors)),
    }


def _outer_case(step: outer.OuterStep) -> dict[str, Any]:
    """Two steps: the first makes the state, the second goes on from it."""
    first, state = step.apply(tensors(3), tensors(4))
    new, state = step.apply(first, tensors(5), state)
    return {
        **asdict(step),
        "new": _digest(bundle.encode(new)),
        **{slot: _digest(bundle.encode(kept)) for slot, kept in state.items()},
    }


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    json.dump(build(), sys.stdout, indent=1)
    sys.stdout.write("\n")

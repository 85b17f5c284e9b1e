"""A measured round of economics.py as a value and as a file; needs no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """One round of one seed.

    Attributes:
        seed: of the federation.
        number: of the round, from 1.
        names: candidates: ``honest-0`` … and the strategies.
        losses: by (eta, slice size): nats, (1 + candidates, slices, rows); the first is the look-ahead base.
        cosines: ppm, between candidates.
        to_last: ppm, to the last aggregate.
        to_previous: ppm, (candidates, honest clients): to the updates revealed in the round before.
        norms: L2, of candidates.
        lookahead: multiple of the last aggregate that was the base.
        along: multiple of the steward's public update that the base was moved by besides.
        accepted: honest clients that entered the aggregate.
    """

    seed: int
    number: int
    names: tuple[str, ...]
    losses: Mapping[tuple[float, int], Matrix]
    cosines: NDArray[np.int64]
    to_last: NDArray[np.int64]
    to_previous: NDArray[np.int64]
    norms: Matrix
    lookahead: float
    along: float
    accepted: tuple[int, ...]


def read(path: Path, seed: int, number: int) -> Measured:
    """A round from its file."""
    with np.load(path) as found:
        keyed = {tuple(name.split("|")): found[name] for name in found.files if "|" in name}
        return Measured(
            seed=seed,
            number=number,
            names=tuple(found["names"].tolist()),
            losses={(float(eta), int(size)): array for (eta, size), array in keyed.items()},
            cosines=found["cosines"],
            to_last=found["to_last"],
            to_previous=found["to_previous"],
            norms=found["norms"],
            lookahead=float(found["lookahead"]),
            along=float(found["along"]),
            accepted=tuple(found["accepted"].tolist()),
        )

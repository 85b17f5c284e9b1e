"""Code search as a learning task of robustness.py: the demo's MiniLM with LoRA, its settings, clients on disjoint installed packages.

Slow: one client's training takes seconds. So two rounds, and what cases share is kept: an update depends on seed, model, round and client
alone, and in the first round every case starts from one model.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aggregation import bundle
from benchmarks import demo_learning
from learning.device import single_threaded
from learning.evaluation import score_updates
from learning.models.encoder import base_model_hash, trainable
from learning.models.installed import find_base_model
from learning.spec import LearningSpec

Matrix = NDArray[np.float32]
Vector = NDArray[np.float32]

METRIC, KEY = "MRR on code search (%)", "mrr"
PACKAGES = ("numpy", "torch", "transformers", "peft")
BASE_MODEL = "all-MiniLM-L6-v2"
COLOURS = (25.0, 36.0)  # worst and best colour of the picture


@dataclasses.dataclass(frozen=True)
class Settings:
    """As the demo's, but for number of clients and rounds.

    Attributes:
        clients: how many; each needs an installed package of its own to train on.
        rounds: rounds.
        pool: pairs a client may have.
        benchmark: pairs of the public benchmark, the metric's.
        slice: pairs of a sealed slice.
        outer_rate: of the aggregate.
        cache: folder of extracted pairs.
    """

    clients: int = 10
    rounds: int = 2
    pool: int = 800
    benchmark: int = 500
    slice: int = 128
    outer_rate: float = 0.8
    cache: str = "build/cache/pairs"


class Task:
    """One seed's federation; see `robustness.World`."""

    key = KEY

    def __init__(self, settings: Settings, seed: int) -> None:
        single_threaded()
        torch.use_deterministic_algorithms(True)
        self.seed, self.n, self.rounds = seed, settings.clients, settings.rounds
        self.spec = LearningSpec(base_hash=base_model_hash(find_base_model(BASE_MODEL, None)), model=BASE_MODEL)
        self.outer_rate, self.max_norm = settings.outer_rate, self.spec.max_norm
        chosen = demo_learning.Settings(
            nodes=settings.clients,
            attackers=0,
            rounds=settings.rounds,
            pool=settings.pool,
            benchmark=settings.benchmark,
            slice=settings.slice,
            cache=Path(settings.cache),
        )
        self.federation = demo_learning.Federation(self.spec, chosen, seed)
        start = trainable(self.federation.genesis)
        self.schema = bundle.schema_of(start)
        self.genesis: Vector = bundle.flatten(start, self.schema)
        self._updates: dict[tuple[bytes, int, int], Vector] = {}
        self._metrics: dict[bytes, float] = {}

    def updates(self, model: Vector, number: int, count: int, *, flipped: bool = False) -> Matrix:
        """Local training of the first ``count`` clients."""
        if flipped:
            raise ValueError("code search has no labels to flip")
        key, checkpoint = _key(model), self._checkpoint(model)
        for client in range(count):
            if (key, number, client) not in self._updates:
                update = self.federation.update(checkpoint, client, number)
                self._updates[key, number, client] = bundle.flatten(update, self.schema)
        return np.stack([self._updates[key, number, client] for client in range(count)])

    def gains(self, model: Vector, last: Vector | None, number: int) -> Callable[[Matrix], list[int]]:
        """Raw gains in ppm on this round's slice."""

        def raw(updates: Matrix) -> list[int]:
            return score_updates(
                self.federation.model,
                self._checkpoint(model),
                None if last is None else bundle.unflatten(last, self.schema),
                [bundle.unflatten(row, self.schema) for row in updates],
                self.federation.slices[number - 1],
                eta=self.spec.eta,
                grid=self.spec.lookahead,
            )

        return raw

    def metric(self, model: Vector) -> float:
        """Mean reciprocal rank on the public benchmark, percent."""
        key = _key(model)
        if key not in self._metrics:
            self._metrics[key] = 100 * self.federation.mrr(self._checkpoint(model))
        return self._metrics[key]

    def _checkpoint(self, model: Vector) -> dict[str, NDArray[np.float32]]:
        return {**self.federation.genesis, **bundle.unflatten(model, self.schema)}


def _key(model: Vector) -> bytes:
    return hashlib.sha256(model.tobytes()).digest()

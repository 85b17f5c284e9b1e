"""The peers' calls: Flower's `flwr.server.strategy.aggregate` and byzfl's torch aggregators on the inputs that ours gets.

Flower takes lists of layers with a number of examples (equal here, so that its weighted mean is the mean); byzfl takes flat tensors.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from flwr.common import ndarrays_to_parameters
from flwr.server.strategy import aggregate as flower
from numpy.typing import NDArray

Vector = NDArray[np.float32]
LAYERS = 20
EXAMPLES = 100  # per client, equal
_ABOVE = 1e-9  # Flower cuts int(share · n): keeps 0.2 · 10 from becoming 1


@dataclass(frozen=True, slots=True)
class Peer:
    """Another library's rule.

    Attributes:
        name: as in the results.
        call: of the updates in the order given.
        same: whether it computes the variant that ours does, so that results can be compared.
        bytes: rough peak beyond the inputs; the case is left out where the machine has less.
    """

    name: str
    call: Callable[[Sequence[Vector]], object]
    same: bool
    bytes: int = 0


def layers_of(update: Vector) -> list[Vector]:
    """`LAYERS` views of almost equal size."""
    return np.array_split(update, LAYERS)


def flat(result: object) -> Vector:
    """A peer's result as one vector."""
    if isinstance(result, torch.Tensor):
        return np.asarray(result.numpy())
    assert isinstance(result, list)
    return np.concatenate([np.asarray(layer) for layer in result])


def _byzfl_modules() -> tuple[ModuleType, ModuleType]:
    """byzfl's aggregators without its package's own imports, which want torchvision."""
    spec = importlib.util.find_spec("byzfl")
    if spec is None:
        raise SystemExit("byzfl is not installed here: run benchmarks/peers/setup.sh and use its environment.")
    sys.modules.setdefault("byzfl", importlib.util.module_from_spec(spec))
    rules = importlib.import_module("byzfl.aggregators.aggregators")
    return rules, importlib.import_module("byzfl.aggregators.preaggregators")


def _results(updates: Sequence[Vector]) -> list[tuple[list[Vector], int]]:
    return [(layers_of(update), EXAMPLES) for update in updates]


def _on_tensors(rule: Callable[[Any], object]) -> Callable[[Sequence[Vector]], object]:
    return lambda updates: rule([torch.from_numpy(update) for update in updates])


class _Serialised:
    """Flower's default FedAvg path: parameters as received, decoded and added in place. Serialised once, outside the clock."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], list[Any]] = {}

    def __call__(self, updates: Sequence[Vector]) -> object:
        key = tuple(id(update) for update in updates)
        if key not in self._known:
            parameters = [ndarrays_to_parameters(list(layers_of(update))) for update in updates]
            self._known = {key: [(None, SimpleNamespace(parameters=p, num_examples=EXAMPLES)) for p in parameters]}
        return flower.aggregate_inplace(self._known[key])


def _flower(n: int, f: int) -> dict[str, tuple[Callable[[Any], object], int]]:
    """By our names: Flower's function of its results, and its rough memory in units of the inputs'."""
    cut = f / n + _ABOVE

    def bulyan(results: Any) -> object:
        return flower.aggregate_bulyan(results, f, flower.aggregate_krum, to_keep=0)

    return {
        "mean": (flower.aggregate, 2),
        "median": (flower.aggregate_median, 1),
        "trimmed_mean": (lambda results: flower.aggregate_trimmed_avg(results, cut), 1),
        "krum": (lambda results: flower.aggregate_krum(results, f, 0), 2),
        "multi_krum": (lambda results: flower.aggregate_krum(results, f, n - f), 3),
        "bulyan": (bulyan, 3),
    }


def _byzfl(n: int, f: int) -> dict[str, tuple[Callable[[Any], object], int, bool]]:
    """By our names: byzfl's function of a list of tensors, its rough memory, and whether it computes our variant."""
    rules, before = _byzfl_modules()

    def clipped(vectors: Any) -> object:
        afresh = rules.CenteredClipping()  # keeps its result as the next call's start
        return afresh(vectors)

    def mixed(vectors: Any) -> object:
        return rules.TrMean(f)(before.NNM(f)(before.ARC(f)(vectors)))

    return {
        "mean": (rules.Average(), 2, True),
        "median": (rules.Median(), 5, True),
        "trimmed_mean": (rules.TrMean(f), 5, True),
        "krum": (rules.Krum(f), 2, False),
        "multi_krum": (rules.MultiKrum(f), 3, False),
        "geometric_median": (rules.GeometricMedian(), 3, False),
        "meamed": (rules.Meamed(f), 8, True),
        "centred_clipping": (clipped, 3, False),
        "arc+nnm+trimmed_mean": (mixed, n - f + 3, True),
    }


def peers(rule: str, n: int, p: int, f: int) -> Iterator[Peer]:
    """The peers of one of our rules, all with the same f."""
    data = 4 * n * p
    if rule in (flowers := _flower(n, f)):
        call, inputs = flowers[rule]
        yield Peer("flwr", lambda updates: call(_results(updates)), same=True, bytes=inputs * data)
    if rule == "mean":
        yield Peer("flwr-inplace", _Serialised(), same=True, bytes=2 * data)
    if rule in (others := _byzfl(n, f)):
        function, inputs, same = others[rule]
        yield Peer("byzfl-torch", _on_tensors(function), same=same, bytes=inputs * data)

"""Federated algorithms: how the clients' results of a round become the next model. Pure; state explicit and serialisable.

With client i's trained model wᵢ, its number of examples nᵢ and the round's start w, the updates are Δᵢ = wᵢ − w (float32), and

    w' = w + outer step(aggregate of the Δᵢ)

| algorithm | client | aggregate | outer step | source |
|---|---|---|---|---|
| ``fedavg`` | – | Σ nᵢ·Δᵢ / Σ nᵢ | 1 | McMahan et al., AISTATS 2017 |
| ``fedprox`` | + μ/2·‖w − w_start‖² | as FedAvg | 1 | Li et al., MLSys 2020 |
| ``fedtrimmedavg`` | – | per coordinate the mean without ⌊β·K⌋ at either end | 1 | Yin et al., ICML 2018 |
| ``fedmedian`` | – | median per coordinate | 1 | Yin et al., ICML 2018 |
| ``fedavgm`` | – | as FedAvg | v' = μ·v + Δ, w' = w + η·v' | Hsu et al., arXiv 1909.06335 |
| ``fedadam`` | – | as FedAvg | Adam without bias correction | Reddi et al., arXiv 2003.00295 |
| ``diloco`` | – | plain mean | Nesterov, η = 0.7, μ = 0.9 | Douillard et al., arXiv 2311.08105 |
| ``rule`` | – | any pipeline of `aggregation.registry` | 1 | there |

All arithmetic is `aggregation`'s canonical one (fixed point inside, float32 outside), so an experiment computes what the network's nodes
would. The first four are those of arXiv 2404.06201, which ran them in Flower; β is Flower's (0.2), ⌊β·K⌋ too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aggregation import bundle
from aggregation.errors import AggregationError, UpdateRejected
from aggregation.outer import OuterStep
from aggregation.registry import Pipeline, parse
from aggregation.stages import MAX_WEIGHT
from learning.errors import SpecError, TrainingDiverged
from learning.learner import State

Tensors = dict[str, NDArray[np.float32]]
_MODEL = "model"


@dataclass(frozen=True, slots=True)
class ServerState:
    """All that lasts from round to round.

    Attributes:
        round: rounds done.
        model: the global model.
        slots: the outer step's state: tensors by slot, then by name.
    """

    round: int
    model: State
    slots: Mapping[str, State] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """A canonical bundle (`aggregation.bundle`) of all tensors, ``slot:name``; equal states give equal bytes."""
        tensors = {f"{_MODEL}:{name}": tensor for name, tensor in self.model.items()}
        tensors |= {f"{slot}:{name}": t for slot, part in self.slots.items() for name, t in part.items()}
        return bundle.encode(tensors)

    @classmethod
    def from_bytes(cls, data: bytes, number: int) -> ServerState:
        """The state that `to_bytes` wrote, after ``number`` rounds.

        Raises:
            UpdateRejected: no bundle of this kind.
        """
        parts: dict[str, Tensors] = {}
        for name, tensor in bundle.decode(data, max_bytes=len(data)).items():
            slot, _, inner = name.partition(":")
            parts.setdefault(slot, {})[inner] = tensor.copy()
        return cls(number, parts.pop(_MODEL, {}), parts)


@dataclass(frozen=True, slots=True)
class ClientResult:
    """A client's part of a round: who, its trained model, and how many distinct examples it trained on."""

    client: int
    state: State
    samples: int


@dataclass(frozen=True)
class Algorithm(ABC):
    """One way to combine. Subclasses are settings: every field is a key of an experiment file."""

    name: ClassVar[str]

    @property
    def prox_mu(self) -> float:
        """FedProx's μ, which the clients apply."""
        return 0.0

    @property
    def outer(self) -> OuterStep:
        """How the aggregate moves the model."""
        return OuterStep("sgd", 1.0)

    @abstractmethod
    def pipeline(self, clients: int) -> Pipeline:
        """The aggregation of ``clients`` updates.

        Raises:
            SpecError: it cannot work with so few.
        """

    def check(self, clients: int) -> None:
        """Refuse what cannot work, before anything is trained.

        Raises:
            SpecError: a setting out of range, or too few clients.
        """
        try:
            _ = self.outer
            self.pipeline(clients).resolve_f(clients)
        except AggregationError as error:
            raise SpecError(
                f"{self.name} cannot combine {clients} client(s): {error.what}", why=error.why, hint=error.hint
            ) from error

    def step(self, state: ServerState, results: Sequence[ClientResult], *, seed: bytes = b"") -> ServerState:
        """One round's end.

        Args:
            state: before; `ServerState.model` is what the clients started from.
            results: of all clients that trained, in any order.
            seed: public randomness, for bucketing.

        Raises:
            SpecError: the aggregation cannot work with so many clients.
            TrainingDiverged: a client's update, or the new model, is not finite.
        """
        self.check(len(results))
        updates = {_key(r.client): _difference(r.state, state.model) for r in results}
        pipeline = self.pipeline(len(results))
        weights = None
        if pipeline.rule.name == "weighted_mean":
            weights = dict(
                zip(map(_key, (r.client for r in results)), _weights([r.samples for r in results]), strict=True)
            )
        try:
            found = pipeline.aggregate(updates, bundle.schema_of(state.model), weights=weights, seed=seed)
            model, slots = self.outer.apply(state.model, found.tensors, state.slots)
        except UpdateRejected as error:
            raise TrainingDiverged(
                f"Round {state.round + 1} of {self.name} gave no finite model.",
                why=str(error),
                hint="Lower the learning rate of the model or of the server.",
            ) from error
        return ServerState(state.round + 1, model, slots)


@dataclass(frozen=True)
class FedAvg(Algorithm):
    """Weighted mean of the models."""

    name: ClassVar[str] = "fedavg"

    def pipeline(self, clients: int) -> Pipeline:  # noqa: ARG002 - any number will do
        """See `Algorithm.pipeline`."""
        return parse("weighted_mean")


@dataclass(frozen=True)
class FedProx(FedAvg):
    """FedAvg with a pull towards the round's start. ``mu`` ≥ 0."""

    name: ClassVar[str] = "fedprox"
    mu: float = 0.01

    @property
    def prox_mu(self) -> float:
        """See `Algorithm.prox_mu`."""
        return self.mu

    def check(self, clients: int) -> None:
        """See `Algorithm.check`."""
        if not 0 <= self.mu <= 1e6:
            raise SpecError(f"fedprox's mu must be 0 to 1000000, not {self.mu!r}.")
        super().check(clients)


@dataclass(frozen=True)
class FedTrimmedAvg(Algorithm):
    """Mean per coordinate without ⌊``beta``·K⌋ models at either end."""

    name: ClassVar[str] = "fedtrimmedavg"
    beta: float = 0.2

    def pipeline(self, clients: int) -> Pipeline:
        """See `Algorithm.pipeline`."""
        if not 0 <= self.beta < 0.5:
            raise SpecError(f"fedtrimmedavg's beta must be at least 0 and below 0.5, not {self.beta!r}.")
        return parse(f"trimmed_mean:f={int(self.beta * clients)}")


@dataclass(frozen=True)
class FedMedian(Algorithm):
    """Median per coordinate; the mean of the middle two for an even number."""

    name: ClassVar[str] = "fedmedian"

    def pipeline(self, clients: int) -> Pipeline:  # noqa: ARG002 - any number will do
        """See `Algorithm.pipeline`."""
        return parse("median:f=0")


@dataclass(frozen=True)
class FedAvgM(FedAvg):
    """FedAvg with momentum on the server."""

    name: ClassVar[str] = "fedavgm"
    learning_rate: float = 1.0
    momentum: float = 0.9

    @property
    def outer(self) -> OuterStep:
        """See `Algorithm.outer`."""
        return OuterStep("momentum", self.learning_rate, momentum=self.momentum)


@dataclass(frozen=True)
class FedAdam(FedAvg):
    """FedAvg's update as Adam's gradient on the server; ``tau`` bounds the step where updates are tiny."""

    name: ClassVar[str] = "fedadam"
    learning_rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3

    @property
    def outer(self) -> OuterStep:
        """See `Algorithm.outer`."""
        return OuterStep("adam", self.learning_rate, momentum=self.beta1, second_momentum=self.beta2, epsilon=self.tau)


@dataclass(frozen=True)
class DiLoCo(Algorithm):
    """Plain mean, then an outer Nesterov step; made for many local steps a round."""

    name: ClassVar[str] = "diloco"
    learning_rate: float = 0.7
    momentum: float = 0.9

    def pipeline(self, clients: int) -> Pipeline:  # noqa: ARG002 - any number will do
        """See `Algorithm.pipeline`."""
        return parse("mean")

    @property
    def outer(self) -> OuterStep:
        """See `Algorithm.outer`."""
        return OuterStep("nesterov", self.learning_rate, momentum=self.momentum)


@dataclass(frozen=True)
class Rule(Algorithm):
    """A pipeline of `aggregation.registry` by its text, e.g. ``krum`` or ``arc+nnm+trimmed_mean:f=1``."""

    name: ClassVar[str] = "rule"
    pipeline_text: str = "arc+nnm+trimmed_mean"

    def pipeline(self, clients: int) -> Pipeline:  # noqa: ARG002 - `check` asks the pipeline itself
        """See `Algorithm.pipeline`."""
        try:
            return parse(self.pipeline_text)
        except AggregationError as error:
            raise SpecError(error.what, why=error.why, hint=error.hint) from error


ALGORITHMS: Mapping[str, type[Algorithm]] = {
    kind.name: kind for kind in (FedAvg, FedProx, FedTrimmedAvg, FedMedian, FedAvgM, FedAdam, DiLoCo)
}
"""By name; every other name is taken for a pipeline (`find_algorithm`)."""


def find_algorithm(name: str, settings: Mapping[str, Any] | None = None) -> Algorithm:
    """The algorithm called ``name`` with its settings, or the pipeline of that text.

    Raises:
        SpecError: neither exists, or an unknown setting.
    """
    given = dict(settings or {})
    kind = ALGORITHMS.get(name)
    if kind is None:
        if given:
            raise SpecError(f"The pipeline {name!r} has no setting {min(given)!r}; they stand in its text.")
        try:
            parse(name)
        except AggregationError as error:
            raise SpecError(
                f"There is no algorithm called {name!r}.",
                hint=f"Algorithms: {', '.join(ALGORITHMS)}; or a pipeline of aggregation rules. {error.hint}",
            ) from error
        return Rule(name)
    known = [f for f in kind.__dataclass_fields__ if f != "name"]
    if odd := sorted(given.keys() - set(known)):
        raise SpecError(f"{name} has no setting {odd[0]!r}.", hint=f"It has: {', '.join(known) or 'none'}.")
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SpecError(f"{name}'s {key} must be a number, not {value!r}.")
    return kind(**{key: float(value) for key, value in given.items()})


def _difference(trained: State, start: State) -> Tensors:
    if trained.keys() != start.keys():
        raise SpecError("A client's trained tensors are not the model's.")
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by the aggregation
        return {name: np.asarray(trained[name] - start[name], np.float32) for name in start}


def _weights(samples: Sequence[int]) -> list[int]:
    """Integers in proportion to ``samples``, at least 1 each, their sum within the rule's bound; exact where it already is."""
    total = sum(samples)
    if total <= MAX_WEIGHT:
        return [max(1, n) for n in samples]
    room = MAX_WEIGHT - len(samples)
    return [max(1, n * room // total) for n in samples]


def _key(client: int) -> bytes:
    return client.to_bytes(4, "big")

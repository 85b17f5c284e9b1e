"""A toy task behind the Trainer port: logistic regression on made-up data, in numpy, small enough for hundreds of nodes.

The losses and gains are real (nats on the benchmark slice); only the model is small. Features are Gaussian, labels follow one
hidden weight vector with noise, and every owner sees its own shift of the features, so that no owner alone learns the task.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aggregation.bundle import Vector, decode, encode
from node.ports import ScoreJob, Trainer, TrainJob, TrainResult
from node.protocol.errors import RemoteProtocolError
from node.protocol.hashing import keccak256
from node.protocol.types import PPM

ETA = 0.25
"""Step at which an update is scored."""

LOOK_AHEAD = (0.0, 0.5, 1.0)
"""Multiples of the last aggregate, and then of the public update, tried as scoring base; the first of the best wins."""

MAX_BYTES = 1 << 20

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Examples:
    """Features (rows × features) and labels (0 or 1)."""

    features: Array
    labels: Array


@dataclass(frozen=True, slots=True)
class ToyTask:
    """The world's hidden truth.

    Attributes:
        seed: decides everything.
        features: number of features.
        shift: how far each owner's features lie from the common mean, in standard deviations.
        sharpness: norm of the hidden weights; larger means less label noise.
    """

    seed: int = 0
    features: int = 16
    shift: float = 0.5
    sharpness: float = 4.0

    def genesis(self) -> bytes:
        """The founding checkpoint: all weights 0."""
        return _encode(np.zeros(self.features + 1))

    def shard(self, owner: str, count: int) -> Examples:
        """Private examples of one owner."""
        moved = self._stream(f"shift/{owner}").normal(size=self.features) * self.shift
        return self._draw(f"shard/{owner}", count, moved)

    def benchmark(self, label: str, count: int = 400) -> bytes:
        """A benchmark slice as JSON lines ``{"x": [...], "y": 0}``, from the unshifted distribution."""
        drawn = self._draw(f"benchmark/{label}", count, np.zeros(self.features))
        rows = zip(drawn.features.tolist(), drawn.labels.tolist(), strict=True)
        return "".join(json.dumps({"x": x, "y": int(y)}) + "\n" for x, y in rows).encode()

    def _draw(self, label: str, count: int, centre: Array) -> Examples:
        truth = self._stream("truth").normal(size=self.features)
        truth *= self.sharpness / np.linalg.norm(truth)
        stream = self._stream(label)
        # Four decimals, so that a slice read back from JSON is the slice that was drawn.
        features = np.round(stream.normal(size=(count, self.features)) + centre, 4)
        labels = (stream.random(count) < _sigmoid(features @ truth)).astype(np.float64)
        return Examples(features, labels)

    def _stream(self, label: str) -> np.random.Generator:
        digest = keccak256(f"toy/{self.seed}/{label}".encode())
        return np.random.default_rng(int.from_bytes(digest[:16], "big"))


class ToyTrainer(Trainer):
    """`node.ports.Trainer` of one owner.

    Args:
        task: the hidden truth.
        owner: decides the private examples.
        samples: how many there are.
        steps: gradient steps of one local training.
        learning_rate: of each step.
        seconds: virtual time that training and scoring take, each.
    """

    def __init__(
        self,
        task: ToyTask,
        owner: str,
        *,
        samples: int = 200,
        steps: int = 20,
        learning_rate: float = 0.5,
        seconds: float = 5.0,
    ) -> None:
        self._examples = task.shard(owner, samples)
        self._steps = steps
        self._learning_rate = learning_rate
        self._seconds = seconds

    async def prepare(self) -> None:
        """Nothing to load."""

    async def follow(self, learning: Mapping[str, object], max_bytes: int) -> None:
        """The toy task has no settings."""

    async def train(self, job: TrainJob) -> TrainResult:
        """Stochastic gradient descent on half of the examples per step, drawn by the job's seed: our own, or the job's benchmark."""
        await asyncio.sleep(self._seconds)
        start = _decode(job.checkpoint)
        weights = start.copy()
        stream = np.random.default_rng([job.seed, job.round])
        examples = self._examples if job.benchmark is None else parse_benchmark(job.benchmark)
        rows = len(examples.labels)
        for _ in range(self._steps):
            chosen = stream.permutation(rows)[: max(1, rows // 2)]
            batch = Examples(examples.features[chosen], examples.labels[chosen])
            weights -= self._learning_rate * _gradient(weights, batch)
        notes = {"loss_before": _loss(start, examples), "loss_after": _loss(weights, examples)}
        return TrainResult(_encode(weights - start), rows, notes)

    async def score(self, job: ScoreJob) -> Sequence[int]:
        """Raw gain in ppm of each update: round(10⁶·(L(base) − L(base + η·update))), base from the look-ahead grid."""
        await asyncio.sleep(self._seconds)
        slice_ = parse_benchmark(job.benchmark)
        parent = _decode(job.checkpoint)
        base = parent
        for direction in (job.last_aggregate, job.public_update):
            if direction is not None:
                along = [base + t * _decode(direction) for t in LOOK_AHEAD]
                base = min(along, key=lambda weights: _loss(weights, slice_))
        before = _loss(base, slice_)
        return [round(PPM * (before - _loss(base + ETA * _decode(update), slice_))) for update in job.updates]

    async def evaluate(self, checkpoint: bytes, benchmark: bytes) -> Mapping[str, float]:
        """``loss`` (nats) and ``accuracy`` on a slice."""
        slice_ = parse_benchmark(benchmark)
        weights = _decode(checkpoint)
        right = (_logits(weights, slice_.features) > 0) == (slice_.labels > 0)
        return {"loss": _loss(weights, slice_), "accuracy": float(right.mean())}


def parse_benchmark(data: bytes) -> Examples:
    """Examples of a slice.

    Raises:
        RemoteProtocolError: not the lines that `ToyTask.benchmark` writes.
    """
    try:
        rows = [json.loads(line) for line in data.splitlines()]
        features = np.array([row["x"] for row in rows], dtype=np.float64)
        labels = np.array([row["y"] for row in rows], dtype=np.float64)
    except (ValueError, TypeError, KeyError) as error:
        raise RemoteProtocolError(f"A benchmark slice cannot be read: {error!r}.") from error
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise RemoteProtocolError(f"A benchmark slice has features of shape {features.shape}.")
    return Examples(features, labels)


def _encode(weights: Array) -> bytes:
    values: Vector = weights.astype(np.float32)
    return encode({"bias": values[-1:], "weight": values[:-1]})


def _decode(data: bytes) -> Array:
    tensors = decode(data, max_bytes=MAX_BYTES)
    return np.concatenate([tensors["weight"], tensors["bias"]]).astype(np.float64)


def _sigmoid(values: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0.0, -values)))


def _logits(weights: Array, features: Array) -> Array:
    return np.asarray(features @ weights[:-1] + weights[-1])


def _loss(weights: Array, examples: Examples) -> float:
    """Mean logistic loss in nats."""
    logits = _logits(weights, examples.features)
    return float(np.mean(np.logaddexp(0.0, logits) - examples.labels * logits))


def _gradient(weights: Array, examples: Examples) -> Array:
    error = _sigmoid(_logits(weights, examples.features)) - examples.labels
    return np.append(examples.features.T @ error, error.sum()) / len(error)

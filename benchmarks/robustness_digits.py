"""Ten clients and scikit-learn's digits: the fast learning task of robustness.py. An MLP 64-32-10 in numpy, all clients at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from aggregation.testing import attacks
from incentives import scoring

Matrix = NDArray[np.float32]
Vector = NDArray[np.float32]
Labels = NDArray[np.int64]
Rows = tuple[Matrix, Labels]

INPUTS, HIDDEN, CLASSES = 64, 32, 10
SHAPES = {"b1": (HIDDEN,), "b2": (CLASSES,), "w1": (INPUTS, HIDDEN), "w2": (HIDDEN, CLASSES)}
METRIC, KEY = "Accuracy on digits (%)", "accuracy"
PACKAGES = ("numpy", "scikit-learn")
COLOURS = (50.0, 97.0)  # worst and best colour of the picture
CUTS = np.cumsum([HIDDEN, CLASSES, INPUTS * HIDDEN])


@dataclasses.dataclass(frozen=True)
class Settings:
    """Chosen so that plain averaging of honest clients reaches 96 to 97 %.

    Attributes:
        clients: how many.
        skew: Dirichlet parameter of each class's split over clients; smaller is more uneven.
        least: fewest images of a client (the split is drawn again).
        test: images for the metric.
        pool: images from which a round's sealed slice is drawn, nobody's training data.
        slice: images of a slice.
        rounds: rounds.
        steps: local SGD steps a round.
        batch: images a step.
        rate: local step in round 1, falling linearly to rate/rounds in the last.
        outer_rate: of the aggregate.
        max_norm: L2 bound of an update behind the gate; honest clients clip to it (it binds some in round 1).
        eta: step at which an update is tried.
        lookahead: multiples of the last aggregate tried as scoring base.
    """

    clients: int = 10
    skew: float = 0.5
    least: int = 20
    test: int = 360
    pool: int = 200
    slice: int = 150
    rounds: int = 25
    steps: int = 40
    batch: int = 16
    rate: float = 0.8
    outer_rate: float = 1.0
    max_norm: float = 6.0
    eta: float = 0.1
    lookahead: tuple[float, ...] = (0.0, 0.5, 1.0)


class Task:
    """One seed's data, split and initial model; see `robustness.World`."""

    key = KEY
    schema = tuple(SHAPES.items())

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings, self.seed = settings, seed
        self.n, self.rounds = settings.clients, settings.rounds
        self.outer_rate, self.max_norm = settings.outer_rate, settings.max_norm
        rng = np.random.default_rng([seed, 0])
        digits = load_digits()
        order = rng.permutation(len(digits.target))
        images, labels = (digits.data / 16).astype(np.float32)[order], digits.target.astype(np.int64)[order]
        held_out = settings.test + settings.pool
        self.test: Rows = images[: settings.test], labels[: settings.test]
        self.pool: Rows = images[settings.test : held_out], labels[settings.test : held_out]
        self.train: Rows = images[held_out:], labels[held_out:]
        self.hands = split(self.train[1], settings, rng)
        first = rng.standard_normal(INPUTS * HIDDEN) * np.sqrt(2 / INPUTS)
        second = rng.standard_normal(HIDDEN * CLASSES) * np.sqrt(1 / HIDDEN)
        self.genesis: Vector = np.concatenate([np.zeros(HIDDEN + CLASSES), first, second]).astype(np.float32)

    def updates(self, model: Vector, number: int, count: int, *, flipped: bool = False) -> Matrix:
        """Local SGD of the first ``count`` clients; batches depend on seed, round and client alone."""
        settings = self.settings
        images, labels = self.train
        if flipped:
            labels = attacks.label_flip(labels, CLASSES)
        rng = np.random.default_rng([self.seed, number, 2])
        rows = np.stack([rng.choice(hand, (settings.steps, settings.batch)) for hand in self.hands])[:count]
        rate = np.float32(settings.rate * (1 - (number - 1) / settings.rounds))
        local = np.repeat(model[None], count, axis=0)
        for step in range(settings.steps):
            local -= rate * gradients(local, images[rows[:, step]], labels[rows[:, step]])
        return local - model

    def gains(self, model: Vector, last: Vector | None, number: int) -> Callable[[Matrix], list[int]]:
        """Raw gains in ppm on this round's slice."""
        settings = self.settings
        chosen = np.random.default_rng([self.seed, number, 1]).permutation(settings.pool)[: settings.slice]
        images, labels = self.pool[0][chosen], self.pool[1][chosen]
        bases = model[None]
        if last is not None:
            bases = model + np.array(settings.lookahead, np.float32)[:, None] * last
        found = losses(bases, images, labels)
        best = int(np.argmin(found))
        base, before = bases[best], found[best]

        def raw(updates: Matrix) -> list[int]:
            gain = 1e6 * (before - losses(base + np.float32(settings.eta) * updates, images, labels))
            return [round(float(g)) if np.isfinite(g) else scoring.MIN_GAIN for g in gain]

        return raw

    def metric(self, model: Vector) -> float:
        """Accuracy on the test set, percent."""
        images, labels = self.test
        return float(100 * (forward(model[None], images)[2][0].argmax(axis=-1) == labels).mean())


def split(labels: Labels, settings: Settings, rng: np.random.Generator) -> list[Labels]:
    """Row numbers of each client: every class is cut by its own Dirichlet draw."""
    while True:
        hands: list[list[Labels]] = [[] for _ in range(settings.clients)]
        for label in range(CLASSES):
            rows = rng.permutation(np.flatnonzero(labels == label))
            shares = rng.dirichlet([settings.skew] * settings.clients)
            for hand, part in zip(hands, np.split(rows, (np.cumsum(shares)[:-1] * len(rows)).astype(int)), strict=True):
                hand.append(part)
        joined = [np.concatenate(hand) for hand in hands]
        if min(len(hand) for hand in joined) >= settings.least:
            return joined


def forward(models: Matrix, images: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Hidden activations, second weights and logits of models ``[K, P]`` on images ``[B, 64]`` or ``[K, B, 64]``."""
    b1, b2, w1, w2 = np.split(models, CUTS, axis=-1)
    w1, w2 = w1.reshape(-1, INPUTS, HIDDEN), w2.reshape(-1, HIDDEN, CLASSES)
    hidden = np.maximum(images @ w1 + b1[:, None, :], 0)
    return hidden, w2, hidden @ w2 + b2[:, None, :]


def losses(models: Matrix, images: Matrix, labels: Labels) -> NDArray[np.float64]:
    """Mean cross-entropy in nats of each model on the same images."""
    found = log_softmax(forward(models, images)[2])
    return np.asarray(-found[:, np.arange(len(labels)), labels].mean(axis=1, dtype=np.float64))


def gradients(models: Matrix, images: Matrix, labels: Labels) -> Matrix:
    """Gradient of each model's mean cross-entropy on its own batch: images ``[K, B, 64]``, labels ``[K, B]``."""
    hidden, w2, logits = forward(models, images)
    count, batch = labels.shape
    delta = np.exp(log_softmax(logits))
    delta[np.arange(count)[:, None], np.arange(batch)[None, :], labels] -= 1
    delta /= batch
    back = (delta @ w2.swapaxes(-1, -2)) * (hidden > 0)
    first = (images.swapaxes(-1, -2) @ back).reshape(count, -1)
    second = (hidden.swapaxes(-1, -2) @ delta).reshape(count, -1)
    return np.concatenate([back.sum(axis=1), delta.sum(axis=1), first, second], axis=1)


def log_softmax(logits: Matrix) -> Matrix:
    """Over the last axis, stable."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))

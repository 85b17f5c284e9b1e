"""Logistic regression on hashed n-grams of code tokens: the classical baseline for clone and defect detection. numpy only, no torch.

A function's features are the 1…``ngrams``-grams of its tokens and, with ``shapes``, windows of three to five tokens in which each name
is replaced by where it first stood in the window (``a [ a - 1``), which sees repeated and swapped names whatever they are called. Each
feature has one of ``buckets`` places by a hash of 64 bits. A pair of functions has two blocks of places: what both have, and what one
alone has, so the order of the two does not matter. Rows have L2 norm 1 (Weinberger et al., ICML 2009, without signs).

    margin m = w·x + b,   P(label 1) = 1/(1 + exp(−m)),   loss = log(1 + exp(−y·m)) nats with y = ±1

Trained by plain SGD on mini-batches at a constant rate; a state is ``weight`` float32 (places,) and ``bias`` float32 (1,).
"""

from __future__ import annotations

import keyword
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.errors import DataError, ModelError, SpecError, TrainingDiverged
from learning.learner import State, Trained
from learning.sources.pool import Split
from learning.tasks.base import TaskData

Longs = NDArray[np.uint64]
Doubles = NDArray[np.float64]
_TOKEN = re.compile(
    r"[^\W\d]\w*|\d[\w.]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    r"|<<=|>>=|\*\*=|//=|&&|\|\||\+\+|--|->|::|<<|>>|\*\*|//|[-+*/%&|^<>=!]=|\S"
)
_C_WORDS = "auto break case char const default do double else enum extern float for goto if int long return short signed sizeof static struct switch typedef union unsigned void volatile while NULL"  # noqa: E501
_JAVA_WORDS = "abstract boolean byte catch class extends final finally implements import instanceof interface new null private protected public super synchronized this throw throws true false try"  # noqa: E501
_WORDS = {*keyword.kwlist, *keyword.softkwlist, *_C_WORDS.split(), *_JAVA_WORDS.split(), "self", "cls"}
_SHAPE_WINDOWS = (3, 4, 5)
_BIAS_RATE = 1 / 64
"""The bias learns so much slower: each example moves it, but only some of them any one weight."""
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB), np.uint64(0x9E3779B97F4A7C15))


@dataclass(frozen=True, slots=True)
class Options:
    """How the model is made and trained.

    Attributes:
        buckets: places of a block, a power of two.
        ngrams: longest n-gram of tokens, 1…5.
        shapes: also windows with names replaced (see the module's head).
        learning_rate: SGD's step.
        batch_size: examples a step.
        weight_decay: λ of λ/2·‖w‖².
    """

    buckets: int = 1 << 16
    ngrams: int = 2
    shapes: bool = False
    learning_rate: float = 4.0
    batch_size: int = 32
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Check every range.

        Raises:
            SpecError: the first setting that is wrong, by name.
        """
        checks = (
            (
                16 <= self.buckets <= 1 << 24 and self.buckets & (self.buckets - 1) == 0,
                "buckets",
                "a power of two, 16 to 2^24",
            ),
            (1 <= self.ngrams <= 5, "ngrams", "1 to 5"),
            (0 < self.learning_rate <= 1e4, "learning_rate", "above 0, at most 10000"),
            (1 <= self.batch_size <= 1 << 16, "batch_size", "1 to 65536"),
            (0 <= self.weight_decay <= 1, "weight_decay", "0 to 1"),
        )
        for holds, name, expected in checks:
            if not holds:
                raise SpecError(f"The hashed model's {name} must be {expected}, not {getattr(self, name)!r}.")


@dataclass(frozen=True, slots=True)
class Rows:
    """Sparse rows: the places and values of row i are ``[starts[i]:starts[i + 1]]``; labels are ±1."""

    starts: NDArray[np.int64]
    places: NDArray[np.int64]
    values: Doubles
    labels: Doubles

    def take(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], Doubles, NDArray[np.int64]]:
        """Places, values, and which of ``rows`` (by position) each belongs to."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        owner = np.repeat(np.arange(len(rows)), lengths)
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        where = np.repeat(self.starts[rows], lengths) + within
        return self.places[where], self.values[where], owner


class HashedLearner:
    """A `learning.learner.Learner`.

    Args:
        data: of a task whose examples have labels: pairs (two texts) or functions (one).
        options: see `Options`.

    Raises:
        SpecError: a task without labels 0 and 1.
    """

    def __init__(self, data: TaskData[Any], options: Options | None = None) -> None:
        if not data.task.labelled:
            raise SpecError(
                f"The hashed model classifies; {data.task.name} has no labels.",
                hint="Use it for clone_detection or defect_detection.",
            )
        self.data = data
        self.options = options or Options()
        self._texts = len(data.task.texts(data.examples("train")[0]))
        self._hashes: dict[str, int] = {}
        self._rows: dict[Split, Rows] = {}

    @property
    def places(self) -> int:
        """Length of ``weight``."""
        return self.options.buckets * (2 if self._texts == 2 else 1)

    def initial(self, seed: int) -> State:  # noqa: ARG002 - a convex problem needs no random start
        """Zeros."""
        return {"bias": np.zeros(1, np.float32), "weight": np.zeros(self.places, np.float32)}

    def train(
        self, start: State, indices: Sequence[int], *, seed: int, epochs: float = 1.0, prox_mu: float = 0.0
    ) -> Trained:
        """See `learning.learner.Learner.train`."""
        if not len(indices):
            raise DataError("This client has no training example.", hint="Use fewer clients or more examples.")
        rows, options = self.rows("train"), self.options
        weight, bias = self._checked(start)
        anchor, origin = weight.copy(), bias
        order = _order(np.asarray(indices, np.int64), epochs, seed)
        losses = []
        began = perf_counter()
        for begin in range(0, len(order), options.batch_size):
            batch = order[begin : begin + options.batch_size]
            places, values, owner = rows.take(batch)
            labels = rows.labels[batch]
            margins = np.bincount(owner, values * weight[places], len(batch)) + bias
            losses.append(float(_softplus(-labels * margins).mean()))
            slope = -labels * _sigmoid(-labels * margins) / len(batch)
            decay = options.weight_decay + prox_mu
            if decay:
                weight -= options.learning_rate * (options.weight_decay * weight + prox_mu * (weight - anchor))
                bias -= options.learning_rate * _BIAS_RATE * prox_mu * (bias - origin)
            np.subtract.at(weight, places, options.learning_rate * values * slope[owner])
            bias -= options.learning_rate * _BIAS_RATE * float(slope.sum())
        if not (np.isfinite(weight).all() and np.isfinite(bias) and np.isfinite(losses).all()):
            raise TrainingDiverged(
                "The hashed model's loss or weights are not finite.", hint="Lower the model's learning_rate."
            )
        tail = losses[-max(1, len(losses) // 4) :]
        state = {"bias": np.array([bias], np.float32), "weight": weight.astype(np.float32)}
        distinct = len(set(order.tolist()))
        return Trained(state, distinct, len(losses), sum(tail) / len(tail), perf_counter() - began)

    def evaluate(self, state: State, split: Split) -> Mapping[str, float]:
        """The task's metrics, and ``loss``, the mean in nats. Margin 0 counts as label 0."""
        margins = self._margins(state, split)
        predictions = (margins > 0).astype(int).tolist()
        loss = float(_softplus(-self.rows(split).labels * margins).mean())
        return {**self.data.evaluate(split, predictions), "loss": loss}

    def losses(self, state: State, indices: Sequence[int], split: Split = "train") -> Doubles:
        """Loss of each example, nats."""
        rows = np.asarray(indices, np.int64)
        return _softplus(-self.rows(split).labels[rows] * self._margins(state, split, rows))

    def rows(self, split: Split) -> Rows:
        """Features of a split, made once."""
        if split not in self._rows:
            task, examples = self.data.task, self.data.examples(split)
            found = [self._features(task.texts(example)) for example in examples]
            lengths = np.array([len(places) for places, _ in found], np.int64)
            self._rows[split] = Rows(
                np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
                np.concatenate([places for places, _ in found]).astype(np.int64),
                np.concatenate([values for _, values in found]),
                np.array([1.0 if task.stratum(example) == "1" else -1.0 for example in examples]),
            )
        return self._rows[split]

    def _checked(self, state: State) -> tuple[Doubles, float]:
        shapes = {name: tensor.shape for name, tensor in state.items()}
        if shapes != {"bias": (1,), "weight": (self.places,)}:
            raise ModelError("The state's tensors are not the hashed model's.", why=f"They are {shapes}.")
        return state["weight"].astype(np.float64), float(state["bias"][0])

    def _margins(self, state: State, split: Split, chosen: NDArray[np.int64] | None = None) -> Doubles:
        weight, bias = self._checked(state)
        rows = self.rows(split)
        wanted = np.arange(len(rows.labels)) if chosen is None else chosen
        places, values, owner = rows.take(wanted)
        return np.asarray(np.bincount(owner, values * weight[places], len(wanted)) + bias, np.float64)

    def _features(self, texts: tuple[str, ...]) -> tuple[NDArray[np.int64], Doubles]:
        """Places and values of one example, the values' squares adding up to 1."""
        mask = np.uint64(self.options.buckets - 1)
        sets = [np.unique(self._grams(text) & mask) for text in texts]
        if len(sets) == 2:
            both = np.intersect1d(sets[0], sets[1], assume_unique=True)
            one = np.setxor1d(sets[0], sets[1], assume_unique=True) + np.uint64(self.options.buckets)
            places = np.concatenate([both, one])
        else:
            places = sets[0]
        return places.astype(np.int64), np.full(len(places), 1 / np.sqrt(max(1, len(places))))

    def _grams(self, text: str) -> Longs:
        """Hashes of the features of one text, with repetitions."""
        tokens = _TOKEN.findall(text)
        if not tokens:
            return np.zeros(1, np.uint64)
        ids = np.array([self._hash(token) for token in tokens], np.uint64)
        found = [
            _combined([ids[i : len(ids) - n + 1 + i] for i in range(n)], n) for n in range(1, self.options.ngrams + 1)
        ]
        if self.options.shapes:
            names = np.array([(t[0].isalpha() or t[0] == "_") and t not in _WORDS for t in tokens])
            found += [_shapes(ids, names, n) for n in _SHAPE_WINDOWS]
        return np.concatenate(found)

    def _hash(self, token: str) -> int:
        if token not in self._hashes:
            data = token.encode(errors="surrogatepass")
            self._hashes[token] = zlib.crc32(data) << 32 | zlib.adler32(data)
        return self._hashes[token]


def _combined(columns: Sequence[Longs], salt: int) -> Longs:
    """One hash of several columns and a number, row by row (the finaliser of SplitMix64 after each)."""
    total = np.full(len(columns[0]), salt, np.uint64)
    for column in columns:
        total = (total ^ column) * _MIX[2]
        total ^= total >> np.uint64(30)
        total *= _MIX[0]
        total ^= total >> np.uint64(27)
        total *= _MIX[1]
        total ^= total >> np.uint64(31)
    return total


def _shapes(ids: Longs, names: NDArray[np.bool_], width: int) -> Longs:
    """Windows of ``width`` tokens in which a name is the position at which it first stood."""
    count = len(ids) - width + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    columns = [ids[i : i + count] for i in range(width)]
    replaced = []
    for place, column in enumerate(columns):
        first = np.full(count, place, np.uint64)
        for earlier in range(place - 1, -1, -1):
            first[columns[earlier] == column] = earlier
        replaced.append(np.where(names[place : place + count], first, column))
    return _combined(replaced, 100 + width)


def _order(indices: NDArray[np.int64], epochs: float, seed: int) -> NDArray[np.int64]:
    """``round(epochs·n)`` positions, at least one: whole shuffles one after another, the last one cut off."""
    wanted = max(1, round(epochs * len(indices)))
    generator = np.random.Generator(np.random.PCG64(seed))
    passes = [indices[generator.permutation(len(indices))] for _ in range(-(-wanted // len(indices)))]
    return np.concatenate(passes)[:wanted]


def _sigmoid(x: Doubles) -> Doubles:
    return np.asarray(np.exp(-_softplus(-x)))


def _softplus(x: Doubles) -> Doubles:
    return np.asarray(np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))))

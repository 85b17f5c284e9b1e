"""Every family, kind and way of adapting: it learns eight examples, gives the same bytes twice, and predicts what the task can score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from learning.errors import DataError, ModelError
from learning.models.adapters import Adapter
from learning.models.families import FAMILIES
from learning.tasks.encoding import Kind
from learning.training.learner import TransformerLearner
from learning.training.settings import Settings

Make = Callable[..., TransformerLearner]
CASES = [(f.name, kind) for f in FAMILIES.values() for kind in f.classes]
FULL_AND_OURS = [(*case, adapter) for case in CASES for adapter in ("full", "ffa")]
PEFTS = [(*case, "lora") for case in CASES if case[1] in ("classification", "completion", "seq2seq")]
EVERYBODY = list(range(8))


def same(left: Any, right: Any) -> bool:
    return list(left) == list(right) and all(left[n].tobytes() == right[n].tobytes() for n in left)


@pytest.mark.parametrize(("family", "kind", "adapter"), [*FULL_AND_OURS, *PEFTS])
def test_learns_eight_examples(make: Make, family: str, kind: Kind, adapter: Any) -> None:
    learner = make(family, kind, adapter=Adapter(kind=adapter))
    start = learner.initial(1)
    assert list(start) == sorted(start)
    before = learner.losses(start, EVERYBODY)
    trained = learner.train(start, EVERYBODY, seed=3, epochs=12)
    after = learner.losses(trained.state, EVERYBODY)
    assert trained.samples == 8
    assert trained.steps == 24
    assert list(trained.state) == list(start)
    assert all(a.shape == start[n].shape and a.dtype == np.float32 for n, a in trained.state.items())
    assert np.isfinite(after).all()
    assert after.mean() < 0.8 * before.mean()
    metrics = learner.evaluate(trained.state, "test")
    assert set(metrics) <= set(learner.data.task.metrics)
    assert all(np.isfinite(v) for v in metrics.values())


@pytest.mark.parametrize("adapter", ["full", "ffa"])
@pytest.mark.parametrize(("family", "kind"), [("bert", "retrieval"), ("llama", "completion"), ("t5", "seq2seq")])
def test_same_arguments_give_the_same_bytes(make: Make, family: str, kind: Kind, adapter: Any) -> None:
    settings = Settings(learning_rate=3e-3, batch=3, precision="float32", dropout=True)
    left, right = (make(family, kind, adapter=Adapter(kind=adapter), settings=settings) for _ in "ab")
    start = left.initial(1)
    assert same(start, right.initial(1))
    first = left.train(start, EVERYBODY, seed=3, epochs=2)
    left.train(start, EVERYBODY[:5], seed=9)  # nothing lasts between calls
    assert same(first.state, left.train(start, EVERYBODY, seed=3, epochs=2).state)
    assert same(first.state, right.train(start, EVERYBODY, seed=3, epochs=2).state)
    assert not same(first.state, left.train(start, EVERYBODY, seed=4, epochs=2).state)


def test_only_heads_and_trained_first_factors_depend_on_the_seed(make: Make) -> None:
    for adapter, kind in (("ffa", "retrieval"), ("full", "retrieval")):
        learner = make("bert", kind, adapter=Adapter(kind=adapter))
        assert same(learner.initial(1), learner.initial(2))
    for adapter, kind in (("ffa", "classification"), ("lora", "retrieval")):
        learner = make("bert", kind, adapter=Adapter(kind=adapter))
        assert not same(learner.initial(1), learner.initial(2))


def test_a_state_survives_being_loaded(make: Make) -> None:
    learner = make("roberta", "classification")
    start = learner.initial(1)
    trained = learner.train(start, EVERYBODY, seed=0, epochs=2).state
    losses = learner.losses(trained, EVERYBODY)
    learner.load(start)
    assert np.array_equal(losses, learner.losses(trained, EVERYBODY))
    assert not np.array_equal(losses, learner.losses(start, EVERYBODY))


def test_bad_states_are_refused(make: Make) -> None:
    learner = make("bert", "classification")
    start = dict(learner.initial(0))
    name = next(iter(start))
    for bad in (
        {k: v for k, v in start.items() if k != name},
        start | {"extra": np.zeros(1, np.float32)},
        start | {name: start[name][:1]},
        start | {name: start[name].astype(np.float64)},
        start | {name: np.full_like(start[name], np.nan)},
    ):
        with pytest.raises(ModelError):
            learner.train(bad, EVERYBODY, seed=0)


@pytest.mark.parametrize(("kind", "indices"), [("classification", []), ("retrieval", [3]), ("classification", [8])])
def test_clients_without_enough_data_are_refused(make: Make, kind: Kind, indices: list[int]) -> None:
    learner = make("bert", kind)
    with pytest.raises(DataError):
        learner.train(learner.initial(0), indices, seed=0)

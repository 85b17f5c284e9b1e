"""The hashed linear model: features, arithmetic by hand, determinism, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from learning.errors import DataError, ModelError, SpecError, TrainingDiverged
from learning.models.hashed import HashedLearner, Options
from learning.tasks.base import TaskData
from learning.tasks.clone_detection import CloneDetection, ClonePair
from learning.tasks.code_search import Pair
from learning.tasks.defect_detection import DefectDetection, DefectExample
from learning.tasks.search import CodeSearch


def functions(rows: list[tuple[str, int]]) -> TaskData[Any]:
    examples = [DefectExample(code, label, str(i), "r", "") for i, (code, label) in enumerate(rows)]
    return TaskData(DefectDetection(), "memory", {"train": examples, "test": examples})


def pairs(rows: list[tuple[str, str, int]]) -> TaskData[Any]:
    examples = [ClonePair(a, b, label, f"{i}a", f"{i}b", "r") for i, (a, b, label) in enumerate(rows)]
    return TaskData(CloneDetection(), "memory", {"train": examples, "test": examples})


PLUS = [(f"def f(a{i}): return a{i} + {i}", 0) for i in range(20)]
MINUS = [(f"def f(a{i}): return a{i} - {i}", 1) for i in range(20)]
DATA = functions([row for both in zip(PLUS, MINUS, strict=True) for row in both])


def test_one_step_by_hand() -> None:
    """Zero weights: p = ½, so the step is −η·(−y/2)·x, and the bias moves a 64th of η/2."""
    learner = HashedLearner(functions([("a b", 1), ("c", 0)]), Options(ngrams=1, learning_rate=2.0, batch_size=1))
    trained = learner.train(learner.initial(0), [0], seed=0)
    weight = trained.state["weight"]
    assert np.sort(weight[weight != 0]).tolist() == pytest.approx([1 / np.sqrt(2)] * 2)
    assert trained.state["bias"][0] == pytest.approx(1 / 64)
    assert (trained.samples, trained.steps) == (1, 1)
    assert trained.loss == pytest.approx(np.log(2))
    margin = 1 + 1 / 64
    assert learner.losses(trained.state, [0, 1]) == pytest.approx(
        [np.log1p(np.exp(-margin)), np.log1p(np.exp(1 / 64))], abs=1e-6
    )


def test_the_pull_of_fedprox_by_hand() -> None:
    """Two steps on one example: the second has the pull μ·(w − w₀)."""
    learner = HashedLearner(functions([("a", 1), ("c", 0)]), Options(ngrams=1, learning_rate=1.0, batch_size=1))
    weight = float(learner.train(learner.initial(0), [0], seed=0, epochs=2, prox_mu=0.5).state["weight"].sum())
    first, bias = 0.5, 0.5 / 64
    slope = 1 / (1 + np.exp(first + bias))
    assert weight == pytest.approx(first - 0.5 * first + slope, abs=1e-6)


def test_an_l2_penalty_shrinks() -> None:
    def norm(decay: float) -> float:
        learner = HashedLearner(DATA, Options(weight_decay=decay, learning_rate=1.0))
        return float(np.linalg.norm(learner.train(learner.initial(0), range(40), seed=0, epochs=5).state["weight"]))

    assert norm(0.05) < 0.9 * norm(0.0)


def test_it_learns_what_words_tell() -> None:
    learner = HashedLearner(DATA)
    start = learner.initial(0)
    assert learner.evaluate(start, "test")["accuracy"] == 0.5
    trained = learner.train(start, range(40), seed=0, epochs=20)
    found = learner.evaluate(trained.state, "test")
    assert found["accuracy"] == 1.0
    assert found["loss"] == pytest.approx(learner.losses(trained.state, range(40), "test").mean())
    assert not start["weight"].any(), "the start was changed"


SAME_NAME = [(f"def f(): x = v{i} * v{i}", 1) for i in range(30)]
OTHER_NAME = [(f"def f(): x = w{i} * u{i}", 0) for i in range(30)]


def test_shapes_see_a_repeated_name_whatever_it_is_called() -> None:
    data = functions(SAME_NAME + OTHER_NAME)
    half = [*range(15), *range(30, 45)]
    others = [*range(15, 30), *range(45, 60)]

    def wrong(*, shapes: bool) -> int:
        learner = HashedLearner(data, Options(shapes=shapes))
        state = learner.train(learner.initial(0), half, seed=0, epochs=30).state
        return int((learner.losses(state, others) > np.log(2)).sum())

    assert wrong(shapes=True) == 0
    assert wrong(shapes=False) > 5


def test_a_pair_s_order_does_not_matter() -> None:
    rows = [("def f(a): return a", "def g(b): return b", 1), ("x = 1", "while True: pass", 0)]
    straight = HashedLearner(pairs(rows)).rows("train")
    turned = HashedLearner(pairs([(b, a, label) for a, b, label in rows])).rows("train")
    for name in ("starts", "places", "values", "labels"):
        assert np.array_equal(getattr(straight, name), getattr(turned, name)), name


def test_rows_have_norm_one_and_a_pair_two_blocks() -> None:
    learner = HashedLearner(pairs([("a b c", "a b d", 1), ("", "z", 0)]), Options(buckets=64, ngrams=1))
    rows = learner.rows("train")
    assert learner.places == 128
    first = rows.places[rows.starts[0] : rows.starts[1]]
    assert ((first < 64).sum(), (first >= 64).sum()) == (2, 2), "a and b are shared, c and d are not"
    for i in range(2):
        assert np.square(rows.values[rows.starts[i] : rows.starts[i + 1]]).sum() == pytest.approx(1)


def test_equal_seeds_give_equal_bytes_and_others_another_order() -> None:
    def bytes_of(seed: int) -> bytes:
        learner = HashedLearner(DATA, Options(batch_size=4))
        return learner.train(learner.initial(0), range(40), seed=seed).state["weight"].tobytes()

    assert bytes_of(1) == bytes_of(1)
    assert bytes_of(1) != bytes_of(2)


@pytest.mark.parametrize(("epochs", "steps", "samples"), [(1.0, 10, 10), (2.5, 25, 10), (0.3, 3, 3), (0.001, 1, 1)])
def test_part_of_an_epoch(epochs: float, steps: int, samples: int) -> None:
    learner = HashedLearner(DATA, Options(batch_size=1))
    trained = learner.train(learner.initial(0), range(10), seed=0, epochs=epochs)
    assert (trained.steps, trained.samples) == (steps, samples)


def test_a_client_with_one_label_learns_that_label() -> None:
    learner = HashedLearner(DATA)
    only = [i for i in range(40) if i % 2]
    state = learner.train(learner.initial(0), only, seed=0, epochs=20).state
    assert learner.evaluate(state, "test")["accuracy"] == 0.5
    assert learner.losses(state, only).mean() < 0.2


def test_an_empty_client_is_refused() -> None:
    learner = HashedLearner(DATA)
    with pytest.raises(DataError, match="no training example"):
        learner.train(learner.initial(0), [], seed=0)


def test_a_task_without_labels_is_refused() -> None:
    rows = [Pair("q", "c", "r", "p", "n")]
    with pytest.raises(SpecError, match="code_search has no labels"):
        HashedLearner(TaskData(CodeSearch(), "memory", {"train": rows}))


def test_a_state_of_another_model_is_refused() -> None:
    learner = HashedLearner(DATA)
    with pytest.raises(ModelError, match="not the hashed model's"):
        learner.train(HashedLearner(DATA, Options(buckets=64)).initial(0), [0], seed=0)


def test_what_is_not_finite_stops() -> None:
    learner = HashedLearner(DATA)
    start = {**learner.initial(0), "bias": np.array([np.nan], np.float32)}
    with pytest.raises(TrainingDiverged):
        learner.train(start, range(4), seed=0)


@pytest.mark.parametrize(
    "wrong", [{"buckets": 100}, {"ngrams": 0}, {"learning_rate": 0.0}, {"batch_size": 0}, {"weight_decay": 2.0}]
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Options(**wrong)

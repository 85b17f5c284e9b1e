"""Code search as a learner: on a tiny encoder, with steps that can be counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning.errors import DataError, ModelError, SpecError
from learning.experiment import learners
from learning.experiment.search_learner import SearchLearner
from learning.experiment.search_options import Options
from learning.tasks.base import TaskData
from learning.tasks.code_search import Pair
from learning.tasks.search import CodeSearch

SIZE = 24


def pair(i: int) -> Pair:
    return Pair(
        f"adds {i} to a number", f"def f(x):\n    y{i} = x + {i}\n    return y{i}", f"r{i % 3}", "p.py", f"f{i}"
    )


DATA: TaskData[Any] = TaskData(
    CodeSearch(), "memory", {"train": [pair(i) for i in range(SIZE)], "test": [pair(i) for i in range(90, 100)]}
)


@pytest.fixture(scope="module")
def learner(tiny_folder: Path) -> SearchLearner:
    options = Options(
        model="tiny", folder=str(tiny_folder), lora_rank=4, batch_size=8, learning_rate=0.5, precision="float32"
    )
    return SearchLearner(DATA, options, seed=1)


def distance(a: Any, b: Any) -> float:
    return float(np.sqrt(sum(np.square(a[name] - b[name]).sum() for name in a)))


def test_training_moves_b_alone_and_the_same_way_twice(learner: SearchLearner) -> None:
    start = learner.initial(0)
    assert start
    assert all(name.endswith(".lora_B") and not array.any() for name, array in start.items())
    one, two = (learner.train(start, range(SIZE), seed=3) for _ in range(2))
    assert one.state.keys() == start.keys()
    assert all(one.state[name].tobytes() == two.state[name].tobytes() for name in start)
    assert (one.samples, one.steps) == (SIZE, 3)
    other = learner.train(start, range(SIZE), seed=4)
    assert distance(one.state, other.state) > 0


def test_it_learns(learner: SearchLearner) -> None:
    start = learner.initial(0)
    rows = list(range(SIZE))
    trained = learner.train(start, rows, seed=0, epochs=12)
    assert learner.losses(trained.state, rows).mean() < learner.losses(start, rows).mean()
    found = learner.evaluate(trained.state, "test")
    assert set(found) == {"mrr", "loss"}
    assert 0 < found["mrr"] <= 1


@pytest.mark.parametrize(("epochs", "steps"), [(1.0, 3), (2.0, 6), (2.5, 8), (2.1, 6), (0.5, 2)])
def test_passes_and_parts_of_one(learner: SearchLearner, epochs: float, steps: int) -> None:
    """24 pairs in batches of 8; half a pass is 12, a batch of 8 and one of 4; a rest of 2 is too few to add."""
    assert learner.train(learner.initial(0), range(SIZE), seed=0, epochs=epochs).steps == steps


def test_fedprox_stays_nearer(learner: SearchLearner) -> None:
    start = learner.initial(0)
    free = learner.train(start, range(SIZE), seed=0, epochs=4)
    held = learner.train(start, range(SIZE), seed=0, epochs=4, prox_mu=5.0)
    assert distance(held.state, start) < 0.7 * distance(free.state, start)


def test_a_client_with_one_pair_is_refused(learner: SearchLearner) -> None:
    with pytest.raises(DataError, match="1 training pair"):
        learner.train(learner.initial(0), [4], seed=0)


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(ModelError, match="does not exist"):
        learners.build("search", {"folder": "/nowhere"}, DATA, 0)
    with pytest.raises(ModelError, match="'none' is not on this machine"):
        learners.build("search", {"model": "none"}, DATA, 0)


def test_settings_are_checked_before_any_model_is_loaded() -> None:
    with pytest.raises(SpecError, match="learning_rate"):
        learners.check("search", {"learning_rate": -1.0}, "code_search")
    with pytest.raises(SpecError, match="device"):
        learners.check("search", {"device": "abacus"}, "code_search")
    with pytest.raises(SpecError, match="lacks model"):
        learners.check("transformers", {}, "code_search")
    with pytest.raises(SpecError, match="adapter"):
        learners.check("transformers", {"model": "m", "adapter": "glue"}, "code_search")
    with pytest.raises(SpecError, match="family"):
        learners.check("tiny", {"family": "elman"}, "completion")


def test_a_tiny_model_from_a_file_of_settings(tiny_folder: Path) -> None:
    options = {"family": "roberta", "hidden": 32, "vocabulary": 400, "batch": 8, "layers": 1}
    made = learners.build("tiny", options, DATA, 0)
    start = made.initial(0)
    trained = made.train(start, range(SIZE), seed=0)
    assert trained.steps == 3
    assert 0 < made.evaluate(trained.state, "test")["mrr"] <= 1
    again = learners.build("tiny", options, DATA, 0)
    assert all(again.initial(0)[name].tobytes() == start[name].tobytes() for name in start)
    other = learners.build("tiny", options, DATA, 1)
    assert any(other.initial(1)[name].tobytes() != start[name].tobytes() for name in start)

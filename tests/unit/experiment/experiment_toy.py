"""A task's data in memory and a learner whose arithmetic is plain, for tests of the runner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from learning.errors import DataError, TrainingDiverged
from learning.experiment.settings import Cell, Experiment, TaskChoice, parse
from learning.learner import State, Trained
from learning.tasks.base import TaskData
from learning.tasks.defect_detection import DefectDetection, DefectExample


def data(count: int = 40, one_label: bool = False) -> TaskData[Any]:
    def example(i: int, split: str) -> DefectExample:
        label = 0 if one_label else i % 2
        body = "x - 1" if label else "x + 1"
        return DefectExample(f"def f{i}(x):\n    y = {body}\n    return y", label, f"{split}{i}", f"repo{i % 4}", "")

    splits = {s: tuple(example(i, s) for i in range(n)) for s, n in (("train", count), ("valid", 8), ("test", 20))}
    return TaskData(DefectDetection(), "memory", splits)  # type: ignore[arg-type]


class Plain:
    """w ← w + Σ over the examples seen of 0.01·(index + 1), so every pass can be counted; the metric is w's sum."""

    def __init__(self, *, diverges: bool = False) -> None:
        self.calls: list[tuple[int, int, float, float]] = []
        self.diverges = diverges

    def initial(self, seed: int) -> State:
        return {"w": np.array([float(seed), 0.0], np.float32)}

    def train(
        self, start: State, indices: Sequence[int], *, seed: int, epochs: float = 1.0, prox_mu: float = 0.0
    ) -> Trained:
        if not indices:
            raise DataError("no example.")
        if self.diverges:
            raise TrainingDiverged("The loss became nan.")
        self.calls.append((len(indices), seed, epochs, prox_mu))
        step = np.float32(0.01 * epochs * sum(i + 1 for i in indices) / len(indices))
        return Trained({"w": start["w"] + np.array([step, seed % 7], np.float32)}, len(indices), 1, 0.0, 0.0)

    def evaluate(self, state: State, split: str) -> Mapping[str, float]:
        assert split == "test"
        return {"accuracy": float(state["w"].sum()), "loss": 1.0}

    def losses(self, state: State, indices: Sequence[int], split: str = "train") -> Any:
        return np.zeros(len(indices))


def experiment(**changes: Any) -> Experiment:
    base = {
        "name": "toy",
        "seeds": [3],
        "rounds": 3,
        "clients": 4,
        "task": ["defect_detection"],
        "model": ["hashed"],
        "partition": ["uniform"],
        "algorithm": ["fedavgm"],
    }
    return parse({**base, **changes})


def cells(**changes: Any) -> list[Cell]:
    return experiment(**changes).cells()


def loader(choice: TaskChoice, seed: int) -> TaskData[Any]:
    return data()

"""Eight examples of each task, and a tiny model of each family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learning.models.tiny_families import FAMILY_NAMES, write_tiny_family
from learning.tasks.base import TaskData
from learning.tasks.clone_detection import ClonePair
from learning.tasks.code_to_text import SummaryExample
from learning.tasks.completion import Program
from learning.tasks.defect_detection import DefectExample
from learning.tasks.encoding import Kind, Limits
from learning.tasks.pairs import Pair
from learning.tasks.registry import find_task
from learning.training.learner import TransformerLearner
from learning.training.settings import Settings

WORDS = ("open", "close", "read", "write", "sum", "sort", "join", "split")
LIMITS = Limits(source=48, target=16)
Make = Callable[..., TransformerLearner]


def code(word: str, times: int = 1) -> str:
    return f"def {word}_it(value):\n" + f"    value = {word}(value)\n" * times + "    return value"


def examples(task: str) -> list[Any]:
    if task == "clone_detection":
        return [
            ClonePair(code(w), code(w if i % 2 else WORDS[i - 1], 2), i % 2, f"a{i}", f"b{i}", "r")
            for i, w in enumerate(WORDS)
        ]
    if task == "defect_detection":
        return [DefectExample(code(w, 1 + i % 3), i % 2, str(i), "r", "c") for i, w in enumerate(WORDS)]
    if task == "code_search":
        return [Pair(f"{w} a value", code(w, 1 + i % 3), "r", "p", w) for i, w in enumerate(WORDS)]
    if task == "code_to_text":
        return [SummaryExample(code(w, 1 + i % 3), f"{w} it", "python", "r", "p", w) for i, w in enumerate(WORDS)]
    return [
        Program(f"<s> def {w} ( x ) : <EOL> return {w} ( x , {w} ) <EOL> </s>", "r", f"p{i}")
        for i, w in enumerate(WORDS)
    ]


def task_data(task: str) -> TaskData[Any]:
    found = examples(task)
    return TaskData(find_task(task), "test", {"train": found, "valid": found[:4], "test": found})


TASK_OF: dict[Kind, str] = {
    "classification": "defect_detection",
    "siamese": "clone_detection",
    "retrieval": "code_search",
    "seq2seq": "code_to_text",
    "causal": "code_to_text",
    "completion": "completion",
}


@pytest.fixture(scope="session")
def family_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {name: write_tiny_family(root / name, name, vocabulary=400) for name in FAMILY_NAMES}


@pytest.fixture(scope="session")
def make(family_folders: dict[str, Path]) -> Make:
    def build(family: str, kind: Kind, **more: Any) -> TransformerLearner:
        settings = more.pop("settings", None) or Settings(
            learning_rate=3e-3, batch=4, precision="float32", check_every=4, evaluation_batch=4
        )
        return TransformerLearner(
            more.pop("data", None) or task_data(TASK_OF[kind]),
            more.pop("model", family_folders[family]),
            kind=kind,
            settings=settings,
            limits=more.pop("limits", LIMITS),
            device="cpu",
            **more,
        )

    return build


@pytest.fixture(scope="session")
def tasks() -> Callable[[Kind], TaskData[Any]]:
    return lambda kind: task_data(TASK_OF[kind])

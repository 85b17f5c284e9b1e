"""A tiny random model and a handful of real pairs, shared by the learning tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from learning.models.encoder import Encoder, base_model_hash, genesis
from learning.models.tiny import write_tiny_model
from learning.sources import installed
from learning.sources.repository import extract_pairs
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def spec(tiny_folder: Path) -> LearningSpec:
    return LearningSpec(
        base_hash=base_model_hash(tiny_folder),
        model="tiny",
        lora_layers=1,
        lora_rank=4,
        batch_size=16,
        samples_per_round=64,
        optimiser="adamw",
        learning_rate=3e-3,
        scoring_precision="float32",
        confidence=0.0,
    )


@pytest.fixture
def encoder(tiny_folder: Path, spec: LearningSpec) -> Encoder:
    return Encoder(tiny_folder, spec, torch.device("cpu"))


@pytest.fixture
def checkpoint(tiny_folder: Path, spec: LearningSpec) -> dict[str, NDArray[np.float32]]:
    return genesis(spec, 0, tiny_folder)


@pytest.fixture(scope="session")
def library_pairs() -> list[Pair]:
    library = next(r for r in installed.list_repositories() if r.name == installed.STANDARD_LIBRARY)
    return extract_pairs(library, limit=160)

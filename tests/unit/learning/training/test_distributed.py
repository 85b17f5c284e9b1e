"""Two gloo processes on the CPU compute what one does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from learning.errors import DeviceError
from learning.models.adapters import Adapter
from learning.training.distributed import start
from learning.training.learner import TransformerLearner
from learning.training.loop import make_optimiser
from learning.training.settings import Settings

Make = Callable[..., TransformerLearner]
HERE = Path(__file__).parent
ROOT = HERE.parents[3]
CASES = (("bert", "classification", "ffa"), ("llama", "completion", "full"), ("bert", "retrieval", "ffa"))
SETTINGS = Settings(learning_rate=1e-3, batch=4, precision="float32", check_every=2)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def run_two(script: str, *arguments: str) -> None:
    """Two processes with the variables that torchrun sets."""
    port = str(free_port())
    children = []
    for rank in range(2):
        variables = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        environment = {**os.environ, **variables, "MASTER_PORT": port, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "ignore", str(HERE / script), *arguments]
        children.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        for child in children:
            _, errors = child.communicate(timeout=300)
            assert child.returncode == 0, errors[-2000:]
    finally:
        for child in children:
            child.kill()
            child.wait()


def distance(left: Any, right: Any) -> float:
    return float(np.sqrt(sum(np.square(left[n] - right[n]).sum() for n in left)))


@pytest.fixture(scope="module")
def pair(family_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    run_two("two_processes.py", str(family_folders["bert"].parent), str(folder))
    return folder


@pytest.mark.parametrize("case", range(len(CASES)))
def test_two_replicas_train_as_one_process(make: Make, pair: Path, case: int) -> None:
    family, kind, adapter = CASES[case]
    learner = make(family, kind, adapter=Adapter(kind=adapter), settings=SETTINGS)  # type: ignore[arg-type]
    begin = learner.initial(0)
    one = learner.train(begin, list(range(7)), seed=0, epochs=2)
    left, right = (load_file(pair / f"replica-{case}-{rank}.safetensors") for rank in range(2))
    losses = [float(part.pop("loss")) for part in (left, right)]
    assert all(left[n].tobytes() == right[n].tobytes() for n in left)
    assert losses == pytest.approx([one.loss] * 2, rel=1e-4)
    assert distance(left, one.state) < 0.02 * distance(one.state, begin)


def test_a_sharded_model_trains_as_one_process(make: Make, pair: Path) -> None:
    learner = make("llama", "completion", adapter=Adapter(kind="full"), settings=SETTINGS)
    begin = learner.initial(0)
    learner.load(begin)
    parameters = learner.network.trained()
    optimiser = make_optimiser(list(parameters.values()), SETTINGS, 1e-3)
    prepared = learner.prepared("train")
    for _ in range(3):
        optimiser.zero_grad()
        batch = learner.collate(prepared, np.arange(8))
        learner.network.term_losses(batch.tensors).mean().backward()
        optimiser.step()
    one = {name: p.detach().numpy() for name, p in parameters.items()}
    found = load_file(pair / "sharded.safetensors")
    assert found.pop("local_share") < 0.6
    assert list(found) == list(one)
    assert distance(found, one) < 0.02 * distance(one, begin)


def test_a_process_alone_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(DeviceError, match="RANK is not set"), start("cpu"):
        pass
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="has no GPU"), start("cuda"):
            pass

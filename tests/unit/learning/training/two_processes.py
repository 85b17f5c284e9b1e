"""What each of the two processes of test_distributed.py does: arguments are the folder of tiny families and where results go."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from conftest import LIMITS, TASK_OF, task_data
from safetensors.numpy import save_file
from test_distributed import CASES, SETTINGS

from learning.models.adapters import Adapter
from learning.training.distributed import Place, gathered, shard, start
from learning.training.learner import TransformerLearner
from learning.training.loop import make_optimiser


def learner_for(folder: Path, case: tuple[str, str, str], place: Place, *, replicated: bool) -> TransformerLearner:
    family, kind, adapter = case
    more = {"share": place.share, "reduce": place.reduce} if replicated else {}
    return TransformerLearner(
        task_data(TASK_OF[kind]),  # type: ignore[index]
        folder / family,
        kind=kind,  # type: ignore[arg-type]
        adapter=Adapter(kind=adapter),  # type: ignore[arg-type]
        settings=SETTINGS,
        limits=LIMITS,
        device=place.device,
        **more,  # type: ignore[arg-type]
    )


def replicas(folder: Path, out: Path, place: Place) -> None:
    for number, case in enumerate(CASES):
        learner = learner_for(folder, case, place, replicated=True)
        trained = learner.train(learner.initial(0), list(range(7)), seed=0, epochs=2)
        state = {**trained.state, "loss": np.array(trained.loss)}
        save_file(state, out / f"replica-{number}-{place.rank}.safetensors")


def sharded(folder: Path, out: Path, place: Place) -> None:
    learner = learner_for(folder, CASES[1], place, replicated=False)
    learner.load(learner.initial(0))
    network = learner.network
    total = sum(p.numel() for p in network.parameters())
    network.forward = network.term_losses  # type: ignore[method-assign]
    shard(network, list(network.body.model.layers), place)  # type: ignore[union-attr,arg-type]
    parameters = network.trained()
    local = sum(p.to_local().numel() for p in parameters.values())  # type: ignore[attr-defined]
    optimiser = make_optimiser(list(parameters.values()), SETTINGS, 1e-3)
    prepared = learner.prepared("train")
    terms = learner.collate.terms(prepared, np.arange(8)).sum()
    for _ in range(3):
        optimiser.zero_grad()
        batch = learner.collate(prepared, np.arange(place.rank, 8, place.world))
        (network(batch.tensors).sum() * place.world / terms).backward()
        optimiser.step()
    state = gathered(parameters)
    if place.rank == 0:
        save_file({**state, "local_share": np.array(local / total)}, out / "sharded.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with start("cpu") as place:
        replicas(Path(sys.argv[1]), Path(sys.argv[2]), place)
        sharded(Path(sys.argv[1]), Path(sys.argv[2]), place)

"""Measures a run against its baselines: the metric of every checkpoint, each client training alone, and centralised training.

``python -m deploy.measure`` computes the baselines in a process of its own, so that they use processor time the network leaves idle.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aggregation.bundle import decode
from learning.device import choose_device, single_threaded
from learning.evaluation import evaluate
from learning.local_training import round_window, train
from learning.models.encoder import Encoder
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair, decode_pairs
from node.adapters.trainer_local import MAX_SLICE_ROWS, read_pairs
from node.cli.process import stop_with_parent
from node.combine import model_tensors
from node.protocol.guideline import Guideline
from node.store import write_atomic

METRIC = "mrr"
Checkpoint = dict[str, Any]


@dataclass(slots=True)
class Bench:
    """A model and the public benchmark, loaded once."""

    model: Encoder
    spec: LearningSpec
    pairs: list[Pair]
    max_bytes: int

    @classmethod
    def open(cls, guideline: Guideline, base_model: Path, benchmark: bytes) -> Bench:
        """Load model and benchmark; one thread, since nodes share the machine."""
        single_threaded()
        spec = LearningSpec.from_mapping(guideline.learning)
        model = Encoder(base_model, spec, choose_device("auto"))
        return cls(model, spec, decode_pairs(benchmark, max_rows=MAX_SLICE_ROWS), guideline.update.max_bytes)

    def metric(self, checkpoint: bytes | Checkpoint) -> float:
        """MRR of a checkpoint on the public benchmark."""
        tensors = decode(checkpoint, max_bytes=self.max_bytes) if isinstance(checkpoint, bytes) else checkpoint
        return float(evaluate(self.model, model_tensors(tensors), self.pairs)[METRIC])

    def alone(self, genesis: bytes, pairs: Sequence[Pair], rounds: int, seed: int) -> float:
        """MRR of a client that trains alone for as many rounds, on the same data and settings, taking its full updates."""
        checkpoint: Checkpoint = decode(genesis, max_bytes=self.max_bytes)
        for number in range(1, rounds + 1):
            result = train(self.model, checkpoint, pairs, self.spec, round=number, seed=seed)
            checkpoint = {
                name: value + result.update[name] if name in result.update else value
                for name, value in checkpoint.items()
            }
        return self.metric(checkpoint)

    def centralised(self, genesis: bytes, clients: Sequence[Sequence[Pair]], rounds: int, seed: int) -> float:
        """MRR of one client that has everybody's data: each round's windows of all clients together."""
        checkpoint: Checkpoint = decode(genesis, max_bytes=self.max_bytes)
        for number in range(1, rounds + 1):
            window = [pair for pairs in clients for pair in round_window(pairs, self.spec.samples_per_round, number)]
            spec = LearningSpec.from_mapping({**self.spec.to_mapping(), "samples_per_round": len(window)})
            result = train(self.model, checkpoint, window, spec, round=1, seed=seed + number)
            checkpoint = {
                name: value + result.update[name] if name in result.update else value
                for name, value in checkpoint.items()
            }
        return self.metric(checkpoint)


def baselines(job: Mapping[str, Any]) -> dict[str, Any]:
    """Compute what a job file asks for; see `main`."""
    root = Path(job["network"])
    guideline = Guideline.parse((root / "guideline.json").read_bytes())
    genesis = (root / "committee" / "founding" / "genesis.safetensors").read_bytes()
    bench = Bench.open(guideline, Path(job["base_model"]), (root / "public.jsonl").read_bytes())
    clients = {address: read_pairs(names, Path(job["cache"])) for address, names in job["clients"].items()}
    result: dict[str, Any] = {
        "single_clients": {
            address: bench.alone(genesis, pairs, job["rounds"], job["seed"]) for address, pairs in clients.items()
        },
        "centralised": None,
    }
    if job["centralised"]:
        result["centralised"] = bench.centralised(genesis, list(clients.values()), job["rounds"], job["seed"])
    return result


def main() -> None:
    """Read a job file, write its result beside it."""
    parser = argparse.ArgumentParser(prog="deploy.measure", description="Baselines of a local network.")
    parser.add_argument("job", type=Path, help="JSON: network, base_model, cache, clients, rounds, seed, centralised")
    path = parser.parse_args().job
    stop_with_parent()
    result = baselines(json.loads(path.read_bytes()))
    write_atomic(path.with_suffix(".result.json"), json.dumps(result, indent=1).encode())


if __name__ == "__main__":
    main()

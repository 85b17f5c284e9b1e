"""The verifier's score on the real model: is it the same everywhere, is tau wide enough, and does it cost less than training?

    python -m benchmarks.scoring        # make bench-scoring; writes build/bench/scoring.json

Seven updates (two trained by different clients, and what can be made of them: flipped, halved, sum, difference, noise) are scored
twice in processes of their own, with 1 and 2 torch threads, in bf16 and float32, and with AVX2 only in place of the processor's best
instructions. Spread = the most that two of these differ in one update's gain, ppm; the contracts call scores equal within tau. Time:
CPU seconds of one round's score word (look-ahead bases, seven updates) on a sealed slice, against one local training step.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tomllib
from itertools import combinations
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

from learning.device import choose_device
from learning.evaluation import score_updates
from learning.local_training import train
from learning.models.encoder import Encoder, base_model_hash, genesis
from learning.models.installed import find_base_model
from learning.prepared_pairs import prepare_pairs
from learning.privacy.noise import gaussian, norm_of, seeded_source
from learning.sources import installed
from learning.spec import LearningSpec
from node.config import StewardSection
from node.protocol.guideline import Guideline

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "cache" / "pairs"
K = 7
BASES = 3  # evaluations of a grid of three look-aheads
POOL, BENCHMARK = 800, 500
VARIANTS = (
    ("bf16", 1, "best", 1),
    ("bf16", 1, "best", 2),
    ("bf16", 2, "best", 1),
    ("bf16", 1, "avx2", 1),
    ("float32", 1, "best", 1),
    ("float32", 1, "best", 2),
    ("float32", 2, "best", 1),
    ("float32", 1, "avx2", 1),
)
"""Precision, torch threads, instructions, run."""
Tensors = dict[str, np.ndarray]


def world(precision: str) -> tuple[Encoder, Tensors, LearningSpec]:
    """Model, parent and spec of the demo's guideline."""
    documents = json.loads((ROOT / "deploy" / "guidelines" / "code-search.json").read_text("utf-8"))
    settings = Guideline(documents).learning
    base = find_base_model(settings["model"])
    spec = LearningSpec.from_mapping(
        settings | {"base_hash": base_model_hash(base), "scoring_precision": precision, "lookahead_public": [0.0]}
    )
    return Encoder(base, spec, choose_device("cpu")), genesis(spec, 0, base), spec


def prepare(file: Path) -> dict[str, float]:
    """Train two clients, derive the other updates, save all; CPU seconds of one training."""
    torch.set_num_threads(1)
    model, parent, spec = world("bf16")
    public = installed.public_benchmark(BENCHMARK, cache=CACHE)
    hands = installed.assign(5, 0)
    trained, seconds = [], []
    for client in range(2):
        pairs = installed.collect(hands[client], limit=POOL, against=public, cache=CACHE)
        began = process_time()
        trained.append(train(model, parent, pairs, spec, round=1, seed=client).update)
        seconds.append(process_time() - began)
    first, second = trained
    noise = {
        n: gaussian(a.size, seeded_source(i)).reshape(a.shape).astype(np.float32)
        for i, (n, a) in enumerate(first.items())
    }
    scale = np.float32(norm_of(first) / norm_of(noise))
    updates = [
        *trained,
        {n: -a for n, a in first.items()},
        {n: a / 2 for n, a in second.items()},
        {n: a + first[n] for n, a in second.items()},
        {n: a - first[n] for n, a in second.items()},
        {n: a * scale for n, a in noise.items()},
    ]
    np.savez(file, **{f"{i}/{n}": a for i, update in enumerate(updates) for n, a in update.items()})
    return {"train_cpu_seconds": min(seconds), "train_cpu_seconds_worst": max(seconds)}


def score(file: Path, precision: str, threads: int) -> dict[str, Any]:
    """Gains of the saved updates in this process, and its CPU seconds."""
    torch.set_num_threads(threads)
    model, parent, spec = world(precision)
    with np.load(file) as data:
        updates: list[Tensors] = [{} for _ in range(K)]
        for key in data.files:
            place, name = key.split("/", 1)
            updates[int(place)][name] = data[key]
    rows = installed.sealed_slice(StewardSection().rows, 1, cache=CACHE)
    last = {n: (updates[0][n] + updates[1][n]) / np.float32(2) for n in updates[0]}
    began = process_time()
    slice_ = prepare_pairs(model, rows, precision)
    prepared = process_time() - began
    gains = score_updates(model, parent, last, updates, slice_, eta=spec.eta, grid=spec.lookahead)
    whole = process_time() - began
    return {"gains": gains, "cpu_seconds": whole, "of_it_slice": prepared, "rows": len(rows)}


def child(*arguments: str, instructions: str = "best") -> dict[str, Any]:
    """Run this file in a process of its own."""
    environment = dict(os.environ)
    if instructions == "avx2":
        environment |= {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    command = [sys.executable, "-m", "benchmarks.scoring", *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def spread(gains: list[list[int]]) -> int:
    """Most that two of these score lists differ in one update, ppm."""
    return max((max(abs(a - b) for a, b in zip(x, y, strict=True)) for x, y in combinations(gains, 2)), default=0)


def measure() -> dict[str, Any]:
    """All variants, their spreads against tau, and the cost."""
    file = ROOT / "build" / "bench" / "scoring-updates.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    training = child("--prepare", str(file))
    rows = []
    for precision, threads, instructions, run in VARIANTS:
        found = child("--score", str(file), precision, str(threads), instructions=instructions)
        rows.append({"precision": precision, "threads": threads, "instructions": instructions, "run": run} | found)
        print(rows[-1], file=sys.stderr, flush=True)
    file.unlink()
    return summarised(rows, training)


def summarised(rows: list[dict[str, Any]], training: dict[str, Any]) -> dict[str, Any]:
    """Spreads and costs of all variants.

    ``scores_alone``: the seven of the ten evaluations that are updates' own, without slice and look-ahead bases.
    """

    def chosen(**wanted: Any) -> list[dict[str, Any]]:
        return [row for row in rows if all(row[key] == value for key, value in wanted.items())]

    networks = {
        name: tomllib.loads((ROOT / "deploy" / "networks" / f"{name}.toml").read_text("utf-8"))["scoring"]["tau"]
        for name in ("localnet", "public")
    }
    spreads = {}
    for precision in ("bf16", "float32"):
        here = chosen(precision=precision, instructions="best")
        spreads[precision] = {
            "two runs": spread([row["gains"] for row in here if row["threads"] == 1]),
            "threads 1 and 2": spread([row["gains"] for row in here]),
            "also AVX2 only": spread([row["gains"] for row in chosen(precision=precision)]),
        }
    spreads["bf16 and float32"] = {"all": spread([row["gains"] for row in rows])}
    best = min(chosen(precision="bf16", threads=1, instructions="best"), key=lambda row: row["cpu_seconds"])
    cost, alone = best["cpu_seconds"], (best["cpu_seconds"] - best["of_it_slice"]) * K / (K + BASES)
    return {
        "machine": platform.machine(), "python": platform.python_version(), "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(), "tau": networks, "spread_ppm": spreads,
        "score_cpu_seconds": cost, "scores_alone_cpu_seconds": alone,
        **training, "share_of_training": cost / training["train_cpu_seconds"],
        "scores_alone_share": alone / training["train_cpu_seconds"], "variants": rows,
    }  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench" / "scoring.json")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--score", nargs=3, metavar=("FILE", "PRECISION", "THREADS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.prepare:
        print(json.dumps(prepare(arguments.prepare)))
        return
    if arguments.score:
        file, precision, threads = arguments.score
        print(json.dumps(score(Path(file), precision, int(threads))))
        return
    result = measure()
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(
        json.dumps(
            {key: result[key] for key in ("tau", "spread_ppm", "share_of_training", "scores_alone_share")}, indent=1
        )
    )
    within = max(value for name in ("bf16", "float32") for value in result["spread_ppm"][name].values())
    if within > min(result["tau"].values()):
        raise SystemExit(f"Scores differ by {within} ppm, more than tau.")


if __name__ == "__main__":
    main()

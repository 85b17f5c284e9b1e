"""Training speed against `transformers.Trainer`: same model, weights, token ids, batches of the same size, optimiser and schedule.

    python -m benchmarks.training                        # build/bench/training.json
    python -m benchmarks.training --quick --models roberta-tiny
    python -m benchmarks.training --device cuda:0 --models llama-7b-shaped

Both sides get the same token ids (cut at the same limits) and train the same parameters: of LoRA the second factors and the head, the
first being frozen; dropout is off. The Trainer runs on stock classes with PEFT, its own padding collator and fused AdamW, as four
peers: as it comes (``trainer``), with bf16, with its grouping by length, and with both. All runs of a model are interleaved within
each repetition, and the ratio is the median over repetitions of peer's time through ours in the same repetition. Timed is the call
that trains, start to end.

``clock`` says which seconds: of the processor (one thread, other programs do not count) or of the wall. ``percent_of_matmul_rate``:
useful operations (padding not counted) per second as a share of a large matrix product's rate in the same number format, measured here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.robustness_report import machine
from benchmarks.training_flops import matmul_rate, step_flops, synchronise
from benchmarks.training_peer import PEERS, train_peer
from benchmarks.training_shaped import SHAPED, shaped_rows
from learning.device import choose_device
from learning.models.adapters import Adapter, AdapterKind
from learning.models.tiny_families import write_tiny_family
from learning.tasks.base import TaskData
from learning.tasks.encoding import Kind, Limits
from learning.tasks.load import load
from learning.training.learner import TransformerLearner
from learning.training.settings import Settings

OUT = Path("build/bench/training.json")
CACHE = Path("build/cache/training")
GOAL = 1.3


@dataclass(frozen=True, slots=True)
class Case:
    """One model and task; ``tiny``: sizes of a random model, else a packaged one."""

    model: str
    task: str
    kind: Kind
    adapter: AdapterKind
    limits: Limits
    batch: int = 16
    samples: int = 128
    tiny: Mapping[str, Any] = field(default_factory=dict)


_WIDE = {"layers": 4, "hidden": 256, "vocabulary": 8000, "positions": 512, "initializer_range": 0.02}
CASES = (
    Case("MiniLM-L6", "defect_detection", "classification", "ffa", Limits(256), samples=96),
    Case(
        "roberta-tiny",
        "defect_detection",
        "classification",
        "full",
        Limits(256),
        samples=192,
        tiny={"family": "roberta", **_WIDE},
    ),
    Case("llama-tiny", "completion", "completion", "ffa", Limits(128), samples=16, tiny={"family": "llama", **_WIDE}),
    Case("t5-tiny", "code_to_text", "seq2seq", "full", Limits(256, 64), tiny={"family": "t5", **_WIDE}),
)


def seconds_of(call: Callable[[], Any], device: torch.device, clock: str) -> float:
    """Seconds of a call by ``clock``, waiting for the device."""
    now = time.process_time if clock == "cpu" else time.perf_counter
    synchronise(device)
    began = now()
    call()
    synchronise(device)
    return now() - began


def build(case: Case, folder: Path, device: torch.device, limit: int) -> TransformerLearner:
    """Our side of a case, with data of installed packages."""
    data = _data(case.task, limit)
    model: str | Path = "all-MiniLM-L6-v2"
    if case.tiny:
        sizes = dict(case.tiny)
        texts = [" ".join(data.task.texts(e)) for e in data.examples("train")[:400]]
        model = write_tiny_family(folder / case.model, sizes.pop("family"), texts=texts, **sizes)
    return TransformerLearner(
        data,
        model,
        kind=case.kind,
        adapter=Adapter(kind=case.adapter),
        settings=Settings(batch=case.batch, learning_rate=1e-4),
        limits=case.limits,
        device=device,
        cache=CACHE,
    )


def _data(task: str, limit: int) -> TaskData[Any]:
    """Examples made of installed packages, written once in the official format and read from there: making programs takes minutes."""
    folder = CACHE / f"{task}-{limit}"
    if not folder.is_dir():
        made = load(task, "installed", limit=limit, seed=0)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as part:
            made.task.write(Path(part, "data"), made.splits)
            Path(part, "data").rename(folder)
    return load(task, f"official:{folder}", seed=0)


def run_case(case: Case, options: argparse.Namespace, device: torch.device, folder: Path) -> list[dict[str, Any]]:
    """Rows of one case: one for each peer."""
    samples = max(case.batch, case.samples // 8) if options.quick else case.samples
    learner = build(case, folder, device, 4 * samples)
    start = learner.initial(0)
    prepared = learner.prepared("train")
    indices = list(range(min(samples, prepared.examples)))
    rows = prepared.rows(indices)
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in PEERS}
    losses: dict[str, float] = {}

    def train_ours() -> None:
        losses["ours"] = learner.train(start, indices, seed=0).loss

    for repetition in range(options.repetitions + 1):  # the first warms up and is not counted
        times = [seconds_of(train_ours, device, options.clock)]
        for name in PEERS:
            peer = train_peer(learner, start, rows, PEERS[name], device)
            times.append(seconds_of(peer.run, device, options.clock))
            losses[name] = peer.loss()
        if repetition:
            ours.append(times[0])
            for name, seconds in zip(PEERS, times[1:], strict=True):
                theirs[name].append(seconds)
    dtype = torch.bfloat16 if learner.precision == "bf16" else torch.float32
    network = learner.network
    flops = step_flops(
        network.body,
        network.config,
        [int(n) for n in prepared.length()[rows]],
        causal=not network.family.bidirectional,
        head_terms=int(learner.collate.terms(prepared, rows).sum()) if network.head is None else 0,
    )
    rate = matmul_rate(device, dtype)
    common = {
        "model": case.model,
        "task": case.task,
        "kind": case.kind,
        "adapter": case.adapter,
        "device": device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
        "precision": learner.precision,
        "clock": options.clock,
        "rows": len(rows),
        "batch": case.batch,
        "mean_tokens": round(float(np.mean(prepared.length()[rows])), 1),
        "samples_per_s": round(len(rows) / statistics.median(ours), 2),
        "percent_of_matmul_rate": round(100 * flops / statistics.median(ours) / rate, 1),
        "loss": round(losses["ours"], 4),
    }
    return [
        common
        | {
            "peer": name,
            "ratio": round(statistics.median(t / o for t, o in zip(theirs[name], ours, strict=True)), 3),
            "ratios": [round(t / o, 3) for t, o in zip(theirs[name], ours, strict=True)],
            "peer_samples_per_s": round(len(rows) / statistics.median(theirs[name]), 2),
            "peer_loss": round(losses[name], 4),
        }
        for name in PEERS
    ]


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [case.model for case in CASES] + list(SHAPED)
    parser.add_argument("--models", nargs="+", choices=names, default=[case.model for case in CASES])
    parser.add_argument("--device", default="cpu", help="cpu, cuda:0 or auto")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="torch threads on a CPU")
    parser.add_argument("--clock", choices=("cpu", "wall"), help="default: cpu with one thread, else wall")
    parser.add_argument("--quick", action="store_true", help="an eighth of the samples")
    parser.add_argument("--results", type=Path, help="write the result here, too")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    options.clock = options.clock or ("cpu" if device.type == "cpu" and options.threads == 1 else "wall")
    rows: list[dict[str, Any]] = []
    console = Console()
    with tempfile.TemporaryDirectory(prefix="commonweight-bench-") as folder:
        for name in options.models:
            console.print(f"{name} …")
            if name in SHAPED:
                found = shaped_rows(SHAPED[name], device, repetitions=options.repetitions, clock=options.clock)
            else:
                case = next(c for c in CASES if c.model == name)
                found = run_case(case, options, device, Path(folder))
            _show(console, found)
            rows += found
            _write(rows, options, device)


def _write(rows: list[dict[str, Any]], options: argparse.Namespace, device: torch.device) -> None:
    result = {
        "machine": machine(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "transformers", "peft", "accelerate")},
        "threads": options.threads,
        "load_average": round(os.getloadavg()[0], 1),
        "repetitions": options.repetitions,
        "goal": GOAL,
        "not_measured": [] if device.type == "cuda" else ["anything on a GPU, and with it the Llama-7B-shaped model"],
        "rows": rows,
    }
    for path in filter(None, (OUT, options.results)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _show(console: Console, rows: list[dict[str, Any]]) -> None:
    table = Table("model", "adapter", "peer", "ratio", "ours /s", "peer /s", "% of matmul rate")
    for row in rows:
        keys = ("model", "adapter", "peer", "ratio", "samples_per_s", "peer_samples_per_s", "percent_of_matmul_rate")
        table.add_row(*(str(row[key]) for key in keys))
    console.print(table)


if __name__ == "__main__":
    main()

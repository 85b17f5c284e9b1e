"""Compressed updates on the real code task: bytes of an update against MRR lost, for LoRA and for full fine-tuning.

    python -m benchmarks.compression                  every arm, three seeds
    python -m benchmarks.compression --quick          one seed, little data: does it run

Honest trainers on disjoint installed packages, rounds of local training, compress, decompress, aggregate, outer step; then MRR among
functions of packages nobody trains on. Within a seed all arms share data, initial model, batches and pipeline, so they differ by
compression alone: figures are paired. The reference of ``ratio`` is the whole model in float32; of ``relative_loss`` the same arm
uncompressed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from aggregation import bundle, compress, outer, registry
from learning.device import choose_device, single_threaded
from learning.evaluation import evaluate
from learning.local_training import clipped_update, fit, round_window
from learning.models.encoder import Encoder, base_model_hash, genesis, trainable
from learning.models.installed import find_base_model
from learning.prepared_pairs import PreparedPairs, prepare_pairs
from learning.sources import installed
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair, contrastive_loss, mean_reciprocal_rank

Tensors = dict[str, NDArray[np.float32]]
OUTPUT = Path("build/bench/compression.json")
UNCOMPRESSED = "fp32"
DEFAULT = registry.DEFAULT
GOALS = {"lora": 1000.0, "full": 25.0}  # times fewer bytes than the whole model in float32
TOLERATED = 0.01  # relative loss of MRR


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides a figure."""

    seeds: tuple[int, ...] = (0, 1, 2)
    clients: int = 4
    pool: int = 800
    benchmark: int = 500
    outer_rate: float = 0.8
    lora_rounds: int = 3
    lora_rank: int = 8
    lora_layers: int = 3
    lora_samples: int = 64
    lora_batch: int = 32
    full_rounds: int = 3
    full_samples: int = 64
    full_batch: int = 32
    full_rate: float = 1e-4
    lora_arms: tuple[tuple[str, str], ...] = (
        *((scheme, DEFAULT) for scheme in (UNCOMPRESSED, "int8", "int4", "sign", "topk")),
        *((scheme, "mean") for scheme in (UNCOMPRESSED, "int8")),
    )
    full_arms: tuple[tuple[str, str], ...] = (
        *((scheme, DEFAULT) for scheme in (UNCOMPRESSED, "sign", "topk:k=256", "topk", "int8")),
        *((scheme, "mean") for scheme in (UNCOMPRESSED, "sign")),
    )

    def arms(self, kind: str) -> tuple[tuple[str, str], ...]:
        """(scheme, pipeline) of one way to train; the uncompressed one stands before those compared with it."""
        return self.lora_arms if kind == "lora" else self.full_arms

    def training(self) -> dict[str, Any]:
        """All that a row depends on beside its own key."""
        return {n: v for n, v in dataclasses.asdict(self).items() if n not in {"seeds", "lora_arms", "full_arms"}}


QUICK = Settings(
    seeds=(0,),
    pool=200,
    benchmark=100,
    lora_rounds=2,
    lora_samples=32,
    lora_batch=16,
    full_rounds=1,
    full_samples=32,
    full_batch=16,
)


@dataclasses.dataclass(frozen=True)
class Data:
    """A seed's pairs."""

    clients: list[list[Pair]]
    benchmark: list[Pair]


class Training(Protocol):
    """A way to train: where it starts, one client's work, what it is worth. Deterministic."""

    start: Tensors
    rounds: int

    def moving(self, checkpoint: Tensors) -> Tensors:
        """The tensors an update has."""
        ...

    def update(self, checkpoint: Tensors, client: int, number: int) -> Tensors:
        """New minus parent of a client in a round."""
        ...

    def mrr(self, checkpoint: Tensors) -> float:
        """On the benchmark."""
        ...


class Lora:
    """FFA-LoRA as the project trains it: `learning.local_training` on activations computed once."""

    def __init__(self, settings: Settings, data: Data, seed: int, folder: Path) -> None:
        rank = settings.lora_rank
        self.spec = LearningSpec(
            base_hash=base_model_hash(folder),
            lora_rank=rank,
            lora_alpha=2.0 * rank,
            lora_layers=settings.lora_layers,
            samples_per_round=settings.lora_samples,
            batch_size=settings.lora_batch,
        )
        self.rounds, self.seed, self.data = settings.lora_rounds, seed, data
        self.model = Encoder(folder, self.spec, choose_device("cpu"))
        self.start: Tensors = genesis(self.spec, seed, folder)
        self.benchmark = prepare_pairs(self.model, data.benchmark, self.spec.scoring_precision)
        self._windows: dict[tuple[int, int], PreparedPairs] = {}

    def moving(self, checkpoint: Tensors) -> Tensors:
        """The B factors."""
        return trainable(checkpoint)

    def update(self, checkpoint: Tensors, client: int, number: int) -> Tensors:
        """What `learning.local_training.train` gives."""
        if (client, number) not in self._windows:
            rows = round_window(self.data.clients[client], self.spec.samples_per_round, number)
            self._windows[client, number] = prepare_pairs(self.model, rows, self.spec.precision)
        fit(self.model, checkpoint, self._windows[client, number], self.spec, seed=_seed(self.seed, client, number))
        return clipped_update(self.model, checkpoint, self.spec.max_norm)[0]

    def mrr(self, checkpoint: Tensors) -> float:
        """On the benchmark."""
        return evaluate(self.model, checkpoint, self.benchmark)["mrr"]


class Full:
    """All weights, embeddings included: AdamW on the contrastive loss, the step size falling linearly to zero."""

    def __init__(self, settings: Settings, data: Data, seed: int, folder: Path) -> None:
        transformers_logging.disable_progress_bar()
        transformers_logging.set_verbosity_error()
        self.spec = LearningSpec(base_hash=base_model_hash(folder))  # tokens, temperature, precision
        self.settings, self.rounds, self.seed, self.data = settings, settings.full_rounds, seed, data
        self.model = AutoModel.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32, attn_implementation="sdpa", add_pooling_layer=False
        ).eval()  # no dropout, as everywhere here
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.parameters: dict[str, torch.nn.Parameter] = dict(sorted(self.model.named_parameters()))
        self.start: Tensors = {name: p.detach().numpy().copy() for name, p in self.parameters.items()}

    def moving(self, checkpoint: Tensors) -> Tensors:
        """Everything."""
        return checkpoint

    def update(self, checkpoint: Tensors, client: int, number: int) -> Tensors:
        """New minus parent of a client in a round."""
        self._load(checkpoint)
        rows = round_window(self.data.clients[client], self.settings.full_samples, number)
        order = np.random.default_rng(_seed(self.seed, client, number)).permutation(len(rows))
        size = self.settings.full_batch
        batches = [[rows[i] for i in order[at : at + size]] for at in range(0, len(order), size)]
        optimiser = torch.optim.AdamW(self.parameters.values(), weight_decay=0.0, betas=(0.9, 0.99))
        for step, batch in enumerate(batches):
            optimiser.param_groups[0]["lr"] = self.settings.full_rate * (len(batches) - step) / len(batches)
            queries = self._embed([pair.query for pair in batch], self.spec.query_tokens)
            codes = self._embed([pair.code for pair in batch], self.spec.code_tokens)
            optimiser.zero_grad(set_to_none=True)
            contrastive_loss(queries, codes, temperature=self.spec.temperature).backward()
            optimiser.step()
        return {name: p.detach().numpy() - checkpoint[name] for name, p in self.parameters.items()}

    def mrr(self, checkpoint: Tensors) -> float:
        """On the benchmark."""
        self._load(checkpoint)
        rows = self.data.benchmark
        with torch.no_grad():
            queries = self._embed_all([pair.query for pair in rows], self.spec.query_tokens)
            codes = self._embed_all([pair.code for pair in rows], self.spec.code_tokens)
        return mean_reciprocal_rank(queries, codes)

    def _load(self, checkpoint: Tensors) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(torch.from_numpy(checkpoint[name]))

    def _embed(self, texts: list[str], tokens: int) -> torch.Tensor:
        inputs = self.tokenizer(texts, truncation=True, max_length=tokens, padding=True, return_tensors="pt")
        mask = inputs["attention_mask"]
        with torch.autocast("cpu", torch.bfloat16):
            states = self.model(input_ids=inputs["input_ids"], attention_mask=mask)[0]
        weight = mask.unsqueeze(-1).float()
        return torch.nn.functional.normalize((states.float() * weight).sum(1) / weight.sum(1), dim=-1)

    def _embed_all(self, texts: list[str], tokens: int) -> torch.Tensor:
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        result = torch.empty(len(texts), self.model.config.hidden_size)
        for at in range(0, len(texts), 64):
            rows = by_length[at : at + 64]
            result[rows] = self._embed([texts[i] for i in rows], tokens)
        return result


class SharedStart:
    """Remembers the first round's updates: every arm of a seed starts at the same model, so they are the same in all arms."""

    def __init__(self, inner: Training) -> None:
        self.inner, self.start, self.rounds = inner, inner.start, inner.rounds
        self.pretrained = inner.mrr(inner.start)
        self._first: dict[int, Tensors] = {}

    def update(self, checkpoint: Tensors, client: int, number: int) -> Tensors:
        """A client's update."""
        if number > 1:
            return self.inner.update(checkpoint, client, number)
        if client not in self._first:
            self._first[client] = self.inner.update(checkpoint, client, number)
        return self._first[client]


@dataclasses.dataclass(frozen=True)
class Result:
    """One arm of one seed."""

    mrr: float
    bytes: int
    encode_ms: float
    decode_ms: float


def run_arm(training: SharedStart, settings: Settings, scheme_text: str, pipeline_text: str) -> Result:
    """Train, compress, decompress, aggregate, step; then measure."""
    pipeline = registry.parse(pipeline_text)
    checkpoint = training.start
    schema = bundle.schema_of(training.inner.moving(checkpoint))
    scheme = None if scheme_text == UNCOMPRESSED else compress.parse(scheme_text)
    if scheme is not None:
        compress.require_compatible(pipeline, scheme)
    size = bundle.encoded_bytes(schema) if scheme is None else scheme.encoded_bytes(schema)
    residuals: list[Tensors | None] = [None] * settings.clients
    encode, decode = [0.0], [0.0]
    for number in range(1, training.rounds + 1):
        received: dict[bytes, Mapping[str, NDArray[np.float32]]] = {}
        for client in range(settings.clients):
            update = training.update(checkpoint, client, number)
            if scheme is not None:
                began = process_time()
                data, residuals[client] = scheme.compress(update, schema, residuals[client])
                sent = process_time()
                update = scheme.decompress(data, schema, max_bytes=size)
                encode.append(sent - began)
                decode.append(process_time() - sent)
            received[bytes([client])] = update
        aggregate = pipeline.aggregate(received, schema).tensors
        checkpoint, _ = outer.OuterStep("sgd", settings.outer_rate).apply(checkpoint, aggregate, {})
    mrr = training.inner.mrr(checkpoint)
    return Result(mrr, size, 1e3 * statistics.median(encode[1:] or [0.0]), 1e3 * statistics.median(decode[1:] or [0.0]))


def run_seed(
    kind: str,
    settings: Settings,
    seed: int,
    data: Data,
    folder: Path,
    *,
    known: Mapping[tuple[Any, ...], dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """One row per arm of one way to train; rows that are ``known`` are not computed again."""
    keys = [(kind, scheme, pipeline, seed) for scheme, pipeline in settings.arms(kind)]
    if all(key in known for key in keys):
        yield from (known[key] for key in keys)
        return
    inner: Training = (Lora if kind == "lora" else Full)(settings, data, seed, folder)
    training = SharedStart(inner)
    parameters = bundle.size_of(bundle.schema_of(inner.moving(inner.start)))
    whole = 4 * sum(p.numel() for p in AutoModel.from_pretrained(folder, add_pooling_layer=False).parameters())
    baselines: dict[str, float] = {}
    for key in keys:
        _, scheme, pipeline, _ = key
        if key in known:
            row = known[key]
        else:
            result = run_arm(training, settings, scheme, pipeline)
            reference = result.mrr if scheme == UNCOMPRESSED else baselines[pipeline]
            row = dict(zip(("training", "scheme", "pipeline", "seed"), key, strict=True))
            row |= {
                "bytes": result.bytes,
                "ratio": whole / result.bytes,
                "bits_per_parameter": 8 * result.bytes / parameters,
                "mrr": result.mrr,
                "baseline_mrr": reference,
                "pretrained_mrr": training.pretrained,
                "relative_loss": (reference - result.mrr) / reference,
                "encode_ms": result.encode_ms,
                "decode_ms": result.decode_ms,
            }
        if scheme == UNCOMPRESSED:
            baselines[pipeline] = row["mrr"]
        yield row


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds of each arm, and whether it meets the goal."""
    summary = []
    for key in dict.fromkeys((row["training"], row["scheme"], row["pipeline"]) for row in rows):
        own = [row for row in rows if (row["training"], row["scheme"], row["pipeline"]) == key]
        losses = [row["relative_loss"] for row in own]
        base = [row["baseline_mrr"] for row in own]
        start = [row["pretrained_mrr"] for row in own]
        gained = statistics.mean(base) - statistics.mean(start)
        mrr = statistics.mean(row["mrr"] for row in own)
        entry = dict(zip(("training", "scheme", "pipeline"), key, strict=True))
        entry |= {name: own[0][name] for name in ("bytes", "ratio", "bits_per_parameter")}
        entry |= {"mrr": mrr, "baseline_mrr": statistics.mean(base), "pretrained_mrr": statistics.mean(start)}
        entry |= {"relative_loss": statistics.mean(losses), "relative_losses": losses}
        entry["gain_kept"] = (mrr - statistics.mean(start)) / gained if gained else None
        entry |= {name: statistics.median(row[name] for row in own) for name in ("encode_ms", "decode_ms")}
        entry["meets_goal"] = entry["ratio"] >= GOALS[key[0]] and entry["relative_loss"] <= TOLERATED
        summary.append(entry)
    return summary


def show(summary: Sequence[dict[str, Any]], console: Console) -> None:
    """Prints one table."""
    table = Table(title="Compressed updates (means over seeds; loss against the same arm uncompressed)")
    for name in ("training", "scheme", "pipeline"):
        table.add_column(name, no_wrap=True)
    for name in (
        "kB",
        "times fewer",
        "bit/value",
        "MRR",
        "loss %",
        "of each seed",
        "gain kept %",
        "enc / dec ms",
        "goal",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for row in summary:
        kept = "" if row["gain_kept"] is None else f"{100 * row['gain_kept']:.0f}"
        table.add_row(
            row["training"],
            row["scheme"],
            row["pipeline"],
            f"{row['bytes'] / 1e3:.1f}",
            f"{row['ratio']:.1f}",
            f"{row['bits_per_parameter']:.2f}",
            f"{row['mrr']:.4f}",
            f"{100 * row['relative_loss']:+.2f}",
            " ".join(f"{100 * loss:+.2f}" for loss in row["relative_losses"]),
            kept,
            f"{row['encode_ms']:.0f} / {row['decode_ms']:.0f}",
            "met" if row["meets_goal"] else "",
        )
    console.print(table)


def machine() -> dict[str, Any]:
    """What computed this."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return {"processor": names[0] if names else platform.machine(), "cores": os.cpu_count(), "threads_used": 1}


def versions() -> dict[str, str]:
    """Of what can move a figure."""
    found = {name: version(name) for name in ("numpy", "numba", "torch", "transformers")}
    return {"python": platform.python_version(), **found}


def _seed(seed: int, client: int, number: int) -> int:
    return 1_000 * seed + 10 * number + client


def measure(settings: Settings, kinds: Sequence[str], options: argparse.Namespace, console: Console) -> None:
    """Run all arms; the file is whole after each row, so that an interrupted run can be resumed."""
    folder = find_base_model("all-MiniLM-L6-v2", options.model_folder)
    known: dict[tuple[Any, ...], dict[str, Any]] = {}
    seconds = 0.0
    if options.resume and options.json.exists():
        found = json.loads(options.json.read_text())
        if json.loads(json.dumps(settings.training())) == found["training_settings"]:
            known = {tuple(row[n] for n in ("training", "scheme", "pipeline", "seed")): row for row in found["rows"]}
            seconds = found["cpu_seconds"]
    began = process_time()
    rows: list[dict[str, Any]] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=len(settings.seeds) * sum(len(settings.arms(kind)) for kind in kinds))
        progress.update(task, description="read pairs")
        benchmark = installed.public_benchmark(settings.benchmark, cache=options.cache)
        for seed in settings.seeds:
            hands = installed.assign(settings.clients, seed)
            pairs = [installed.collect(h, limit=settings.pool, against=benchmark, cache=options.cache) for h in hands]
            for kind in kinds:
                progress.update(task, description=f"seed {seed}, {kind}")
                for row in run_seed(kind, settings, seed, Data(pairs, benchmark), folder, known=known):
                    rows.append(row)
                    content = {
                        "machine": machine(),
                        "versions": versions(),
                        "settings": dataclasses.asdict(settings),
                        "training_settings": settings.training(),
                        "cpu_seconds": round(seconds + process_time() - began, 1),
                        "rows": rows,
                        "summary": summarise(rows),
                    }
                    options.json.write_text(json.dumps(content, indent=1) + "\n")
                    progress.advance(task)
    show(summarise(rows), console)
    console.print(f"{seconds + process_time() - began:.0f} CPU-seconds; figures in {options.json}")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, little data: under 90 seconds")
    parser.add_argument("--json", type=Path, default=OUTPUT, metavar="PATH", help="where the figures go")
    parser.add_argument("--cache", type=Path, default=OUTPUT.parent / "pairs", help="folder for extracted pairs")
    parser.add_argument("--model-folder", type=Path)
    parser.add_argument("--only", choices=("lora", "full"), help="one way to train")
    parser.add_argument("--resume", action="store_true", help="keep the rows that the file already has")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON", help="any of the settings")
    options = parser.parse_args()
    single_threaded()
    torch.use_deterministic_algorithms(True)
    changes = {name: json.loads(value) for name, value in (text.split("=", 1) for text in options.set)}
    settings = dataclasses.replace(QUICK if options.quick else Settings(), **changes)
    kinds = (options.only,) if options.only else ("lora", "full")
    options.cache.mkdir(parents=True, exist_ok=True)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    measure(settings, kinds, options, Console(width=None if sys.stdout.isatty() else 170))
    return 0


if __name__ == "__main__":
    sys.exit(main())

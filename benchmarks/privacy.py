"""Privacy on the real model: what the leak audit stops and passes, what it costs, and what noise costs in use.

    python -m benchmarks.privacy --seeds 0 1 2        # make bench-privacy; writes build/bench/privacy.json

MiniLM with the demo's guideline on pairs of installed packages, one client a seed. Per seed: a clean update (the guideline's own
training) and an overfitted one (few rows, many passes) go through the gate of `node.privacy` and the audit (for the first seed with
shadows and canaries); then DP-SGD, and noise on the whole update, by noise multiplier, with ε and the public benchmark's MRR after one
client's step of 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

from learning.device import choose_device, single_threaded
from learning.evaluation import evaluate, stepped
from learning.local_training import LocalResult, round_window, train
from learning.models.encoder import Encoder, base_model_hash, genesis
from learning.models.installed import find_base_model
from learning.prepared_pairs import prepare_pairs
from learning.privacy.accountant import Spending, epsilon
from learning.privacy.audit import Finding, Limits
from learning.privacy.encoder_audit import Effort, EncoderAudit
from learning.privacy.noise import norm_of, privatised, seeded_source
from learning.sources import installed
from learning.spec import LearningSpec
from node.privacy import AUDIT_ROWS, split
from node.protocol.guideline import Guideline

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "cache" / "pairs"
POOL, BENCHMARK, FEW, PASSES = 800, 200, 64, 8
EXAMPLE_NOISE, CLIENT_NOISE = (0.5, 2.0), (0.001, 1.0)
EXAMPLE_CLIP, CLIENT_CLIP = 0.5, 2.0
EXAMPLE_ROWS, EXAMPLE_BATCH, EXAMPLE_EPOCHS = 256, 256, 2
EXAMPLE_RATE = 1.0  # clipped gradients are short: at the guideline's 0.15 nothing moved; 3.0 overshot
FULL = Effort(shadows=4, canaries=8, repeats=1)


class Bench:
    """One model for all seeds.

    Args:
        first: the seed whose audits are whole.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        documents = json.loads((ROOT / "deploy" / "guidelines" / "code-search.json").read_text("utf-8"))
        settings = Guideline(documents).learning
        base = find_base_model(settings["model"])
        self.spec = LearningSpec.from_mapping(settings | {"base_hash": base_model_hash(base)})
        self.model = Encoder(base, self.spec, choose_device("cpu"))
        self.parent = genesis(self.spec, 0, base)
        self.public = installed.public_benchmark(BENCHMARK, cache=CACHE)
        self.benchmark = prepare_pairs(self.model, self.public, self.spec.scoring_precision)
        self.before = evaluate(self.model, self.parent, self.benchmark)["mrr"]

    def seed(self, seed: int, result: dict[str, Any], save: Callable[[], None]) -> None:
        """Measure what ``result`` lacks of one seed's first client; ``save`` after each part."""
        hand = installed.assign(5, seed)[0]
        rows = split(installed.collect(hand, limit=POOL, against=self.public, cache=CACHE))
        few = dataclasses.replace(self.spec, samples_per_round=FEW, epochs=PASSES)
        result["repositories"] = [r.name for r in hand]
        result |= {"rows": len(rows.training), "held_out": len(rows.held_out)}
        for name, spec in (("clean", self.spec), ("overfitted", few)):
            if name in result:
                continue
            trained, seconds = timed(
                lambda spec=spec: train(self.model, self.parent, rows.training, spec, round=1, seed=seed)
            )
            window = round_window(rows.training, spec.samples_per_round, 1)
            if name == "clean":
                result["client_noise"] = self.client_noise(trained, seed)
            result[name] = self.audited(trained, window, rows.held_out, spec, seconds, is_first=seed == self.first)
            say(seed, name, result[name]["gate"]["verdict"], result[name]["full"]["verdict"])
            save()
        if "example_noise" not in result:
            result["example_noise"] = self.example_noise(rows.training, seed)
            save()

    def audited(
        self,
        trained: LocalResult,
        window: list[Any],
        held_out: list[Any],
        spec: LearningSpec,
        seconds: float,
        *,
        is_first: bool,
    ) -> dict[str, Any]:
        """Gate and full audit of one update."""
        limits = Limits()
        audit, making = timed(lambda: EncoderAudit(self.model, self.parent, window[:AUDIT_ROWS], held_out, limits))
        gate, trying = timed(lambda: audit.membership(trained.update))
        full, rest = timed(lambda: audit.report(trained.update, spec, FULL if is_first else Effort()))
        return {
            "rows": min(len(window), spec.samples_per_round), "epochs": spec.epochs, "loss": trained.loss, "norm": trained.norm,
            "mrr": self.mrr(trained.update), "train_cpu_seconds": seconds,
            "gate": {"verdict": verdict(gate), "findings": [shown(one) for one in gate], "cpu_seconds": making + trying,
                     "share_of_training": (making + trying) / seconds},
            "full": {"verdict": full.verdict.value, "findings": [shown(one) for one in full.findings], "cpu_seconds": making + rest},
        }  # fmt: skip

    def client_noise(self, trained: LocalResult, seed: int) -> list[dict[str, Any]]:
        """The clean update with noise on the whole of it: replacement of all of a client's data."""
        found = []
        size = sum(array.size for array in trained.update.values())
        for sigma in CLIENT_NOISE:
            noised = privatised(
                trained.update,
                clip=CLIENT_CLIP,
                noise_multiplier=sigma,
                max_norm=self.spec.max_norm,
                source=seeded_source(seed),
            )
            spent = Spending(1, "client", sigma, 1.0, 1)
            row = {
                "noise_multiplier": sigma, "clip": CLIENT_CLIP, "epsilon": epsilon([spent], self.spec.privacy_delta),
                "norm": norm_of(noised), "noise_over_signal": sigma * size**0.5, "mrr": self.mrr(noised),
            }  # fmt: skip
            say(seed, "client", sigma, f"epsilon {row['epsilon']:.1f} mrr {row['mrr']:.4f}")
            found.append(row)
        return found

    def example_noise(self, pairs: list[Any], seed: int) -> list[dict[str, Any]]:
        """DP-SGD in large batches, and the same loss and steps without noise or clipping that bites."""
        found = []
        for sigma in (0.0, *EXAMPLE_NOISE):
            spec = dataclasses.replace(
                self.spec, privacy="example", noise_multiplier=sigma or 1e-6, privacy_clip=EXAMPLE_CLIP,
                samples_per_round=EXAMPLE_ROWS, batch_size=EXAMPLE_BATCH, epochs=EXAMPLE_EPOCHS,
                learning_rate=EXAMPLE_RATE,
            )  # fmt: skip
            source = seeded_source(1_000 * seed + round(10 * sigma))
            trained, seconds = timed(
                lambda spec=spec, source=source: train(
                    self.model,
                    self.parent,
                    pairs,
                    spec,
                    round=1,
                    seed=seed,
                    public=self.public[:EXAMPLE_BATCH],
                    source=source,
                )
            )
            assert trained.spending is not None
            row = {
                "noise_multiplier": sigma, "clip": EXAMPLE_CLIP, "sample_rate": trained.spending.sample_rate,
                "steps": trained.spending.steps, "norm": trained.norm, "mrr": self.mrr(trained.update), "cpu_seconds": seconds,
                "epsilon": epsilon([trained.spending], self.spec.privacy_delta) if sigma else None,
            }  # fmt: skip
            say(seed, "example", sigma, f"epsilon {row['epsilon']} mrr {row['mrr']:.4f} {seconds:.1f} s")
            found.append(row)
        return found

    def mrr(self, update: Any) -> float:
        """MRR on the public benchmark after the update alone."""
        return evaluate(self.model, stepped(self.parent, update, 1.0), self.benchmark)["mrr"]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """(result, CPU seconds)."""
    began = process_time()
    return work(), process_time() - began


def verdict(findings: list[Finding]) -> str:
    """Of several findings."""
    return "fail" if any(one.verdict == "fail" for one in findings) else "pass"


def shown(one: Finding) -> dict[str, Any]:
    """A finding as JSON values."""
    estimate = (
        None
        if one.estimate is None
        else [round(v, 4) for v in (one.estimate.value, one.estimate.low, one.estimate.high)]
    )
    return {
        "test": one.test,
        "measure": one.measure,
        "estimate": estimate,
        "limit": one.limit,
        "verdict": one.verdict.value,
    }


def say(*parts: object) -> None:
    """Progress."""
    print(*parts, file=sys.stderr, flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench" / "privacy.json")
    parser.add_argument("--fresh", action="store_true", help="begin anew; without, it goes on where it stopped")
    arguments = parser.parse_args()
    single_threaded()
    bench = Bench(arguments.seeds[0])
    result: dict[str, Any] = {
        "machine": platform.machine(), "python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
        "delta": bench.spec.privacy_delta, "parent_mrr": bench.before, "benchmark_rows": BENCHMARK,
        "parameters": sum(array.size for name, array in bench.parent.items() if name.endswith("lora_B")), "seeds": {},
    }  # fmt: skip
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    if arguments.json.exists() and not arguments.fresh:
        result["seeds"] = json.loads(arguments.json.read_text("utf-8"))["seeds"]

    def save() -> None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    for seed in arguments.seeds:
        bench.seed(seed, result["seeds"].setdefault(str(seed), {}), save)
    gates = [
        (name, one[name]["gate"]["verdict"]) for one in result["seeds"].values() for name in ("clean", "overfitted")
    ]
    print(json.dumps({"written": str(arguments.json), "gates": gates}))
    if any((name == "clean") == (found == "fail") for name, found in gates):
        raise SystemExit("A clean update was stopped, or an overfitted one passed.")


if __name__ == "__main__":
    main()

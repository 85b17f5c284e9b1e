"""What strategies earn: honest and dishonest ones replayed against the real scoring on the real code model.

    python -m benchmarks.economics                       # measures what is not in build/cache/economics yet (an hour), then replays
    python -m benchmarks.economics --seeds 0 --rounds 2  # less

Eight honest clients per seed train MiniLM with LoRA on code search (the demo's federation); each strategy is one more trainer
(economics_world.py). The rounds are replayed under many scoring variants (economics_scoring.py); lying and lazy verifiers and empty
rounds are arithmetic on the measured gains (economics_panels.py). Pay is the trainers' reward by the contract's formula, relative to
the mean of the round's honest clients. Findings: docs/economics.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks import economics_panels as panels
from benchmarks import economics_report as report
from benchmarks import economics_scoring as scored
from benchmarks.economics_measured import Measured
from benchmarks.economics_scoring import STRATEGIES, Variant
from benchmarks.robustness_report import machine

FINE = {(0, 1), (0, 2), (0, 3), (0, 5)}  # (seed, round) with a slice of 512 rows; 256 elsewhere
STEPS = {(0, 1), (0, 3), (0, 5), (1, 2)}  # (seed, round) in which other steps than the guideline's are tried
ETAS = (0.125, 0.5)
STEP_NAMES = (
    *(f"honest-{i}" for i in range(8)),
    "self",
    "noisy-40",
    "shuffled",
    "zero",
    "random-0",
    "public",
    "leak-256",
)
PHASES: Mapping[str, range] = {"1–3": range(1, 4), "4–6": range(4, 7), "1–6": range(1, 7)}
Rounds = Mapping[tuple[int, int], Measured]


def measure(seeds: Sequence[int], rounds: int, folder: Path, console: Console) -> tuple[Rounds, Rounds, Rounds]:
    """(all rounds at 256 or 512 rows, those of 512 rows, those with other steps), from disk or measured."""
    from benchmarks.economics_world import Settings, World  # noqa: PLC0415 - torch is slow to import

    everything: dict[tuple[int, int], Measured] = {}
    steps: dict[tuple[int, int], Measured] = {}
    with Progress(console=console) as progress:
        line = progress.add_task("measuring", total=len(seeds) * rounds)
        for seed in seeds:
            world = World(Settings(), seed, folder, Path("build/cache/pairs"))
            for number in range(1, rounds + 1):
                place = (seed, number)
                everything[place] = world.measure(number, 512 if place in FINE else 256, console.print)
                if place in STEPS:
                    steps[place] = world.measure(number, 256, console.print, etas=ETAS, only=STEP_NAMES)
                progress.advance(line)
    return everything, {p: m for p, m in everything.items() if p in FINE}, steps


# --- variants --------------------------------------------------------------------------------------------------------

PROTOCOL = Variant()


def families() -> dict[str, list[Variant]]:
    """Scoring variants by what they change; those of one family are one line of the picture."""
    plain = [PROTOCOL.but(f"deltaMin {d}", delta_min=d) for d in (200, 1_000, 2_500, 5_000, 10_000, 20_000)]
    soft = [PROTOCOL.but(f"z {z / 1000}", z_milli=z, delta_min=200) for z in (500, 1_000, 1_500, 2_000, 3_000)]
    hard = [PROTOCOL.but(f"hard z {z / 1000}", z_milli=z, is_hard=True) for z in (1_000, 2_000, 3_000)]
    relative = [PROTOCOL.but(f"relative {r}", relative=r) for r in (0.1, 0.3, 0.5)]
    return {"deltaMin": plain, "z off the gain": soft, "z pass or fail": hard, "share of the median": relative}


def run(rounds: Rounds, variants: Sequence[Variant], phases: Mapping[str, range] = PHASES) -> list[dict[str, Any]]:
    """Rows of all strategies under all variants, by seed and group of rounds."""
    rows = []
    for variant in variants:
        for name in STRATEGIES:
            played = {place: scored.play(measured, variant, name) for place, measured in rounds.items()}
            for phase, numbers in phases.items():
                for seed in sorted({seed for seed, _ in rounds}):
                    found = [o for (s, r), o in played.items() if s == seed and r in numbers and o is not None]
                    if not found:
                        continue
                    mean = scored.mean_outcome(found)
                    rows.append(
                        {
                            "strategy": name,
                            "setting": variant.name,
                            "rounds": phase,
                            "seed": seed,
                            "pay": round(scored.ratio(found), 4),
                            "honest_accepted": round(mean.accepted, 4),
                            "passed": round(mean.passed, 4),
                            "harmful": round(mean.harmful, 4),
                        }
                    )
    return rows

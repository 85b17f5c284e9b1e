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
import dataclasses
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks import economics_panels as panels
from benchmarks import economics_report as report
from benchmarks import economics_scoring as scored
from benchmarks.economics_measured import Measured, read
from benchmarks.economics_scoring import STRATEGIES, Variant
from benchmarks.robustness_report import machine
from incentives import scoring

ROUNDS = {0: 1}
FINE = {(0, 1)}  # (seed, round) with a slice of 512 rows; 256 elsewhere
STEPS: set[tuple[int, int]] = set()
PUBLIC: set[tuple[int, int]] = set()
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
PUBLIC_NAMES = ("replay", "own-last", "other-last", "public-buried", "replay-buried")
PHASES: Mapping[str, range] = {"1–3": range(1, 4), "4–6": range(4, 7), "1–6": range(1, 7)}
Rounds = Mapping[tuple[int, int], Measured]


@dataclasses.dataclass(frozen=True)
class Study:
    """What was measured: every planned round, those with 512 rows, with other steps, with look-ahead along public training."""

    rounds: Rounds
    fine: Rounds
    steps: Rounds
    public: Rounds


def measure(seeds: Sequence[int], rounds: int, folder: Path, console: Console) -> Study:
    """Everything planned, from disk or measured; a seed's federation is only built where something is missing."""
    from benchmarks import economics_world as world  # noqa: PLC0415 - torch is slow to import

    settings = world.Settings()
    key = world.key_of(settings, world.guideline())
    kinds: dict[str, dict[tuple[int, int], Measured]] = {"rounds": {}, "steps": {}, "public": {}}
    jobs = [(kind, place, arguments) for kind, place, arguments in plan() if place[0] in seeds and place[1] <= rounds]
    built: dict[int, world.World] = {}
    with Progress(console=console) as progress:
        line = progress.add_task("measuring", total=len(jobs))
        for kind, (seed, number), arguments in jobs:
            names = {name: value for name, value in arguments.items() if name != "only"}
            path = world.measured_path(folder, key, seed, number, **names)
            if path.exists():
                kinds[kind][seed, number] = read(path, seed, number)
            else:
                if seed not in built:
                    built = {seed: world.World(settings, seed, folder, Path("build/cache/pairs"))}
                kinds[kind][seed, number] = built[seed].measure(number, say=console.print, **arguments)
            progress.advance(line)
    fine = {place: m for place, m in kinds["rounds"].items() if place in FINE}
    return Study(kinds["rounds"], fine, kinds["steps"], kinds["public"])


def plan() -> Iterator[tuple[str, tuple[int, int], dict[str, Any]]]:
    """(kind, (seed, round), arguments of `World.measure`), earlier rounds of a seed first."""
    for seed, count in ROUNDS.items():
        for number in range(1, count + 1):
            place = (seed, number)
            yield "rounds", place, {"rows": 512 if place in FINE else 256}
            if place in STEPS:
                yield "steps", place, {"rows": 256, "etas": ETAS, "only": STEP_NAMES}
            if place in PUBLIC:
                yield "public", place, {"rows": 256, "is_public": True, "only": (*STEP_NAMES, *PUBLIC_NAMES)}


# --- variants --------------------------------------------------------------------------------------------------------

PROTOCOL = Variant()


def families() -> dict[str, list[Variant]]:
    """Scoring variants by what they change; those of one family are one line of the picture."""
    plain = [PROTOCOL.but(f"deltaMin {d}", delta_min=d) for d in (200, 1_000, 2_500, 5_000, 10_000, 20_000)]
    soft = [PROTOCOL.but(f"z {z / 1000}", z_milli=z, delta_min=200) for z in (500, 1_000, 1_500, 2_000, 3_000)]
    hard = [PROTOCOL.but(f"hard z {z / 1000}", z_milli=z, is_hard=True) for z in (1_000, 2_000, 3_000)]
    relative = [PROTOCOL.but(f"relative {r}", relative=r) for r in (0.1, 0.3, 0.5)]
    return {"deltaMin": plain, "z off the gain": soft, "z pass or fail": hard, "share of the median": relative}


SIZED = (
    PROTOCOL,
    PROTOCOL.but("z 1.0", z_milli=1_000, delta_min=200),
    PROTOCOL.but("z 2.0", z_milli=2_000, delta_min=200),
)
RECOMMENDED = PROTOCOL


def combined() -> list[Variant]:
    """Variants of several changes."""
    return []


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


# --- what needs no replay --------------------------------------------------------------------------------------------


def honest_gains(measured: Measured, variant: Variant) -> list[int]:
    """What verifiers write for the honest clients of a round, mean commit order, over all slices."""
    honest = [i for i, name in enumerate(measured.names) if name.startswith("honest-")]
    order = list(range(len(honest)))
    return [
        g for raw in scored.by_group(measured, variant) for g in scored.effective(measured, variant, honest, order, raw)
    ]


def panel_rows(rounds: Rounds, variant: Variant, *, simulated: int) -> list[dict[str, Any]]:
    """Colluding panels of 10, 20 and 30 % in rings of 10, 32 and 64, on the honest scores of every measured round."""
    rows = []
    for phase in ("1–3", "4–6"):
        gains = [
            g
            for (_, number), measured in rounds.items()
            if number in PHASES[phase]
            for g in honest_gains(measured, variant)
        ]
        if not gains:
            continue
        for n in (10, 32, 64):
            for percent in (10, 20, 30):
                for absent in (0, 1):
                    panel = panels.Panel(
                        n, max(1, n * percent // 100), variant.tally, absent=absent, convex=variant.convex
                    )
                    exact = panels.collusion(panel, gains, 0)
                    row: dict[str, Any] = {"strategy": "colluding panel", "setting": variant.name, "rounds": phase}
                    row |= {"n": n, "percent": percent, "absent": absent}
                    row |= {key: round(value, 5) for key, value in exact.items()}
                    if simulated and not absent:
                        played = panels.simulate(panel, gains, 0, rounds=simulated, seed=n + percent)
                        row |= {f"simulated_{key}": round(value, 5) for key, value in played.items()}
                    rows.append(row)
    return rows


def lazy_rows(rounds: Rounds, variant: Variant, taus: Sequence[int]) -> list[dict[str, Any]]:
    """Verifiers that compute nothing, by tolerance and seed."""
    rows = []
    for seed in sorted({seed for seed, _ in rounds}):
        numbers = sorted(r for s, r in rounds if s == seed)
        history = [honest_gains(rounds[seed, number], variant) for number in numbers]
        for tau in taus:
            for guess, hit in panels.lazy(history, tau).items():
                for phase, wanted in PHASES.items():
                    found = [h for number, h in zip(numbers, hit, strict=True) if number in wanted]
                    if found:
                        row = {
                            "strategy": f"lazy verifier: {guess}",
                            "setting": variant.name,
                            "tau": tau,
                            "rounds": phase,
                        }
                        rows.append(row | {"seed": seed, "pay": round(statistics.mean(found), 4)})
    return rows


def empty_rows(rounds: Rounds, variant: Variant) -> list[dict[str, Any]]:
    """One farmer alone in a round of three identities: honest scores (one trains, two send nothing), or a captured panel."""
    rows = []
    community = panels.Panel(8, 0, variant.tally, convex=variant.convex)
    cap = community.fair(scoring.MAX_GAIN)
    for (seed, number), measured in sorted(rounds.items()):
        mean = statistics.mean(community.fair(g) for g in honest_gains(measured, variant))
        for target in (1, 400_000, 1_600_000):
            for kind, weights in (("one trains", [int(mean), 0, 0]), ("captured", [cap, cap, cap])):
                pay = panels.empty_round(weights, honest_weight=mean, honest=8, weight_target=target)
                row = {"strategy": f"empty round: {kind}", "setting": variant.name, "rounds": str(number), "seed": seed}
                rows.append(row | {"weight_target": target, "pay": round(min(scored.MOST, pay), 3)})
    return rows


# --- command ---------------------------------------------------------------------------------------------------------


def frontier(summary: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[tuple[float, float, str]]]]:
    """Curves of the picture."""
    found: dict[str, dict[str, list[tuple[float, float, str]]]] = {}
    by_name = {(e["setting"], e["rounds"]): e for e in summary}
    for phase in ("1–3", "4–6"):
        lines = {}
        for family, variants in families().items():
            entries = [(v.name, by_name[v.name, phase]) for v in variants if (v.name, phase) in by_name]
            lines[family] = [(e["honest_accepted"], e["worst"], name.split()[-1]) for name, e in entries]
        if any(lines.values()):
            found[f"rounds {phase}"] = lines
    return found


def study(found: Study, options: argparse.Namespace, console: Console, began: float) -> int:
    """Replays everything, prints, draws and writes it."""
    rounds, fine, steps = found.rounds, found.fine, found.steps
    variants = [PROTOCOL, *(v for family in families().values() for v in family), *combined()]
    variants = list({variant.name: variant for variant in variants}.values())
    rows = run(rounds, variants)
    coarse = {place: rounds[place] for place in fine}
    rows += run(coarse, [v.but(f"{v.name}, {v.size} rows", size=s) for s in (128, 256) for v in SIZED])
    rows += run(fine, [v.but(f"{v.name}, {v.size} rows", size=512) for v in SIZED])
    at_quarter = {place: rounds[place] for place in steps}
    rows += run(at_quarter, [v.but(f"{v.name}, eta 0.25") for v in SIZED])
    rows += run(steps, [v.but(f"{v.name}, eta {eta}", eta=eta) for eta in ETAS for v in SIZED])
    summary = report.summarise(rows)
    winner = RECOMMENDED
    others = panel_rows(rounds, PROTOCOL, simulated=300) + panel_rows(rounds, winner, simulated=0)
    others += lazy_rows(rounds, PROTOCOL, (5_000, 1_000, 200)) + lazy_rows(rounds, winner, (5_000, 1_000, 200))
    others += empty_rows(rounds, PROTOCOL)
    head = {
        "machine": machine(),
        "versions": {name: version(name) for name in ("numpy", "torch", "transformers")},
        "protocol": dataclasses.asdict(PROTOCOL) | {"references": []},
        "recommended": dataclasses.asdict(winner) | {"references": sorted(winner.references)},
        "rounds": [list(place) for place in sorted(rounds)],
        "rounds_512": [list(place) for place in sorted(fine)],
        "rounds_eta": [list(place) for place in sorted(steps)],
        "lookahead": {f"{s}.{r}": measured.lookahead for (s, r), measured in sorted(rounds.items())},
        "cpu_seconds": round(time.process_time() - began),
    }
    report.write(options.json, head, {"summary": summary, "rows": rows, "panels": others})
    console.print(report.table(summary, "Scoring variants: mean over seeds"))
    console.print(report.pay_table(summary, [PROTOCOL.name, winner.name], "Pay relative to an honest node"))
    title = f"Honest acceptance against the best dishonest pay: code search, {len({s for s, _ in rounds})} seeds"
    report.draw(frontier(summary), options.image or options.json.with_suffix(".png"), title)
    console.print(f"{options.json}: {len(rows)} rows")
    return 0


def main() -> int:
    """Command line; exit code 0 once the JSON is written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--cache", type=Path, default=Path("build/cache/economics"))
    parser.add_argument("--json", type=Path, default=Path("build/bench/economics.json"))
    parser.add_argument("--image", type=Path, help="default: as --json, .png")
    options = parser.parse_args()
    console, began = Console(width=160), time.process_time()
    return study(measure(options.seeds, options.rounds, options.cache, console), options, console, began)


if __name__ == "__main__":
    sys.exit(main())

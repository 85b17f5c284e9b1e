"""What strategies earn: honest and dishonest ones replayed against the real scoring on the real code model.

    python -m benchmarks.economics                           # one seed, three rounds: a quarter of an hour, replayed from
                                                             # build/cache/economics in a minute afterwards
    python -m benchmarks.economics --seeds 0 1 2 --rounds 6  # an hour and a half

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
from benchmarks import economics_variants as variants
from benchmarks.economics_measured import Measured, read
from benchmarks.economics_scoring import STRATEGIES, Variant
from benchmarks.economics_variants import BEFORE, PROTOCOL
from benchmarks.robustness_report import machine
from incentives import scoring

STEPS = {(0, 2), (0, 3), (0, 4)}  # (seed, round) in which `--steps` also tries other steps than the guideline's
ALONG = range(2, 5)  # rounds whose updates are also scored with the look-ahead along the steward's public training
ALWAYS = {(0, 1)}  # (seed, round) whose updates are also scored with it from the genesis model
FINE = (0,)  # seeds with slices of 256 rows; 128, the local network's, elsewhere
ETAS = (0.0625, 0.125)
STEP_NAMES = (
    *(f"honest-{i}" for i in range(8)),
    "self",
    "noisy-40",
    "random-0",
    "best-of-200",
    "public",
    "own-last",
)
ALONG_NAMES = (*STEP_NAMES, "shuffled", "flipped", "public-twice", "public-next", "public-buried", "replay")
PHASES: Mapping[str, range] = {"1": range(1, 2), "2–3": range(2, 4), "1–3": range(1, 4), "4–6": range(4, 7)}
Rounds = Mapping[tuple[int, int], Measured]


@dataclasses.dataclass(frozen=True)
class Study:
    """What was measured: every planned round, some with other steps, some with look-ahead along public training, or with it always."""

    rounds: Rounds
    steps: Rounds
    along: Rounds
    always: Rounds


def measure(seeds: Sequence[int], rounds: int, folder: Path, console: Console, *, has_steps: bool) -> Study:
    """Everything planned, from disk or measured; a seed's federation is only built where something is missing."""
    from benchmarks import economics_world as world  # noqa: PLC0415 - torch is slow to import

    settings = world.Settings()
    key = world.key_of(settings, world.guideline())
    kinds: dict[str, dict[tuple[int, int], Measured]] = {"rounds": {}, "steps": {}, "along": {}, "always": {}}
    jobs = list(plan(seeds, rounds, has_steps=has_steps))
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
    return Study(**kinds)


def plan(
    seeds: Sequence[int], rounds: int, *, has_steps: bool
) -> Iterator[tuple[str, tuple[int, int], dict[str, Any]]]:
    """(kind, (seed, round), arguments of `World.measure`), earlier rounds of a seed first."""
    for seed in seeds:
        for number in range(1, rounds + 1):
            place = (seed, number)
            rows = 256 if seed in FINE else 128
            yield "rounds", place, {"rows": rows}
            if has_steps and place in STEPS:
                yield "steps", place, {"rows": 256, "etas": ETAS, "only": STEP_NAMES}
            if number in ALONG:
                yield "along", place, {"rows": rows, "look": "along", "only": ALONG_NAMES}
            if place in ALWAYS:
                yield "always", place, {"rows": rows, "look": "always"}


# --- replay ----------------------------------------------------------------------------------------------------------


def run(rounds: Rounds, tried: Sequence[Variant], phases: Mapping[str, range] = PHASES) -> list[dict[str, Any]]:
    """Rows of all strategies under all variants, by seed and group of rounds."""
    rows = []
    for variant in tried:
        alone = {place: scored.play(measured, variant, report.HONEST[0]) for place, measured in rounds.items()}
        for name in STRATEGIES:
            played = {place: scored.play(measured, variant, name) for place, measured in rounds.items()}
            for phase, numbers in phases.items():
                for seed in sorted({seed for seed, _ in rounds}):
                    found = [o for (s, r), o in played.items() if s == seed and r in numbers and o is not None]
                    if not found:
                        continue
                    mean = scored.mean_outcome(found)
                    one = [
                        o
                        for place, o in alone.items()
                        if o and played[place] and place[0] == seed and place[1] in numbers
                    ]
                    to_one = sum(o.pay for o in found) / max(1, sum(o.pay for o in one))
                    split = {"to_one": round(min(scored.MOST, to_one), 4)} if name in report.SPLIT else {}
                    rows.append(
                        split
                        | {
                            "strategy": name,
                            "setting": variant.name,
                            "rounds": phase,
                            "seed": seed,
                            "pay": round(scored.ratio(found), 4),
                            "honest_accepted": round(mean.accepted, 4),
                            "passed": round(mean.passed, 4),
                            "harmful": round(mean.harmful, 4),
                            "slashed": round(mean.slashed, 4),
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
    for phase in ("1–3", "2–3"):
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


def gains_by_round(rounds: Rounds) -> dict[str, dict[str, int]]:
    """Raw gains (ppm, less the guideline's confidence) of every candidate on the slice of 256 rows, by round and seed."""
    found: dict[str, dict[str, int]] = {}
    for (seed, number), measured in sorted(rounds.items()):
        raw = scored.by_group(measured, PROTOCOL)[0]
        found[f"{seed}.{number}"] = {name: raw[i] for i, name in enumerate(measured.names)}
    return found


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


def replayed(found: Study) -> list[dict[str, Any]]:
    """Rows of every variant on the rounds that were measured for it."""
    chosen = [PROTOCOL, *(v for family in variants.families().values() for v in family), *variants.others()]
    rows = run(found.rounds, list({variant.name: variant for variant in chosen}.values()))
    # In round 1 the base is the genesis model with either look, so the look-ahead played that round, too.
    earliest = {place: m for place, m in found.rounds.items() if place[1] == 1}
    rows += run(earliest | dict(found.along), variants.along())
    rows += run(found.always, variants.always())
    rows += run(found.steps, variants.steps(ETAS))
    rows += run({place: found.rounds[place] for place in found.steps}, variants.steps((0.25,)))
    return rows


def frontier(summary: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[tuple[float, float, str]]]]:
    """Curves of the picture: rounds 1–3 and 2–3, the worst strategy but public training, and public training."""
    found: dict[str, dict[str, list[tuple[float, float, str]]]] = {}
    by_name = {(e["setting"], e["rounds"]): e for e in summary}
    families = {**variants.families(), "public look-ahead, less z errors": variants.along()}
    for key, text in (("worst_but_public", "all but training on the public benchmark"), ("public", "training on it")):
        for phase in ("1–3", "2–3"):
            lines = {}
            for family, members in families.items():
                entries = [by_name[v.name, phase] for v in members if (v.name, phase) in by_name]
                points = [
                    (e["honest_accepted"], e[key], e["setting"].split()[-1]) for e in entries if e[key] is not None
                ]
                if points:
                    lines[family] = points
            if lines:
                found[f"rounds {phase}: {text}"] = lines
    return found


def study(found: Study, options: argparse.Namespace, console: Console, began: float) -> int:
    """Replays everything, prints, draws and writes it."""
    rows = replayed(found)
    summary = report.summarise(rows)
    arithmetic = [
        row for cap in variants.caps() for row in panel_rows(found.rounds, cap, simulated=200 * (cap == PROTOCOL))
    ]
    arithmetic += lazy_rows(found.rounds, PROTOCOL, (5_000, 1_000, 200, 20))
    arithmetic += [row for cap in variants.caps() for row in empty_rows(found.rounds, cap)]
    head = {
        "machine": machine(),
        "versions": {name: version(name) for name in ("numpy", "torch", "transformers")},
        "protocol": dataclasses.asdict(PROTOCOL) | {"references": []},
        "before": dataclasses.asdict(BEFORE) | {"references": []},
        "rounds": [list(place) for place in sorted(found.rounds)],
        "rounds_eta": [list(place) for place in sorted(found.steps)],
        "rounds_along": [list(place) for place in sorted(found.along)],
        "lookahead": {f"{s}.{r}": [m.lookahead, m.along] for (s, r), m in sorted(found.along.items())},
        "gains": gains_by_round(found.rounds),
        "cpu_seconds": round(time.process_time() - began),
    }
    report.write(options.json, head, {"summary": summary, "rows": rows, "panels": arithmetic})
    console.print(report.table(summary, "Scoring variants: mean over seeds"))
    console.print(report.pay_table(summary, [BEFORE.name, PROTOCOL.name], "Pay relative to an honest node"))
    seeds = sorted({seed for seed, _ in found.rounds})
    title = f"What the constants trade: code search, eight honest clients, seeds {seeds}"
    report.draw(frontier(summary), options.image or options.json.with_suffix(".png"), title)
    console.print(f"{options.json}: {len(rows)} rows, {head['cpu_seconds']} CPU-s")
    return 0


def main() -> int:
    """Command line; exit code 0 once the JSON is written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", action="store_true", help="also other steps than the guideline's eta")
    parser.add_argument("--cache", type=Path, default=Path("build/cache/economics"))
    parser.add_argument("--json", type=Path, default=Path("build/bench/economics.json"))
    parser.add_argument("--image", type=Path, help="default: as --json, .png")
    options = parser.parse_args()
    console, began = Console(width=160), time.process_time()
    found = measure(options.seeds, options.rounds, options.cache, console, has_steps=options.steps)
    return study(found, options, console, began)


if __name__ == "__main__":
    sys.exit(main())

"""What economics.py sums up, prints, draws and writes."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

HONEST = ("honest, one more", "noisy labels 20 %", "noisy labels 40 %")
SPLIT = (
    "Sybil, data split in 2",
    "Sybil, data split in 4",
    "Sybil, same data twice",
    "Sybil, one training, two noises",
)
LEAK = (
    "copy (leak)",
    "copy, noise to cos 0.9 (leak)",
    "copy, noise to cos 0.7 (leak)",
    "copy, buried (leak)",
    "leaked slice",
    "half the slice leaked",
)
PUBLIC = (
    "public benchmark",
    "public benchmark, buried",
    "public benchmark, two passes",
    "public benchmark, the second pass alone",
)
PAY_GOAL, ACCEPTANCE_GOAL = 0.25, 0.8


def is_dishonest(strategy: str) -> bool:
    """Whether the goal of a quarter of honest pay holds for it: not honest, not honest work split, not a leak that commitments exclude."""
    return strategy not in (*HONEST, *SPLIT, *LEAK)


def summarise(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per setting and group of rounds: every strategy's pay (mean and range over seeds), the worst dishonest one, acceptance, goals met."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["setting"], row["rounds"]), []).append(row)
    summary = []
    for (setting, rounds), found in groups.items():
        pays: dict[str, list[float]] = {}
        for row in found:
            pays.setdefault(row["strategy"], []).append(row["pay"])
        means = {strategy: statistics.mean(values) for strategy, values in pays.items()}
        split: dict[str, list[float]] = {}
        for row in found:
            if "to_one" in row:
                split.setdefault(row["strategy"], []).append(row["to_one"])
        bad = {strategy: value for strategy, value in means.items() if is_dishonest(strategy)}
        public = [value for strategy, value in bad.items() if strategy in PUBLIC]
        left = [value for strategy, value in bad.items() if strategy not in PUBLIC]
        worst = max(bad, key=lambda s: bad[s]) if bad else ""
        taken = [row["honest_accepted"] for row in found if row["strategy"] == HONEST[0]]
        accepted = statistics.mean(taken)
        slashed = max((max(row["harmful"], row["slashed"]) for row in found if row["strategy"] in HONEST), default=0.0)
        summary.append(
            {
                "setting": setting,
                "rounds": rounds,
                "seeds": len({row["seed"] for row in found}),
                "honest_accepted": round(accepted, 3),
                "accepted_range": _range(taken),
                "worst": round(bad[worst], 3) if bad else None,
                "worst_strategy": worst,
                "worst_but_public": round(max(left), 3) if left else None,
                "public": round(max(public), 3) if public else None,
                "honest_slashed": round(slashed, 3),
                "reached": bool(bad) and bad[worst] <= PAY_GOAL and accepted >= ACCEPTANCE_GOAL and slashed == 0,
                "pay": {strategy: round(value, 3) for strategy, value in means.items()},
                "pay_range": {strategy: _range(values) for strategy, values in pays.items()},
                "harmful": {s: _mean(row["harmful"] for row in found if row["strategy"] == s) for s in pays},
                "split": {strategy: round(statistics.mean(values), 3) for strategy, values in split.items()},
            }
        )
    return summary


def _mean(values: Iterable[float]) -> float:
    return round(statistics.mean(values), 3)


def _range(values: Sequence[float]) -> list[float]:
    return [round(min(values), 3), round(max(values), 3)]


def table(summary: Sequence[Mapping[str, Any]], title: str) -> Table:
    """The summary, for people."""
    found = Table(title=title, title_justify="left")
    for name in ("setting", "rounds", "honest accepted", "worst dishonest pay", "strategy", "honest slashed", "goal"):
        found.add_column(name, justify="left" if name in {"setting", "strategy"} else "right")
    for entry in summary:
        worst = "" if entry["worst"] is None else f"{entry['worst']:.2f}"
        numbers = (f"{entry['honest_accepted']:.0%}", worst, entry["worst_strategy"], f"{entry['honest_slashed']:.0%}")
        found.add_row(entry["setting"], entry["rounds"], *numbers, "met" if entry["reached"] else "")
    return found


def pay_table(summary: Sequence[Mapping[str, Any]], settings: Sequence[str], title: str) -> Table:
    """Pay of every strategy (down) under some settings (across): mean over seeds, and the range where there are several."""
    found = Table(title=title, title_justify="left")
    chosen = [entry for setting in settings for entry in summary if entry["setting"] == setting]
    found.add_column("strategy")
    for entry in chosen:
        found.add_column(f"{entry['setting']}, {entry['rounds']}", justify="right")
    for strategy in dict.fromkeys(s for entry in chosen for s in entry["pay"]):
        found.add_row(strategy, *(_cell(entry, strategy) for entry in chosen))
    found.add_row("honest accepted", *(f"{entry['honest_accepted']:.0%}" for entry in chosen))
    return found


def _cell(entry: Mapping[str, Any], strategy: str) -> str:
    if strategy not in entry["pay"]:
        return ""
    least, most = entry["pay_range"][strategy]
    spread = f" ({least:.2f}–{most:.2f})" if most > least else ""
    slashed = entry["harmful"][strategy]
    return f"{entry['pay'][strategy]:.2f}{spread}" + (f", slashed {slashed:.0%}" if slashed else "")


def draw(curves: Mapping[str, Mapping[str, Sequence[tuple[float, float, str]]]], path: Path, title: str) -> None:
    """Frontiers: one panel a group of rounds, one line a family of variants; a point is (acceptance, worst pay, label)."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and only wanted here

    columns = min(2, len(curves))
    figure = Figure(figsize=(6.4 * columns, 4.8 * -(-len(curves) // columns)), layout="constrained")
    panels = figure.subplots(-(-len(curves) // columns), columns, squeeze=False).ravel()
    for axes, (name, lines) in zip(panels, curves.items(), strict=False):
        axes.axhspan(0, PAY_GOAL, color="#dff0d8", zorder=0)
        axes.axvline(100 * ACCEPTANCE_GOAL, color="#4a8f3c", linewidth=1, linestyle=":")
        for number, (family, points) in enumerate(lines.items()):
            axes.plot(
                [100 * x for x, _, _ in points],
                [y for _, y, _ in points],
                marker="osD^vP*X"[number % 8],
                color=f"C{number}",
                label=family,
                linewidth=1.4,
                markersize=6,
            )
            for x, y, label in {(round(x, 3), round(y, 2)): (x, y, label) for x, y, label in points}.values():
                axes.annotate(label, (100 * x, y), textcoords="offset points", xytext=(5, 4), fontsize=7)
        axes.set_title(name, fontsize=11)
        axes.set_xlabel("honest clean updates accepted, %")
        axes.set_xlim(min([40.0, *(95 * x for line in lines.values() for x, _, _ in line)]), 102)
        axes.set_ylim(-0.02, 1.08 * max([0.3, *(y for line in lines.values() for _, y, _ in line)]))
        axes.grid(alpha=0.3)
        axes.set_ylabel("best pay / honest pay")
    panels[0].legend(fontsize=8, loc="upper left")
    figure.suptitle(title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def write(path: Path, head: Mapping[str, Any], parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """JSON with one row a line, so that it stays small and can be compared line by line."""
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key, entries in parts.items():
        rows = ",\n".join("  " + json.dumps(entry, separators=(",", ":"), ensure_ascii=False) for entry in entries)
        lines.append(f' "{key}": [\n{rows}\n ]')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")

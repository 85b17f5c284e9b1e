"""What robustness.py prints, draws and writes."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table


def machine() -> dict[str, Any]:
    """Processor and system, no names."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.processor(), "cores": len(models), "system": platform.system()}


def table(summary: Sequence[Mapping[str, Any]], metric: str) -> Table:
    """The summary, for people."""
    found = Table(title=f"{metric}, mean over seeds; worst = under the worst attack", title_justify="left")
    for name in ("pipeline", "gate", "f", "all honest", "worst", "attack", "worst stealth", "attack "):
        found.add_column(name, justify="left" if name.strip() in {"pipeline", "gate", "attack"} else "right")
    for e in summary:
        gate = ("yes" if e["study"] == "protocol" else e["study"]) if e["gate"] else ""
        numbers = [f"{e[key]:.1f}" if e.get(key) is not None else "" for key in ("none", "worst", "worst_stealth")]
        attack, stealthy = e.get("worst_attack", ""), e.get("worst_stealth_attack", "").removeprefix("stealth_")
        found.add_row(e["pipeline"], gate, str(e["f"]), numbers[0], numbers[1], attack, numbers[2], stealthy)
    return found


def label(row: Mapping[str, Any]) -> str:
    """What the picture calls a row's pipeline."""
    return row["pipeline"] if row["study"] == "protocol" else f"{row['pipeline']}, {row['study']}"


def draw(rows: Sequence[Mapping[str, Any]], key: str, path: Path, title: str, colours: tuple[float, float]) -> None:
    """Heat map: pipelines down, attacks across; alone above, behind the gate below."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and only wanted here

    shown = [{**row, "pipeline": label(row)} for row in rows if row["study"] in {"protocol", "relative=0.3"}]
    columns = sorted(
        {(r["f"], r["attack"]) for r in shown}, key=lambda c: (c[0], c[1].startswith("stealth"), c[1] != "none", c[1])
    )
    cells: dict[tuple[bool, str, int, str], list[float]] = {}
    for row in shown:
        cells.setdefault((row["gate"], row["pipeline"], row["f"], row["attack"]), []).append(row[key])
    for (gate, name, f, attack), found in list(cells.items()):
        if gate and f == 0:
            cells |= {(gate, name, other, attack): found for other, _ in columns}
    names = {gate: list(dict.fromkeys(r["pipeline"] for r in shown if r["gate"] == gate)) for gate in (False, True)}
    height = 2.4 + 0.28 * sum(map(len, names.values()))
    figure = Figure(figsize=(3.4 + 0.58 * len(columns), height), layout="constrained")
    ratios = [len(names[False]), len(names[True])]
    panels = figure.subplots(2, 1, sharex=True, height_ratios=ratios)
    for axes, gate in zip(panels, (False, True), strict=True):
        values = np.array(
            [
                [statistics.mean(cells.get((gate, name, *column), [np.nan])) for column in columns]
                for name in names[gate]
            ]
        )
        axes.imshow(values, cmap="RdYlGn", vmin=colours[0], vmax=colours[1], aspect="auto")
        for (y, x), value in np.ndenumerate(values):
            text, dark = (
                ("·", False) if np.isnan(value) else (f"{value:.0f}", value < colours[0] + 0.1 * np.diff(colours)[0])
            )
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
        axes.set_yticks(range(len(names[gate])), names[gate], fontsize=9)
        axes.set_xticks(range(len(columns)), [attack for _, attack in columns], rotation=60, ha="right", fontsize=9)
        for x in range(1, len(columns)):
            if columns[x][0] != columns[x - 1][0]:
                axes.axvline(x - 0.5, color="black", linewidth=1.5)
        axes.set_ylabel("behind the gate" if gate else "alone", fontsize=11)
        for f in dict.fromkeys(f for f, _ in columns):
            places = [x for x, column in enumerate(columns) if column[0] == f]
            axes.text(statistics.mean(places), -0.65, f"f = {f}", ha="center", va="bottom", fontsize=9)
    figure.suptitle(title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def write(
    path: Path,
    head: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    summary: Sequence[Mapping[str, Any]],
    skipped: Sequence[Mapping[str, Any]],
) -> None:
    """JSON with one row a line, so that it stays small and can be compared line by line."""
    parts = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key, entries in (("summary", summary), ("skipped", skipped), ("rows", rows)):
        lines = ",\n".join("  " + json.dumps(entry, separators=(",", ":")) for entry in entries)
        parts.append(f' "{key}": [\n{lines}\n ]')
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")

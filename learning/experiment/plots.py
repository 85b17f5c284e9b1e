"""A report as one picture: every partition and algorithm with its interval, and how the metric grew with the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from learning.experiment.settings import ALONE
from learning.experiment.store import StorageFailed

_COLOURS = (
    "#2563a8",
    "#e08a2c",
    "#2e8b57",
    "#c0392b",
    "#7d5ba6",
    "#5aa9c9",
    "#b58900",
    "#7a8794",
    "#d6a5c0",
    "#9fbf7f",
)
_GREY = "#4a5560"


def draw(report: Mapping[str, Any], results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the picture (``.svg`` or ``.png``); one line of panels for each task and model.

    Raises:
        StorageFailed: it cannot be written.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - slow to import, and only wanted here
    from matplotlib.figure import Figure  # noqa: PLC0415

    pairs = list(dict.fromkeys((row["task"], row["model"]) for row in report["rows"]))
    heights = [_height([r for r in report["rows"] if (r["task"], r["model"]) == pair]) for pair in pairs]
    with rc_context({"svg.hashsalt": "commonweight", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(10.5, sum(heights)), layout="constrained")
        panels = figure.subplots(len(pairs), 2, squeeze=False, height_ratios=heights, width_ratios=[1.5, 1])
        for number, (task, model) in enumerate(pairs):
            rows = [r for r in report["rows"] if (r["task"], r["model"]) == (task, model)]
            own = [r for r in results if (r["labels"]["task"], r["labels"]["model"]) == (task, model)]
            colours = _colours(rows)
            _dots(panels[number][0], rows, colours, f"{report['title']} · {model}")
            _curves(panels[number][1], own, rows[0]["metric"], colours)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
        except OSError as error:
            raise StorageFailed(f"The picture {path} could not be written.", why=error.strerror or "") from error


def _height(rows: Sequence[Mapping[str, Any]]) -> float:
    return 1.5 + 0.165 * len(rows) + 0.1 * len({row["partition"] for row in rows})


def _colours(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    names = dict.fromkeys(row["algorithm"] for row in rows if row["kind"] not in ALONE)
    return {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}


def _dots(axes: Any, rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str], title: str) -> None:
    y, ticks, labels, seen = 0.0, [], [], set()
    low, high = _limits(rows)
    for partition in dict.fromkeys(row["partition"] for row in rows):
        there = [row for row in rows if row["partition"] == partition and row["mean"] is not None]
        ticks.append(y + (len(there) - 1) / 2)
        labels.append(partition)
        for row in there:
            if not low <= row["mean"] <= high:
                left = row["mean"] < low
                arrow = f"◂ {row['mean']:.3f}" if left else f"{row['mean']:.3f} ▸"
                place, side, colour = (
                    low if left else high,
                    "left" if left else "right",
                    colours.get(row["algorithm"], _GREY),
                )
                axes.text(place, y, arrow, ha=side, va="center", fontsize=7, color=colour)
                y += 1
                continue
            colour = colours.get(row["algorithm"], _GREY)
            label = row["algorithm"] if row["algorithm"] in colours and row["algorithm"] not in seen else None
            seen.add(row["algorithm"])
            axes.errorbar(
                row["mean"], y, xerr=row["half_width"] or 0, fmt="o", color=colour, markersize=4, capsize=2, label=label
            )
            axes.plot(
                list(row["values"].values()), [y] * len(row["values"]), "|", color=colour, alpha=0.6, markersize=6
            )
            y += 1
        axes.axhline(y - 0.15, color="#dfe3e6", linewidth=0.8)
        y += 0.7
    central = next((row["mean"] for row in rows if row["kind"] == "centralised"), None)
    if central is not None:
        axes.axvline(central, color=_GREY, linestyle="--", linewidth=0.8)
    axes.set_yticks(ticks, labels)
    axes.set_ylim(y, -1)
    axes.set_xlim(low, high)
    axes.set_xlabel(f"{rows[0]['metric']} on the test split: mean, 95 % interval, and each seed")
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _limits(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Where the bulk can be told apart: the middle four fifths of all seeds' values, and as much again on either side."""
    values = sorted(value for row in rows for value in row["values"].values())
    tenth, ninth = values[len(values) // 10], values[-1 - len(values) // 10]
    spread = max(ninth - tenth, 1e-3)
    low, high = max(values[0], tenth - spread), min(values[-1], ninth + spread)
    return low - 0.08 * spread, high + 0.08 * spread


def _curves(axes: Any, results: Sequence[Mapping[str, Any]], metric: str, colours: Mapping[str, str]) -> None:
    """Mean over seeds of every algorithm on the first federated partition, and of who learns alone."""
    kinds = list(dict.fromkeys((r["labels"]["partition"], r["settings"]["partition"]["kind"]) for r in results))
    first = next((name for name, kind in kinds if kind not in ALONE), None)
    dashes = iter(("--", ":", "-."))
    for name, kind in kinds:
        if kind in ALONE:
            _line(
                axes,
                [r for r in results if r["labels"]["partition"] == name],
                metric,
                colour=_GREY,
                label=name,
                style=next(dashes, "-"),
            )
    for algorithm, colour in colours.items():
        some = [r for r in results if r["labels"]["partition"] == first and r["labels"]["algorithm"] == algorithm]
        _line(axes, some, metric, colour=colour, label=algorithm, style="-")
    axes.set_xlabel("round")
    axes.set_title(f"{first or ''}: mean over seeds", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel(metric)
    axes.legend(fontsize=7, frameon=False, loc="lower right")


def _line(axes: Any, some: Sequence[Mapping[str, Any]], metric: str, *, colour: str, label: str, style: str) -> None:
    points: dict[int, list[float]] = {}
    for result in some:
        for entry in result.get("curve", []):
            points.setdefault(entry["round"], []).append(entry[metric])
    if points:
        rounds = sorted(points)
        means = [statistics.fmean(points[r]) for r in rounds]
        axes.plot(
            rounds, means, style, color=colour, label=label, linewidth=1.2, marker="." if len(rounds) == 1 else ""
        )

"""Look at a task's data: samples, what was left out, and what each client of a partition would get.

    python -m learning.tasks clone_detection --source installed --partition label_imbalanced --clients 5 --seed 0 --plot clients.svg

Exit codes: 0; 2 for a setting that is unknown or out of range; 9 for data that cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from learning.errors import LearningError, SpecError
from learning.partition import KINDS, Settings, partition
from learning.partition_summary import Summary, as_table, plot, summarise
from learning.tasks.base import TaskData
from learning.tasks.load import leakage, load
from learning.tasks.registry import TASKS

_SHOWN_TEXT = 400


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        return _run(chosen)
    except LearningError as error:
        if chosen.json:
            sys.stdout.write(json.dumps({"error": error.what, "why": error.why, "hint": error.hint}) + "\n")
        else:
            lines = [f"[bold red]{escape(error.what)}[/]", escape(error.why), escape(error.hint)]
            Console(stderr=True).print("\n".join(line for line in lines if line))
        return 2 if isinstance(error, SpecError) else 9


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m learning.tasks", description="Look at a code task's data and deal it out."
    )
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument(
        "--source",
        default="installed",
        help="installed, repositories:FOLDER, official:FOLDER, hub:OWNER/NAME[@REVISION], corpus:FILE, programs:FILE (default: installed)",
    )
    parser.add_argument("--limit", type=int, default=400, help="most training examples (default: 400)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--partition", choices=KINDS, default="uniform")
    parser.add_argument("--clients", type=int, default=5)
    parser.add_argument("--client", type=int, default=0, help="the one that trains in single_client")
    parser.add_argument(
        "--skew", type=int, default=800, help="label_imbalanced: thousandths of a label that lie together"
    )
    parser.add_argument(
        "--ratio", type=Fraction, default=Fraction(2), help="quantity_imbalanced: a client over the next, e.g. 3/2"
    )
    parser.add_argument("--alpha", type=float, default=0.5, help="dirichlet: concentration")
    parser.add_argument(
        "--over", choices=("labels", "repositories", "quantity"), default="labels", help="dirichlet: shares of what"
    )
    parser.add_argument("--two-labels", action="store_true", help="refuse clients that see one label only")
    parser.add_argument("--lenient", action="store_true", help="skip broken lines of files and count them")
    parser.add_argument("--online", action="store_true", help="let hub: download")
    parser.add_argument("--samples", type=int, default=2, help="examples shown (default: 2)")
    parser.add_argument("--plot", type=Path, help="picture of the partition (.svg, .png)")
    parser.add_argument(
        "--plot-by", choices=("labels", "repositories"), default="", help="colours (default: labels if there are any)"
    )
    parser.add_argument("--write", type=Path, help="write the data into this folder in CodeXGLUE's format")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    return parser


def _run(chosen: argparse.Namespace) -> int:
    settings = Settings(
        kind=chosen.partition,
        clients=chosen.clients,
        seed=chosen.seed,
        client=chosen.client,
        skew=chosen.skew,
        ratio=chosen.ratio,
        alpha=chosen.alpha,
        over=chosen.over,
        two_labels=chosen.two_labels,
    )
    data = load(
        chosen.task, chosen.source, limit=chosen.limit, seed=chosen.seed, lenient=chosen.lenient, online=chosen.online
    )
    strata, places = data.strata("train"), data.repositories("train")
    labelled = data.task.labelled
    summary = summarise(partition(settings, strata, places, labelled=labelled), strata, places, labelled=labelled)
    report = _report(data, summary, max(0, chosen.samples))
    if chosen.write:
        data.task.write(chosen.write, data.splits)
        report["written"] = str(chosen.write)
    if chosen.plot:
        plot(summary, chosen.plot, by=chosen.plot_by or ("labels" if len(set(strata)) > 1 else "repositories"))
        report["plot"] = str(chosen.plot)
    if chosen.json:
        sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
    else:
        _show(data, report, summary)
    return 0


def _report(data: TaskData[Any], summary: Summary, samples: int) -> dict[str, Any]:
    splits = {}
    for split in data.splits:
        strata = data.strata(split)
        splits[split] = {
            "examples": len(strata),
            "labels": {name: strata.count(name) for name in sorted(set(strata))},
            "repositories": sorted(set(data.repositories(split))),
        }
    return {
        "task": data.task.name,
        "metrics": list(data.task.metrics),
        "source": data.source,
        "schema": data.task.schema(),
        "splits": splits,
        "near_duplicates_across_splits": leakage(data),
        "left_out": data.report,
        "samples": [asdict(example) for example in data.examples("train")[:samples]],
        "partition": summary.to_mapping(),
    }


def _show(data: TaskData[Any], report: dict[str, Any], summary: Summary) -> None:
    console = Console()
    console.print(f"[bold]{data.task.title}[/] from {escape(data.source)}; scored by {', '.join(data.task.metrics)}")
    table = Table()
    for name in ("split", "examples", "classes", "repositories", "near copies of a held-out split"):
        table.add_column(name)
    for split, row in report["splits"].items():
        classes = ", ".join(f"{name} {count}" for name, count in row["labels"].items())
        table.add_row(
            split,
            str(row["examples"]),
            escape(classes),
            str(len(row["repositories"])),
            str(report["near_duplicates_across_splits"][split]),
        )
    console.print(table)
    for reason, count in data.report["skipped"].items():
        console.print(f"left out: {count} {reason}")
    for number, sample in enumerate(report["samples"]):
        console.rule(f"training example {number}")
        for field, value in sample.items():
            text = str(value)
            shown = text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]} … ({len(text)} characters)"
            console.print(f"[bold]{field}[/]: {escape(shown)}", highlight=False)
    console.print(as_table(summary))
    for warning in summary.warnings:
        console.print(f"[yellow]{escape(warning)}[/]")
    for name in ("written", "plot"):
        if name in report:
            console.print(f"{name}: {escape(report[name])}")


if __name__ == "__main__":
    sys.exit(main())

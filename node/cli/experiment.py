"""`commonweight experiment`: a table of the paper from one file, run, resumed and reported."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from node import console
from node.cli.base import JsonOption, app
from node.protocol.errors import CommonweightError, ConfigError, SetupError, TrainingError

if TYPE_CHECKING:
    from learning.errors import LearningError
    from learning.experiment.settings import Cell, Experiment

EXIT_INTERRUPTED = 130
OUT = Path("build/experiments")


@app.command()
def experiment(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="Experiment files (TOML), or tables of the paper: small, full, small/table1, …"
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of results, checkpoints, reports and pictures.")] = OUT,
    seeds: Annotated[str, typer.Option("--seeds", help="Use these seeds instead of the file's: 0,1,2.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Run finished cells again.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the grid and what it will cost; run nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run task × model × partition × algorithm × seed, and report it beside the paper's numbers.

    Finished cells are never run again; a run that was stopped goes on after its last whole round.
    """
    from learning.errors import LearningError

    try:
        chosen = [one for name in files for one in _found(name)]
        chosen = [_with_seeds(one, seeds) for one in chosen] if seeds else chosen
        if dry_run:
            _show_plan(chosen, out, as_json=as_json)
            return
        reports = [_run(one, out, force=force, quiet=as_json) for one in chosen]
    except LearningError as error:
        raise _translated(error) from error
    except KeyboardInterrupt:
        console.err.print(f"Stopped. The same command goes on after the last whole round in {escape(str(out))}.")
        raise SystemExit(EXIT_INTERRUPTED) from None
    if as_json:
        console.print_json(reports)
    failed = [row for report in reports for row in report["rows"] if row["failed"]]
    if failed:
        first = failed[0]
        raise TrainingError(
            f"{len(failed)} row(s) hold runs that diverged; the first: {first['partition']}, {first['algorithm']}.",
            hint="Lower the learning rates in the experiment file.",
        )


def _found(name: str) -> list[Experiment]:
    """The experiments of a file, of a scale (all its tables), or of one table of a scale."""
    from learning.experiment.settings import builtin, read

    path = Path(name)
    paths = [path] if path.suffix == ".toml" or path.exists() else builtin(name)
    return [read(one) for one in paths]


def _with_seeds(one: Experiment, text: str) -> Experiment:
    from dataclasses import replace

    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts) or len(set(parts)) != len(parts):
        raise ConfigError(f"--seeds is {text!r}.", hint="Give distinct numbers, e.g. 0,1,2.")
    return replace(one, seeds=tuple(int(part) for part in parts))


def _show_plan(chosen: Sequence[Experiment], out: Path, *, as_json: bool) -> None:
    from learning.experiment.runner import estimate
    from learning.experiment.store import Store

    plans: list[dict[str, Any]] = []
    for one in chosen:
        cells = one.cells()
        cost = estimate(cells, Store(out))
        plans.append(
            {
                "name": one.name,
                "cells": [{"key": cell.key, "cell": str(cell)} for cell in cells],
                "finished": cost.finished,
                "samples": cost.samples,
                "seconds": cost.seconds,
                "measured": cost.measured,
            }
        )
    if as_json:
        console.print_json(plans)
        return
    for plan in plans:
        console.table(plan["name"], ("key", "cell"), [(c["key"], escape(c["cell"])) for c in plan["cells"]])
        basis = "from finished cells" if plan["measured"] else "from nominal speeds of one CPU core"
        console.out.print(
            f"{len(plan['cells'])} cells, {plan['finished']} finished; {plan['samples']:,} examples to train on, "
            f"about {_time(plan['seconds'])} ({basis}), loading data not included."
        )


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def _run(one: Experiment, out: Path, *, force: bool, quiet: bool) -> dict[str, Any]:
    """Run an experiment and write its report: JSON, Markdown and a picture beside the results."""
    from learning.experiment.plots import draw
    from learning.experiment.report import build, markdown
    from learning.experiment.runner import run
    from learning.experiment.store import Store, write_atomic

    with _Shown(quiet=quiet) as watcher:
        results = run(one.cells(), Store(out), watcher=watcher, force=force)
    report = build(one, results)
    picture = out / f"{one.name}.svg"
    if any(row["values"] for row in report["rows"]):
        draw(report, results, picture)
    write_atomic(out / f"{one.name}.json", json.dumps(report, indent=1, ensure_ascii=False).encode() + b"\n")
    write_atomic(out / f"{one.name}.md", markdown(report, picture.name).encode())
    if not quiet:
        _show(report, out / f"{one.name}.md")
    return report


def _show(report: Mapping[str, Any], path: Path) -> None:
    from learning.experiment.report import paper_text, shown, signed

    rows = [
        (r["model"], r["partition"], r["algorithm"], shown(r["mean"], r["half_width"], r["metric"]), paper_text(r["paper"], r["metric"]))
        for r in report["rows"]
    ]  # fmt: skip
    metric = report["rows"][0]["metric"]
    console.table(report["title"], ("model", "partition", "algorithm", f"{metric}#", "paper#"), rows)
    claims = [
        (c["claim"], c["algorithm"], signed(c["difference"], c["half_width"], c["metric"]), f"{c['better']}/{c['seeds']}", c["verdict"])
        for c in report["claims"]
    ]  # fmt: skip
    console.table("Paired by seed", ("claim", "algorithm", "difference#", "seeds above 0#", ""), claims)
    for warning in report["warnings"]:
        console.out.print(f"[yellow]{escape(warning)}[/]", highlight=False, soft_wrap=True)
    console.out.print(f"Report and picture: {escape(str(path))}", highlight=False, soft_wrap=True)


class _Shown:
    """A watcher that shows a bar of cells and one of rounds, and prints notes. Usable as a context manager."""

    def __init__(self, *, quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, console=console.err, transient=True, disable=quiet)
        self._cells: TaskID = self._bars.add_task("cells", total=None)
        self._rounds: TaskID = self._bars.add_task("rounds", total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def cell_started(self, cell: Cell, number: int, cells: int) -> None:
        """See `learning.experiment.runner.Watcher`."""
        self._bars.update(self._cells, total=cells, completed=number - 1, description="cells")
        self._bars.update(self._rounds, total=cell.rounds, completed=0, description=escape(str(cell)))

    def round_done(self, cell: Cell, done: int, rounds: int, metrics: Mapping[str, float]) -> None:
        """See `learning.experiment.runner.Watcher`."""
        text = f"{cell}  {cell.metric} {metrics[cell.metric]:.4f}"
        self._bars.update(self._rounds, total=rounds, completed=done, description=escape(text))

    def cell_finished(self, cell: Cell, result: Mapping[str, Any], *, reused: bool) -> None:  # noqa: ARG002 - the interface
        """See `learning.experiment.runner.Watcher`."""
        self._bars.advance(self._cells)

    def note(self, text: str) -> None:
        """See `learning.experiment.runner.Watcher`."""
        console.err.print(escape(text), highlight=False, soft_wrap=True)


def _translated(error: LearningError) -> CommonweightError:
    """The node's error for one of learning's: 2 for settings, 7 for the machine, 9 for data, models and training."""
    from learning.errors import DeviceError, SpecError
    from learning.experiment.store import StorageFailed

    kind: type[CommonweightError] = TrainingError
    if isinstance(error, SpecError):
        kind = ConfigError
    elif isinstance(error, (StorageFailed, DeviceError)):
        kind = SetupError
    return kind(error.what, why=error.why, hint=error.hint)

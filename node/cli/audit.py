"""`commonweight audit`: rebuild the whole history and compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from node import console
from node.cli.base import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    app,
    resolve,
)
from node.cli.process import run_supervised
from node.protocol.errors import AuditFailed, ConfigError, SetupError

if TYPE_CHECKING:
    from node.audit.report import AuditReport

ALL = "all"
MOST_SHOWN = 20
REPORT_FILE = "audit.json"
"""In the node's folder: what the dashboard shows as the last audit."""


@app.command()
def audit(
    config: ConfigOption = DEFAULT_CONFIG,
    ledger_only: Annotated[bool, typer.Option("--ledger-only", help="Do not fetch and re-aggregate models.")] = False,
    rescore: Annotated[
        str, typer.Option("--rescore", help="Verdicts of each round to score again on its slice: a number, or all.")
    ] = "0",
    details: Annotated[
        str, typer.Option("--details", help="Newest rounds whose every participant is compared with storage, or all.")
    ] = ALL,
    gateway: Annotated[
        str, typer.Option("--gateway", help="Read files from this IPFS gateway (URL) instead of the network's peers.")
    ] = "",
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as one HTML page.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild every balance, vote, verdict and model from the chain and IPFS alone, and compare. Exit code 8 if anything differs."""
    from node import queries

    again, detailed = _count("--rescore", rescore), _count("--details", details)
    if ledger_only and again != 0:
        raise ConfigError("--rescore needs the models that --ledger-only leaves out.", hint="Drop one of the two.")
    settings = resolve(config, None)
    work = queries.run_audit(
        settings, ledger_only=ledger_only, rescore=again, detailed_rounds=detailed, gateway=gateway
    )
    report = run_supervised(work)
    _keep(settings.node.data / REPORT_FILE, report)
    if html is not None:
        _write(html, report)
    if as_json:
        console.print_json(report.to_json())
    else:
        _show(report)
    if not report.ok:
        raise AuditFailed(f"{len(report.findings)} things do not add up; the first: {report.findings[0]}")
    if not as_json:
        console.out.print("[bold green]The history adds up.[/]")


def _count(option: str, text: str) -> int | None:
    """A number, or None for all."""
    if text == ALL:
        return None
    if not text.isdecimal():
        raise ConfigError(f"{option} is {text!r}.", hint="Give a number, or `all`.")
    return int(text)


def _keep(path: Path, report: AuditReport) -> None:
    """Leave the report where the dashboard looks. An audit is none the worse where that cannot be."""
    from node.store import write_atomic

    try:
        write_atomic(path, json.dumps(report.to_json()).encode())
    except (OSError, SetupError) as error:
        console.err.print(f"The dashboard will not show this audit: {error}.", highlight=False)


def _write(path: Path, report: AuditReport) -> None:
    from node.audit.page import page

    try:
        path.write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"The report cannot be written to {path}: {error.strerror}.", hint="Name a file in an existing folder."
        ) from error


def _show(report: AuditReport) -> None:
    console.table("Checked", ("what", "times#"), sorted(report.checked.items()))
    for finding in report.findings[:MOST_SHOWN]:
        console.out.print(f"[bold red]differs[/] {escape(finding)}", highlight=False, soft_wrap=True)
    left = len(report.findings) - MOST_SHOWN
    if left > 0:
        console.out.print(f"and {left} more; `--json` or `--html` list all of them.")

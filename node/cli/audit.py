"""`commonweight audit`: rebuild the whole history and compare."""

from __future__ import annotations

from typing import Annotated

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
from node.protocol.errors import AuditFailed


@app.command()
def audit(
    config: ConfigOption = DEFAULT_CONFIG,
    ledger_only: Annotated[bool, typer.Option("--ledger-only", help="Do not fetch and re-aggregate models.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rebuild every balance, verdict and model from the chain and IPFS alone, and compare. Exit code 8 if anything differs."""
    from node import queries

    report = run_supervised(queries.run_audit(resolve(config, None), ledger_only=ledger_only))
    if as_json:
        console.print_json(report.to_json())
    else:
        console.table("Checked", ("what", "times#"), sorted(report.checked.items()))
        for finding in report.findings:
            console.out.print(f"[bold red]differs[/] {escape(finding)}", highlight=False, soft_wrap=True)
    if not report.ok:
        raise AuditFailed(f"{len(report.findings)} things do not add up; the first: {report.findings[0]}")
    if not as_json:
        console.out.print("[bold green]The history adds up.[/]")

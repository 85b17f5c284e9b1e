"""`commonweight explain`: why the chain paid, slashed, counted or released as it did."""

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
def explain(
    what: Annotated[str, typer.Argument(help="reward, score, slash, vote, power, credit, release or seat.")],
    parts: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...",
            help="Which one: reward and score ROUND INDEX, slash NUMBER, vote PROPOSAL ACCOUNT, power ACCOUNT, credit ACCOUNT [ROUND], "
            "release NUMBER, seat NUMBER. An account by its first digits will do.",
        ),
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Inputs, formula, each step with its numbers, and the transactions. Exit code 8 where the chain recorded something else."""
    from node import queries

    found = run_supervised(queries.explain(resolve(config, None), what, tuple(parts)))
    if as_json:
        console.print_json(found.to_json())
    else:
        console.out.print(f"[bold]{escape(found.title)}[/]", highlight=False, soft_wrap=True)
        for line in found.formula:
            console.out.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
        rows = [(step.label, step.expression, step.value) for step in found.steps]
        console.table("Calculation", ("what", "how", "value#"), [tuple(map(escape, row)) for row in rows])
        console.table(
            "On chain",
            ("event", "block#", "transaction"),
            [(f"{source.contract}.{source.event}", source.block, source.transaction) for source in found.sources],
        )
        for note in found.notes:
            console.out.print(escape(note), highlight=False, soft_wrap=True)
        verdict = {True: "[bold green]as the chain recorded[/]", None: "the chain has recorded nothing yet"}
        console.out.print(
            f"Result  [bold]{escape(found.computed)}[/], {verdict.get(found.agrees, '[bold red]the chain recorded something else[/]')}",
            highlight=False,
            soft_wrap=True,
        )
    if found.agrees is False:
        raise AuditFailed(
            f"The formula gives {found.computed}; the chain recorded {found.recorded}.",
            why="The contract differs from the rules, or the endpoint gave a false history.",
            hint="`commonweight audit` rebuilds everything; try another RPC endpoint.",
        )

"""`commonweight dispute`: appeal to the court, with a bond."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from node import console
from node.cli.base import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    group,
    resolve,
)
from node.cli.process import run_supervised

dispute_app = group("dispute", "Appeal to the court, with a bond.")

SendOption = Annotated[bool, typer.Option("--send", help="Put up the bond and open the dispute; else only advise.")]


@dispute_app.command("score")
def dispute_score(
    number: Annotated[int, typer.Argument(help="Round number.")],
    index: Annotated[int, typer.Argument(help="Index of the update (`round show`).")],
    send: SendOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Dispute the verdict on one update. Without --send it says what a jury would look like and what this node found itself."""
    _dispute(config, number, index, send=send, as_json=as_json)


@dispute_app.command("aggregate")
def dispute_aggregate(
    number: Annotated[int, typer.Argument(help="Round number.")],
    send: SendOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Dispute the model of a round. Without --send it says whether this node computed another one."""
    _dispute(config, number, None, send=send, as_json=as_json)


def _dispute(config: Path, number: int, index: int | None, *, send: bool, as_json: bool) -> None:
    from node import queries

    found = run_supervised(queries.dispute(resolve(config, None), number, index, send=send))
    if as_json:
        console.print_json(found)
        return
    rows = [
        ("decided", found["decided"]),
        ("this node found", found["ours"]),
        ("jurors", f"{found['jurors']}{'' if found['is_independent'] else ', those who decided among them'}"),
        ("bond", f"{console.cwt(int(found['bond']))} CWT, burned where the jury disagrees"),
        ("time left", f"{found['seconds']} s"),
        ("advice", "dispute" if found["can"] and found["worth"] else "do not dispute"),
        *(("because", reason) for reason in found["reasons"]),
        *([("transaction", found["transaction"])] if "transaction" in found else []),
    ]
    console.table("Dispute", ("what", "value"), [(what, escape(str(value))) for what, value in rows])

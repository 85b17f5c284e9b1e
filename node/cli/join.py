"""`commonweight join`: newcomers, applications and reviews."""

from __future__ import annotations

from typing import Annotated

import typer

from node import console
from node.cli.base import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    group,
    resolve,
    say,
)
from node.cli.process import run_supervised

join_app = group("join", "Newcomers: applications and reviews.")


@join_app.command("list")
def join_list(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Members and applicants: standing, stake, earnings."""
    from node import queries

    rows = run_supervised(queries.members(resolve(config, None)))
    if as_json:
        console.print_json(rows)
        return
    console.table(
        "Members",
        ("account", "standing", "application#", "approvals#", "stake CWT#", "earned CWT#", "slashed CWT#"),
        [
            (
                row["address"], row["status"], row["application"], row["approvals"],
                console.cwt(int(row["stake"])), console.cwt(int(row["earned"])), console.cwt(int(row["slashed"])),
            )
            for row in rows
        ],
    )  # fmt: skip


@join_app.command("review")
def join_review(
    application: Annotated[int, typer.Argument(help="Number of the application (`join list`).")],
    approve: Annotated[bool, typer.Option("--approve/--reject", help="Your vote.")],
    reason: Annotated[str, typer.Option(help="Why; its hash goes on chain.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Vote on an application, as a committee seat."""
    from node import queries

    receipt = run_supervised(queries.review(resolve(config, None), application, approve=approve, reason=reason))
    say({"transaction": "0x" + receipt.transaction.hex(), "block": receipt.block}, as_json=as_json)

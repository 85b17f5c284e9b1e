"""`commonweight round`: look at rounds."""

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
)
from node.cli.process import run_supervised

round_app = group("round", "Look at rounds.")


@round_app.command("list")
def round_list(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """All rounds: phase, updates, model."""
    from node import queries

    rows = run_supervised(queries.rounds(resolve(config, None)))
    if as_json:
        console.print_json(rows)
        return
    console.table(
        "Rounds",
        ("round#", "phase", "committed#", "revealed#", "accepted#", "attested#", "sealed", "model"),
        [
            (
                row["round"], row["phase"], row["committed"], row["revealed"], row["accepted"], row["attestations"],
                "yes" if row["sealed"] else "no", console.short(row["model_hash"] or "–"),
            )
            for row in rows
        ],
    )  # fmt: skip


@round_app.command("show")
def round_show(
    number: Annotated[int, typer.Argument(help="Round number; 0 is the newest.")] = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """One round: every update, its verdict, and why."""
    from node import queries

    found = run_supervised(queries.round_detail(resolve(config, None), number))
    if as_json:
        console.print_json(found)
        return
    console.out.print(f"Round {found['round']}, {found['phase']}, model {found['model_hash'] or '–'}", highlight=False)
    console.table(
        "Updates",
        ("index#", "trainer", "verdict", "gain ppm#", "votes#", "weight#", "CID"),
        [
            (u["index"], u["trainer"], u["status"], u["gain"], u["votes"], u["weight"], u["cid"])
            for u in found["updates"]
        ],
    )

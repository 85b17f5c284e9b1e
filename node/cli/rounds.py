"""`commonweight round`: look at rounds."""

from __future__ import annotations

from typing import Annotated, Any

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


@round_app.command("measure")
def round_measure(
    numbers: Annotated[
        list[int] | None, typer.Argument(help="Rounds; 0 is the genesis model. None: all that are not measured yet.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Measure rounds' models on the public benchmark, on this machine; the dashboard draws what is kept."""
    from node.dao.measured import measure_rounds

    def progress(number: int, value: float) -> None:
        if not as_json:
            console.err.print(f"[dim]round {number}: {value:.4f}[/]", highlight=False)

    found: dict[str, Any] = run_supervised(measure_rounds(resolve(config, None), numbers, progress))
    if as_json:
        console.print_json(found)
        return
    console.table(
        f"{found['metric']} on the public benchmark",
        ("round#", "value#", "change#"),
        [(row["round"], f"{row['value']:.4f}", _change(row["change"])) for row in found["rounds"]],
    )


def _change(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}"

"""What every command shares: the program, its options, the settings they resolve to, and plain answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from node import console
from node.config import Config, load_config
from node.ports import Receipt

app = typer.Typer(
    name="commonweight",
    help="Build, own and govern code models together, without sharing code.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The node's TOML file.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Override a setting: section.key=value.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]

DEFAULT_CONFIG = Path("commonweight.toml")
_state = {"verbose": False}


@app.callback()
def _main(
    verbose: Annotated[bool, typer.Option("--verbose", help="Show tracebacks and debug logs.")] = False,
) -> None:
    _state["verbose"] = verbose


def is_verbose() -> bool:
    """Whether tracebacks and debug logs were asked for."""
    return _state["verbose"]


def group(name: str, text: str) -> typer.Typer:
    """A group of commands, `commonweight NAME …`, announced in `--help` by ``text``."""
    made = typer.Typer(help=text, no_args_is_help=True)
    app.add_typer(made, name=name)
    return made


def resolve(path: Path, flags: list[str] | None = None) -> Config:
    """The settings of a TOML file, the environment and ``--set`` flags."""
    return load_config(path, environment=os.environ, flags=flags or ())


def say(values: dict[str, Any], *, as_json: bool) -> None:
    """Print an answer: one line per key, or JSON."""
    if as_json:
        console.print_json(values)
    else:
        for key, value in values.items():
            console.out.print(f"{key}  [bold]{value}[/]", highlight=False)


def sent(receipt: Receipt, *, as_json: bool) -> None:
    """Print where a transaction ended up."""
    say({"transaction": "0x" + receipt.transaction.hex(), "block": receipt.block}, as_json=as_json)

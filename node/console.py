"""What commands print: tables for people, JSON for programs, errors that say what happened, why, and what to try."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from incentives.rewards import CWT
from node.protocol.errors import CommonweightError

_PIPE_WIDTH = 140
"""Columns where there is no terminal to ask: logs are read on wide screens."""
out = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
err = Console(stderr=True)


def cwt(amount: int) -> str:
    """Token amount for people, two decimals."""
    return f"{amount / CWT:,.2f}"


def short(text: str) -> str:
    """Address or hash for people: first six and last four characters."""
    return text if len(text) <= 14 else f"{text[:6]}…{text[-4:]}"


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document on standard output, nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True) + "\n")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; columns whose name ends in ``#`` are numbers."""
    shown = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        shown.add_column(column.rstrip("#"), justify="right" if column.endswith("#") else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    out.print(shown)


def fail(error: CommonweightError, *, verbose: bool, as_json: bool = False) -> NoReturn:
    """Show an error and leave with its exit code."""
    if as_json:
        shown = {"error": type(error).__name__, "what": error.what, "why": error.why, "hint": error.hint}
        sys.stderr.write(json.dumps(shown) + "\n")
    else:
        err.print(f"[bold red]error[/] {error.what}", highlight=False, soft_wrap=True)
        if error.why:
            err.print(f"  why  {error.why}", highlight=False, soft_wrap=True)
        if error.hint:
            err.print(f"  try  {error.hint}", highlight=False, soft_wrap=True)
    if verbose:
        traceback.print_exception(error)
    raise SystemExit(error.exit_code)

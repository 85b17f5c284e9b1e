"""`commonweight node`: run and look after one node."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from node import console
from node.cli.base import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SetOption,
    group,
    is_verbose,
    resolve,
    say,
)
from node.cli.process import run_supervised, start_logging, stop_with_parent
from node.config import Config, describe, template
from node.protocol.errors import ConfigError
from node.store import write_atomic

node_app = group("node", "Run and look after one node.")


@node_app.command("run")
def node_run(
    config: ConfigOption = DEFAULT_CONFIG,
    overrides: SetOption = None,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="Stop when standard input closes (for supervisors).")
    ] = False,
) -> None:
    """Run a node until it is stopped."""
    from node.runtime import run_node

    settings = resolve(config, overrides)
    start_logging(settings.node.data / "node.log", verbose=is_verbose())
    if exit_with_parent:
        stop_with_parent()
    with contextlib.suppress(asyncio.CancelledError):
        run_supervised(run_node(settings))


@node_app.command("init")
def node_init(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Write a settings file with every key, its default and its meaning."""
    if config.exists():
        raise ConfigError(f"{config} exists already.", hint="Move it away first; it is never overwritten.")
    write_atomic(config, template().encode())
    say({"written": str(config)}, as_json=as_json)


@node_app.command("status")
def node_status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """What the node is doing now."""
    settings = resolve(config, None)
    path = settings.node.data / "status.json"
    try:
        status = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"There is no status at {path}.", hint="Is the node running? `commonweight node run`."
        ) from error
    if as_json:
        console.print_json(status)
        return
    rows = [(key, escape(_plain(value))) for key, value in status.items() if value not in (None, "", [], {})]
    console.table(f"Node {settings.node.name}", ("what", "value"), rows)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@node_app.command("config")
def node_config(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Resolve this TOML file.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every setting: without --config the defaults, with it the values a node would run with."""
    resolved = resolve(config, overrides) if config else Config()
    values = {}
    for name, _kind, _default, _help in describe():
        section, key = name.split(".")
        value = getattr(getattr(resolved, section), key)
        values[name] = str(value) if isinstance(value, Path) else value
    if as_json:
        console.print_json(values)
        return
    rows = [(name, kind, escape(str(values[name])), text) for name, kind, _default, text in describe()]
    console.table("Settings", ("key", "kind", "value", "meaning"), rows)

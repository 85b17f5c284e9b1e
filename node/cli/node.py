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
from node.config import Config, describe
from node.protocol.errors import ConfigError, SetupError

node_app = group("node", "Run and look after one node.")


@node_app.command("run")
def node_run(
    config: ConfigOption = DEFAULT_CONFIG,
    overrides: SetOption = None,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="Stop when standard input closes (for supervisors).")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the settings it would run with; do nothing.")
    ] = False,
) -> None:
    """Run a node until it is stopped."""
    settings = resolve(config, overrides)
    if dry_run:
        _show_settings(settings, as_json=False)
        return
    from node.runtime import run_node

    start_logging(settings.node.data / "node.log", verbose=is_verbose())
    if exit_with_parent:
        stop_with_parent()
    with contextlib.suppress(asyncio.CancelledError):
        run_supervised(run_node(settings))


@node_app.command("init")
def node_init(
    config: ConfigOption = DEFAULT_CONFIG,
    network: Annotated[
        Path | None, typer.Option("--network", help="The community's network file (network.toml): join that network.")
    ] = None,
    name: Annotated[str, typer.Option(help="The node's name, shown to people only.")] = "node",
    repository: Annotated[
        list[str] | None, typer.Option(help="Installed package to train on; may be given several times.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the settings file; write nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a settings file with every key, its default and its meaning; with --network also a keystore, ready to join."""
    from node.setup import init, settings_file

    text = settings_file(config, network, name, repository or ())
    if dry_run:
        console.out.out(text, highlight=False, end="")
        return
    say(init(config, text), as_json=as_json)


@node_app.command("doctor")
def node_doctor(
    config: ConfigOption = DEFAULT_CONFIG, overrides: SetOption = None, as_json: JsonOption = False
) -> None:
    """Look at everything this node needs (disk, keys, files, chain, gas money, IPFS, peers, clock, device) and say how to mend it."""
    from node.doctor import Check, Verdict, examine, to_json

    signs = {Verdict.OK: "[green]ok  [/]", Verdict.WARN: "[yellow]warn[/]", Verdict.FAIL: "[bold red]fail[/]"}

    def show(check: Check) -> None:
        if as_json:
            return
        console.out.print(f"{signs[check.verdict]}  {check.name:<11} {escape(check.found)}", highlight=False)
        if check.mend and check.verdict is not Verdict.OK:
            console.out.print(f"      {'':<11} → {escape(check.mend)}", highlight=False)

    checks = run_supervised(examine(resolve(config, overrides), on_check=show))
    if as_json:
        console.print_json(to_json(checks))
    failed = [check.name for check in checks if check.verdict is Verdict.FAIL]
    if failed:
        raise SetupError(f"The node cannot run yet: {', '.join(failed)}.", hint="Mend what is marked, and look again.")


@node_app.command("backup")
def node_backup(
    archive: Annotated[Path, typer.Argument(help="File to write (.tar.gz).")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write settings, encrypted keystores and the facts of all rounds into one archive. The password is not in it."""
    from node.backup import backup

    count = backup(config, resolve(config), archive)
    say({"written": str(archive), "files": count}, as_json=as_json)


@node_app.command("restore")
def node_restore(
    archive: Annotated[Path, typer.Argument(help="A backup.")],
    folder: Annotated[Path, typer.Option(help="Folder to make; must be empty.")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Unpack a backup into an empty folder. Stop the old node before the new one runs."""
    from node.backup import restore

    say({"restored": str(folder), "files": restore(archive, folder)}, as_json=as_json)


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
    _show_settings(resolve(config, overrides) if config else Config(), as_json=as_json)


def _show_settings(resolved: Config, *, as_json: bool) -> None:
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

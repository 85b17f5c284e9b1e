"""`commonweight dashboard`: the network as a page in the browser."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from node import console
from node.cli.base import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SetOption,
    app,
    is_verbose,
    resolve,
    say,
)
from node.cli.process import run_supervised, start_logging, stop_with_parent
from node.config import Config


@app.command()
def dashboard(
    config: ConfigOption = DEFAULT_CONFIG,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.")] = 8480,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    sign: Annotated[
        bool,
        typer.Option("--sign", help="Sign acts with this node's keystore; test networks only. Else a wallet signs."),
    ] = False,
    overrides: SetOption = None,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="Stop when standard input closes (for supervisors).")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Serve the dashboard until Ctrl-C. Without --sign it holds no key and only reads."""
    settings = resolve(config, overrides)
    start_logging(settings.node.data / "dashboard.log", verbose=is_verbose())
    if exit_with_parent:
        stop_with_parent()
    with contextlib.suppress(asyncio.CancelledError):
        run_supervised(_serve(settings, port, sign=sign, open_page=open_page, as_json=as_json))


async def _serve(settings: Config, port: int, *, sign: bool, open_page: bool, as_json: bool) -> None:
    from node.dao.files import open_files
    from node.web.serve import serving

    async with open_files(settings) as files, serving(settings, port=port, sign=sign, fetch=files.read) as served:
        if as_json:
            console.print_json({"url": served.url, "port": served.port, "sign": sign})
        else:
            say({"dashboard": served.url, "signs": "yes, on this test network" if sign else "no"}, as_json=False)
        sys.stdout.flush()  # whoever supervises us waits for the address
        with _door(settings.node.data, served.url) as door:
            if open_page:
                await asyncio.to_thread(webbrowser.open, door)
            await asyncio.Event().wait()


@contextlib.contextmanager
def _door(folder: Path, url: str) -> Iterator[str]:
    """What a browser is told to open: with a token in it, a file of ours that leads on, since other users see command lines."""
    if "#" not in url:
        yield url
        return
    path = folder / "dashboard-door.html"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={url}">')
    try:
        yield path.resolve().as_uri()
    finally:
        path.unlink(missing_ok=True)

"""The process around a command: signals, logs, the parent that supervises it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def run_supervised(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; SIGINT and SIGTERM cancel it in order."""

    async def supervised() -> T:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        return await task

    return asyncio.run(supervised())


def start_logging(path: Path, *, verbose: bool) -> None:
    """Log to a file; warnings to the terminal too. Nothing secret is ever logged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    form = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(form)
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(form)
    stream.setLevel(logging.WARNING)
    root = logging.getLogger("commonweight")
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    root.handlers[:] = [file, stream]


def stop_with_parent() -> None:
    """End this process when standard input closes: a supervisor that dies, even by kill -9, leaves no orphan."""

    def wait() -> None:
        # On the descriptor: a thread that sits in sys.stdin's lock would crash the interpreter's exit.
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True, name="parent").start()

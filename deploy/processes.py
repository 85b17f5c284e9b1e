"""Child processes of a local network: started in sessions of their own, logged to files, and never left behind.

Every child holds the reading end of a pipe as its standard input and stops when it closes: if this process dies, even by kill -9,
so do they. A session of its own gives each child its own share of the processor (the kernel groups processes by session).
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from node.protocol.errors import SetupError

STOP_SECONDS = 10.0
"""A node closes its doors within a second or two; after this it is killed."""


@dataclass(slots=True)
class Child:
    """One running process and its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        nice: int = 0,
    ) -> Child:
        """Start a command. Its output goes to ``log``."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        if nice:
            with suppress(OSError):  # it may be gone already
                os.setpriority(os.PRIO_PROCESS, process.pid, nice)
        return cls(name, process, log)

    @property
    def is_running(self) -> bool:
        """Whether it still lives."""
        return self.process.poll() is None

    def tail(self, lines: int = 8) -> str:
        """End of its log, for an error message."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join(text.strip().splitlines()[-lines:])

    def require_running(self) -> None:
        """Raise where it died.

        Raises:
            SetupError: with the end of its log.
        """
        if not self.is_running:
            raise SetupError(
                f"{self.name} stopped with exit code {self.process.returncode}.",
                why=self.tail(),
                hint=f"Its whole log is {self.log}.",
            )

    def _close_input(self) -> None:
        if self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()

    def ask_to_stop(self) -> None:
        """Close its standard input and send SIGTERM to it."""
        self._close_input()
        if self.is_running:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it and everything in its session, as a power cut would."""
        self._close_input()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


async def stop_all(children: Sequence[Child], seconds: float = STOP_SECONDS) -> None:
    """Stop children together; whoever does not stop in time is killed."""
    for child in children:
        child.ask_to_stop()
    waits = [asyncio.to_thread(_wait, child, seconds) for child in children]
    await asyncio.gather(*waits)
    for child in children:
        child.kill()


def _wait(child: Child, seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        child.process.wait(seconds)

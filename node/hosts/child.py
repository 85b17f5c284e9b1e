"""What every host process does first: die with its parent, keep its folder to itself, log modestly, find its port free.

The channel to the node is a Unix socket on file descriptor 0. When the node goes away, however it goes, the kernel
closes its end: the host reads end-of-file and exits. Where the kernel offers it (Linux), a host is also killed outright
at the parent's death, so that a host stuck in native code leaves no orphan either.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import IO, Final

from node.hosts.messages import Failed

_PR_SET_PDEATHSIG: Final = 1
_LOCK_SECONDS: Final = 4.0  # a predecessor that was told to stop gets this long to leave the folder
_LOG_LINES_PER_MINUTE: Final = 120


class CannotStart(Exception):
    """The host gives up before it is ready; ``failure`` is what the node shall tell the operator."""

    def __init__(self, failure: Failed) -> None:
        self.failure = failure
        super().__init__(failure.what)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies; exit at once if that has happened already."""
    os.umask(0o077)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def open_channel() -> socket.socket:
    """The socket to the node, moved away from file descriptor 0: Kubo prints there while it makes its key."""
    channel = socket.socket(fileno=os.dup(0))
    channel.set_inheritable(False)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)  # what libraries print goes to the log
    return channel


class _RateLimit(logging.Filter):
    """At most so many records a minute: strangers must not be able to fill the disk."""

    def __init__(self) -> None:
        super().__init__()
        self._minute = 0
        self._count = 0

    def filter(self, record: logging.LogRecord) -> bool:
        minute = int(record.created) // 60
        if minute != self._minute:
            self._minute, self._count = minute, 0
        self._count += 1
        return self._count <= _LOG_LINES_PER_MINUTE


def start_logging() -> None:
    """Warnings and our own notes to standard error, which the supervisor opened as the host's log file."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(_RateLimit())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("node").setLevel(logging.INFO)


def lock_folder(folder: Path) -> IO[bytes]:
    """Take the folder for this process alone; the lock ends with the process.

    Raises:
        CannotStart: another process keeps it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (folder / "host.lock").open("wb")
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return lock
    raise CannotStart(
        Failed(
            setup=True,
            what=f"The folder {folder} is in use.",
            why="Another node process works in it.",
            hint="Stop the other node, or give this one a folder of its own.",
        )
    )


def check_port(host: str, port: int, what: str) -> None:
    """See that nobody listens on ``port`` (0 always passes).

    Both libp2p implementations listen with SO_REUSEPORT: a second one on the same port starts without an error and
    steals connections. A plain bind finds the first one.

    Raises:
        CannotStart: the port is taken, or ``host`` is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            raise CannotStart(
                Failed(
                    setup=True,
                    what=f"{what} cannot listen on {host} port {port}.",
                    why="Another process listens there." if in_use else f"The system says: {error.strerror}.",
                    hint=f"Stop that process (ss -ltnp | grep :{port}) or choose another port; 0 takes a free one."
                    if in_use
                    else "Check the listen address and port in the configuration.",
                )
            ) from error


def multiaddr_of(host: str, port: int) -> str:
    """``/ip4/…/tcp/…`` or ``/ip6/…/tcp/…``."""
    return f"/ip{6 if ':' in host else 4}/{host}/tcp/{port}"

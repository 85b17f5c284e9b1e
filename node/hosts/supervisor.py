"""One child process that must stay up: started, watched, restarted with growing pauses, asked and answered.

The node's end of the channel described in `node.hosts.messages`. Whatever the child does (crash, hang, talk nonsense),
requests end with `HostDown` or at their deadline, and the child is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.hosts.framing import FrameDecoder, FrameError, encode
from node.hosts.messages import Failed, Message, Ready, Reply, Request, Stop

log = logging.getLogger(__name__)

_START_SECONDS: Final = 90.0  # generous: a dozen hosts may start at once on two cores
_STOP_SECONDS: Final = 3.0
_LEAVE_SECONDS: Final = 1.0
_PAUSE_FIRST: Final = 0.2
_PAUSE_MOST: Final = 30.0
_STABLE_SECONDS: Final = 60.0  # a host that was up this long starts again without a pause
_MAX_LOG_BYTES: Final = 4 << 20
_READ_BYTES: Final = 65_536
_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]

# A host needs no more of our environment; passwords and keys in it are none of its business.
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SYSTEMROOT")


class HostDown(Exception):
    """The host is not up: crashed and being restarted, or closed."""


class HostRefused(Exception):
    """The host said why it cannot start."""

    def __init__(self, failure: Failed) -> None:
        self.failure = failure
        super().__init__(failure.what)


class RequestFailed(Exception):
    """The host answered with an error."""


@dataclass(frozen=True, slots=True)
class HostStatus:
    """State of a supervised host: process id (0 while down), restarts so far, and why it last went down."""

    up: bool
    pid: int
    restarts: int
    last_error: str


class HostProcess:
    """A supervised host.

    Args:
        module: what to run with ``python -m``.
        folder: working directory of the child; its log is ``host.log`` there.
        start: the first message to it.
        on_message: called with everything but replies, in order, in the event loop; must not block.
        restart_message: start message for a restart, given what the host said when it was ready (to keep its port).
        environment: additional variables.
        before_start: run in a thread before every start of the child, while none runs.
    """

    def __init__(
        self,
        module: str,
        folder: Path,
        start: Message,
        *,
        on_message: Callable[[Message], None],
        restart_message: Callable[[Ready], Message],
        environment: Mapping[str, str] | None = None,
        before_start: Callable[[], None] | None = None,
    ) -> None:
        self._module = module
        self._folder = folder
        self._start_message = start
        self._on_message = on_message
        self._restart_message = restart_message
        self._environment = dict(environment or {})
        self._before_start = before_start
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Reply | None]] = {}
        self._abandoned: set[int] = set()
        self._up = asyncio.Event()
        self._closed = False
        self._deliberate = False
        self._restarts = 0
        self._last_error = ""
        self._ready: Ready | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    # --- life ---

    async def start(self) -> Ready:
        """Start the child and wait until it is ready.

        Raises:
            HostRefused: it said why it cannot start.
            HostDown: it ended without a word, or took too long.
        """
        loop = asyncio.get_running_loop()
        first: asyncio.Future[Ready] = loop.create_future()
        self._task = loop.create_task(self._supervise(first), name=f"supervisor of {self._module}")
        try:
            return await asyncio.shield(first)
        except BaseException:
            await self.close()
            if first.done() and not first.cancelled():
                first.exception()  # seen
            raise

    async def close(self) -> None:
        """Stop the child, in good order if it listens, for good in any case."""
        self._closed = True
        self._up.set()  # wakes those in `wait_up`, who then see that it is closed
        task, writer = self._task, self._writer
        if task is None:
            return
        if writer is not None:
            with contextlib.suppress(ConnectionError):
                writer.write(encode(Stop()))
                await asyncio.wait({task}, timeout=_STOP_SECONDS)
        task.cancel()
        await asyncio.wait({task})

    def kill(self) -> None:
        """Kill the child now; it counts as down from here, and the supervisor starts a new one without a pause."""
        if self._closed:
            return
        self._deliberate = True
        self._writer = None
        self._up.clear()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    @property
    def status(self) -> HostStatus:
        """How it is doing."""
        up = self._writer is not None
        pid = self._process.pid if up and self._process is not None else 0
        return HostStatus(up, pid, self._restarts, self._last_error)

    @property
    def unanswered(self) -> int:
        """Requests that nobody waits for any more but that still occupy the host."""
        return len(self._abandoned)

    async def wait_up(self, seconds: float) -> None:
        """Wait until it is up.

        Raises:
            HostDown: closed, or still down after ``seconds``.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._up.wait()
        except TimeoutError:
            raise self._down() from None
        if self._closed:
            raise self._down()

    async def request(self, build: Callable[[int], Request], seconds: float) -> tuple[str, ...]:
        """Ask and wait for the answer's values.

        Raises:
            HostDown: not up, or it went down before answering.
            RequestFailed: it answered with an error.
            TimeoutError: no answer in ``seconds``; the host may still be busy with it.
        """
        writer = self._writer
        if writer is None or self._closed:
            raise self._down()
        number = next(self._ids)
        waiter: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiter
        try:
            async with asyncio.timeout(seconds):
                writer.write(encode(build(number)))
                await writer.drain()
                reply = await waiter
        except ConnectionError as error:
            raise self._down() from error
        except BaseException:  # a deadline or a cancellation: nobody waits, but the host works on
            if self._writer is writer and number in self._waiting:
                self._abandoned.add(number)
            raise
        finally:
            self._waiting.pop(number, None)
        if reply is None:
            raise self._down()
        if reply.error:
            raise RequestFailed(reply.error)
        return reply.values

    def _down(self) -> HostDown:
        why = "it was closed" if self._closed else self._last_error or "it is starting"
        return HostDown(f"{self._module} is down: {why}")

    # --- supervision ---

    async def _supervise(self, first: asyncio.Future[Ready]) -> None:
        loop = asyncio.get_running_loop()
        pause = _PAUSE_FIRST
        message = self._start_message
        while not self._closed:
            began = loop.time()
            refused = False
            try:
                await self._live(message, first)
                self._last_error = f"the process ended; see {self._folder / 'host.log'}"
            except HostRefused as error:
                self._last_error, refused = str(error), True
                if not first.done():
                    first.set_exception(error)
            except (FrameError, OSError, TimeoutError) as error:
                self._last_error = str(error) or type(error).__name__
            if not first.done():
                first.set_exception(self._down())
            if self._closed or self._ready is None:
                return
            if self._deliberate:
                self._deliberate, self._last_error, pause = False, "it was started anew", 0.0
            elif loop.time() - began > _STABLE_SECONDS:
                pause = _PAUSE_FIRST
            log.warning("%s is down (%s); starting it again in %.1f s", self._module, self._last_error, pause)
            await asyncio.sleep(pause)
            pause = min(max(2 * pause, _PAUSE_FIRST), _PAUSE_MOST)
            self._restarts += 1
            # Peers know our port, so it is kept; unless somebody took it meanwhile.
            message = self._start_message if refused else self._restart_message(self._ready)

    async def _live(self, message: Message, first: asyncio.Future[Ready]) -> None:
        """One life of the child, from its start to the end of its channel."""
        if self._before_start is not None:
            await asyncio.to_thread(self._before_start)
        ours, theirs = socket.socketpair()
        try:
            self._process = await self._spawn(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        writer = None
        try:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            writer.write(encode(message))
            decoder = FrameDecoder()
            async with asyncio.timeout(_START_SECONDS) as patience:
                while data := await reader.read(_READ_BYTES):
                    for incoming in decoder.feed(data):
                        if isinstance(incoming, Ready):
                            patience.reschedule(None)
                            self._went_up(incoming, writer, first)
                        else:
                            self._dispatch(incoming)
        except ConnectionError:
            return
        finally:
            self._went_down()
            (writer or ours).close()
            await _end(self._process)

    async def _spawn(self, channel: socket.socket) -> asyncio.subprocess.Process:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / "host.log"
        if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
            path.replace(self._folder / "host.log.1")
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | self._environment
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH"))))
        with path.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the child's folder is data, not a place to import from
                "-m",
                self._module,
                str(os.getpid()),
                stdin=channel.fileno(),
                stdout=output,
                stderr=output,
                cwd=self._folder,
                env=environment,
                start_new_session=True,  # its own CPU share (autogroup), and no Ctrl-C meant for us
            )

    def _went_up(self, ready: Ready, writer: asyncio.StreamWriter, first: asyncio.Future[Ready]) -> None:
        self._ready, self._writer = ready, writer
        self._up.set()
        self._on_message(ready)
        if not first.done():
            first.set_result(ready)

    def _went_down(self) -> None:
        self._writer = None
        if not self._closed:
            self._up.clear()
        self._abandoned.clear()
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_result(None)

    def _dispatch(self, message: Message) -> None:
        if isinstance(message, Failed):
            raise HostRefused(message)
        if not isinstance(message, Reply):
            self._on_message(message)
            return
        self._abandoned.discard(message.id)
        waiter = self._waiting.get(message.id)
        if waiter is not None and not waiter.done():
            waiter.set_result(message)


async def _end(process: asyncio.subprocess.Process) -> None:
    """See the process gone. Its channel is closed, so it is leaving; if it does not within a second, it is killed."""
    ended = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({ended}, timeout=_LEAVE_SECONDS)
    finally:
        if not ended.done():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await asyncio.wait({ended})

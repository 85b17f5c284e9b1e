"""Virtual time: an asyncio event loop that jumps to the next timer instead of waiting for it.

Theory of operation: an event loop sleeps only in its selector. `_JumpingSelector.select(timeout)` polls the file descriptors
and, where nothing is ready, moves the loop's clock on by ``timeout`` and returns. So `asyncio.sleep`, `asyncio.timeout` and
`wait_for` work unchanged, take no time, and run in the same order every time. While a thread of `asyncio.to_thread`
works, the clock stands still and the loop really waits. With no timer and no thread nothing could ever wake the loop:
that is a deadlock, and it is raised as one.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from math import inf
from typing import Any, TypeVar, TypeVarTuple, Unpack

from node.ports import Clock
from node.protocol.errors import CommonweightError

EPOCH = 1_800_000_000
"""Virtual seconds since 1970 when a virtual loop starts."""

_RESOLUTION = 1e-6

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class VirtualDeadlock(CommonweightError):
    """Every task waits for another one."""


class VirtualTimeout(CommonweightError):
    """The virtual time limit passed before the main task was done."""


class _JumpingSelector(selectors.DefaultSelector):
    """Polls instead of waiting, and tells the loop how far to jump."""

    loop: VirtualEventLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.loop.busy_threads:
            return super().select(None if timeout is None or timeout > 0 else 0)
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            raise VirtualDeadlock(
                "The simulation stands still: no timer is set and no task can run.",
                why=f"Waiting: {', '.join(_waiting(self.loop)) or 'nothing'}.",
                hint="Every wait needs a timer or somebody who ends it.",
            )
        self.loop.jump(timeout)
        return ready


def _waiting(loop: asyncio.AbstractEventLoop) -> Sequence[str]:
    return sorted(
        f"{task.get_name()} in {getattr(task.get_coro(), '__qualname__', '?')}" for task in asyncio.all_tasks(loop)
    )


class VirtualEventLoop(asyncio.SelectorEventLoop):
    """Event loop on virtual time; starts at 0.

    Args:
        limit: most virtual seconds it may run.
    """

    def __init__(self, limit: float = inf) -> None:
        self._now = 0.0
        self._limit = limit
        self.busy_threads = 0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = _RESOLUTION

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Move the clock on.

        Raises:
            VirtualTimeout: past the limit. Only once: what cleans up afterwards may take its time.
        """
        self._now += seconds
        if self._now > self._limit:
            limit, self._limit = self._limit, inf
            raise VirtualTimeout(
                f"The simulation took more than {limit:g} virtual seconds.",
                why=f"Unfinished: {', '.join(_waiting(self))}.",
                hint="Allow more, or look for a task that polls for something that never comes.",
            )

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Arguments]], Result], *args: *Arguments
    ) -> asyncio.Future[Result]:
        """As usual, but virtual time stands still until the thread is done."""
        future = super().run_in_executor(executor, func, *args)
        self.busy_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self) -> None:
        """As usual; the thread that waits for the pool to end is busy, not deadlocked."""
        self.busy_threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self.busy_threads -= 1

    def _thread_done(self, _future: asyncio.Future[Any]) -> None:
        self.busy_threads -= 1


class VirtualClock(Clock):
    """`node.ports.Clock` on the running loop's time."""

    def now(self) -> float:
        """Virtual seconds since 1970."""
        return EPOCH + asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait virtually."""
        await asyncio.sleep(seconds)


def run_virtual(main: Coroutine[Any, Any, Result], *, limit: float = 86_400.0) -> Result:
    """Run a coroutine to its end in virtual time.

    Args:
        main: what to run.
        limit: most virtual seconds it may take.

    Raises:
        VirtualDeadlock: every task waits and no timer is set.
        VirtualTimeout: ``limit`` passed.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualEventLoop(limit)) as runner:
        return runner.run(main)

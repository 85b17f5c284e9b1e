"""Virtual time: instant, ordered, honest about threads, and never silent about a standstill."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from node.sim.clock import EPOCH, VirtualClock, VirtualDeadlock, VirtualTimeout, run_virtual


def test_sleeping_takes_no_time():
    async def main() -> float:
        await asyncio.sleep(80_000)
        return asyncio.get_running_loop().time()

    before = time.process_time()
    assert run_virtual(main()) == pytest.approx(80_000)
    assert time.process_time() - before < 5


def test_timers_fire_in_order():
    seen: list[tuple[str, int]] = []

    async def nap(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, round(asyncio.get_running_loop().time())))

    async def main() -> None:
        await asyncio.gather(nap("late", 30), nap("early", 10), nap("middle", 20))

    run_virtual(main())
    assert seen == [("early", 10), ("middle", 20), ("late", 30)]


def test_timeouts_work():
    async def main() -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 7)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(7)


def test_the_clock_port():
    async def main() -> tuple[float, float]:
        clock = VirtualClock()
        before = clock.now()
        await clock.sleep(3)
        return before, clock.now()

    assert run_virtual(main()) == pytest.approx((EPOCH, EPOCH + 3))


def test_deadlock_is_raised_with_the_names_of_the_waiting():
    async def forever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.create_task(forever(), name="the-waiter")

    with pytest.raises(VirtualDeadlock, match="the-waiter"):
        run_virtual(main())


def test_endless_polling_is_raised_as_such():
    async def poll() -> None:
        while True:
            await asyncio.sleep(1)

    with pytest.raises(VirtualTimeout, match="50 virtual seconds"):
        run_virtual(poll(), limit=50)


def test_cleanup_may_take_time_after_a_failure():
    cleaned = []

    async def poll() -> None:
        try:
            while True:
                await asyncio.sleep(1)
        finally:
            await asyncio.sleep(100)
            cleaned.append(True)

    with pytest.raises(VirtualTimeout):
        run_virtual(poll(), limit=50)
    assert cleaned == [True]


def test_time_stands_still_while_a_thread_works():
    release = threading.Event()

    async def main() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        timer = asyncio.create_task(asyncio.sleep(5))
        work = asyncio.create_task(asyncio.to_thread(release.wait))
        await asyncio.sleep(0)
        threading.Timer(0.05, release.set).start()
        await work
        finished = loop.time()
        await timer
        return "done", finished

    assert run_virtual(main()) == ("done", 0.0)


def test_errors_of_the_main_task_come_through():
    async def main() -> None:
        await asyncio.sleep(1)
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        run_virtual(main())

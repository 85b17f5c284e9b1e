"""Simulated storage: what can be fetched, from whom, how fast."""

from __future__ import annotations

import asyncio

import pytest

from node.protocol.cid import compute_cid
from node.protocol.errors import BlobCorrupt, BlobStoreDown, BlobTooLarge, BlobUnavailable
from node.sim.blobs import SimSwarm
from node.sim.clock import run_virtual

DATA = b"content" * 100
CID = compute_cid(DATA)


def test_put_and_get():
    async def main() -> None:
        swarm = SimSwarm(latency=0.2)
        a, b = swarm.join("a"), swarm.join("b")
        assert await a.put(DATA) == CID
        loop = asyncio.get_running_loop()
        assert await b.get(CID, max_bytes=1000, seconds=5) == DATA
        assert loop.time() == pytest.approx(0.2)
        assert await b.get(CID, max_bytes=1000, seconds=5) == DATA  # held now: no time
        assert loop.time() == pytest.approx(0.2)
        assert sorted(swarm.holders(CID)) == ["a", "b"]

    run_virtual(main())


def test_content_survives_its_first_holder():
    async def main() -> None:
        swarm = SimSwarm()
        a, b, c = (swarm.join(name) for name in "abc")
        await a.put(DATA)
        await b.get(CID, max_bytes=1000, seconds=5)
        await a.close()
        assert await c.get(CID, max_bytes=1000, seconds=5) == DATA

    run_virtual(main())


def test_nobody_has_it():
    async def main() -> None:
        swarm = SimSwarm()
        b = swarm.join("b")
        with pytest.raises(BlobUnavailable):
            await b.get(CID, max_bytes=1000, seconds=5)
        assert asyncio.get_running_loop().time() == pytest.approx(5)

    run_virtual(main())


def test_somebody_turns_up_while_waiting():
    async def main() -> None:
        swarm = SimSwarm()
        a, b = swarm.join("a"), swarm.join("b")
        wanted = asyncio.create_task(b.get(CID, max_bytes=1000, seconds=10))
        await asyncio.sleep(3)
        await a.put(DATA)
        assert await wanted == DATA
        assert asyncio.get_running_loop().time() < 10

    run_virtual(main())


def test_unavailable_and_hidden():
    async def main() -> None:
        swarm = SimSwarm()
        a, b, c = (swarm.join(name) for name in "abc")
        await a.put(DATA)
        swarm.faults.hidden_from[CID] = {"b"}
        assert await c.get(CID, max_bytes=1000, seconds=5) == DATA
        with pytest.raises(BlobUnavailable):
            await b.get(CID, max_bytes=1000, seconds=5)
        swarm.faults.hidden_from.clear()
        swarm.faults.unavailable.add(CID)
        with pytest.raises(BlobUnavailable):
            await b.get(CID, max_bytes=1000, seconds=5)
        assert await a.get(CID, max_bytes=1000, seconds=5) == DATA  # its own copy

    run_virtual(main())


def test_corrupt_content_is_never_kept():
    async def main() -> None:
        swarm = SimSwarm()
        a, b = swarm.join("a"), swarm.join("b")
        await a.put(DATA)
        swarm.faults.corrupt.add(CID)
        with pytest.raises(BlobCorrupt):
            await b.get(CID, max_bytes=1000, seconds=5)
        assert list(swarm.holders(CID)) == ["a"]

    run_virtual(main())


@pytest.mark.parametrize(("slow", "seconds", "is_late"), [(3, 5, False), (6, 5, True)])
def test_slow_content(slow: float, seconds: float, *, is_late: bool):
    async def main() -> float:
        swarm = SimSwarm()
        a, b = swarm.join("a"), swarm.join("b")
        await a.put(DATA)
        swarm.faults.slow[CID] = slow
        if is_late:
            with pytest.raises(BlobUnavailable):
                await b.get(CID, max_bytes=1000, seconds=seconds)
        else:
            await b.get(CID, max_bytes=1000, seconds=seconds)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(seconds if is_late else slow + 0.2)


def test_too_large():
    async def main() -> None:
        swarm = SimSwarm()
        a, b = swarm.join("a"), swarm.join("b")
        await a.put(DATA)
        assert await b.get(CID, max_bytes=len(DATA), seconds=5) == DATA
        await b.unpin(CID)
        with pytest.raises(BlobTooLarge):
            await b.get(CID, max_bytes=len(DATA) - 1, seconds=5)
        assert list(swarm.holders(CID)) == ["a"]

    run_virtual(main())


def test_down_and_restarted():
    async def main() -> None:
        swarm = SimSwarm()
        a, b = swarm.join("a"), swarm.join("b")
        await a.put(DATA)
        a.is_down = True
        for attempt in (a.put(DATA), a.get(CID, max_bytes=1000, seconds=1)):
            with pytest.raises(BlobStoreDown):
                await attempt
        with pytest.raises(BlobUnavailable):
            await b.get(CID, max_bytes=1000, seconds=1)
        again = swarm.join("a")
        assert await again.get(CID, max_bytes=1000, seconds=0) == DATA
        assert await b.get(CID, max_bytes=1000, seconds=1) == DATA

    run_virtual(main())


def test_the_rest():
    async def main() -> None:
        store = SimSwarm().join("a")
        await store.unpin(CID)
        await store.connect("/ip4/1.2.3.4")
        assert store.connected == ["/ip4/1.2.3.4"]
        assert store.addresses == ("/memory/blobs/p2p/a",)

    run_virtual(main())

"""Simulated gossip: who hears what, when, how often."""

from __future__ import annotations

import asyncio

import pytest

from node.ports import GossipMessage
from node.protocol.errors import GossipError
from node.sim.clock import run_virtual
from node.sim.gossip import GossipFaults, SimGossip, SimNetwork


async def heard(gossip: SimGossip, seconds: float = 10) -> list[bytes]:
    """Everything that arrives within some time."""
    found: list[bytes] = []

    async def listen() -> None:
        async for message in gossip.messages():
            found.append(message.data)  # noqa: PERF401 - what came before the timeout is kept

    try:
        await asyncio.wait_for(listen(), seconds)
    except TimeoutError:
        return found
    return found


def test_others_hear_and_the_author_does_not():
    async def main() -> None:
        network = SimNetwork()
        a, b, c = (network.join(name) for name in "abc")
        await a.publish(b"hello")
        assert await asyncio.gather(heard(a), heard(b), heard(c)) == [[], [b"hello"], [b"hello"]]

    run_virtual(main())


def test_messages_carry_their_author():
    async def main() -> None:
        network = SimNetwork()
        a, b = network.join("a"), network.join("b")
        await a.publish(b"x")
        assert await anext(aiter(b.messages())) == GossipMessage("a", b"x")
        assert await a.peers() == ["b"]
        assert a.addresses == ("/memory/gossip/p2p/a",)

    run_virtual(main())


def test_loss_hits_about_its_share():
    async def main() -> int:
        network = SimNetwork(GossipFaults(loss=0.3), seed=1)
        a, b = network.join("a"), network.join("b")
        for number in range(1_000):
            await a.publish(b"%d" % number)
        return len(await heard(b))

    assert 650 < run_virtual(main()) < 750


def test_duplicates_on_the_wire_are_delivered_once():
    async def main() -> list[bytes]:
        network = SimNetwork(GossipFaults(duplication=1.0))
        a, b = network.join("a"), network.join("b")
        for number in range(20):
            await a.publish(b"%d" % number)
        return await heard(b)

    assert sorted(run_virtual(main())) == sorted(b"%d" % number for number in range(20))


def test_the_same_bytes_sent_twice_are_two_messages():
    async def main() -> list[bytes]:
        network = SimNetwork()
        a, b = network.join("a"), network.join("b")
        await a.publish(b"x")
        await a.publish(b"x")
        return await heard(b)

    assert run_virtual(main()) == [b"x", b"x"]


def test_delays_reorder():
    async def main() -> list[bytes]:
        network = SimNetwork(GossipFaults(least_delay=0, most_delay=5))
        a, b = network.join("a"), network.join("b")
        for number in range(20):
            await a.publish(b"%02d" % number)
        return await heard(b)

    found = run_virtual(main())
    assert found != sorted(found)
    assert len(found) == 20


def test_every_run_is_the_same():
    def one(seed: int) -> list[bytes]:
        async def main() -> list[bytes]:
            network = SimNetwork(GossipFaults(loss=0.5, most_delay=5), seed=seed)
            a, b = network.join("a"), network.join("b")
            for number in range(50):
                await a.publish(b"%d" % number)
            return await heard(b)

        return run_virtual(main())

    assert one(1) == one(1) != one(2)


def test_partition_and_healing():
    async def main() -> None:
        network = SimNetwork()
        a, b, c, d = (network.join(name) for name in "abcd")
        network.partition({"a", "b"}, {"c"})
        assert [await peer.peers() for peer in (a, b, c, d)] == [["b"], ["a"], [], []]
        await a.publish(b"inside")
        assert await asyncio.gather(heard(b), heard(c), heard(d)) == [[b"inside"], [], []]
        network.partition()
        await a.publish(b"healed")
        assert await asyncio.gather(heard(b), heard(c), heard(d)) == [[b"healed"]] * 3

    run_virtual(main())


def test_down_and_closed_hosts():
    async def main() -> None:
        network = SimNetwork()
        a, b = network.join("a"), network.join("b")
        b.is_down = True
        await a.publish(b"missed")
        await asyncio.sleep(1)
        with pytest.raises(GossipError):
            await b.publish(b"x")
        assert await b.peers() == []
        b.is_down = False
        await a.publish(b"back")
        assert await heard(b) == [b"back"]
        listener = asyncio.create_task(heard(b))
        await asyncio.sleep(0)
        await b.close()
        assert await listener == []  # the iterator ends, long before its time
        assert await a.peers() == []
        with pytest.raises(GossipError):
            await b.publish(b"x")

    run_virtual(main())


def test_a_restarted_peer_replaces_its_old_self():
    async def main() -> None:
        network = SimNetwork()
        a, old = network.join("a"), network.join("b")
        new = network.join("b")
        await old.close()
        await a.publish(b"x")
        assert await heard(new) == [b"x"]

    run_virtual(main())


def test_a_cancelled_consumer_loses_nothing():
    async def main() -> list[bytes]:
        network = SimNetwork()
        a, b = network.join("a"), network.join("b")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(aiter(b.messages())), 1)
        await a.publish(b"x")
        return await heard(b)

    assert run_virtual(main()) == [b"x"]


def test_size_limit():
    async def main() -> None:
        network = SimNetwork()
        a = network.join("a")
        await a.publish(bytes(64 * 1024))
        with pytest.raises(GossipError, match="65537"):
            await a.publish(bytes(64 * 1024 + 1))

    run_virtual(main())

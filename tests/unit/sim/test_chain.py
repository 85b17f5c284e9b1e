"""The simulated chain: blocks, mempool, ports and their faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from node.ports import Receipt
from node.protocol.errors import LocalProtocolError, RpcUnreachable, TransactionReverted
from node.protocol.types import Call, RoundParams
from node.sim.chain import ChainFaults, SimChain
from node.sim.clock import EPOCH, VirtualClock, run_virtual
from node.sim.ledger import QUICK_ROUNDS, Deployment, address_of

MEMBERS = tuple(address_of(f"member/{place}") for place in range(3))
OPEN = Call("RoundManager", "openRound", (b"\x01" * 32,))
COMMIT = Call("RoundManager", "commitUpdate", (1, b"\x02" * 32))


@dataclass(slots=True)
class World:
    chain: SimChain
    clock: VirtualClock


def within(test: Callable[[World], Awaitable[None]], *, seed: int = 0) -> None:
    async def main() -> None:
        clock = VirtualClock()
        chain = SimChain(Deployment(seats=MEMBERS[:1]), clock, block_time=2, seed=seed)
        chain.found(MEMBERS)
        await test(World(chain, clock))

    run_virtual(main(), limit=5_000)


def test_blocks_follow_time():
    async def test(world: World) -> None:
        port = world.chain.chain_for(MEMBERS[0])
        assert (await port.head()).number == 0
        for seconds, number in [(1.9, 0), (0.1, 1), (20, 11)]:
            await world.clock.sleep(seconds)
            head = await port.head()
            assert (head.number, head.timestamp) == (number, EPOCH + 2 * number)
            assert head.hash == await port.block_hash(number)
            assert await port.block_hash(number + 1) is None

    within(test)


def test_a_transaction_is_in_the_next_block():
    async def test(world: World) -> None:
        port = world.chain.chain_for(MEMBERS[0])
        await world.clock.sleep(3)
        receipt = await port.send(OPEN)
        assert isinstance(receipt, Receipt)
        assert receipt.block == 2
        assert world.clock.now() == pytest.approx(EPOCH + 4)
        found = await port.events(2, 2)
        assert [(event.name, event.block, event.timestamp) for event in found] == [("RoundOpened", 2, EPOCH + 4)]
        assert found[0].transaction == receipt.transaction

    within(test)


def test_transactions_of_one_block_run_in_order_of_arrival():
    async def test(world: World) -> None:
        await world.clock.sleep(3)
        ports = [world.chain.chain_for(member) for member in MEMBERS]
        await ports[0].send(OPEN)
        receipts = await asyncio.gather(*(ports[place].send(COMMIT) for place in (2, 0, 1)))
        assert len({receipt.block for receipt in receipts}) == 1
        assert len({receipt.transaction for receipt in receipts}) == 3
        found = await ports[0].events(receipts[0].block, receipts[0].block)
        assert [event.arguments["trainer"] for event in found] == [MEMBERS[2], MEMBERS[0], MEMBERS[1]]
        assert [event.log_index for event in found] == [0, 1, 2]

    within(test)


def test_refused_before_sending_takes_no_block():
    async def test(world: World) -> None:
        await world.clock.sleep(3)
        with pytest.raises(TransactionReverted, match="NotSteward"):
            await world.chain.chain_for(MEMBERS[1]).send(OPEN)
        assert world.clock.now() == pytest.approx(EPOCH + 3)

    within(test)


def test_refused_in_the_block_where_somebody_was_faster():
    async def test(world: World) -> None:
        await world.clock.sleep(3)
        port = world.chain.chain_for(MEMBERS[0])
        first, second = await asyncio.gather(port.send(OPEN), port.send(OPEN), return_exceptions=True)
        assert isinstance(first, Receipt)
        assert isinstance(second, TransactionReverted)
        assert second.error == "RoundRunning"
        assert world.clock.now() == pytest.approx(EPOCH + 4)

    within(test)


def test_views():
    async def test(world: World) -> None:
        port = world.chain.chain_for(MEMBERS[0])
        assert RoundParams(*await port.read(Call("RoundManager", "params"))) == QUICK_ROUNDS
        assert await port.read(Call("RoundManager", "currentRound")) == 0
        assert await port.read(Call("MemberRegistry", "eligibleCount")) == 3
        with pytest.raises(LocalProtocolError):
            await port.read(Call("RoundManager", "openRound", (b"\x01" * 32,)))
        await port.close()

    within(test)


def test_founding_is_in_the_record():
    async def test(world: World) -> None:
        names = [event.name for event in await world.chain.chain_for(MEMBERS[0]).events(0, 0)]
        assert names[:2] == ["Replaced", "SeatSet"]  # the guardian, then the committee
        assert names[-12:] == ["Applied", "Reviewed", "Admitted", "Transfer"] * 3

    within(test)


def test_down():
    async def test(world: World) -> None:
        port = world.chain.chain_for(MEMBERS[0], ChainFaults(is_down=True))
        for attempt in (port.head(), port.events(0, 9), port.send(OPEN), port.read(OPEN), port.block_hash(0)):
            with pytest.raises(RpcUnreachable):
                await attempt
        port.faults.is_down = False
        assert (await port.head()).number == 0

    within(test)


def test_lag_hides_the_newest_blocks():
    async def test(world: World) -> None:
        await world.clock.sleep(3)
        port, late = world.chain.chain_for(MEMBERS[0]), world.chain.chain_for(MEMBERS[1], ChainFaults(lag=3))
        receipt = await port.send(OPEN)
        assert not await late.events(receipt.block, 99)
        assert (await late.head()).number == 0
        assert await late.block_hash(receipt.block) is None
        await world.clock.sleep(6)
        assert [event.name for event in await late.events(receipt.block, 99)] == ["RoundOpened"]

    within(test)


def test_a_dropped_transaction_never_happens():
    async def test(world: World) -> None:
        await world.clock.sleep(3)
        port = world.chain.chain_for(MEMBERS[0], ChainFaults(drop=1.0, patience=30))
        with pytest.raises(RpcUnreachable, match="not mined"):
            await port.send(OPEN)
        assert world.clock.now() == pytest.approx(EPOCH + 33)
        assert await port.read(Call("RoundManager", "currentRound")) == 0

    within(test)


def test_a_lost_receipt_hides_a_transaction_that_happened():
    async def test(world: World) -> None:
        await world.clock.sleep(3)
        port = world.chain.chain_for(MEMBERS[0], ChainFaults(lose_answer=1.0))
        with pytest.raises(RpcUnreachable, match="receipt"):
            await port.send(OPEN)
        assert await port.read(Call("RoundManager", "currentRound")) == 1
        port.faults.lose_answer = 0.0
        with pytest.raises(TransactionReverted, match="RoundRunning"):
            await port.send(OPEN)

    within(test)


def test_cancelling_a_sender_does_not_cancel_its_transaction():
    async def test(world: World) -> None:
        await world.clock.sleep(3)
        port = world.chain.chain_for(MEMBERS[0])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(port.send(OPEN), 0.5)
        await world.clock.sleep(5)
        assert await port.read(Call("RoundManager", "currentRound")) == 1

    within(test)


def test_the_seed_decides_block_hashes():
    hashes: list[bytes] = []

    async def test(world: World) -> None:
        hashes.append(world.chain.block_hash(5))

    for seed in (1, 1, 2):
        within(test, seed=seed)
    assert hashes[0] == hashes[1] != hashes[2]


def test_hashes_of_blocks_differ():
    async def test(world: World) -> None:
        assert len({world.chain.block_hash(number) for number in range(100)}) == 100

    within(test)

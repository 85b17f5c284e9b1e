"""A simulated chain: blocks on virtual time, a mempool, one `Chain` port per account, and faults to order.

Block b has timestamp genesis + b·``block_time`` and a hash derived from the seed. Transactions sent since the last block are
run in order of arrival at the next one. No block is made while nothing is sent (its height and hash are computed), so an
idle simulation has no timers of its own.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from node.ports import Chain, Clock, Head, Receipt
from node.protocol.errors import LocalProtocolError, RpcUnreachable, TransactionReverted
from node.protocol.hashing import keccak256
from node.protocol.types import Address, Call, ChainEvent
from node.sim.abi import Log
from node.sim.dice import Dice
from node.sim.ledger import Deployment, Ledger

_EPSILON = 1e-4  # timers may fire this much early (clock resolution)

GAS = {
    "openRound": 120_000,
    "commitUpdate": 57_900,
    "revealUpdate": 61_000,
    "commitScores": 54_500,
    "revealScores": 36_100,
    "settle": 82_000,
    "attest": 55_400,
    "proposeAggregate": 268_800,
    "claim": 148_300,
}
"""Rough gas by function; others cost `OTHER_GAS`. Only a plausible figure for logs: nothing is decided by it."""

OTHER_GAS = 50_000


@dataclass(slots=True)
class ChainFaults:
    """What goes wrong between one account and the chain. Change it at any time.

    Attributes:
        is_down: every request fails at once.
        lag: blocks by which heads and events arrive late.
        drop: probability that a transaction is lost on its way and never mined.
        lose_answer: probability that a transaction is mined but its receipt never comes.
        patience: seconds after which a sender gives up on a lost transaction or receipt.
    """

    is_down: bool = False
    lag: int = 0
    drop: float = 0.0
    lose_answer: float = 0.0
    patience: float = 30.0


@dataclass(slots=True)
class _Pending:
    sender: Address
    call: Call
    future: asyncio.Future[Receipt]


@dataclass(slots=True)
class _History:
    """Mined events with their blocks, for lookup by range."""

    events: list[ChainEvent] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)


class SimChain:
    """The shared world: one ledger, one mempool, one sequence of blocks.

    Args:
        deployment: what is fixed at deployment (its ``deployed_at`` is replaced by the first block's time).
        clock: time.
        block_time: seconds between blocks.
        seed: decides block hashes and the dice of the faults.
    """

    def __init__(self, deployment: Deployment, clock: Clock, *, block_time: float = 2.0, seed: int = 0) -> None:
        self.block_time = block_time
        self._clock = clock
        self._seed = seed
        self._genesis = clock.now()
        self._mined = 0
        self._transactions = 0
        self._mempool: list[_Pending] = []
        self._miner: asyncio.TimerHandle | None = None
        self._history = _History()
        self.calls: dict[bytes, Call] = {}
        founded = replace(deployment, deployed_at=int(self._genesis))
        self.ledger = Ledger(founded, self.block_hash, lambda: self.timestamp(self.height))
        self._record(self.ledger.founding_logs, 0, keccak256(f"founding/{seed}".encode()))

    @property
    def height(self) -> int:
        """Number of the newest block."""
        return max(self._mined, int((self._clock.now() - self._genesis + _EPSILON) / self.block_time))

    def timestamp(self, number: int) -> int:
        """Time of a block in seconds."""
        return int(self._genesis + number * self.block_time + _EPSILON)

    def block_hash(self, number: int) -> bytes:
        """Hash of a block."""
        return keccak256(f"block/{self._seed}/{number}".encode())

    def head(self, number: int) -> Head:
        """A block by height."""
        return Head(number, self.timestamp(number), self.block_hash(number))

    def chain_for(self, address: Address, faults: ChainFaults | None = None) -> SimChainPort:
        """A port that sends as ``address``."""
        return SimChainPort(self, address, faults if faults is not None else ChainFaults())

    def execute(self, sender: Address, call: Call) -> Any:
        """Run a call at once in the newest block, for setting up a world; its result.

        Raises:
            TransactionReverted: the contract refused.
        """
        number = self.height
        result, _ = self._run(sender, call, number)
        return result

    def found(self, members: Sequence[Address], *, peer_ids: Sequence[bytes] = ()) -> None:
        """Admit founding members: each applies, and the first seats approve."""
        for place, member in enumerate(members):
            peer_id = peer_ids[place] if peer_ids else f"peer-{place}".encode()
            application = self.execute(
                member, Call("MemberRegistry", "applyToJoin", (bytes(32), bytes(32), peer_id, bytes(32)))
            )
            for seat in self.ledger.deployment.seats[: self.ledger.deployment.threshold]:
                self.execute(seat, Call("MemberRegistry", "review", (application, True, bytes(32))))

    def events(self, first: int, last: int) -> Sequence[ChainEvent]:
        """Events of blocks ``first..last``, inclusive."""
        start = bisect_left(self._history.blocks, first)
        return self._history.events[start : bisect_right(self._history.blocks, last)]

    def submit(self, sender: Address, call: Call) -> asyncio.Future[Receipt]:
        """Put a call in the mempool; the future holds its receipt or its revert."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Receipt] = loop.create_future()
        future.add_done_callback(_mark_seen)
        self._mempool.append(_Pending(sender, call, future))
        if self._miner is None:
            due = self._genesis + (self.height + 1) * self.block_time
            self._miner = loop.call_later(max(0.0, due - self._clock.now()), self._mine, self.height + 1)
        return future

    def _mine(self, number: int) -> None:
        self._miner = None
        self._mined = max(self._mined, number)
        pending, self._mempool = self._mempool, []
        for entry in pending:
            try:
                _, identity = self._run(entry.sender, entry.call, number)
            except (TransactionReverted, LocalProtocolError) as error:
                if not entry.future.done():
                    entry.future.set_exception(error)
                continue
            if not entry.future.done():
                entry.future.set_result(Receipt(identity, number, GAS.get(entry.call.function, OTHER_GAS)))

    def _run(self, sender: Address, call: Call, number: int) -> tuple[Any, bytes]:
        self._mined = max(self._mined, number)
        timestamp = self.timestamp(number)
        result, logs = self.ledger.execute(sender, call, number=number, timestamp=timestamp)
        identity = keccak256(f"transaction/{self._seed}/{self._transactions}/{sender}".encode())
        self._transactions += 1
        self.calls[identity] = call
        self._record(logs, number, identity)
        return result, identity

    def _record(self, logs: Sequence[Log], number: int, identity: bytes) -> None:
        """Add the logs of one transaction to the history."""
        timestamp = self.timestamp(number)
        log_index = len(self._history.blocks) - bisect_left(self._history.blocks, number)
        for place, log in enumerate(logs):
            event = ChainEvent(log.contract, log.name, log.arguments, number, timestamp, identity, log_index + place)
            self._history.events.append(event)
            self._history.blocks.append(number)


def _mark_seen(future: asyncio.Future[Receipt]) -> None:
    """A sender that gave up never asks for its revert; asyncio would log it as forgotten."""
    if not future.cancelled():
        future.exception()


class SimChainPort(Chain):
    """`node.ports.Chain` of one account.

    Args:
        world: the chain.
        address: the account that sends.
        faults: what goes wrong, changeable at any time.
    """

    def __init__(self, world: SimChain, address: Address, faults: ChainFaults) -> None:
        self._world = world
        self._address = address
        self.faults = faults
        self._dice = Dice(f"chain/{world.block_hash(0).hex()}/{address}")

    async def head(self) -> Head:
        """Newest block this account knows.

        Raises:
            RpcUnreachable: the fault ``is_down``.
        """
        self._require_up()
        return self._world.head(max(0, self._world.height - self.faults.lag))

    async def events(self, first: int, last: int) -> Sequence[ChainEvent]:
        """Events of blocks ``first..last`` as far as this account knows them.

        Raises:
            RpcUnreachable: the fault ``is_down``.
        """
        self._require_up()
        return self._world.events(first, min(last, self._world.height - self.faults.lag))

    async def block_hash(self, number: int) -> bytes | None:
        """Hash of a block this account knows; None of a later one.

        Raises:
            RpcUnreachable: the fault ``is_down``.
        """
        self._require_up()
        return self._world.block_hash(number) if number <= self._world.height - self.faults.lag else None

    async def call_of(self, transaction: bytes) -> Call | None:
        """The call of a mined transaction.

        Raises:
            RpcUnreachable: the fault ``is_down``.
        """
        self._require_up()
        return self._world.calls.get(transaction)

    async def send(self, call: Call) -> Receipt:
        """Check, send, and wait for the next block.

        Raises:
            TransactionReverted: refused before sending, or in the block.
            RpcUnreachable: the chain is down, or transaction or receipt was lost.
        """
        self._require_up()
        world = self._world
        number = world.height + 1
        world.ledger.preflight(self._address, call, number=number, timestamp=world.timestamp(number))
        if self._dice.happens(self.faults.drop):
            await self._give_up("The transaction was not mined in time.")
        future = world.submit(self._address, call)
        if self._dice.happens(self.faults.lose_answer):
            await self._give_up("No receipt came in time.")
        return await asyncio.shield(future)

    async def read(self, call: Call) -> Any:
        """Result of a view function.

        Raises:
            RpcUnreachable: the fault ``is_down``.
            TransactionReverted: the contract refused.
        """
        self._require_up()
        return self._world.ledger.read(call)

    async def close(self) -> None:
        """Nothing to release."""

    def _require_up(self) -> None:
        if self.faults.is_down:
            raise RpcUnreachable("The simulated chain does not answer.", why="The fault is_down is set.")

    async def _give_up(self, what: str) -> None:
        await asyncio.sleep(self.faults.patience)
        raise RpcUnreachable(what, why="The simulation's faults ordered it.", hint="Ask the chain what happened.")

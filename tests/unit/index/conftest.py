"""A chain whose blocks can be replaced, and what its tests share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.index.store import EventIndex, Identity
from node.ports import Chain, Head
from node.protocol.errors import RpcUnreachable
from node.protocol.types import Address, ChainEvent


def transfer(block: int, place: int = 0, value: int = 1, fork: str = "a") -> ChainEvent:
    """A mint of one transaction."""
    arguments = {"from": Address("0x" + "00" * 20), "to": Address("0x" + "11" * 20), "value": value}
    identity = hashlib.sha256(f"{fork}/{block}/{place}".encode()).digest()
    return ChainEvent("ContributionToken", "Transfer", arguments, block, 1_000 + block, identity, place)


@dataclass
class ForkingChain(Chain):
    """Blocks 0 … height; ``fork`` gives those after ``replace``'s block other hashes and events.

    Attributes:
        reads: ranges of events that were asked for.
        before_answer: called before every answer with events: lets the chain move while it is read.
    """

    height: int = 0
    blocks: dict[int, tuple[str, list[ChainEvent]]] = field(default_factory=dict)
    reads: list[tuple[int, int]] = field(default_factory=list)
    hashes_asked: int = 0
    is_down: bool = False
    before_answer: Any = None
    fail_after: int | None = None

    def grow(self, blocks: int, *, every: int = 1, events: int = 1, fork: str = "a") -> None:
        for number in range(self.height + 1, self.height + blocks + 1):
            happened = [transfer(number, place, fork=fork) for place in range(events)] if number % every == 0 else []
            self.blocks[number] = (fork, happened)
        self.height += blocks

    def replace(self, after: int, blocks: int, fork: str, *, every: int = 1, events: int = 1) -> None:
        for number in range(after + 1, self.height + 1):
            self.blocks.pop(number, None)
        self.height = after
        self.grow(blocks, every=every, events=events, fork=fork)

    @property
    def all_events(self) -> list[ChainEvent]:
        return [event for number in range(self.height + 1) for event in self.blocks.get(number, ("a", []))[1]]

    def hash_of(self, number: int) -> bytes:
        """Commits to all blocks before, as a real one does."""
        running = b""
        for one in range(number + 1):
            running = hashlib.sha256(running + self.blocks.get(one, ("a", []))[0].encode()).digest()
        return running

    async def head(self) -> Head:
        if self.is_down:
            raise RpcUnreachable("down")
        return Head(self.height, 1_000 + self.height, self.hash_of(self.height))

    async def events(self, first: int, last: int) -> Sequence[ChainEvent]:
        if self.fail_after is not None and len(self.reads) >= self.fail_after:
            raise RpcUnreachable("down")
        self.reads.append((first, last))
        found = [event for event in self.all_events if first <= event.block <= last]
        if self.before_answer is not None:
            self.before_answer()
        return found

    async def block_hash(self, number: int) -> bytes | None:
        self.hashes_asked += 1
        return self.hash_of(number) if number <= self.height else None


IDENTITY = Identity(31_337, 1, {"RoundManager": Address("0x" + "22" * 20)}, {"RoundManager": b"\x07" * 32})


@pytest.fixture
def identity() -> Identity:
    return IDENTITY


@pytest.fixture
def chain() -> ForkingChain:
    return ForkingChain()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "node" / "index.sqlite"


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def reopen(path, notices):
    """Opens the same file again and again; closes all at the end."""
    opened: list[EventIndex] = []

    def open_again(identity: Identity = IDENTITY) -> EventIndex:
        index = EventIndex.open(path, identity, notice=notices.append)
        opened.append(index)
        return index

    yield open_again
    for index in opened:
        index.close()

"""The `Chain` port onto a scripted community's history: to read, not to send."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

from node.ports import Chain, Head, Receipt
from node.protocol.errors import LocalProtocolError
from node.protocol.types import Call, ChainEvent
from node.sim.scripted import Community


class RecordedChain(Chain):
    """What a community did, as an endpoint would serve it.

    Args:
        community: whose contracts answer.
        events: served instead of its own history, in order of blocks; for tests of tampering.
    """

    def __init__(self, community: Community, events: Sequence[ChainEvent] | None = None) -> None:
        self._community = community
        self._events = community.events if events is None else events
        self._blocks = [event.block for event in self._events]

    async def head(self) -> Head:
        """The newest block."""
        number = self._community.block
        return Head(number, self._community.now, await self.block_hash(number) or b"")

    async def events(self, first: int, last: int) -> Sequence[ChainEvent]:
        """Events of blocks ``first..last``."""
        return self._events[bisect_left(self._blocks, first) : bisect_right(self._blocks, last)]

    async def block_hash(self, number: int) -> bytes | None:
        """Hash of a block."""
        return self._community.block_hash(number)

    async def call_of(self, transaction: bytes) -> Call | None:
        """The call of a transaction."""
        return self._community.call_by_transaction.get(transaction)

    async def send(self, call: Call) -> Receipt:
        """Refuse.

        Raises:
            LocalProtocolError: always.
        """
        raise LocalProtocolError(f"A recorded history takes no call of {call.function}.")

    async def read(self, call: Call) -> Any:
        """Result of a view."""
        return self._community.ledger.read(call)

    async def close(self) -> None:
        """Nothing to release."""

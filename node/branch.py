"""The state at the newest block of a chain that may change its mind: blocks are followed, and undone where they were replaced.

After every reading the state is kept beside the hash of its block. States are immutable and share what did not change, so keeping some
is cheap. Before the next reading the newest kept block is looked for on the chain; where another block stands at its height, the state
goes back to the newest kept one that the chain still has, and reads on from there. Nothing older than `KEPT` readings is kept: a
reorganisation deeper than that starts over at the deployment.

A chain that looks shorter than before is not reorganised thereby: an endpoint may lag behind another. What it still shows decides, and
where that was not kept, the state waits until the chain has grown to the kept height again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from node.ports import EVENT_CHUNK, Chain, Head
from node.protocol.errors import ChainError
from node.protocol.state import State, apply

log = logging.getLogger("commonweight.driver")

KEPT = 256


@dataclass(frozen=True, slots=True)
class _Point:
    block: int
    hash: bytes
    state: State


@dataclass(slots=True)
class Branch:
    """The chain's present branch, folded.

    Args:
        chain: where blocks come from.
        first_block: block of the deployment.
        founding: state before it.
        state: as of the last block read.
        on_undone: called after a reorganisation, once ``state`` has gone back.
    """

    chain: Chain
    first_block: int
    founding: State
    on_undone: Callable[[], None] = lambda: None
    state: State = field(init=False)
    _next: int = field(init=False)
    _points: deque[_Point] = field(default_factory=lambda: deque(maxlen=KEPT))

    def __post_init__(self) -> None:
        self.state, self._next = self.founding, self.first_block

    async def advance(self) -> Head:
        """Read up to the newest block; undo what was replaced since the last call.

        Raises:
            ChainError: the chain could not be read, or changed while it was; the state is one that the chain had.
        """
        head = await self.chain.head()
        await self._reconcile(head)
        while self._next <= head.number:
            last = min(head.number, self._next + EVENT_CHUNK - 1)
            state = self.state
            for event in await self.chain.events(self._next, last):
                state = apply(state, event)
            mark = await self.chain.block_hash(last)
            # A block's hash commits to all before it: the same before and after, the events are of one branch.
            if last == head.number and mark not in (head.hash, None):
                raise ChainError("The newest block was replaced while its events were read.", hint="It is read again.")
            self.state, self._next = state, last + 1
            if mark is not None:
                self._points.append(_Point(last, mark, state))
        return head

    async def _reconcile(self, head: Head) -> None:
        """Go back to the newest kept block that the chain has, if it has another one in place of the newest kept."""
        undone = False
        while self._points:
            point = self._points[-1]
            if point.block > head.number:
                if not await self._is_replaced_below(head):
                    return  # the endpoint lags
                self._points.pop()
                undone = True
                continue
            found = head.hash if point.block == head.number else await self.chain.block_hash(point.block)
            if found is None or found == point.hash:
                break
            self._points.pop()
            undone = True
        if undone:
            self._go_back()

    async def _is_replaced_below(self, head: Head) -> bool:
        """Whether the chain, as short as it looks, has another block where a kept one stood."""
        shown = next((point for point in reversed(self._points) if point.block <= head.number), None)
        if shown is None:
            return False
        found = head.hash if shown.block == head.number else await self.chain.block_hash(shown.block)
        return found is not None and found != shown.hash

    def _go_back(self) -> None:
        if self._points:
            point = self._points[-1]
            self.state, self._next = point.state, point.block + 1
        else:
            self.state, self._next = self.founding, self.first_block
        log.warning("the chain was reorganised: back to block %d", self._next - 1)
        self.on_undone()

"""Brings an index up to date with its chain: undoes what a reorganisation took back, then reads what is new, once.

A chunk counts only where the hash of its last block is the same before and after its events were read: a block's hash commits to
all before it, so the events belong to the chain that the bookmark names.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from node.index.store import EventIndex
from node.ports import EVENT_CHUNK, Chain, Head
from node.protocol.errors import ChainError
from node.protocol.types import ChainEvent

log = logging.getLogger("commonweight.index")

SHALLOW = 128
"""Blocks below the head that are read in small steps, so that a reorganisation costs few of them."""
STEP = 16
MAX_TRIES = 8
"""A chain that reorganises while it is read is looked at again so often."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What one `sync` did.

    Attributes:
        head: newest block of the chain.
        added: events that are new.
        rolled_back_to: the bookmark that a reorganisation led back to (−1: the very beginning); None where there was none.
    """

    head: Head
    added: int
    rolled_back_to: int | None


async def sync(index: EventIndex, chain: Chain, first_block: int) -> Progress:
    """Read what happened since the index was last in use.

    Args:
        index: the copy.
        chain: any endpoint of the chain.
        first_block: block of the deployment.

    Raises:
        ChainError: no answer, or the chain reorganised faster than it could be read. What was read so far is kept.
        SetupError: the disk is full.
    """
    added, rolled_back_to = 0, None
    for _ in range(MAX_TRIES):
        head = await chain.head()
        found = await _reconcile(index, chain, head)
        if found is not None:
            rolled_back_to = found if rolled_back_to is None else min(found, rolled_back_to)
        tip = index.tip
        if tip is not None and tip.block >= head.number:
            return Progress(head, added, rolled_back_to)
        count, is_done = await _read(index, chain, first_block, head)
        added += count
        if is_done:
            index.thin(head.number - SHALLOW)
            return Progress(head, added, rolled_back_to)
    raise ChainError(
        "The chain changed faster than it could be read.",
        why=f"Its newest blocks were replaced {MAX_TRIES} times in a row, or other commands write to the same index.",
        hint="Try again; if it stays, the endpoint may be a load balancer over nodes that disagree.",
    )


async def _reconcile(index: EventIndex, chain: Chain, head: Head) -> int | None:
    """Roll back to the newest bookmark that the chain still has; its block, −1 for the beginning, None where the tip is it."""
    tip = index.tip
    if tip is None or await _hash(chain, tip.block, head) == tip.hash:
        return None
    points = list(index.bookmarks())  # newest first: a chain that has one has all older ones, so bisect
    low, high = 1, len(points)
    while low < high:
        middle = (low + high) // 2
        if await _hash(chain, points[middle].block, head) == points[middle].hash:
            high = middle
        else:
            low = middle + 1
    block = points[low].block if low < len(points) else -1
    index.roll_back(block)
    log.warning("the chain was reorganised: back to block %d, %d bookmarks undone", block, low)
    return block


async def _read(index: EventIndex, chain: Chain, first_block: int, head: Head) -> tuple[int, bool]:
    """Read up to ``head``; (events added, whether it was reached on one and the same chain)."""
    added = 0
    tip = index.tip
    start = max(first_block, tip.block + 1) if tip else first_block
    while start <= head.number:
        last = _chunk_end(start, head.number)
        expected = await _hash(chain, last, head)
        events = await chain.events(start, last)
        # The head may have been replaced while we read: ask again, and never take the answer from memory.
        if expected is None or await chain.block_hash(last) not in (expected, None) or not _fits(events, start, last):
            return added, False
        if not index.append(tip, last, expected, events):
            return added, False  # another process was faster: what it wrote is as good
        tip, added, start = index.tip, added + len(events), last + 1
    return added, True


def _chunk_end(start: int, head: int) -> int:
    deep = head - SHALLOW
    if start <= deep:
        return min(deep, start + EVENT_CHUNK - 1)
    return min(head, start + STEP - 1)


def _fits(events: Sequence[ChainEvent], first: int, last: int) -> bool:
    """Whether an endpoint kept to the blocks it was asked for, in order, each log once."""
    places = [(event.block, event.log_index) for event in events]
    in_order = all(one < later for one, later in pairwise(places))
    return in_order and (not places or (first <= places[0][0] and places[-1][0] <= last))


async def _hash(chain: Chain, number: int, head: Head) -> bytes | None:
    if number == head.number:
        return head.hash
    return None if number > head.number else await chain.block_hash(number)

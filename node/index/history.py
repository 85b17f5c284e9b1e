"""The network's past and present as one object: every event, and the state they fold to, kept up to date by `refresh`."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from node.index.store import Bookmark, EventIndex, Identity, IndexDamaged, Notice, disk_errors, is_disk_error, log
from node.index.sync import sync
from node.ports import Chain, Head
from node.protocol.errors import SetupError
from node.protocol.state import State, apply
from node.protocol.types import ChainEvent

T = TypeVar("T")
INDEX_FILE = "index.sqlite"
"""Name of the index in a node's folder."""


@dataclass(slots=True)
class History:
    """Everything that happened, as far as `refresh` last saw.

    Attributes:
        index: the local copy; other processes may add to it.
        chain: any endpoint of the chain.
        first_block: block of the deployment.
        events: all events, in chain order.
        state: what they fold to.
        head: newest block of the chain; None before the first `refresh`.
        generation: grows whenever something was taken back, so nothing derived from ``events`` may be kept.
    """

    index: EventIndex
    chain: Chain
    first_block: int
    events: list[ChainEvent] = field(default_factory=list)
    state: State = field(default_factory=State)
    head: Head | None = None
    generation: int = 0
    _tip: Bookmark | None = field(default=None, repr=False)

    async def refresh(self) -> int:
        """Take in what is new; how many events were added, or all where the past changed.

        Raises:
            ChainError: no answer; everything is as it was.
            SetupError: the disk is full.
            InconsistentHistory: events that cannot follow each other.
        """
        head, is_continued, tip, new = await self._mended(self._read)
        events, state = (self.events, self.state) if is_continued else ([], State())
        for event in new:
            state = apply(state, event)
        events += new
        self.head, self._tip, self.events, self.state = head, tip, events, state
        self.generation += not is_continued
        return len(new)

    async def _read(self) -> tuple[Head, bool, Bookmark | None, list[ChainEvent]]:
        head = (await sync(self.index, self.chain, self.first_block)).head
        more = self.index.verified(self._tip)
        if more is not None:
            return head, True, *more
        whole = self.index.verified()
        assert whole is not None  # nothing is continued by every index
        return head, False, *whole

    async def _mended(self, work: Callable[[], Awaitable[T]]) -> T:
        """Result of work on the index; a file that shows damage is rebuilt, once, and the work done again."""
        try:
            with disk_errors(self.index.path):
                return await work()
        except (IndexDamaged, sqlite3.DatabaseError) as error:
            if is_disk_error(error):
                raise
            self.index.rebuild(str(error))
            return await work()


def open_index(folder: Path, identity: Identity, *, notice: Notice = log.warning) -> EventIndex:
    """The index of a node's folder; one in memory where the folder cannot be written, so that looking still works.

    Raises:
        ConfigError: the file belongs to another community, or to a newer version of this program.
    """
    try:
        return EventIndex.open(folder / INDEX_FILE, identity, notice=notice)
    except SetupError as error:
        notice(f"{error.what} Events are read from the chain and not kept.")
        return EventIndex.open(None, identity, notice=notice)

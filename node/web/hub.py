"""Follows the chain and tells every open page what changed. One reader of the chain, however many pages look.

A page that falls behind gets fewer, larger messages: nothing is queued for it, it is only told what changed since it last heard.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.index.history import History
from node.ports import Head
from node.protocol.errors import ChainError, CommonweightError
from node.web.chronicle import Chronicle
from node.web.views import SECTIONS, VERSION, sections
from node.web.world import World

log = logging.getLogger("commonweight.web")

MOST_STREAMS = 64
MOST_DELTA_BYTES = 64 * 1024
"""A change that is larger is only named, and asked for by who needs it."""
HEARTBEAT_SECONDS = 15.0
MOST_STALE_SECONDS = 15.0
"""Pause between tries while the chain does not answer grows up to this."""

Build = Callable[[History, Chronicle, Head, bool], World]
"""Makes a world of a history, its chronicle, the head, and whether the chain is silent."""


@dataclass(frozen=True, slots=True)
class Message:
    """One server-sent event; ``id`` is empty where there is nothing to resume from."""

    event: str
    data: str
    id: str = ""

    def encode(self) -> bytes:
        """As it travels. JSON has no line feeds, so one data line is enough."""
        head = f"id: {self.id}\n" if self.id else ""
        return f"{head}event: {self.event}\ndata: {self.data}\n\n".encode()


@dataclass(slots=True)
class _Section:
    text: str
    changed: int


@dataclass(slots=True)
class Hub:
    """The one reader of the chain.

    Attributes:
        history: events and state.
        build: makes a world.
        poll_seconds: pause between looks at the chain.
        before: awaited before each look; a place to read local files.
    """

    history: History
    build: Build
    poll_seconds: float = 1.0
    before: Callable[[History], Awaitable[None]] | None = None
    streams: int = 0
    _epoch: str = field(default_factory=lambda: secrets.token_hex(4))
    _sequence: int = 0
    _sections: dict[str, _Section] = field(default_factory=dict)
    _world: World | None = None
    _chronicle: Chronicle = field(default_factory=Chronicle)
    _told: int = 0
    _generation: int = -1
    _error: str = ""
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _is_closed: bool = False
    _heard_at: float = 0.0

    # --- following ---

    async def run(self) -> None:
        """Follow the chain until cancelled."""
        pause = self.poll_seconds
        while True:
            pause = self.poll_seconds if await self.poll() else min(2 * pause, MOST_STALE_SECONDS)
            await asyncio.sleep(pause)

    async def poll(self) -> bool:
        """Look at the chain once, and tell who listens; whether it answered."""
        try:
            if self.before is not None:
                await self.before(self.history)
            await self.history.refresh()
            self._error = ""
            self._heard_at = asyncio.get_running_loop().time()
        except CommonweightError as error:
            self._note(str(error))
        except Exception:
            log.exception("dashboard: a look at the chain failed")
            self._note("The dashboard made a mistake; see its log.")
        if self.history.head is not None:
            await self._publish(self.history.head)
        return not self._error

    def _note(self, error: str) -> None:
        if error != self._error:
            log.warning("dashboard: %s", error)
        self._error = error

    async def _publish(self, head: Head) -> None:
        events = self.history.events
        if self._generation != self.history.generation or self._told > len(events):
            self._chronicle, self._told, self._generation = Chronicle(), 0, self.history.generation
        for event in events[self._told :]:
            self._chronicle.add(event)
        self._told = len(events)
        self._world = self.build(self.history, self._chronicle, head, bool(self._error))
        fresh = {name: _dump(value) for name, value in sections(self._world).items()}
        changed = [
            name for name, text in fresh.items() if name not in self._sections or self._sections[name].text != text
        ]
        if not changed:
            return
        async with self._changed:
            self._sequence += 1
            for name in changed:
                self._sections[name] = _Section(fresh[name], self._sequence)
            self._changed.notify_all()

    async def close(self) -> None:
        """End every stream."""
        async with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    # --- answering ---

    @property
    def world(self) -> World:
        """The network as last seen.

        Raises:
            ChainError: nothing was seen yet.
        """
        if self._world is None:
            raise ChainError(
                "The chain has not answered yet.", why=self._error, hint="Wait a little, or look at chain.rpc."
            )
        return self._world

    @property
    def id(self) -> str:
        """Names this moment, for resuming."""
        return f"{self._epoch}-{self._sequence}"

    def snapshot(self, names: Sequence[str]) -> tuple[str, str]:
        """(JSON text, tag) of sections; the tag changes whenever one of them does.

        Raises:
            ConfigError: there is no such section.
            ChainError: nothing was seen yet.
        """
        world = self.world
        if any(name not in SECTIONS for name in names):
            sections(world, names)
        newest = max((self._sections[name].changed for name in names), default=0)
        parts = [f'"version":{VERSION}', f'"id":{_dump(self.id)}']
        parts += [f"{_dump(name)}:{self._sections[name].text}" for name in names]
        return "{" + ",".join(parts) + "}", f"{self._epoch}-{newest}-{len(names)}"

    def health(self) -> dict[str, Any]:
        """Whether the chain answers."""
        head = self.history.head
        since = asyncio.get_running_loop().time() - self._heard_at
        return {
            "ok": head is not None and not self._error,
            "block": head.number if head else None,
            "events": len(self.history.events),
            "lag_seconds": round(since, 1) if head else None,
            "streams": self.streams,
            "error": self._error,
        }

    async def messages(self, since: str) -> AsyncIterator[Message]:
        """What changes after ``since`` (empty: from now on), for one page, until it goes or the server stops."""
        seen = self._sequence
        if since:
            known = self._parse(since)
            if known is None:
                yield Message("reset", "{}", self.id)
            else:
                seen = known
        while not self._is_closed:
            if self._sequence > seen:
                at = self._sequence
                for message in self._changes(seen, at):
                    yield message
                seen = at
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._news(seen)
            except TimeoutError:
                yield Message("heartbeat", _dump({"now": self.history.head.timestamp if self.history.head else 0}))

    async def _news(self, seen: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._sequence > seen or self._is_closed)

    def _parse(self, since: str) -> int | None:
        epoch, _, number = since.partition("-")
        if epoch != self._epoch or not (number.isascii() and number.isdigit() and len(number) < 16):
            return None
        return int(number) if int(number) <= self._sequence else None

    def _changes(self, seen: int, at: int) -> list[Message]:
        changed = [(name, one.text) for name, one in self._sections.items() if one.changed > seen]
        small, large, size = [], [], 0
        for name, text in sorted(changed, key=lambda pair: len(pair[1])):
            size += len(text)
            if size <= MOST_DELTA_BYTES:
                small.append(f"{_dump(name)}:{text}")
            else:
                large.append(name)
        identity = f"{self._epoch}-{at}"
        messages = []
        if large:
            # Without an id: only once all of it was sent is there nothing to resend.
            messages.append(Message("changed", _dump({"sections": large}), "" if small else identity))
        if small:
            messages.append(Message("delta", '{"sections":{' + ",".join(small) + "}}", identity))
        return messages


def _dump(value: Any) -> str:
    """ASCII alone: some readers of event streams take U+2028 for the end of a line."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def error_json(error: CommonweightError) -> dict[str, str]:
    """The three sentences of an error."""
    return {"error": type(error).__name__, "what": error.what, "why": error.why, "hint": error.hint}

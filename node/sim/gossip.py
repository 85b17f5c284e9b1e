"""Simulated gossip: every message takes its own time, may be lost, doubled or overtaken; the net can fall apart. Seeded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass

from node.ports import Gossip, GossipMessage
from node.protocol.errors import GossipError
from node.sim.dice import Dice

MAX_MESSAGE_BYTES = 64 * 1024
_INBOX = 4_096


@dataclass(slots=True)
class GossipFaults:
    """How bad the net is. Change it at any time; each message's fate is decided when it is published.

    Attributes:
        loss: probability that one peer misses a message.
        duplication: probability that it arrives twice on the wire (the port delivers it once).
        least_delay: seconds, at best.
        most_delay: seconds, at worst; the spread also reorders messages.
    """

    loss: float = 0.0
    duplication: float = 0.0
    least_delay: float = 0.05
    most_delay: float = 0.3


class SimNetwork:
    """The shared medium.

    Args:
        faults: how bad it is.
        seed: decides every message's fate.
    """

    def __init__(self, faults: GossipFaults | None = None, *, seed: int = 0) -> None:
        self.faults = faults if faults is not None else GossipFaults()
        self._dice = Dice(f"gossip/{seed}")
        self._members: dict[str, SimGossip] = {}
        self._islands: dict[str, int] = {}
        self._published = 0

    def join(self, peer_id: str) -> SimGossip:
        """A new peer; one that comes back under the same id replaces the old one."""
        member = SimGossip(self, peer_id)
        self._members[peer_id] = member
        return member

    def leave(self, member: SimGossip) -> None:
        """Forget a peer."""
        if self._members.get(member.peer_id) is member:
            del self._members[member.peer_id]

    def partition(self, *islands: Collection[str]) -> None:
        """Only peers of one island hear each other; peers in none form an island of their own. Without arguments: heal."""
        self._islands = {peer: place for place, island in enumerate(islands, 1) for peer in island}

    def neighbours(self, peer_id: str) -> list[str]:
        """Peers that hear this one now."""
        island = self._islands.get(peer_id, 0)
        return [other for other in self._members if other != peer_id and self._islands.get(other, 0) == island]

    def broadcast(self, author: str, data: bytes) -> None:
        """Send one message on its way to everybody who hears its author."""
        loop = asyncio.get_running_loop()
        self._published += 1
        message = GossipMessage(author, data)
        for peer in self.neighbours(author):
            if self._dice.happens(self.faults.loss):
                continue
            copies = 2 if self._dice.happens(self.faults.duplication) else 1
            for _ in range(copies):
                delay = self._dice.between(self.faults.least_delay, self.faults.most_delay)
                loop.call_later(delay, self._arrive, peer, self._published, message)

    def _arrive(self, peer: str, number: int, message: GossipMessage) -> None:
        member = self._members.get(peer)
        if member is not None:
            member.deliver(number, message)


class SimGossip(Gossip):
    """`node.ports.Gossip` of one peer.

    Args:
        network: the medium.
        peer_id: our peer id.
    """

    def __init__(self, network: SimNetwork, peer_id: str) -> None:
        self._network = network
        self._peer_id = peer_id
        self._inbox: asyncio.Queue[GossipMessage | None] = asyncio.Queue()
        self._seen: set[int] = set()
        self.is_down = False
        self._is_closed = False

    @property
    def peer_id(self) -> str:
        """Our own peer id."""
        return self._peer_id

    @property
    def addresses(self) -> Sequence[str]:
        """A made-up multiaddr."""
        return (f"/memory/gossip/p2p/{self._peer_id}",)

    async def publish(self, data: bytes) -> None:
        """Broadcast at most 64 KiB.

        Raises:
            GossipError: too large, or the host is down (fault ``is_down``, or closed).
        """
        if len(data) > MAX_MESSAGE_BYTES:
            raise GossipError(f"A message of {len(data)} bytes is more than {MAX_MESSAGE_BYTES}.")
        if self.is_down or self._is_closed:
            raise GossipError("The simulated gossip host is down.", hint="Try again later.")
        self._network.broadcast(self._peer_id, data)

    async def messages(self) -> AsyncIterator[GossipMessage]:
        """Messages of others until `close`, each at most once. A cancelled consumer loses nothing."""
        while not self._is_closed:
            message = await self._inbox.get()
            if message is None:
                return
            yield message

    async def peers(self) -> Sequence[str]:
        """Peers that hear us now."""
        return [] if self.is_down or self._is_closed else self._network.neighbours(self._peer_id)

    async def close(self) -> None:
        """Leave; consumers of `messages` end."""
        self._is_closed = True
        self._network.leave(self)
        self._inbox.put_nowait(None)

    def deliver(self, number: int, message: GossipMessage) -> None:
        """Take a message off the wire: once, while up, and only as many as the inbox holds."""
        if number in self._seen or self.is_down or self._inbox.qsize() >= _INBOX:
            return
        self._seen.add(number)
        self._inbox.put_nowait(message)

"""The Gossip port on libp2p: gossipsub in a supervised child process (`node.hosts.libp2p_host`).

This process imports nothing of libp2p. What the child says is checked again here: authors are well-formed peer ids,
payloads bounded, and each message (author, sequence number) is delivered once, also across restarts of the child.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from node.hosts.admission import FRESH_SECONDS, REMEMBER_SECONDS
from node.hosts.messages import MAX_PAYLOAD_BYTES, Health, Message, Peers, Publish, Ready, Received, StartGossip
from node.hosts.supervisor import HostDown, HostProcess, HostRefused, HostStatus, RequestFailed
from node.ports import GossipMessage
from node.protocol.errors import GossipError, SetupError

log = logging.getLogger(__name__)

_PEER_ID: Final = re.compile(r"12D3KooW[1-9A-HJ-NP-Za-km-z]{44}")
_ADDRESS: Final = re.compile(r"/[\w.:/-]{1,256}")
_MAX_WAITING: Final = 1_024
_MAX_REMEMBERED: Final = 65_536
_REQUEST_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class GossipHealth:
    """For status pages: the child's state, its peers, messages it refused, and messages nobody here read in time."""

    host: HostStatus
    connections: int
    subscribed: int
    mesh: int
    refused: int
    dropped: int


class _Seen:
    """Remembers ids for a while; the oldest go when there are too many."""

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[str, int], float] = OrderedDict()

    def add(self, key: tuple[str, int], now: float) -> bool:
        """Whether ``key`` is new."""
        while self._until and (len(self._until) > _MAX_REMEMBERED or next(iter(self._until.values())) < now):
            self._until.popitem(last=False)
        if key in self._until:
            return False
        self._until[key] = now + REMEMBER_SECONDS
        return True


class _Messages(AsyncIterator[GossipMessage]):
    """Takes from the adapter's queue; a cancelled wait takes nothing."""

    def __init__(self, queue: asyncio.Queue[GossipMessage | None]) -> None:
        self._queue = queue

    async def __anext__(self) -> GossipMessage:
        message = await self._queue.get()
        if message is None:
            self._queue.put_nowait(None)  # for the next one who asks
            raise StopAsyncIteration
        return message


class LibP2PGossip:
    """Gossip on one topic. Make one with `start`; it is also an asynchronous context manager."""

    def __init__(self, root: Path, keys: Path, start: StartGossip) -> None:
        self._start_message = start = replace(start, identity=str(keys.absolute() / "gossip.key"))
        self._queue: asyncio.Queue[GossipMessage | None] = asyncio.Queue(_MAX_WAITING + 1)  # one place for the end mark
        self._seen = _Seen()
        self._health = Health(0, 0, 0, 0)
        self._dropped = 0
        self._ready = Ready("", ())
        self._host = HostProcess(
            "node.hosts.libp2p_host",
            root.absolute(),
            start,
            on_message=self._on_message,
            restart_message=self._restart_message,
        )

    @classmethod
    async def start(
        cls,
        root: Path,
        keys: Path,
        *,
        topic: str,
        bootstrap: Sequence[str] = (),
        port: int = 0,
        listen: str = "127.0.0.1",
        announce: Sequence[str] = (),
        network_key: bytes = b"",
    ) -> Self:
        """Start the child and join the topic. Does not wait for peers: they are dialled in the background, for ever.

        Args:
            root: folder for the child's log and lock; may be deleted between runs.
            keys: folder of the peer identity ``gossip.key`` (made on first use, mode 0600).
            topic: gossipsub topic, one per community.
            bootstrap: multiaddrs ending in ``/p2p/<id>`` of members; our own is skipped.
            port: TCP port, 0 for any free one (kept across restarts of the child).
            listen: IP address to listen on.
            announce: multiaddrs told to others instead of the listen address (behind NAT).
            network_key: 32 bytes: only hosts with the same key can connect (py-libp2p's own cipher, no other
                implementation speaks it); empty for none.

        Raises:
            SetupError: the port is in use, the folder is taken, the identity or an address is invalid.
            GossipError: the child ended without a reason.
        """
        if network_key and len(network_key) != 32:
            raise SetupError(f"A network key has 32 bytes, not {len(network_key)}.")
        message = StartGossip(
            identity="",
            topic=topic,
            listen=listen,
            port=port,
            announce=tuple(announce),
            bootstrap=tuple(bootstrap),
            network_key=network_key,
        )
        gossip = cls(root, keys, message)
        try:
            await gossip._host.start()
        except HostRefused as error:
            raise SetupError(error.failure.what, why=error.failure.why, hint=error.failure.hint) from error
        except HostDown as error:
            raise GossipError(
                "The libp2p host did not start.", why=str(error), hint=f"Read {root / 'host.log'}."
            ) from error
        return gossip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def peer_id(self) -> str:
        """Our own peer id, base58 text."""
        return self._ready.peer_id

    @property
    def addresses(self) -> Sequence[str]:
        """Multiaddrs (with /p2p/ id) on which we can be dialled."""
        return self._ready.addresses

    @property
    def health(self) -> GossipHealth:
        """State of the child and its peers, at most some seconds old."""
        said = self._health
        return GossipHealth(
            self._host.status, said.connections, said.subscribed, said.mesh, said.refused, self._dropped
        )

    async def publish(self, data: bytes) -> None:
        """Broadcast at most 64 KiB.

        Raises:
            GossipError: too large, or the host is down (it is being restarted; try again).
        """
        if len(data) > MAX_PAYLOAD_BYTES:
            raise GossipError(
                f"A gossip message may have {MAX_PAYLOAD_BYTES} bytes, this one has {len(data)}.",
                hint="Put the content into the blob store and broadcast its CID.",
            )
        payload = bytes(data)
        try:
            await self._host.request(lambda number: Publish(number, payload), _REQUEST_SECONDS)
        except (HostDown, RequestFailed, TimeoutError) as error:
            raise GossipError(
                "The message was not broadcast.",
                why=str(error) or "The libp2p host did not answer in time.",
                hint="The host is restarted by itself; try again in a moment.",
            ) from error

    def messages(self) -> AsyncIterator[GossipMessage]:
        """Messages of others, each at most once; ends after `close`. Several readers share the stream."""
        return _Messages(self._queue)

    async def peers(self) -> Sequence[str]:
        """Peer ids subscribed to our topic now; none while the host is down."""
        try:
            said = await self._host.request(Peers, _REQUEST_SECONDS)
        except (HostDown, RequestFailed, TimeoutError):
            return ()
        return tuple(peer for peer in said if _PEER_ID.fullmatch(peer))

    async def close(self) -> None:
        """Leave the mesh and stop the host."""
        await self._host.close()
        if not self._queue.full():
            self._queue.put_nowait(None)

    def _restart_message(self, ready: Ready) -> Message:
        ports = [part for address in ready.addresses for part in re.findall(r"/tcp/(\d{1,5})/", address)]
        if self._start_message.port or self._start_message.announce or not ports:
            return self._start_message
        return replace(self._start_message, port=int(ports[0]))

    def _on_message(self, message: Message) -> None:
        if isinstance(message, Received):
            self._deliver(message)
        elif isinstance(message, Health):
            self._health = message
        elif (
            isinstance(message, Ready)
            and _PEER_ID.fullmatch(message.peer_id)
            and all(map(_ADDRESS.fullmatch, message.addresses))
        ):
            self._ready = message
        else:
            log.warning("the libp2p host sent an unexpected %s", type(message).__name__)

    def _deliver(self, message: Received) -> None:
        now = time.time()
        stale = abs(message.sequence / 1e9 - now) > FRESH_SECONDS + 1
        if stale or not _PEER_ID.fullmatch(message.author) or message.author == self.peer_id:
            return
        if not self._seen.add((message.author, message.sequence), now):
            return
        if self._queue.qsize() >= _MAX_WAITING:
            self._dropped += 1
        else:
            self._queue.put_nowait(GossipMessage(message.author, message.data))

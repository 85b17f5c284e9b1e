"""The libp2p process: gossipsub on one topic for one node. ``python -m node.hosts.libp2p_host PARENT_PID``.

A process of its own because one malformed packet can kill a stock py-libp2p host, and because trio and asyncio do not
mix. What strangers send is fenced four times: Noise and yamux only; every stream handler and every message wrapped, so
that an exception costs the peer its connection and never the host; checks before and after the signature
(`node.hosts.admission`); and a supervisor that starts this process again whatever happens.

py-libp2p 0.8.1 is typed loosely and imported without types; its objects are ``Any`` here.
"""

from __future__ import annotations

import functools
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.identity_utils import load_identity, save_identity
from libp2p.network.config import ConnectionConfig
from libp2p.peer.id import ID
from libp2p.pubsub import pubsub as pubsub_module
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from node.hosts.admission import REMEMBER_SECONDS, Admission, Verdict
from node.hosts.child import (
    CannotStart,
    check_port,
    die_with_parent,
    lock_folder,
    multiaddr_of,
    open_channel,
    start_logging,
)
from node.hosts.framing import FrameDecoder, FrameError, encode
from node.hosts.libp2p_peers import PROTOCOL as PEERS
from node.hosts.libp2p_peers import PeerExchange, dial, keep_connected, parse_address
from node.hosts.messages import (
    Connect,
    Failed,
    Health,
    Message,
    Peers,
    Publish,
    Ready,
    Received,
    Reply,
    StartGossip,
    Stop,
)

log = logging.getLogger("node.hosts.libp2p_host")

_GOSSIPSUB: Final = TProtocol("/meshsub/1.1.0")
_HEALTH_SECONDS: Final = 5.0
_PUBLISH_SECONDS: Final = 5.0
_READ_BYTES: Final = 65_536

# py-libp2p keeps 32 messages per subscription and per outgoing peer and drops what does not fit with a log line; it has
# no parameter for either. Our messages are at most 64 KiB, so these bound the memory to 16 and 8 MiB.
pubsub_module.SUBSCRIPTION_CHANNEL_SIZE = 256
pubsub_module.RpcQueue = functools.partial(RpcQueue, 128)


class Channel:
    """The framed socket to the node."""

    def __init__(self, raw: socket.socket) -> None:
        raw.setblocking(False)
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(raw))
        self._lock = trio.Lock()
        self.incoming = self._receive()
        """Messages until the node goes away; one iterator, to be continued by whoever reads next."""

    async def send(self, message: Message) -> None:
        """Send one message, after those that wait already."""
        frame = encode(message)
        async with self._lock:
            await self._stream.send_all(frame)

    async def _receive(self) -> AsyncIterator[Message]:
        decoder = FrameDecoder()
        while data := await self._stream.receive_some(_READ_BYTES):
            for message in decoder.feed(data):
                yield message


def identity(path: Path) -> Any:
    """The Ed25519 key pair in ``path`` (mode 0600), made on first use.

    Raises:
        CannotStart: the file is damaged.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        save_identity(create_new_key_pair(), fresh)
        fresh.replace(path)  # never a half-written key
    path.chmod(0o600)
    try:
        return load_identity(path)
    except ValueError as error:
        raise CannotStart(
            Failed(
                setup=True,
                what=f"The peer identity in {path} cannot be read.",
                why="The file is damaged or not a libp2p key.",
                hint="Restore it from a backup; or delete it to get a new peer id, which members must then learn.",
            )
        ) from error


def build_host(start: StartGossip, keys: Any, listen: Any) -> Any:
    """A host that speaks Noise and yamux over TCP and nothing else, and drops peers that stop answering."""
    config = ConnectionConfig(
        max_connections=96,
        min_connections=0,
        low_watermark=0,
        high_watermark=64,
        max_connections_per_peer=2,
        enable_health_monitoring=True,
        health_initial_delay=5.0,
        health_check_interval=8.0,
        ping_timeout=8.0,
        abort_connection_on_ping_failure=True,
    )
    host = new_host(
        key_pair=keys,
        listen_addrs=[listen],
        sec_opt={NOISE: NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)},
        muxer_opt={TProtocol(YAMUX): Yamux},
        connection_config=config,
        announce_addrs=[Multiaddr(address) for address in start.announce] or None,
        disable_identify_address_discovery=True,
        psk=start.network_key.hex() if start.network_key else None,
    )
    # libp2p also dials every peer it ever heard of, up to half the high watermark, and has no switch for that;
    # `node.hosts.libp2p_peers` keeps fewer connections, and the right ones.
    host.get_network().auto_connector.maybe_connect = trio.lowlevel.checkpoint
    return host


class GossipHost:
    """One running host: what the network says goes to the node, what the node says to the network."""

    def __init__(self, start: StartGossip, channel: Channel, host: Any) -> None:
        self._start = start
        self._channel = channel
        self._host = host
        self._admission = Admission(start.topic)
        self._refused = 0
        # D = 6 (4 to 12): smaller meshes can isolate a hub for minutes after pruning. Messages of the last 10 s are
        # offered to newcomers, so that a host that crashed and came back misses nothing.
        self._router = GossipSub(
            [_GOSSIPSUB],
            degree=6,
            degree_low=4,
            degree_high=12,
            heartbeat_interval=1,
            gossip_window=10,
            gossip_history=12,
            prune_back_off=10,
            adaptive_gossip_enabled=False,  # slows the heartbeat to a minute when "health" is low
            spam_protection_enabled=False,  # also limits our own messages, silently; `Admission` has our own rates
            eclipse_protection_enabled=False,
        )
        self._pubsub = Pubsub(
            host, self._router, strict_signing=True, allowed_topics={start.topic}, seen_ttl=REMEMBER_SECONDS
        )
        # Synchronous: asynchronous validators deliver duplicates.
        self._pubsub.set_topic_validator(start.topic, self._validate, is_async_validator=False)
        self._push = self._pubsub.push_msg
        self._pubsub.push_msg = self._guarded_push
        host.get_network().set_stream_handler(self._guarded_stream)
        self._exchange = PeerExchange(host)
        host.set_stream_handler(PEERS, self._exchange.answer)

    # --- fences ---

    async def _guarded_stream(self, stream: Any) -> None:
        try:
            await self._host._swarm_stream_handler(stream)  # noqa: SLF001 - the one place all streams pass
        # Supervised boundary: without it any exception here (a malformed protobuf is enough) ends the process.
        except Exception as error:  # noqa: BLE001
            peer = stream.muxed_conn.peer_id
            log.info("disconnecting %s, whose stream failed with %s", peer, type(error).__name__)
            await self._disconnect(peer)

    async def _guarded_push(self, forwarder: Any, message: Any) -> None:
        if forwarder != self._host.get_id():
            verdict = self._admission.before_signature(
                forwarder=forwarder.to_bytes(),
                author=message.from_id,
                sequence=message.seqno,
                topics=list(message.topicIDs),
                size=len(message.data),
                now=time.time(),
            )
            if verdict is not Verdict.ACCEPT:
                self._refused += 1
                if verdict is Verdict.DISCONNECT:
                    log.info("disconnecting %s, which sent a message no honest peer sends", forwarder)
                    await self._disconnect(forwarder)
                return
        try:
            await self._push(forwarder, message)
        # Supervised boundary: signatures and keys of strangers are parsed below here.
        except Exception as error:  # noqa: BLE001
            self._refused += 1
            log.info("a message from %s failed with %s", forwarder, type(error).__name__)

    def _validate(self, forwarder: Any, message: Any) -> bool:
        own = forwarder == self._host.get_id()
        allowed = own or self._admission.after_signature(message.from_id, time.time())
        self._refused += not allowed
        return allowed

    async def _disconnect(self, peer: Any) -> None:
        try:
            with trio.move_on_after(_PUBLISH_SECONDS):
                await self._host.disconnect(peer)
        # Supervised boundary: closing a broken connection may break as well.
        except Exception as error:  # noqa: BLE001
            log.debug("closing the connection to %s failed: %r", peer, error)

    # --- life ---

    async def run(self, listen: Any) -> None:
        """Serve until the node goes away or says stop."""
        async with AsyncExitStack() as stack:
            # Order matters: a connection that arrives before pubsub runs ends the process.
            await stack.enter_async_context(background_trio_service(self._router))
            await stack.enter_async_context(background_trio_service(self._pubsub))
            await self._pubsub.wait_until_ready()
            subscription = await self._pubsub.subscribe(self._start.topic)
            await stack.enter_async_context(self._host.run(listen_addrs=[listen]))
            addresses = tuple(str(address) for address in self._host.get_addrs())
            if not addresses:
                raise RuntimeError(f"libp2p does not listen on {listen}")
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(self._host.get_peerstore().start_cleanup_task, 60)
            for address in self._start.bootstrap:
                info = parse_address(address)
                if info.peer_id != self._host.get_id():
                    nursery.start_soon(keep_connected, self._host, info)
            nursery.start_soon(self._exchange.run)
            nursery.start_soon(self._forward, subscription)
            nursery.start_soon(self._report)
            await self._channel.send(Ready(str(self._host.get_id()), addresses))
            await self._obey(nursery)
            os._exit(0)  # nothing to save; libp2p's own shutdown can take seconds when peers hang

    async def _obey(self, nursery: trio.Nursery) -> None:
        async for message in self._channel.incoming:
            if isinstance(message, Publish):
                nursery.start_soon(self._publish, message)
            elif isinstance(message, Peers):
                await self._channel.send(Reply(message.id, "", tuple(map(str, self._subscribers()))))
            elif isinstance(message, Connect):
                nursery.start_soon(self._connect, message)
            elif isinstance(message, Stop):
                return
            else:
                raise FrameError(f"{type(message).__name__} is not for this host")

    def _subscribers(self) -> list[Any]:
        return [peer for peer in self._pubsub.peer_topics.get(self._start.topic, ()) if peer in self._pubsub.peers]

    async def _publish(self, message: Publish) -> None:
        # The next sequence number is this plus one: our clock in nanoseconds, and never one twice.
        self._pubsub.counter = max(self._pubsub.counter, time.time_ns())
        error = f"not sent within {_PUBLISH_SECONDS:.0f} s"
        with trio.move_on_after(_PUBLISH_SECONDS):
            await self._pubsub.publish(self._start.topic, message.data)
            error = ""
        await self._channel.send(Reply(message.id, error, ()))

    async def _connect(self, message: Connect) -> None:
        try:
            error = "" if await dial(self._host, parse_address(message.address)) else "no connection"
        except ValueError as refusal:
            error = str(refusal)
        await self._channel.send(Reply(message.id, error, ()))

    async def _forward(self, subscription: Any) -> None:
        own = self._host.get_id().to_bytes()
        while True:
            message = await subscription.get()
            if message.from_id != own:
                author = ID(message.from_id).to_base58()
                await self._channel.send(Received(author, int.from_bytes(message.seqno, "big"), message.data))

    async def _report(self) -> None:
        while True:
            # py-libp2p appends a time per message here and clears it only in the adaptive mode we switched off.
            self._router.recent_message_deliveries.clear()
            self._router.recent_peer_connections.clear()
            self._router.recent_peer_disconnections.clear()
            await self._channel.send(
                Health(
                    connections=len(self._host.get_connected_peers()),
                    subscribed=len(self._subscribers()),
                    mesh=len(self._router.mesh.get(self._start.topic, ())),
                    refused=self._refused,
                )
            )
            await trio.sleep(_HEALTH_SECONDS)


async def serve(raw: socket.socket) -> None:
    """Read the start message, start, serve; say why if that is impossible."""
    channel = Channel(raw)
    start = await anext(channel.incoming, None)
    if start is None:
        return
    if not isinstance(start, StartGossip):
        raise FrameError(f"{type(start).__name__} is not a start message for this host")
    try:
        lock = lock_folder(Path.cwd())
        check_port(start.listen, start.port, "The libp2p host")
        keys = identity(Path(start.identity))
        for address in start.bootstrap:
            parse_address(address)
        listen = Multiaddr(multiaddr_of(start.listen, start.port))
        host = build_host(start, keys, listen)
    except CannotStart as error:
        await channel.send(error.failure)
        return
    except ValueError as error:
        await channel.send(Failed(setup=True, what=f"{error}.", why="", hint="Correct the address."))
        return
    with lock:
        await GossipHost(start, channel, host).run(listen)


def main() -> None:
    """Entry point; the argument is the node's process id."""
    die_with_parent(int(sys.argv[1]))
    raw = open_channel()
    start_logging()
    logging.getLogger("libp2p").propagate = True  # py-libp2p switches that off, and its warnings then go past our limit
    logging.getLogger("libp2p.transport").setLevel(logging.CRITICAL)  # peers that are offline are nothing to report
    logging.getLogger("libp2p.network.auto_connector").setLevel(logging.WARNING)
    trio.run(serve, raw)


if __name__ == "__main__":
    main()

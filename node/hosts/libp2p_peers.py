"""Finding and keeping peers: known addresses are dialled again and again, others are learnt from connected peers.

Peer exchange (protocol ``/commonweight/peers/1``): whoever opens the stream is sent one frame with signed peer records
(libp2p's own envelopes) of peers the other side is connected to. A record is believed about its signer only.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from typing import Any, Final

import msgpack
import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.envelope import consume_envelope
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from multiaddr import Multiaddr

log = logging.getLogger("node.hosts.libp2p_peers")

PROTOCOL: Final = TProtocol("/commonweight/peers/1")
_WANTED_CONNECTIONS: Final = 8
_MAX_RECORDS: Final = 24
_MAX_RECORD_BYTES: Final = 2_048
_MAX_ANSWER_BYTES: Final = _MAX_RECORDS * (_MAX_RECORD_BYTES + 8)
_RECORD_TTL: Final = 3_600
_DIAL_SECONDS: Final = 10.0
_FIRST_ROUND: Final = 1.0
_ROUND_SECONDS: Final = 10.0
_RETRY_FIRST: Final = 0.5
_RETRY_MOST: Final = 30.0
_LOOK_AGAIN: Final = 2.0


def parse_address(address: str) -> Any:
    """Peer info of a multiaddr with ``/p2p/``; ValueError for anything else."""
    try:
        return info_from_p2p_addr(Multiaddr(address))
    # multiaddr and libp2p raise a dozen unrelated classes for malformed input.
    except Exception as error:
        raise ValueError(f"{address!r} is not a multiaddr with a /p2p/ peer id") from error


def connected(host: Any, peer: Any) -> bool:
    """Whether an open connection to ``peer`` exists."""
    return any(not connection.is_closed for connection in host.get_network().get_connections(peer))


async def dial(host: Any, info: Any) -> bool:
    """Connect within ten seconds; False when that fails for any reason."""
    host.get_network().unblock_peer(info.peer_id)  # libp2p would not try again for a minute
    with trio.move_on_after(_DIAL_SECONDS):
        try:
            await host.connect(info)
        # Supervised boundary: a dial fails in as many ways as there are peers; the caller tries again later.
        except Exception as error:  # noqa: BLE001
            log.debug("dialling %s failed: %r", info.peer_id, error)
    return connected(host, info.peer_id)


async def keep_connected(host: Any, info: Any) -> None:
    """Dial a known address whenever we are not connected to it, with growing pauses while it stays away."""
    pause = _RETRY_FIRST
    while True:
        if connected(host, info.peer_id) or await dial(host, info):
            pause = _RETRY_FIRST
            await trio.sleep(_LOOK_AGAIN)
        else:
            await trio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, guards nothing
            pause = min(2 * pause, _RETRY_MOST)


class PeerExchange:
    """Answers and asks the exchange protocol on one libp2p host."""

    def __init__(self, host: Any) -> None:
        self._host = host

    async def answer(self, stream: Any) -> None:
        """Stream handler: send the records of the peers we are connected to."""
        store = self._host.get_peerstore()
        records = []
        asker = stream.muxed_conn.peer_id
        peers = [peer for peer in self._host.get_connected_peers() if peer != asker]
        random.shuffle(peers)
        for peer in peers[:_MAX_RECORDS]:
            envelope = store.get_peer_record(peer)
            if envelope is not None:
                encoded = envelope.marshal_envelope()
                if len(encoded) <= _MAX_RECORD_BYTES:
                    records.append(encoded)
        body = msgpack.packb(records)
        with trio.move_on_after(_DIAL_SECONDS):
            await stream.write(len(body).to_bytes(4, "big") + body)
            await stream.close()

    async def run(self) -> None:
        """Ask a random peer every few seconds and dial what we learn, until enough connections stand."""
        await trio.sleep(_FIRST_ROUND * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load
        while True:
            peers = self._host.get_connected_peers()
            if peers and len(peers) < _WANTED_CONNECTIONS:
                asked = random.choice(peers)  # noqa: S311 - any peer will do
                try:
                    with trio.move_on_after(_DIAL_SECONDS):
                        await self._learn(asked)
                # Supervised boundary: whatever a stranger does here costs the stranger, and we ask another next time.
                except Exception as error:  # noqa: BLE001
                    log.debug("peer exchange with %s failed: %r", asked, error)
            await self._dial_known(_WANTED_CONNECTIONS - len(peers))
            await trio.sleep(_ROUND_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load

    async def _learn(self, peer: Any) -> None:
        stream = await self._host.new_stream(peer, [PROTOCOL])
        try:
            length = int.from_bytes(await _read(stream, 4), "big")
            if length > _MAX_ANSWER_BYTES:
                raise ValueError(f"an answer of {length} bytes")
            answer = await _read(stream, length)
        finally:
            await stream.reset()
        store = self._host.get_peerstore()
        for envelope, record in _records(answer):
            if record.peer_id != self._host.get_id() and _dialable(record.addrs):
                store.consume_peer_record(envelope, _RECORD_TTL)

    async def _dial_known(self, missing: int) -> None:
        store = self._host.get_peerstore()
        known = [peer for peer in store.peers_with_addrs() if peer != self._host.get_id()]
        known = [peer for peer in known if store.get_peer_record(peer) and not connected(self._host, peer)]
        for peer in random.sample(known, max(0, min(len(known), missing))):
            if _dialable(store.addrs(peer)):
                await dial(self._host, PeerInfo(peer, store.addrs(peer)))


def _records(answer: bytes) -> Iterator[tuple[Any, Any]]:
    values = msgpack.unpackb(answer, max_array_len=_MAX_RECORDS, max_bin_len=_MAX_RECORD_BYTES, max_map_len=0)
    if not isinstance(values, list):
        raise TypeError("not a list of records")
    for value in values:
        yield consume_envelope(value, "libp2p-peer-record")


def _dialable(addresses: list[Any]) -> bool:
    return 0 < len(addresses) <= 8 and all(
        [protocol.name for protocol in address.protocols()][:2] in (["ip4", "tcp"], ["ip6", "tcp"])
        for address in addresses
    )


async def _read(stream: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = await stream.read(count - len(data))
        if not piece:
            raise ValueError("the stream ended early")
        data += piece
    return data

"""The blob store on an IPFS gateway, against a small stand-in: honest, busy, forgetful, lying, endless."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from node.adapters import blobs_gateway
from node.adapters.blobs_gateway import GatewayStore
from node.protocol.cid import CHUNK_BYTES, MAX_BLOCK_BYTES, cid_from_digest, compute_cid, iter_blocks
from node.protocol.errors import (
    BlobCorrupt,
    BlobStoreDown,
    BlobTooLarge,
    BlobUnavailable,
    ConfigError,
    LocalProtocolError,
)

LIMIT = 1 << 24


class StandIn(ThreadingHTTPServer):
    """Raw blocks by CID, and a few bad manners."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.blocks: dict[str, bytes] = {}
        self.statuses: list[int] = []  # answered first, whatever is asked
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def hold(self, data: bytes) -> None:
        self.blocks |= {cid_from_digest(digest): block for digest, block in iter_blocks((data,))}


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        cid = parts.path.removeprefix("/ipfs/")
        assert parse_qs(parts.query) == {"format": ["raw"]}
        assert self.headers["Accept"] == "application/vnd.ipld.raw"
        self.server.asked.append(cid)
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        body = self.server.blocks.get(cid)
        self.send_response(status if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(blobs_gateway, "_PAUSE", 0.01)
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7])
async def test_a_file_comes_whole(gateway: StandIn, size: int) -> None:
    data = os.urandom(size)
    gateway.hold(data)
    async with GatewayStore(gateway.url) as store:
        assert await store.get(compute_cid(data), max_bytes=LIMIT, seconds=5) == data
        assert store.addresses == ()


async def test_what_nobody_holds_and_what_is_too_large(gateway: StandIn) -> None:
    data = os.urandom(1_000)
    async with GatewayStore(gateway.url) as store:
        with pytest.raises(BlobUnavailable, match="does not serve"):
            await store.get(compute_cid(data), max_bytes=LIMIT, seconds=5)
        gateway.hold(data)
        with pytest.raises(BlobTooLarge):
            await store.get(compute_cid(data), max_bytes=999, seconds=5)


@pytest.mark.parametrize("forge", [lambda block: block[:-1] + bytes([block[-1] ^ 1]), lambda block: block[:-1]])
async def test_a_block_that_lies_is_refused(gateway: StandIn, forge) -> None:
    data = os.urandom(3 * CHUNK_BYTES)
    gateway.hold(data)
    last = list(gateway.blocks)[1]
    gateway.blocks[last] = forge(gateway.blocks[last])
    async with GatewayStore(gateway.url) as store:
        with pytest.raises(BlobCorrupt):
            await store.get(compute_cid(data), max_bytes=LIMIT, seconds=5)


async def test_a_block_without_end_is_cut_off(gateway: StandIn) -> None:
    cid = compute_cid(b"x")
    gateway.blocks[cid] = bytes(MAX_BLOCK_BYTES + 1)
    async with GatewayStore(gateway.url) as store:
        with pytest.raises(BlobCorrupt, match="more than"):
            await store.get(cid, max_bytes=LIMIT, seconds=5)


async def test_a_busy_gateway_is_asked_again_until_the_time_is_up(gateway: StandIn) -> None:
    gateway.hold(b"data")
    gateway.statuses = [429, 503]
    async with GatewayStore(gateway.url) as store:
        assert await store.get(compute_cid(b"data"), max_bytes=LIMIT, seconds=5) == b"data"
        assert len(gateway.asked) == 3
        gateway.statuses = [502] * 10_000
        with pytest.raises(BlobUnavailable, match="within"):
            await store.get(compute_cid(b"data"), max_bytes=LIMIT, seconds=0.2)


async def test_a_gateway_that_is_not_there() -> None:
    async with GatewayStore("http://127.0.0.1:9") as store:
        with pytest.raises(BlobStoreDown, match="does not answer"):
            await store.get(compute_cid(b"data"), max_bytes=LIMIT, seconds=5)


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "not a url"])
def test_what_is_no_gateway(url: str) -> None:
    with pytest.raises(ConfigError, match="gateway"):
        GatewayStore(url)


async def test_nothing_can_be_put_there(gateway: StandIn) -> None:
    async with GatewayStore(gateway.url) as store:
        with pytest.raises(LocalProtocolError, match="cannot be stored"):
            await store.put(b"data")

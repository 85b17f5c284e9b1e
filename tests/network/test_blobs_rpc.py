"""The blob store on an external node's RPC interface, against a small stand-in that speaks as much of it as we use."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from node.adapters.blobs_rpc import RpcStore
from node.protocol.cid import CHUNK_BYTES, MAX_BLOCK_BYTES, cid_from_digest, compute_cid, iter_blocks
from node.protocol.errors import BlobCorrupt, BlobStoreDown, BlobTooLarge, BlobUnavailable, ConfigError

pytestmark = [
    # ipfshttpclient 0.7.0 passes urllib3 an argument that version 3 will refuse (hence urllib3<3 in our requirements).
    pytest.mark.filterwarnings("ignore:The 'strict' parameter:FutureWarning"),
]

LIMIT = 1 << 24


class StandIn(ThreadingHTTPServer):
    """Blocks, pins and dialled addresses of one pretended node."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.blocks: dict[str, bytes] = {}
        self.pins: set[str] = set()
        self.dialled: list[str] = []
        self.asked: list[str] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def hold(self, data: bytes) -> None:
        self.blocks |= {cid_from_digest(digest): block for digest, block in iter_blocks((data,))}


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def do_POST(self) -> None:
        path = urlsplit(self.path)
        command = path.path.removeprefix("/api/v0/")
        argument = parse_qs(path.query).get("arg", [""])[0]
        body = self.body()
        self.server.asked.append(command)
        match command:
            case "id":
                self.answer(json.dumps({"ID": "Qm", "Addresses": ["/ip4/127.0.0.1/tcp/4001/p2p/Qm"]}).encode())
            case "add":
                header = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
                part = next(iter(message_from_bytes(header + body, policy=HTTP).iter_parts()))
                content = part.get_payload(decode=True)
                assert isinstance(content, bytes)
                self.server.hold(content)
                self.answer(json.dumps({"Name": "blob", "Hash": compute_cid(content)}).encode() + b"\n")
            case "block/get" if argument in self.server.blocks:
                self.answer(self.server.blocks[argument])
            case "block/get":
                self.server.released.wait(30)
                self.answer(b'{"Message": "block was not found", "Code": 0}', 500)
            case "pin/add":
                self.server.pins.add(argument)
                self.answer(json.dumps({"Pins": [argument]}).encode())
            case "pin/rm" if argument in self.server.pins:
                self.server.pins.discard(argument)
                self.answer(json.dumps({"Pins": [argument]}).encode())
            case "swarm/connect":
                self.server.dialled.append(argument)
                self.answer(b'{"Strings": ["connect success"]}')
            case _:
                self.answer(b'{"Message": "not pinned or pinned indirectly", "Code": 0}', 500)


@pytest.fixture
def node() -> Iterator[StandIn]:
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("size", [0, 250_000, 5 * CHUNK_BYTES + 1])
async def test_what_is_put_can_be_got_and_is_pinned(node: StandIn, size: int):
    data = os.urandom(size)
    async with await RpcStore.start(node.url) as store:
        cid = await store.put(data)
        assert cid == compute_cid(data)
        assert await store.get(cid, max_bytes=LIMIT, seconds=10) == data
        assert node.pins == {cid}
        await store.unpin(cid)
        assert node.pins == set()
        await store.unpin(cid)  # unknown by now: ignored


async def test_its_addresses_are_the_nodes_and_others_can_be_dialled(node: StandIn):
    async with await RpcStore.start(node.url) as store:
        assert store.addresses == ("/ip4/127.0.0.1/tcp/4001/p2p/Qm",)
        address = "/ip4/127.0.0.1/tcp/4002/p2p/QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"
        await store.connect(address)
        assert node.dialled == [address]


async def test_a_lying_endpoint_is_found_out(node: StandIn):
    data = os.urandom(2 * CHUNK_BYTES)
    node.hold(data)
    victim = min(node.blocks)
    node.blocks[victim] = node.blocks[victim][:-1]
    async with await RpcStore.start(node.url) as store:
        with pytest.raises(BlobCorrupt):
            await store.get(compute_cid(data), max_bytes=LIMIT, seconds=10)
        node.blocks[victim] = bytes(MAX_BLOCK_BYTES + 1)
        with pytest.raises(BlobCorrupt, match="more than"):
            await store.get(compute_cid(data), max_bytes=LIMIT, seconds=10)


async def test_a_limit_is_enforced_on_the_root_block(node: StandIn):
    data = os.urandom(3 * CHUNK_BYTES)
    node.hold(data)
    async with await RpcStore.start(node.url) as store:
        with pytest.raises(BlobTooLarge):
            await store.get(compute_cid(data), max_bytes=len(data) - 1, seconds=10)
    assert node.asked.count("block/get") == 1


async def test_what_nobody_has_is_unavailable_in_time(node: StandIn):
    cid = compute_cid(b"nobody has this")
    async with await RpcStore.start(node.url) as store:
        with pytest.raises(BlobUnavailable, match=r"0\.3 s"):
            await store.get(cid, max_bytes=LIMIT, seconds=0.3)
        node.released.set()
        with pytest.raises(BlobUnavailable, match="not found"):
            await store.get(cid, max_bytes=LIMIT, seconds=10)


async def test_an_endpoint_that_stores_something_else_is_found_out(node: StandIn, monkeypatch: pytest.MonkeyPatch):
    async with await RpcStore.start(node.url) as store:
        monkeypatch.setitem(Handler.do_POST.__globals__, "compute_cid", lambda _: "QmOther")
        with pytest.raises(BlobCorrupt, match="QmOther"):
            await store.put(b"content")


async def test_no_endpoint_is_down_and_a_wrong_url_is_a_mistake():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(BlobStoreDown, match=str(port)):
        await RpcStore.start(f"http://127.0.0.1:{port}")
    with pytest.raises(ConfigError):
        await RpcStore.start("127.0.0.1:5001")


async def test_a_cancelled_get_ends_at_once(node: StandIn):
    async with await RpcStore.start(node.url) as store:
        getting = asyncio.ensure_future(store.get(compute_cid(b"?"), max_bytes=LIMIT, seconds=60))
        await asyncio.wait({getting}, timeout=0.1)
        getting.cancel()
        done, _ = await asyncio.wait({getting}, timeout=5)
        assert done

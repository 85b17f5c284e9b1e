"""The server on a real socket: half requests, pages that take nothing, floods of streams, a clean stop; and this machine's files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time

import httpx
import pytest

from node.config import Config
from node.protocol.cid import compute_cid, digest_from_cid
from node.protocol.errors import BlobUnavailable, ConfigError, SetupError
from node.protocol.hashing import keccak256
from node.protocol.state import Application, State
from node.protocol.types import Address
from node.web import serve as serve_module
from node.web import server as server_module
from node.web.hub import MOST_STREAMS
from node.web.serve import LocalFiles, decoder, shown_request
from node.web.server import Outlet, make_app

from .conftest import AT, TOLD
from .test_hub import Played, make_hub
from .test_server import Sent, encode


@contextlib.asynccontextmanager
async def served(tmp_path, chain=None):
    """A hub on a free port; (port, hub)."""
    hub = make_hub(chain or Played())
    await hub.poll()
    listener = serve_module._listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    app = make_app(hub, Outlet(encode, Sent().check), serve_module._hosts("127.0.0.1", port), tmp_path)
    with contextlib.closing(listener):
        async with serve_module._running(hub, app, listener):
            yield port, hub


async def dial(port, text=b"", *, small=False):
    raw = socket.socket()
    if small:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=2_048)
    writer.write(text)
    await writer.drain()
    return reader, writer


def request(port, path, extra=""):
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{extra}\r\n".encode()


async def test_it_answers_on_its_port_and_on_no_other_name(tmp_path):
    async with served(tmp_path) as (port, _), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.get("/api/health")
        assert answer.json()["ok"] is True
        assert "server" not in answer.headers
        assert (await client.get("/api/health", headers={"Host": "evil.example"})).status_code == 421
        assert (await client.get(f"http://localhost:{port}/api/health")).status_code == 200


async def test_a_stream_tells_what_happens_and_is_resumed(tmp_path):
    chain = Played(len(TOLD.events) - 40)
    async with served(tmp_path, chain) as (port, hub), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        since = (await client.get("/api/snapshot?sections=head")).json()["id"]
        async with client.stream("GET", f"/api/events?since={since}") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert "content-security-policy" in stream.headers
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 2000"
            chain.shown = len(TOLD.events)
            found = await block(lines)
            assert found["event"] == "delta"
            assert "proposals" in json.loads(found["data"])["sections"]
            last = found["id"]
        assert await until(lambda: hub.streams == 0)
        chain.extra = 5
        await hub.poll()
        async with client.stream("GET", f"/api/events?since={since}", headers={"Last-Event-ID": last}) as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            found = await block(lines)
            assert "proposals" not in json.loads(found["data"])["sections"]
            assert json.loads(found["data"])["sections"]["head"]["timestamp"] == hub.world.now
        async with client.stream("GET", "/api/events", headers={"Last-Event-ID": "gone-7"}) as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            assert (await block(lines))["event"] == "reset"


async def block(lines):
    found = {}
    async with asyncio.timeout(5):
        async for line in lines:
            if not line and found:
                return found
            if line:
                key, _, value = line.partition(": ")
                found[key] = value
    raise AssertionError("the stream ended")


async def until(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)
    return True


async def test_half_a_request_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(serve_module, "IDLE_SECONDS", 0.4)
    async with served(tmp_path) as (port, _):
        for text in (b"", b"GET / HTTP/1.1\r\nHost: 127", b"GET /api/health HTTP/1.1\r\nX: "):
            reader, writer = await dial(port, text)
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()


async def test_a_trickle_of_header_lines_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(serve_module, "IDLE_SECONDS", 0.4)
    async with served(tmp_path) as (port, _):
        reader, writer = await dial(port, b"GET /api/health HTTP/1.1\r\n")
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 5 and not reader.at_eof():
                writer.write(b"X-A: b\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.transport.abort()
        assert time.monotonic() - began < 4


async def test_a_second_request_on_the_same_line_is_watched_too(tmp_path, monkeypatch):
    monkeypatch.setattr(serve_module, "IDLE_SECONDS", 0.4)
    async with served(tmp_path) as (port, _):
        reader, writer = await dial(port, request(port, "/api/health") + b"GET /half")
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                answer = await reader.read(100_000)
                while more := await reader.read(100_000):
                    answer += more
        assert answer.startswith(b"HTTP/1.1 200")
        writer.close()


async def test_headers_without_end_are_refused(tmp_path):
    async with served(tmp_path) as (port, _):
        reader, writer = await dial(port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                assert b" 400 " in (await reader.read())[:40]
        writer.transport.abort()


async def test_streams_are_bounded_and_come_back(tmp_path):
    async with served(tmp_path) as (port, hub):
        lines = [await dial(port, request(port, "/api/events")) for _ in range(MOST_STREAMS)]
        assert await until(lambda: hub.streams == MOST_STREAMS)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            refused = await client.get("/api/events")
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "30"
            assert (await client.get("/api/snapshot")).status_code == 200  # reading goes on
        for _, writer in lines:
            writer.close()
        assert await until(lambda: hub.streams == 0)
        reader, writer = await dial(port, request(port, "/api/events"))
        assert b"200" in await reader.readline()
        writer.close()


async def test_pages_that_take_nothing_are_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "TAKE_SECONDS", 0.3)
    monkeypatch.setattr(serve_module, "IDLE_SECONDS", 0.4)
    chain = Played(len(TOLD.events) - 40)
    async with served(tmp_path, chain) as (port, hub):
        deaf = [await dial(port, request(port, "/api/events?since=" + hub.id), small=True) for _ in range(5)]
        assert await until(lambda: hub.streams == 5)
        for round_ in range(400):
            # Every look changes every section: far more than any buffer holds.
            chain.shown = len(TOLD.events) - (round_ % 2) * 40
            chain.fork = f"f{round_}"
            await hub.poll()
            if hub.streams == 0:
                break
            await asyncio.sleep(0.01)
        assert hub.streams == 0
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/api/health")).json()["streams"] == 0
        for _, writer in deaf:
            writer.transport.abort()


async def test_streams_end_when_the_server_stops(tmp_path):
    async with asyncio.timeout(8):
        async with served(tmp_path) as (port, hub):
            lines = [await dial(port, request(port, "/api/events")) for _ in range(5)]
            await until(lambda: hub.streams == 5)
        for reader, writer in lines:
            with contextlib.suppress(ConnectionError):
                while await reader.read(4_096):
                    pass
            writer.close()


def test_a_port_that_is_taken_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SetupError, match="cannot listen"):
            serve_module._listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("127.0.0.1", {"127.0.0.1:5", "localhost:5"}),
        ("localhost", {"127.0.0.1:5", "localhost:5"}),
        ("::1", {"[::1]:5", "localhost:5"}),
        ("192.0.2.7", {"192.0.2.7:5"}),
    ],
)
def test_the_server_goes_by_few_names(host, names):
    assert serve_module._hosts(host, 5) == names


class _Manifest:
    chain_id = 1


@pytest.mark.parametrize(
    ("chain_id", "host", "says"),
    [(1, "127.0.0.1", "chain 1"), (137, "127.0.0.1", "chain 137"), (31_337, "0.0.0.0", "opened through")],
)
def test_signing_is_for_test_networks_on_this_machine(chain_id, host, says):
    manifest = _Manifest()
    manifest.chain_id = chain_id
    with pytest.raises(ConfigError, match=says):
        serve_module._require_signable(manifest, host, sign=True)
    serve_module._require_signable(manifest, host, sign=False)


# --- this machine's files ---

PLAIN = {"version": 1, "hardware": "h" * 999, "repositories": ["a"] * 99, "secret": 1}
BODY = {
    "hardware": {"system": "Linux", "machine": "x86_64", "device": "cpu", "note": "", "python": "3"},
    "data": {"rows": 5, "sources": [{"name": "a", "rows": 5}, 7, {"name": ["x"]}]},
    "test_sets": [{"name": "sql", "rows": 9, "cid": "Qm", "about": "x"}],
}


class _History:
    def __init__(self, *applications):
        self.state = State(applications={one.number: one for one in applications})


def application(number, data):
    return Application(number, Address("0x" + "1" * 40), keccak256(data), digest_from_cid(compute_cid(data)), "peer")


async def test_requests_are_fetched_checked_and_tried_a_few_times(tmp_path):
    good, other = json.dumps(PLAIN).encode(), b"{}"
    asked = []

    async def fetch(cid, max_bytes):
        asked.append((cid, max_bytes))
        if cid == compute_cid(good):
            return good
        if cid == compute_cid(other):
            return other + b" "  # not what the hash on chain says
        raise BlobUnavailable("nobody has it")

    files = LocalFiles(tmp_path, fetch)
    history = _History(application(1, good), application(2, other), application(3, b"lost"))
    for _ in range(9):
        await files.read(history)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert set(files.local.requests) == {1}
    assert [cid for cid, _ in asked].count(compute_cid(good)) == 1
    assert [cid for cid, _ in asked].count(compute_cid(b"lost")) == 3
    shown = files.local.requests[1]
    assert len(shown["hardware"]) == 200
    assert len(shown["repositories"]) == 64
    assert "secret" not in shown


async def test_a_file_that_does_not_come_holds_nobody_up(tmp_path):
    begun = []

    async def fetch(_cid, _max_bytes):
        begun.append(1)
        await asyncio.sleep(60)

    files = LocalFiles(tmp_path, fetch)
    async with asyncio.timeout(2):
        for _ in range(5):
            await files.read(_History(application(1, b"{}")))
            await asyncio.sleep(0)
        await files.close()
    assert begun == [1]


def test_a_signed_request_is_shown_by_its_body():
    assert shown_request(json.dumps({"version": 2, "body": BODY, "signature": "0x"}).encode()) == {
        "hardware": "Linux, x86_64, cpu",
        "repositories": ["a", "", "['x']"],
        "rows": 5,
        "test_set": {"name": "sql", "rows": "9", "cid": "Qm"},
        "sample_gain": None,
    }


@pytest.mark.parametrize(
    "body", [{}, {"data": 7}, {"data": {"sources": 7, "rows": True}}, {"test_sets": [7]}, {"hardware": []}]
)
def test_a_body_that_is_none_shows_nothing(body):
    shown = shown_request(json.dumps({"body": body}).encode())
    assert (shown["rows"], shown["test_set"], shown["repositories"]) == (None, None, [])


async def test_the_status_of_a_node_that_runs_no_more_is_not_shown(tmp_path):
    files = LocalFiles(tmp_path)
    (tmp_path / "status.json").write_text('{"round": 3}')
    await files.read(_History())
    assert files.status == {"round": 3}
    os.utime(tmp_path / "status.json", (7, 7))
    await files.read(_History())
    assert files.status is None


@pytest.mark.parametrize("data", [b"", b"[]", b"7", b"{", b"[" * 100_000, b"\xff"])
def test_requests_that_are_none_are_not_shown(data):
    assert shown_request(data) is None


async def test_damaged_files_do_no_harm(tmp_path):
    files = LocalFiles(tmp_path)
    for content in (b"", b"{", b"[]", b"7", b"\xff", b"[" * 100_000):
        for name in ("status.json", "audit.json", "evaluations.json"):
            (tmp_path / name).write_bytes(content)
        await files.read(_History())
        assert files.status is None
        assert files.local.audit is None
        assert files.local.evaluations is None
    (tmp_path / "audit.json").write_text('{"ok": true}')
    os.utime(tmp_path / "audit.json", (7, 7))
    await files.read(_History())
    assert files.local.audit == {"at": 7, "ok": True}
    with (tmp_path / "status.json").open("wb") as file:
        file.truncate(5 << 20)
    await files.read(_History())
    assert files.status is None


def test_calls_of_others_are_not_understood():
    decode = decoder(AT)
    assert decode(Address("0x" + "9" * 40), b"\x00" * 4) is None
    assert decode(AT["Treasury"], b"\x00" * 4) is None
    assert decode(AT["Treasury"], b"") is None


def test_the_settings_serve_nothing_unless_told():
    assert Config().web.port == 0
    assert Config().web.host == "127.0.0.1"

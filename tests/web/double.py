"""Stands in for the dashboard's server in page tests: the example snapshot, events that a test pushes, requests that it can look at."""

from __future__ import annotations

import json
import queue
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from node.web.guard import HEADERS

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "node" / "web" / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
HASH = "0x" + "ab" * 32


def example() -> dict[str, Any]:
    """A fresh copy of tests/web/snapshot.json."""
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / "snapshot.json").read_text("utf-8"))
    return loaded


class Double:
    """The server. `snapshot` is what it serves; `push` sends an event to every open stream; `actions` and `paths` is what was asked."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.snapshot = snapshot
        self.paths: list[str] = []
        self.actions: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.refusal: tuple[int, dict[str, str]] | None = None  # answer to the next action
        self.is_down = False  # 503 to everything under /api
        self.explanation: dict[str, Any] | None = None  # what explain answers; None: a small example
        self.stream_ids: list[str | None] = []  # where each stream was to resume
        self._streams: list[queue.Queue[bytes | None]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"double": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def push(self, event: str, data: dict[str, Any], number: int | None = None) -> None:
        head = f"id: {number}\n" if number is not None else ""
        for stream in list(self._streams):
            stream.put(f"{head}event: {event}\ndata: {json.dumps(data)}\n\n".encode())

    def change(self, **sections: Any) -> None:
        """Changes sections and tells the page, as the real server does."""
        self.snapshot.update(sections)
        self.push("delta", {"sections": sections}, number=len(self.paths))

    def drop_streams(self) -> None:
        """Ends every open stream, as a restart of the server would."""
        for stream in list(self._streams):
            stream.put(None)

    def close(self) -> None:
        self.drop_streams()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One request; `double` is set by the subclass that each double makes."""

    double: Double
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Tests print enough."""

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, text in HEADERS:  # the policy that the real server sends
            self.send_header(name.decode(), text.decode())
        self.end_headers()
        self.wfile.write(body)

    def json(self, value: Any, status: int = HTTPStatus.OK) -> None:
        self.answer(status, "application/json", json.dumps(value).encode())

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.double.paths.append(self.path)
        if url.path.startswith("/api/") and self.double.is_down:
            self.json({"error": "Down", "what": "The chain does not answer.", "why": "down", "hint": "wait"}, 503)
        elif url.path == "/api/events":
            self.stream(parse_qs(url.query).get("since", [None])[0])
        elif url.path.startswith("/api/"):
            self.api(url.path.split("/")[2:], parse_qs(url.query))
        else:
            file = STATIC / (url.path.lstrip("/") or "index.html")
            if file.is_file() and STATIC in file.resolve().parents:
                self.answer(200, TYPES.get(file.suffix, "text/plain"), file.read_bytes())
            else:
                self.answer(404, "text/plain", b"not found")

    def api(self, path: list[str], query: dict[str, list[str]]) -> None:
        match path:
            case ["snapshot"]:
                wanted = query["sections"][0].split(",") if "sections" in query else list(self.double.snapshot)
                self.json(
                    {"version": 1, "id": self.double.snapshot["id"]} | {k: self.double.snapshot[k] for k in wanted}
                )
            case ["round", number]:
                self.json(self.double.snapshot["live"] | {"number": int(number)})
            case ["explain", what, identifier]:
                self.json(self.double.explanation or explanation(what, identifier))
            case _:
                self.json({"error": "NotFound", "what": "No such page.", "why": self.path, "hint": "See docs"}, 404)

    def stream(self, since: str | None) -> None:
        self.double.stream_ids.append(self.headers.get("Last-Event-ID") or since)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        mine: queue.Queue[bytes | None] = queue.Queue()
        mine.put(b"retry: 200\n\n")
        self.double._streams.append(mine)
        try:
            while (part := mine.get()) is not None:
                self.wfile.write(part)
                self.wfile.flush()
        except OSError:  # the page is gone
            pass
        finally:
            self.double._streams.remove(mine)
        self.close_connection = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.removeprefix("/api/actions/")
        self.double.actions.append((name, body, dict(self.headers)))
        if self.double.refusal is not None:
            status, answer = self.double.refusal
            self.double.refusal = None
            self.json(answer, status)
        elif self.double.snapshot["viewer"]["mode"] == "sign":
            self.json({"mode": "sign", "transactions": [{"hash": HASH, "block": 317, "label": name}]})
        else:
            governor = self.double.snapshot["network"]["contracts"]["CommunityGovernor"]
            transaction = {"to": governor, "data": "0x7b3c71d3", "value": "0x0", "chainId": "0x7a69", "label": name}
            self.json({"mode": "wallet", "transactions": [transaction]})


def explanation(what: str, identifier: str) -> dict[str, Any]:
    """A small explanation in the interface's form."""
    return {
        "what": what,
        "id": identifier,
        "title": f"{what.capitalize()} {identifier}",
        "formula": ["trainer = pool · weight / max(sum of weights, target)", "verifier = price · fields that agree"],
        "steps": [
            {"label": "emission of the round", "expression": "9 000 CWT >> ⌊(5 − 1) / 500⌋", "value": "9,000.0 CWT"},
            {"label": "trainers' pool", "expression": "70 % of 9 000 CWT", "value": "6,300.0 CWT"},
            {"label": "weight of this update", "expression": "min(36 120, 200 000)", "value": "36,120 ppm"},
            {
                "label": "share as trainer",
                "expression": "6 300 CWT · 36 120 / max(254 393, 350 000)",
                "value": "650.16 CWT",
            },
            {"label": "fields that agree", "expression": "7 of 7, at 32.14 CWT", "value": "225.0 CWT"},
            {"label": "attestation", "expression": "450 CWT / 8", "value": "56.25 CWT"},
        ],
        "computed": "931.41 CWT",
        "recorded": "931.41 CWT",
        "agrees": True,
        "sources": [
            {"event": "UpdateSettled", "contract": "RoundManager", "block": 269, "transaction": HASH},
            {"event": "RewardClaimed", "contract": "RewardDistributor", "block": 285, "transaction": HASH},
        ],
        "notes": ["Every division rounds down."],
    }

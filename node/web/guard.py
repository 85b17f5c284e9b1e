"""What every request passes before it is heard, and what every answer carries: against rebinding, foreign pages, and floods.

| against | what is done |
|---|---|
| DNS rebinding | the Host header must name this server |
| foreign pages | a request of another site (``Sec-Fetch-Site``) is refused; a POST must come from the page's own ``Origin``, as JSON |
| script injection | a Content-Security-Policy under which nothing runs that was not shipped |
| floods | bodies and their time are bounded; streams, and the time to take each message, in `node.web.server` |
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

MAX_BODY_BYTES = 16 * 1024
BODY_SECONDS = 10.0

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


@dataclass(frozen=True, slots=True)
class _Refused(Exception):
    status: int
    what: str
    why: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Guard:
    """ASGI middleware.

    Attributes:
        app: what is guarded.
        hosts: Host headers that name this server, lower case, with port.
    """

    app: App
    hosts: frozenset[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with bounded body and the headers of every answer."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def guarded_send(event: Event) -> None:
            if event["type"] == "http.response.start":
                given = list(event.get("headers", ()))
                names = {name.lower() for name, _ in given}
                event = {**event, "headers": given + [pair for pair in HEADERS if pair[0] not in names]}
            await send(event)

        try:
            self._check(scope)
            body = await _body(scope, receive) if scope["method"] == "POST" else b""
        except _Refused as refused:
            await _refuse(guarded_send, refused)
            return
        await self.app(scope, _replay(body, receive) if scope["method"] == "POST" else receive, guarded_send)

    def _check(self, scope: Scope) -> None:
        headers = _headers(scope)
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if host not in self.hosts:
            raise _Refused(
                421,
                "This server does not go by that name.",
                "The Host header names another one: a page elsewhere may be using its name to reach this machine.",
                f"Open http://{min(self.hosts)}/ instead.",
            )
        site = headers.get(b"sec-fetch-site", b"none")
        if site not in (b"same-origin", b"none") and not _is_navigation(headers):
            raise _Refused(403, "Another site asked.", "Only the dashboard's own page may use this interface.")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise _Refused(405, f"{scope['method'][:10]} is not offered.", hint="GET, HEAD and POST are.")
        if scope["method"] == "POST":
            self._check_post(headers, host)

    def _check_post(self, headers: dict[bytes, bytes], host: str) -> None:
        if headers.get(b"origin", b"").decode("latin-1").lower() != f"http://{host}":
            raise _Refused(
                403, "The request does not come from the dashboard's page.", "Its Origin is missing or foreign."
            )
        if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
            raise _Refused(415, "The body is not announced as JSON.", hint="Send Content-Type: application/json.")


def _is_navigation(headers: dict[bytes, bytes]) -> bool:
    """A person following a link from elsewhere to the page itself: shows what any visitor sees."""
    return headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"


def _headers(scope: Scope) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in found and name in (b"host", b"origin", b"content-type", b"content-length"):
            raise _Refused(400, f"The header {name.decode('latin-1')} comes twice.")
        found[name] = value
    return found


async def _body(scope: Scope, receive: Receive) -> bytes:
    length = _headers(scope).get(b"content-length", b"0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        raise _Refused(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    raise _Refused(400, "The body ended early.")
                body += bytes(event.get("body", b""))
                if len(body) > MAX_BODY_BYTES:
                    raise _Refused(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
                if not event.get("more_body", False):
                    return body
    except TimeoutError:
        raise _Refused(408, f"The body did not come within {BODY_SECONDS:.0f} s.") from None


def _replay(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def replayed() -> Event:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


async def _refuse(send: Send, refused: _Refused) -> None:
    shown = {"error": "Refused", "what": refused.what, "why": refused.why, "hint": refused.hint}
    body = json.dumps(shown).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

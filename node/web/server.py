"""The ASGI application of the dashboard: the interface of docs/web-api.md, and the page."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from node import explain as explanations
from node.ports import Receipt
from node.protocol.errors import (
    ChainError,
    CommonweightError,
    ConfigError,
    SetupError,
    TransactionReverted,
)
from node.protocol.types import Address, Call
from node.web.actions import Prepared, prepare
from node.web.guard import App, Guard, Receive, Scope, Send
from node.web.hub import MOST_STREAMS, Hub, Message, error_json
from node.web.views import SECTIONS
from node.web.views_law import proposal_of, release_of
from node.web.views_rounds import require_number, round_of

log = logging.getLogger("commonweight.web")

STATIC = Path(__file__).parent / "static"
TAKE_SECONDS = 20.0
"""A page that does not take a message within this is let go, and comes back by itself if it is still there."""
STREAM_SECONDS = 3_600.0
"""A stream ends after this; the page opens another."""
TOKEN_HEADER = "X-Commonweight-Token"  # noqa: S105 - its name, no secret


@dataclass(frozen=True, slots=True)
class Outlet:
    """How acts leave this server.

    Attributes:
        encode: (target, call data) of a call.
        check: refusals of calls that an account would make one after the other; None where all would pass.
        send: signs and sends; None where the page's wallet does.
        token: what a page must know for ``send``.
        account: whose key ``send`` signs with.
        publish: hands a file to the running node, which serves it.
    """

    encode: Callable[[Call], tuple[Address, bytes]]
    check: Callable[[Address, Sequence[Call]], Awaitable[TransactionReverted | None]]
    send: Callable[[Call], Awaitable[Receipt]] | None = None
    token: str = ""
    account: Address | None = None
    publish: Callable[[bytes], None] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


def make_app(hub: Hub, outlet: Outlet, hosts: frozenset[str], static: Path = STATIC) -> App:
    """The whole application behind its guard.

    Args:
        hub: knows the network.
        outlet: how acts leave.
        hosts: Host headers that name this server.
        static: folder of the page.
    """
    api = _Api(hub, outlet)
    routes: list[BaseRoute] = [
        Route("/api/snapshot", api.snapshot),
        Route("/api/events", _Events(hub), methods=["GET"]),
        Route("/api/round/{number}", api.round),
        Route("/api/proposal/{number}", api.proposal),
        Route("/api/release/{number}", api.release),
        Route("/api/explain/{what}/{id}", api.explain),
        Route("/api/health", api.health),
        Route("/api/actions/{name}", api.act, methods=["POST"]),
        Route("/api/{rest:path}", _nothing_there),
        Route("/", _Page(static), methods=["GET"]),
    ]
    if static.is_dir():
        routes.append(Mount("/", StaticFiles(directory=static)))
    app = Starlette(
        routes=routes, exception_handlers={CommonweightError: _known, HTTPException: _http, Exception: _bug}
    )
    return Guard(app, hosts)


# --- errors -----------------------------------------------------------------------------------------------------------


async def _known(_request: Request, error: Exception) -> Response:
    assert isinstance(error, CommonweightError)
    status = 500
    kinds = ((_BadBody, 400), (TransactionReverted, 409), (ConfigError, 404), (ChainError, 503), (SetupError, 507))
    for kind, code in kinds:
        if isinstance(error, kind):
            status = code
            break
    return JSONResponse(error_json(error), status_code=status, headers={"Cache-Control": "no-store"})


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    hint = "docs/web-api.md lists what there is." if error.status_code == 404 else ""
    shown = {"error": "Refused", "what": f"{error.detail}.", "why": "", "hint": hint}
    return JSONResponse(shown, status_code=error.status_code, headers=dict(error.headers or {}))


async def _bug(_request: Request, error: Exception) -> Response:
    log.error("dashboard: a request failed", exc_info=error)
    shown = {"error": "LocalProtocolError", "what": "The dashboard made a mistake.", "why": "", "hint": "See its log."}
    return JSONResponse(shown, status_code=500)


async def _nothing_there(_request: Request) -> Response:
    raise HTTPException(404, "There is nothing of that name")


# --- the page ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Page:
    """The page itself."""

    static: Path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = self.static / "index.html"
        response: Response
        if path.is_file():
            response = FileResponse(path, headers={"Cache-Control": "no-cache"})
        else:
            shown = {
                "error": "Refused",
                "what": "The page is not installed.",
                "why": "",
                "hint": "The interface is under /api/.",
            }
            response = JSONResponse(shown, status_code=404)
        await response(scope, receive, send)


# --- reading and acting -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Api:
    hub: Hub
    outlet: Outlet

    async def snapshot(self, request: Request) -> Response:
        asked = request.query_params.get("sections")
        names = [name for name in asked.split(",") if name] if asked is not None else list(SECTIONS)
        text, tag = self.hub.snapshot(list(dict.fromkeys(names[: len(SECTIONS)])))
        headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(text, media_type="application/json", headers=headers)

    async def round(self, request: Request) -> Response:
        number = require_number(request.path_params["number"], "round")
        return _fresh(round_of(self.hub.world, number))

    async def proposal(self, request: Request) -> Response:
        number = require_number(request.path_params["number"], "proposal")
        return _fresh(proposal_of(self.hub.world, number))

    async def release(self, request: Request) -> Response:
        number = require_number(request.path_params["number"], "release")
        return _fresh(release_of(self.hub.world, number))

    async def explain(self, request: Request) -> Response:
        what, parts = request.path_params["what"], (request.path_params["id"],)
        past = self.hub.world.past
        past = replace(past, events=past.events[: past.state.events])  # what comes meanwhile is for the next answer
        # Folding the past anew takes a second on long histories: not on the loop that serves everybody.
        found = await asyncio.to_thread(explanations.explain, past, what, parts)
        return _fresh(found.to_json())

    async def health(self, _request: Request) -> Response:
        found = self.hub.health()
        return _fresh(found, 200 if found["ok"] else 503)

    async def act(self, request: Request) -> Response:
        body = _json(await request.body())
        prepared, sender = _prepared(self.hub, request.path_params["name"], body, self.outlet.account)
        if self.outlet.send is None:
            if sender is not None:
                await self._require_possible(sender, prepared)
            return _fresh({"mode": "wallet", "transactions": [self._unsigned(one) for one in prepared]})
        if not hmac.compare_digest(request.headers.get(TOKEN_HEADER, "").encode(), self.outlet.token.encode()):
            raise HTTPException(403, f"Signing needs the token of the start URL, in the header {TOKEN_HEADER}")
        assert self.outlet.account is not None
        if sender not in (None, self.outlet.account):
            raise ConfigError(f"This server signs for {self.outlet.account}, not for {sender}.")
        async with self.outlet.lock:  # one after the other: nonces, and allowances before what needs them
            await self._require_possible(self.outlet.account, prepared)
            await self._publish(prepared)
            sent = [await self._sign(one) for one in prepared]
        return _fresh({"mode": "sign", "transactions": sent})

    async def _publish(self, prepared: list[Prepared]) -> None:
        """Hand what the calls name by CID to the node, before anybody can look for it."""
        if self.outlet.publish is not None:
            for one in prepared:
                if one.publish:
                    await asyncio.to_thread(self.outlet.publish, one.publish)

    async def _require_possible(self, sender: Address, prepared: list[Prepared]) -> None:
        refusal = await self.outlet.check(sender, [one.call for one in prepared])
        if refusal is not None:
            raise refusal

    def _unsigned(self, one: Prepared) -> Mapping[str, str]:
        to, data = self.outlet.encode(one.call)
        chain_id = hex(self.hub.world.terms.chain_id)
        return {"to": to, "data": "0x" + data.hex(), "value": "0x0", "chainId": chain_id, "label": one.label}

    async def _sign(self, one: Prepared) -> Mapping[str, Any]:
        assert self.outlet.send is not None
        receipt = await self.outlet.send(one.call)
        return {"hash": "0x" + receipt.transaction.hex(), "block": receipt.block, "label": one.label}


def _prepared(hub: Hub, name: str, body: Any, signer: Address | None) -> tuple[list[Prepared], Address | None]:
    try:
        return prepare(hub.world, name, body, signer)
    except ConfigError as error:
        if error.what.startswith("There is no "):
            raise
        raise _BadBody(error.what, why=error.why, hint=error.hint) from error


class _BadBody(CommonweightError):
    """A body that is not what an action takes."""


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _BadBody("The body is not JSON.") from error


def _fresh(value: Any, status: int = 200) -> Response:
    return JSONResponse(value, status_code=status, headers={"Cache-Control": "no-store"})


# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Events:
    """Server-sent events, as a bare ASGI application: every message must be taken in time."""

    hub: Hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if scope["method"] == "HEAD":
            await Response(status_code=405, headers={"Allow": "GET"})(scope, receive, send)
            return
        if self.hub.streams >= MOST_STREAMS:
            shown = {
                "error": "Refused",
                "what": f"{MOST_STREAMS} streams are open already.",
                "why": "",
                "hint": "Close a page.",
            }
            await JSONResponse(shown, status_code=503, headers={"Retry-After": "30"})(scope, receive, send)
            return
        since = request.headers.get("last-event-id") or request.query_params.get("since", "")
        self.hub.streams += 1
        try:
            await self._stream(since, receive, send)
        finally:
            self.hub.streams -= 1

    async def _stream(self, since: str, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
        sending = asyncio.ensure_future(self._send_all(since, send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            async with asyncio.timeout(STREAM_SECONDS):
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            pass  # long enough: the page opens another
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, since: str, send: Send) -> None:
        async for message in self.hub.messages(since[:64]):
            await _take(send, message)


async def _take(send: Send, message: Message) -> None:
    async with asyncio.timeout(TAKE_SECONDS):
        await send({"type": "http.response.body", "body": message.encode(), "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""Runs the dashboard: opens chain and index, follows them, serves on loopback, and stops cleanly.

The shell around `node.web`'s pure parts; besides `node.runtime` and the queries the only place there that knows adapters.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from node import queries
from node.adapters.abi import AbiMismatch, contract_abi
from node.adapters.chain_evm import EvmChain
from node.config import Config
from node.dao.advice import explained
from node.index.history import History, open_index
from node.manifest import Manifest, load_manifest
from node.outbox import OUTBOX
from node.ports import Head, Receipt
from node.protocol.cid import cid_from_digest, compute_cid
from node.protocol.errors import CommonweightError, ConfigError, SetupError, TransactionReverted
from node.protocol.hashing import keccak256
from node.protocol.types import Address, Call, Cid
from node.runtime import load_signer
from node.store import sha256, write_atomic
from node.web.chronicle import Chronicle
from node.web.guard import App
from node.web.hub import Hub
from node.web.server import Outlet, make_app
from node.web.world import Decoded, Local, Viewer, World

log = logging.getLogger("commonweight.web")

TESTNETS = frozenset({1_337, 31_337, 17_000, 560_048, 80_002, 84_532, 421_614, 11_155_111, 11_155_420})
"""Chains whose money is worth nothing: only there a server may sign."""
IDLE_SECONDS = 10.0
"""A connection may be without a request for so long."""
MAX_LOCAL_BYTES = 4 << 20
MAX_REQUEST_BYTES = 64 * 1024
MOST_CONNECTIONS = 256
MOST_TRIES = 3
"""How often a request to join is asked for."""
STATUS_SECONDS = 60.0
"""A status older than this is that of a node that runs no more."""

Fetch = Callable[[Cid, int], Awaitable[bytes]]
"""Bytes of a file by CID, at most so many; from a node's own store."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that drops connections on which nothing happens: half a request line, or an answer that nobody takes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self._quiet = 0.0
        self._watch()

    def _watch(self) -> None:
        if self.transport.is_closing():
            if self._quiet >= IDLE_SECONDS:
                self.transport.abort()
                return
        elif self.cycle is not None and not self.cycle.response_complete:
            self._quiet = 0.0  # a request is being answered
        elif self._quiet >= IDLE_SECONDS:
            self.transport.abort()
            return
        self._quiet += IDLE_SECONDS / 4
        self._timer = self.loop.call_later(IDLE_SECONDS / 4, self._watch)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        self._timer.cancel()
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


@dataclass(frozen=True, slots=True)
class Served:
    """A dashboard that answers: its address (with the token, where it signs) and its hub."""

    url: str
    port: int
    hub: Hub


@asynccontextmanager
async def serving(
    config: Config, *, port: int, host: str = "127.0.0.1", sign: bool = False, fetch: Fetch | None = None
) -> AsyncIterator[Served]:
    """Serve a network's dashboard for as long as the context is open.

    Args:
        config: settings of the node; its index and status are used, its keystore only with ``sign``.
        port: 0 takes a free one.
        host: address to listen on.
        sign: sign acts with the node's keystore; test networks only.
        fetch: a node's store, for requests to join; None shows their hashes only.

    Raises:
        ConfigError: ``sign`` on a chain whose money is real, or away from this machine.
        SetupError: the port is taken.
        ChainError: the chain does not answer, or holds other contracts.
    """
    manifest = load_manifest(config.network.manifest)
    _require_signable(manifest, host, sign=sign)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(_listen(host, port)))
        bound = int(listener.getsockname()[1])
        signer = load_signer(config) if sign else None
        chain = await EvmChain.connect(
            config.chain.rpc, manifest.chain_id, manifest.contracts, signer=signer, code_hashes=manifest.code_hashes
        )
        await stack.enter_async_context(chain)
        index = open_index(config.node.data, queries.identity_of(manifest))
        stack.callback(index.close)
        history = History(index, chain, manifest.deployment_block)
        files = LocalFiles(config.node.data, fetch)
        stack.push_async_callback(files.close)
        maker = _Maker(
            manifest, Viewer("sign" if sign else "wallet", signer.address if signer else None), files, config
        )
        hub = Hub(history, maker.world, before=files.read)
        token = secrets.token_urlsafe(24) if sign else ""
        outlet = _outlet(chain, manifest, signer.address if signer else None, token, config.node.data / OUTBOX)
        app = make_app(hub, outlet, _hosts(host, bound))
        await hub.poll()
        await stack.enter_async_context(_running(hub, app, listener))
        shown = f"[{host}]" if ":" in host else host
        yield Served(f"http://{shown}:{bound}/{'#token=' + token if token else ''}", bound, hub)


async def serve(config: Config, *, port: int, host: str, fetch: Fetch | None = None) -> None:
    """Serve, read-only, beside a running node; a dashboard that cannot start never stops its node."""
    try:
        async with serving(config, port=port, host=host, fetch=fetch) as served:
            log.info("dashboard on %s", served.url)
            await asyncio.Event().wait()
    except CommonweightError as error:
        log.warning("no dashboard: %s", error)


def _require_signable(manifest: Manifest, host: str, *, sign: bool) -> None:
    if not sign:
        return
    if manifest.chain_id not in TESTNETS:
        raise ConfigError(
            f"This server does not sign on chain {manifest.chain_id}.",
            why="Whoever reaches the page could spend real money; a wallet asks before each act.",
            hint="Leave --sign away and use a wallet.",
        )
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise ConfigError(f"This server does not sign for pages opened through {host}.", hint="Listen on 127.0.0.1.")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(128)
    except OSError as error:
        found.close()
        raise SetupError(
            f"The dashboard cannot listen on {host}, port {port}: {error.strerror}.",
            hint="Name another port, or 0 for a free one; another dashboard may be running.",
        ) from error
    return found


def _hosts(host: str, port: int) -> frozenset[str]:
    """Host headers that name this server."""
    names = {host.lower(), "localhost", "127.0.0.1"} if host in ("127.0.0.1", "localhost") else {host.lower()}
    if host == "::1":
        names |= {"localhost"}
    return frozenset(f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in names)


@asynccontextmanager
async def _running(hub: Hub, app: App, listener: socket.socket) -> AsyncIterator[None]:
    settings = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=16 * 1024,
    )
    server = _Server(settings)
    following = asyncio.create_task(hub.run(), name="dashboard")
    answering = asyncio.create_task(server.serve(sockets=[listener]), name="dashboard-http")
    try:
        while not server.started and not answering.done():  # noqa: ASYNC110 - uvicorn tells by a flag
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await hub.close()
        following.cancel()
        await asyncio.gather(following, answering, return_exceptions=True)


# --- acts -------------------------------------------------------------------------------------------------------------


def _outlet(chain: EvmChain, manifest: Manifest, account: Address | None, token: str, outbox: Path) -> Outlet:
    def encode(call: Call) -> tuple[Address, bytes]:
        data = contract_abi(call.contract).encode_call(call.function, call.arguments)
        return manifest.contracts[call.contract], data

    async def check(sender: Address, calls: Sequence[Call]) -> TransactionReverted | None:
        refusals = await chain.simulate(sender, calls)
        first = next((refusal for refusal in refusals if refusal is not None), None)
        return None if first is None else explained(first)

    async def send(call: Call) -> Receipt:
        try:
            return await chain.send(call)
        except TransactionReverted as error:
            raise explained(error) from error

    def publish(data: bytes) -> None:
        write_atomic(outbox / compute_cid(data), data)

    return Outlet(encode, check, send if account else None, token, account, publish)


def decoder(contracts: Mapping[str, Address]) -> Callable[[Address, bytes], Decoded | None]:
    """Understands calls of these contracts."""
    names = {address.lower(): name for name, address in contracts.items()}

    def decode(target: Address, data: bytes) -> Decoded | None:
        name = names.get(target.lower())
        if name is None:
            return None
        try:
            function, arguments = contract_abi(name).decode_call(data)
        except AbiMismatch:
            return None
        entries = (entry for entry in contract_abi(name).functions[function] if len(entry.inputs) == len(arguments))
        labels = [str(parameter["name"]) for parameter in next(entries).inputs]
        return Decoded(name, function, list(zip(labels, arguments, strict=True)))

    return decode


# --- this machine's files ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class LocalFiles:
    """Reads what lies beside the chain: status, last audit, evaluations in the node's folder; requests to join from its store."""

    folder: Path
    fetch: Fetch | None = None
    status: Mapping[str, Any] | None = None
    local: Local = field(default_factory=Local)
    _tries: dict[int, int] = field(default_factory=dict)
    _running: dict[int, asyncio.Task[Mapping[str, Any] | None]] = field(default_factory=dict)

    async def read(self, history: History) -> None:
        """Look again. Never waits for a file from the network: what has come is taken in, the rest goes on coming."""
        status = self._json("status.json")
        self.status = status if status is not None and self._age("status.json") < STATUS_SECONDS else None
        requests = dict(self.local.requests)
        for number, task in list(self._running.items()):
            if task.done():
                del self._running[number]
                found = task.result()
                if found is not None:
                    requests[number] = found
        for number, one in history.state.applications.items():
            wanted = number not in requests and number not in self._running and any(one.request_cid)
            if wanted and self.fetch is not None and self._tries.get(number, 0) < MOST_TRIES:
                self._tries[number] = self._tries.get(number, 0) + 1
                self._running[number] = asyncio.create_task(self._request(one.request_cid, one.request_hash))
        self.local = Local(self._audit(), self._json("evaluations.json"), requests)

    async def close(self) -> None:
        """Give up what has not come."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _request(self, cid: bytes, digest: bytes) -> Mapping[str, Any] | None:
        assert self.fetch is not None
        try:
            data = await self.fetch(cid_from_digest(cid), MAX_REQUEST_BYTES)
        except CommonweightError as error:
            log.info("a request to join could not be had: %s", error)
            return None
        return shown_request(data) if digest in (keccak256(data), sha256(data)) else None

    def _audit(self) -> Mapping[str, Any] | None:
        report = self._json("audit.json")
        return None if report is None else {"at": int((self.folder / "audit.json").stat().st_mtime), **report}

    def _age(self, name: str) -> float:
        return time.time() - (self.folder / name).stat().st_mtime

    def _json(self, name: str) -> Mapping[str, Any] | None:
        path = self.folder / name
        try:
            if path.stat().st_size > MAX_LOCAL_BYTES:
                return None
            value = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


def shown_request(data: bytes) -> Mapping[str, Any] | None:
    """What the page shows of a request to join, version 1 or 2; whoever wrote it may have written anything."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    body = value.get("body")
    shown = _shown_body(body) if isinstance(body, dict) else _shown_plain(value)
    return {**shown, "sample_gain": None}


def _shown_plain(value: Mapping[str, Any]) -> dict[str, Any]:
    repositories = value.get("repositories")
    named = repositories if isinstance(repositories, list) else []
    return {
        "hardware": str(value.get("hardware", ""))[:200],
        "repositories": [str(one)[:100] for one in named[:64]],
        "rows": None,
        "test_set": None,
    }


def _shown_body(body: Mapping[str, Any]) -> dict[str, Any]:
    hardware, data = _object(body.get("hardware")), _object(body.get("data"))
    named, offered = data.get("sources"), body.get("test_sets")
    sources = [_object(one).get("name", "") for one in named[:64]] if isinstance(named, list) else []
    parts = [hardware.get(key) for key in ("system", "machine", "device", "note")]
    rows = data.get("rows")
    test_set = _object(offered[0]) if isinstance(offered, list) and offered else {}
    return {
        "hardware": ", ".join(str(part)[:60] for part in parts if part)[:200],
        "repositories": [str(one)[:100] for one in sources],
        "rows": rows if type(rows) is int and 0 <= rows < 2**53 else None,
        "test_set": {key: str(test_set.get(key, ""))[:100] for key in ("name", "rows", "cid")} if test_set else None,
    }


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


@dataclass(slots=True)
class _Maker:
    """Makes worlds of one deployment."""

    manifest: Manifest
    viewer: Viewer
    files: LocalFiles
    config: Config

    def world(self, history: History, chronicle: Chronicle, head: Head, is_stale: bool) -> World:  # noqa: FBT001 - `hub.Build`
        """One moment."""
        manifest = self.manifest
        governance = manifest.params.governance
        status = self.files.status
        node = None if status is None else {**status, "name": self.config.node.name}
        return World(
            state=history.state,
            events=history.events,
            chronicle=chronicle,
            head=head,
            terms=queries.terms_of(manifest),
            governance={
                "voting_delay": governance.voting_delay,
                "voting_period": governance.voting_period,
                "timelock_delay": governance.timelock_delay,
                "quorum_percent": governance.quorum_percent,
                "unlock_delay": governance.unlock_delay,
            },
            name="local network" if manifest.chain_id in (1_337, 31_337) else f"chain {manifest.chain_id}",
            is_testnet=manifest.chain_id in TESTNETS,
            decode=decoder(manifest.contracts),
            is_stale=is_stale,
            viewer=Viewer(self.viewer.mode, self.viewer.account, node),
            local=self.files.local,
        )

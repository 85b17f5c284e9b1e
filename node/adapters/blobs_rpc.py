"""The BlobStore port on an external Kubo (or IPFS Cluster proxy) by its RPC interface, ``/api/v0``.

Bytes go through httpx: content up in one streamed form, content down block by block, each bounded, hashed and checked as
in the embedded store, because an RPC endpoint is trusted no more than a peer. The small control calls (id, pin, dial)
go through ipfshttpclient; its version check refuses every Kubo of the last years, so the client is made directly.

RPC reference: https://docs.ipfs.tech/reference/kubo/rpc/
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from node.protocol.cid import MAX_BLOCK_BYTES, FileWalk, cid_from_digest, compute_cid, digest_from_cid
from node.protocol.errors import BlobCorrupt, BlobStoreDown, BlobUnavailable, ConfigError
from node.protocol.types import Cid

if TYPE_CHECKING:
    from ipfshttpclient import Client

log = logging.getLogger(__name__)

_PARALLEL: Final = 16
_PUT_SECONDS: Final = 120.0
_CONTROL_SECONDS: Final = 20.0
_MAX_ANSWER_BYTES: Final = 65_536


class RpcStore:
    """Blobs in an external Kubo. Make one with `start`; it is also an asynchronous context manager."""

    def __init__(self, url: httpx.URL) -> None:
        self._url = url
        self._http = httpx.AsyncClient(base_url=url.join("/api/v0/"), timeout=_PUT_SECONDS, trust_env=False)
        self._parallel = asyncio.Semaphore(_PARALLEL)
        self._control_lock = asyncio.Lock()  # the client shares one HTTP session
        self._control: Client = _control_client(url)
        self._addresses: tuple[str, ...] = ()

    @classmethod
    async def start(cls, url: str) -> Self:
        """Connect to the RPC endpoint, e.g. ``http://127.0.0.1:5001``.

        Raises:
            ConfigError: not an http(s) URL.
            BlobStoreDown: nothing answers there.
        """
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            parsed = httpx.URL()
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise ConfigError(f"{url!r} is not the URL of an IPFS RPC endpoint.", hint="Try http://127.0.0.1:5001.")
        store = cls(parsed)
        try:
            said = await store._ask(lambda client: client.id())
        except BaseException:
            await store.close()
            raise
        store._addresses = tuple(str(address)[:256] for address in (said.get("Addresses") or ())[:64])
        return store

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def addresses(self) -> Sequence[str]:
        """Multiaddrs on which the endpoint's node can be dialled, as it said at the start."""
        return self._addresses

    async def put(self, data: bytes) -> Cid:
        """Store and pin; the CID is that of `compute_cid`.

        Raises:
            BlobStoreDown: the endpoint does not answer or refuses.
            BlobCorrupt: it stored something else.
        """
        cid = await asyncio.to_thread(compute_cid, data)
        options = {"pin": "true", "cid-version": "0", "raw-leaves": "false", "chunker": "size-262144"}
        try:
            async with self._http.stream("POST", "add", params=options, files={"file": ("blob", data)}) as answer:
                body = await _bounded(answer, _MAX_ANSWER_BYTES)
        except httpx.HTTPError as error:
            raise self._down(error) from error
        if answer.status_code != httpx.codes.OK:
            raise self._down(_reason(body))
        said = _reason(body.strip().rpartition(b"\n")[2], "Hash")
        if said != cid:
            raise BlobCorrupt(f"The IPFS node stored the content as {said[:64]!r}, but its CID is {cid}.")
        return cid

    async def get(self, cid: Cid, *, max_bytes: int, seconds: float) -> bytes:
        """Fetch, verify every block, and pin.

        Raises:
            BlobUnavailable: nobody served it within ``seconds``.
            BlobTooLarge: it is longer than ``max_bytes``.
            BlobCorrupt: bytes differ from the CID.
            BlobStoreDown: the endpoint does not answer.
        """
        walk = FileWalk(cid, max_bytes=max_bytes, batch=4 * _PARALLEL)
        try:
            async with asyncio.timeout(seconds):
                while walk.data is None:
                    await asyncio.to_thread(walk.feed, await self._blocks(walk.wanted, seconds))
                await self._ask(lambda client: client.pin.add(cid))
        except (TimeoutError, httpx.TimeoutException) as error:
            raise BlobUnavailable(
                f"Nobody served {cid} within {seconds:g} s.",
                why="No peer of the IPFS node has it, or the connection is too slow.",
            ) from error
        except httpx.HTTPError as error:
            raise self._down(error) from error
        return walk.data

    async def unpin(self, cid: Cid) -> None:
        """Let go of it; unknown CIDs are ignored."""
        digest_from_cid(cid)
        await self._ask(lambda client: client.pin.rm(cid), best_effort=True)

    async def connect(self, address: str) -> None:
        """Dial another store's multiaddr (best effort)."""
        await self._ask(lambda client: client.swarm.connect(address), best_effort=True)

    async def close(self) -> None:
        """Close the connections; the external node keeps running."""
        await self._http.aclose()
        self._control.close()

    async def _blocks(self, digests: Sequence[bytes], seconds: float) -> dict[bytes, bytes]:
        unique = tuple(dict.fromkeys(digests))
        tasks = [asyncio.ensure_future(self._block(digest, seconds)) for digest in unique]
        try:
            return dict(zip(unique, await asyncio.gather(*tasks), strict=True))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _block(self, digest: bytes, seconds: float) -> bytes:
        """One block, bounded; the walk checks its hash."""
        cid = cid_from_digest(digest)
        options = {"arg": cid, "timeout": f"{seconds:g}s"}
        async with self._parallel, self._http.stream("POST", "block/get", params=options, timeout=seconds) as answer:
            body = await _bounded(answer, MAX_BLOCK_BYTES)
        if answer.status_code != httpx.codes.OK:
            raise BlobUnavailable(f"{cid} could not be fetched.", why=_reason(body))
        return body

    async def _ask(self, call: Callable[[Client], Any], *, best_effort: bool = False) -> Any:
        """A control call in a thread. A refusal is ignored where ``best_effort``."""
        from ipfshttpclient import exceptions  # noqa: PLC0415 - see _control_client

        async with self._control_lock:
            try:
                return await asyncio.to_thread(call, self._control)
            except exceptions.Error as error:
                if not best_effort:
                    raise self._down(error) from error
                log.info("the IPFS node at %s refused: %s", self._url.host, error)
        return None

    def _down(self, why: object) -> BlobStoreDown:
        return BlobStoreDown(
            f"The IPFS node at {self._url.host}:{self._url.port or ''} does not serve us.",
            why=str(why)[:500],
            hint="Is it running, and is this its RPC address (not the gateway)?",
        )


def _control_client(url: httpx.URL) -> Client:
    from ipfshttpclient import Client  # noqa: PLC0415 - slow to import, and most nodes run the embedded store

    kind = "ip6" if ":" in url.host else "ip4" if url.host.replace(".", "").isdigit() else "dns"
    port = url.port or (443 if url.scheme == "https" else 80)
    return Client(f"/{kind}/{url.host}/tcp/{port}/{url.scheme}", session=True, timeout=_CONTROL_SECONDS)


async def _bounded(answer: httpx.Response, limit: int) -> bytes:
    """The body, if it is not longer than ``limit``."""
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > limit:
            raise BlobCorrupt(f"The IPFS node sent more than {limit} bytes where fewer were due.")
    return bytes(body)


def _reason(body: bytes, name: str = "Message") -> str:
    """A field of the endpoint's JSON answer, as text to show."""
    with contextlib.suppress(ValueError):
        said = json.loads(body)
        if isinstance(said, dict):
            return str(said.get(name, ""))[:500]
    return body[:200].decode("utf-8", "replace")

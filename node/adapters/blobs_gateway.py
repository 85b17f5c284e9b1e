"""The BlobStore port on an IPFS gateway: to read, not to keep. Every block is asked for raw and checked against its hash.

Specification: https://specs.ipfs.tech/http-gateways/trustless-gateway/ (``application/vnd.ipld.raw``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import httpx

from node.protocol.cid import MAX_BLOCK_BYTES, FileWalk, cid_from_digest
from node.protocol.errors import BlobCorrupt, BlobStoreDown, BlobUnavailable, ConfigError, LocalProtocolError
from node.protocol.types import Cid

_PARALLEL: Final = 16
_RAW: Final = "application/vnd.ipld.raw"
_BUSY: Final = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE})
_PAUSE: Final = 1.0


class GatewayStore:
    """Files as a gateway serves them; nothing can be put there.

    Args:
        url: of the gateway, e.g. ``https://ipfs.io``.

    Raises:
        ConfigError: not an http(s) URL.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            parsed = httpx.URL()
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise ConfigError(f"{url!r} is not the URL of an IPFS gateway.", hint="Try http://127.0.0.1:8080.")
        self._url = parsed
        self._http = httpx.AsyncClient(base_url=parsed, trust_env=False, follow_redirects=False)
        self._parallel = asyncio.Semaphore(_PARALLEL)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def addresses(self) -> Sequence[str]:
        """Nobody dials a gateway."""
        return ()

    async def put(self, data: bytes) -> Cid:
        """Refuse: a gateway serves, it does not store.

        Raises:
            LocalProtocolError: always.
        """
        raise LocalProtocolError(f"{len(data)} bytes cannot be stored in a gateway.", hint="Use ipfs.mode kubo or rpc.")

    async def get(self, cid: Cid, *, max_bytes: int, seconds: float) -> bytes:
        """Fetch and verify every block.

        Raises:
            BlobUnavailable: the gateway did not serve it within ``seconds``.
            BlobTooLarge: it is longer than ``max_bytes``.
            BlobCorrupt: bytes differ from the CID.
            BlobStoreDown: the gateway does not answer.
        """
        walk = FileWalk(cid, max_bytes=max_bytes, batch=4 * _PARALLEL)
        try:
            async with asyncio.timeout(seconds):
                while walk.data is None:
                    blocks = await self._blocks(walk.wanted, seconds)
                    await asyncio.to_thread(walk.feed, blocks)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise BlobUnavailable(
                f"The gateway did not serve {cid} within {seconds:g} s.",
                why="It has no peer that holds it, or the connection is too slow.",
            ) from error
        except httpx.HTTPError as error:
            raise BlobStoreDown(f"The gateway {self._url.host} does not answer.", why=str(error)[:500]) from error
        return walk.data

    async def unpin(self, cid: Cid) -> None:
        """Nothing is kept."""

    async def connect(self, address: str) -> None:
        """A gateway chooses its own peers."""

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _blocks(self, digests: Sequence[bytes], seconds: float) -> dict[bytes, bytes]:
        unique = tuple(dict.fromkeys(digests))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._caught(digest, seconds)) for digest in unique]
        answers = [task.result() for task in tasks]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return {digest: answer for digest, answer in zip(unique, answers, strict=True) if isinstance(answer, bytes)}

    async def _caught(self, digest: bytes, seconds: float) -> bytes | Exception:
        """One block, or why not: the first error ends the walk, not a group of errors."""
        try:
            return await self._block(digest, seconds)
        except (BlobUnavailable, BlobCorrupt, httpx.HTTPError) as error:
            return error

    async def _block(self, digest: bytes, seconds: float) -> bytes:
        """One block, bounded; the walk checks its hash. A gateway that is busy is asked again."""
        cid = cid_from_digest(digest)
        while True:
            async with (
                self._parallel,
                self._http.stream(
                    "GET", f"/ipfs/{cid}", params={"format": "raw"}, headers={"Accept": _RAW}, timeout=seconds
                ) as answer,
            ):
                if answer.status_code == httpx.codes.OK:
                    return await _bounded(answer)
                status = answer.status_code
            if status not in _BUSY:
                raise BlobUnavailable(f"The gateway does not serve {cid}.", why=f"It answered with status {status}.")
            await asyncio.sleep(_PAUSE)


async def _bounded(answer: httpx.Response) -> bytes:
    """The body, if it is no longer than a block may be."""
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > MAX_BLOCK_BYTES:
            raise BlobCorrupt(f"The gateway sent more than {MAX_BLOCK_BYTES} bytes for one block.")
    return bytes(body)

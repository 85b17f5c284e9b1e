"""Files of a community for a command: fetched by CID and checked by hash; published through the running node."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from node.config import Config
from node.dao.desk import Desk
from node.outbox import OUTBOX
from node.ports import BlobStore
from node.protocol.cid import cid_from_digest, compute_cid
from node.protocol.errors import BlobCorrupt, BlobStoreDown
from node.protocol.guideline import MAX_BYTES as GUIDELINE_BYTES
from node.protocol.guideline import Guideline
from node.protocol.hashing import keccak256
from node.protocol.types import Cid
from node.runtime import open_blobs
from node.store import NodeStore, sha256, write_atomic

PUBLISH_SECONDS = 30.0
"""How long a running node gets to take a file out of its outbox."""
NOTES_BYTES = 256 * 1024
BENCHMARK_BYTES = 64 << 20


class Files(Protocol):
    """What a command needs of IPFS."""

    async def get(self, cid: Cid, *, max_bytes: int) -> bytes:
        """Bytes of a CID, verified."""
        ...

    async def publish(self, data: bytes) -> Cid:
        """Make bytes available to others for good."""
        ...


@dataclass(slots=True)
class CommandFiles:
    """Files of a command: a store of its own to fetch with, which ends with the command; the node's outbox to publish through.

    Attributes:
        config: settings of the node.
        store: opened store, or None before it is needed.
    """

    config: Config
    folder: Path
    store: BlobStore | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self, cid: Cid, max_bytes: int) -> bytes:
        """`get`, as what reads requests to join calls it."""
        return await self.get(cid, max_bytes=max_bytes)

    async def get(self, cid: Cid, *, max_bytes: int) -> bytes:
        """Bytes of a CID: the public benchmark from our own disk, anything else from IPFS.

        Raises:
            BlobUnavailable, BlobTooLarge, BlobCorrupt: it could not be had.
        """
        with suppress(OSError):
            public = self.config.network.public_benchmark.read_bytes()
            if len(public) <= max_bytes and compute_cid(public) == cid:
                return public
        store = await self._opened()
        return await store.get(cid, max_bytes=max_bytes, seconds=self.config.pace.fetch_seconds)

    async def publish(self, data: bytes) -> Cid:
        """Hand bytes to the running node, which stores and serves them; an external store takes them itself.

        Raises:
            BlobStoreDown: no node took them.
        """
        if self.config.ipfs.mode == "rpc":
            return await (await self._opened()).put(data)
        cid = compute_cid(data)
        path = self.config.node.data / OUTBOX / cid
        write_atomic(path, data)
        end = asyncio.get_running_loop().time() + PUBLISH_SECONDS
        while path.exists():
            if asyncio.get_running_loop().time() > end:
                path.unlink(missing_ok=True)
                raise BlobStoreDown(
                    f"The node did not take {cid} within {PUBLISH_SECONDS:.0f} s.",
                    why="A command's own store ends with the command; what it publishes must be served by a running node.",
                    hint="Start it with `commonweight node run`, or set ipfs.mode to rpc.",
                )
            await asyncio.sleep(0.1)
        return cid

    async def _opened(self) -> BlobStore:
        async with self._opening:
            if self.store is None:
                self.store = await open_blobs(self.config, self.folder / "ipfs")
                for address in own_addresses(self.config):
                    await self.store.connect(address)
            return self.store


def own_addresses(config: Config) -> list[str]:
    """Where our own node's store can be dialled, if it runs: what it said last."""
    with suppress(OSError, ValueError, TypeError):
        status = json.loads((config.node.data / "status.json").read_bytes())
        return [str(address) for address in status["ipfs"]]
    return []


@asynccontextmanager
async def open_files(config: Config) -> AsyncIterator[CommandFiles]:
    """Files of one command; its store starts when something is fetched and ends with it."""
    with tempfile.TemporaryDirectory(prefix="commonweight-") as folder:
        files = CommandFiles(config, Path(folder))
        try:
            yield files
        finally:
            if files.store is not None:
                await files.store.close()


async def fetch(files: Files, cid: Cid, content_hash: bytes, *, max_bytes: int) -> bytes:
    """Bytes of a CID with the SHA-256 that the chain names.

    Raises:
        BlobCorrupt: they hash to something else.
    """
    data = await files.get(cid, max_bytes=max_bytes)
    if sha256(data) != content_hash:
        raise BlobCorrupt(
            f"{cid} does not have the hash that the chain names.", why="Hash and CID on chain are of different files."
        )
    return data


async def checkpoint(desk: Desk, files: Files, digest: bytes, cid: Cid, max_bytes: int) -> bytes:
    """A checkpoint: from our node's folder, or from peers.

    Raises:
        BlobUnavailable, BlobTooLarge, BlobCorrupt: it could not be had.
    """
    known = NodeStore(desk.config.node.data).load_model(digest)
    return known if known is not None else await fetch(files, cid, digest, max_bytes=max_bytes)


async def guideline_of(desk: Desk, files: Files, epoch: int) -> Guideline:
    """The guideline of an epoch: our own file where it is that one, else by its CID.

    Raises:
        BlobCorrupt: the bytes are not the epoch's.
    """
    found = await desk.read("GuidelineRegistry", "epochOf", epoch)
    wanted = found["guidelineHash"]
    with suppress(OSError):
        data = desk.config.network.guideline.read_bytes()
        mine = Guideline.parse(data)
        if mine.hash == wanted:
            return mine
    data = await files.get(cid_from_digest(found["guidelineCid"]), max_bytes=GUIDELINE_BYTES)
    if keccak256(data) != wanted:
        raise BlobCorrupt(f"The guideline of epoch {epoch} does not have the hash that the chain names.")
    return Guideline.parse(data)

"""Files of a command that may run beside its node or instead of it.

If no node of this folder runs, the command opens the node's own IPFS store: what it publishes is pinned there, and served by the
node once it starts. If one runs, the store is the node's alone; then `node.dao.files` publishes through its outbox.
"""

from __future__ import annotations

import fcntl
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from node.adapters.gossip_libp2p import LibP2PGossip
from node.config import Config
from node.dao.files import Files, open_files
from node.manifest import Manifest
from node.ports import BlobStore
from node.protocol.errors import ConfigError
from node.protocol.types import Cid
from node.runtime import open_blobs


def is_running(config: Config, part: str = "ipfs") -> bool:
    """Whether a node works in this folder now: it keeps the lock of its IPFS store, or of its gossip host (``part`` p2p)."""
    try:
        with (config.node.data / part / "host.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@dataclass(slots=True)
class OwnFiles:
    """The node's own store, opened by a command in its place."""

    config: Config
    store: BlobStore

    async def get(self, cid: Cid, *, max_bytes: int) -> bytes:
        """Bytes of a CID.

        Raises:
            BlobUnavailable, BlobTooLarge, BlobCorrupt: it could not be had.
        """
        return await self.store.get(cid, max_bytes=max_bytes, seconds=self.config.pace.fetch_seconds)

    async def publish(self, data: bytes) -> Cid:
        """Pin bytes in the node's store; others get them while a store of this folder is up."""
        return await self.store.put(data)


@asynccontextmanager
async def open_shelf(config: Config) -> AsyncIterator[Files]:
    """Files for a command of this node."""
    async with AsyncExitStack() as stack:
        if config.ipfs.mode == "rpc" or is_running(config):
            yield await stack.enter_async_context(open_files(config))
            return
        store = await open_blobs(config, config.node.data / "ipfs")
        stack.push_async_callback(store.close)
        yield OwnFiles(config, store)


async def own_peer_id(config: Config, manifest: Manifest) -> str:
    """Our libp2p peer id: what the running node said, or that of the identity in the keys' folder (made if there is none).

    Raises:
        ConfigError: the node runs, and does not say.
    """
    if is_running(config, "p2p"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads((config.node.data / "status.json").read_bytes())["peer_id"])
        raise ConfigError(
            "The running node has no peer id.",
            hint="Give it a role that gossips (trainer), or stop it for this command.",
        )
    with tempfile.TemporaryDirectory(prefix="commonweight-") as folder:
        gossip = await LibP2PGossip.start(Path(folder), config.keys.folder, topic=manifest.topic)
        try:
            return gossip.peer_id
        finally:
            await gossip.close()

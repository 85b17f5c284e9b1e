"""A folder through which commands publish files: the running node stores, pins and serves what it finds there.

A command's own IPFS store ends with the command, and the node's repository belongs to the node alone; so a command writes
``data/outbox/<cid>`` whole, and the file goes away once it is stored.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from node.ports import BlobStore
from node.protocol.cid import compute_cid
from node.protocol.errors import BlobError, SetupError

log = logging.getLogger("commonweight.outbox")

OUTBOX = "outbox"
MAX_BYTES = 64 << 20


async def empty_outbox(folder: Path, blobs: BlobStore) -> list[str]:
    """Store every file of the outbox that is what its name says, and remove it; returns the CIDs stored.

    A file with another name is left alone: it is still being written, or is nobody's.
    """
    stored = []
    for path in await asyncio.to_thread(_waiting, folder):
        data = await asyncio.to_thread(path.read_bytes)
        if compute_cid(data) != path.name:
            log.warning("%s in the outbox does not have the CID of its name", path.name)
            continue
        await blobs.put(data)
        path.unlink(missing_ok=True)
        stored.append(path.name)
        log.info("published %s, %d bytes", path.name, len(data))
    return stored


def _waiting(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("Qm*")) if path.is_file() and path.stat().st_size <= MAX_BYTES]


async def serve_outbox(folder: Path, blobs: BlobStore, seconds: float = 0.5) -> None:
    """Look into the outbox for ever; a store that is down is tried again."""
    while True:
        try:
            await empty_outbox(folder, blobs)
        except (BlobError, SetupError, OSError) as error:
            log.warning("the outbox waits: %s", error)
        await asyncio.sleep(seconds)

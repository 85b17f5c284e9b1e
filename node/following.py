"""Following the developer guideline: when members vote for another one, a running node takes it over, or refuses and names the line.

A guideline is taken over when a round opens under it, never in the middle of one. A node that cannot honour it takes no part in its
rounds, keeps its stake, and goes on as soon as it can (or the next guideline is one it can honour).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from node.dao.lines import differences
from node.ports import BlobStore, Trainer
from node.protocol.cid import cid_from_digest
from node.protocol.errors import BlobCorrupt, ConfigError
from node.protocol.guideline import MAX_BYTES, Guideline
from node.protocol.guidelines import Epoch
from node.protocol.state import State
from node.store import write_atomic


def require_followable(old: Guideline, new: Guideline) -> None:
    """A node that worked under ``old`` can go on under ``new``: the running model keeps its shape.

    Raises:
        ConfigError: names the first line that cannot be honoured.
    """
    for change in differences(old.documents["architecture"], new.documents["architecture"]):
        raise ConfigError(
            f"The new guideline's architecture.{change.line} is {change.after!r}; "
            f"the running model was founded with {change.before!r}.",
            why="A checkpoint cannot change its shape or base model from one round to the next.",
            hint="Found a new community for another architecture, or vote for the old line again.",
        )


def wanted(state: State) -> Epoch | None:
    """The epoch to work under now: that of the running round, else the one that the next round opens under."""
    found = state.current
    if found is None or found.is_over:
        return state.guidelines.current
    return state.epochs.get(found.epoch)


async def take_over(
    old: Guideline,
    blobs: BlobStore,
    trainer: Trainer | None,
    folder: Path,
    *,
    digest: bytes,
    cid: bytes,
    seconds: float,
    honour: Callable[[Guideline], None],
) -> Guideline:
    """The new guideline, once it is here, ``honour`` does not refuse it, and the trainer works by it.

    Raises:
        BlobError: it could not be had.
        ConfigError, TrainingError: names the line that cannot be honoured.
    """
    new = await fetch_guideline(blobs, folder, digest=digest, cid=cid, seconds=seconds)
    honour(new)
    require_followable(old, new)
    if trainer is not None:
        await trainer.follow(new.learning, new.update.max_bytes)
    return new


def remembered(folder: Path, digest: bytes) -> Guideline:
    """A guideline taken over earlier, from ``folder``.

    Raises:
        ConfigError: this node never had it.
    """
    path = folder / f"{digest.hex()}.json"
    if not path.exists():
        raise ConfigError(
            f"This node never had the guideline {digest.hex()}.",
            hint="Rounds from before it joined are none of its business.",
        )
    return Guideline.parse(path.read_bytes())


async def fetch_guideline(blobs: BlobStore, folder: Path, *, digest: bytes, cid: bytes, seconds: float) -> Guideline:
    """The guideline that the chain names, from ``folder`` or from peers; kept in ``folder``.

    Args:
        blobs: where to fetch it.
        folder: cache of guidelines by hash.
        digest: Keccak-256 of its canonical bytes.
        cid: digest of its CID.
        seconds: longest wait.

    Raises:
        BlobError: it could not be had, or hashes to something else.
        ConfigError: the bytes are no guideline.
    """
    path = folder / f"{digest.hex()}.json"
    data = path.read_bytes() if path.exists() else b""
    if not data:
        data = await blobs.get(cid_from_digest(cid), max_bytes=MAX_BYTES, seconds=seconds)
    guideline = Guideline.parse(data)
    if guideline.hash != digest:
        path.unlink(missing_ok=True)
        raise BlobCorrupt(
            f"{cid_from_digest(cid)} is a guideline with hash {guideline.hash.hex()}; the chain names {digest.hex()}.",
            why="The proposal named a hash and a CID of different files.",
            hint="Members can vote for a guideline with the right CID.",
        )
    write_atomic(path, guideline.canonical)
    return guideline

"""The disk side of the embedded IPFS node: its blocks, what is pinned, and file work off the event loop.

Blocks lie in the "flatfs" folder of a Kubo repository, read and checked by our own code.

A block lies in ``<two characters>/<name>.data``, the name being the base32 of its multihash, the folder its
next-to-last two characters. Kubo returns whatever bytes lie there; here the SHA-256 is checked on every read.
Format: https://github.com/ipfs/go-ds-flatfs (shard function next-to-last/2).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from base64 import b32decode, b32encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import ParamSpec, TypeVar

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")


class DamagedBlock(Exception):
    """A stored block's bytes do not match its name; it has been deleted."""


class FlatFs:
    """The block folder of one repository."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, digest: bytes) -> Path:
        """Where the block with this SHA-256 lies or would lie."""
        name = b32encode(b"\x12\x20" + digest).decode("ascii").rstrip("=")
        return self._folder / name[-3:-1] / f"{name}.data"

    def read(self, digest: bytes) -> bytes | None:
        """The block, or None where it is not stored.

        Raises:
            DamagedBlock: other bytes lay there; the file is gone now, so that it can be fetched again.
        """
        path = self.path(digest)
        try:
            block = path.read_bytes()
        except FileNotFoundError:
            return None
        if sha256(block).digest() != digest:
            path.unlink(missing_ok=True)
            raise DamagedBlock(path.name)
        return block

    def read_all(self, digests: Sequence[bytes]) -> tuple[dict[bytes, bytes], bool]:
        """The blocks of these that lie here intact, and whether one was damaged (and is gone now)."""
        found: dict[bytes, bytes] = {}
        damaged = False
        for digest in digests:
            try:
                block = self.read(digest)
            except DamagedBlock as error:
                log.warning("a stored block was damaged and has been deleted: %s", error)
                damaged = True
            else:
                if block is not None:
                    found[digest] = block
        return found, damaged

    def write(self, digest: bytes, block: bytes) -> None:
        """Store a block, all of it or nothing. OSError when the disk is full."""
        path = self.path(digest)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f"put-{token_hex(8)}")
        try:
            fresh.write_bytes(block)
            fresh.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise

    def usage(self) -> int:
        """Bytes of all blocks."""
        return sum(size for _, size in self._files())

    def collect(self, keep: Callable[[bytes], bool]) -> int:
        """Delete all blocks but those whose digest ``keep`` approves; the bytes freed. Only while no Kubo runs here."""
        freed = 0
        for path, size in self._files():
            digest = _digest(path.name)
            if digest is None or not keep(digest):
                path.unlink(missing_ok=True)
                freed += size
        return freed

    def _files(self) -> list[tuple[Path, int]]:
        found = []
        with contextlib.suppress(FileNotFoundError):
            for shard in os.scandir(self._folder):
                if shard.is_dir():
                    found += [(Path(entry.path), entry.stat().st_size) for entry in os.scandir(shard.path)]
        return found


class Pins:
    """What a store holds on to: one empty file per CID, so that it survives any crash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.cids = {path.name for path in folder.iterdir() if re.fullmatch(r"Qm\w{44}", path.name)}

    def add(self, cid: str) -> None:
        """Hold on to ``cid``."""
        (self._folder / cid).touch()
        self.cids.add(cid)

    def remove(self, cid: str) -> None:
        """Let go of ``cid``, held or not."""
        (self._folder / cid).unlink(missing_ok=True)
        self.cids.discard(cid)


async def in_thread(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """`asyncio.to_thread`, but a cancelled caller waits for the thread: nothing is half written afterwards."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        raise


def _digest(name: str) -> bytes | None:
    """The SHA-256 in a block's file name; None for other files (left-overs of interrupted writes)."""
    text = name.removesuffix(".data")
    try:
        raw = b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        return None
    return raw[2:] if len(raw) == 34 and raw.startswith(b"\x12\x20") else None

"""Blocks on disk: the "flatfs" folder of a Kubo repository, read and checked by our own code.

A block lies in ``<two characters>/<name>.data``, the name being the base32 of its multihash, the folder its
next-to-last two characters. Kubo returns whatever bytes lie there; here the SHA-256 is checked on every read.
Format: https://github.com/ipfs/go-ds-flatfs (shard function next-to-last/2).
"""

from __future__ import annotations

import contextlib
import os
from base64 import b32encode
from collections.abc import Set as AbstractSet
from hashlib import sha256
from pathlib import Path
from secrets import token_hex


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

    def collect(self, keep: AbstractSet[bytes]) -> int:
        """Delete all blocks but those in ``keep``; the bytes freed. Only while no Kubo uses the folder."""
        names = {self.path(digest).name for digest in keep}
        freed = 0
        for path, size in self._files():
            if path.name not in names:
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

"""Results and round checkpoints on disk: every file is whole or not there.

```
FOLDER/cells/<key>.json         a finished cell
FOLDER/rounds/<key>.round       an unfinished cell after its last whole round: one line of JSON, then the server state's bundle
```
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aggregation.errors import AggregationError
from learning.errors import LearningError
from learning.experiment.algorithms import ServerState

FORMAT = 1


class StorageFailed(LearningError):
    """The disk is full or cannot be written; what was whole before still is."""


@dataclass(frozen=True, slots=True)
class RoundCheckpoint:
    """An unfinished cell.

    Attributes:
        state: the server's after its last whole round.
        notes: what the runner needs to go on; plain JSON values.
    """

    state: ServerState
    notes: Mapping[str, Any]


class CorruptCheckpoint(LearningError):
    """A round checkpoint that is damaged or of another version."""


class Store:
    """One folder of results.

    Args:
        folder: made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def result(self, key: str) -> dict[str, Any] | None:
        """A finished cell's result, or None. A file that is not whole JSON of this format counts as not there."""
        try:
            found = json.loads(self._cell(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        whole = isinstance(found, dict) and found.get("format") == FORMAT and found.get("key") == key
        return found if whole else None

    def save_result(self, key: str, result: Mapping[str, Any]) -> None:
        """Write a finished cell, and forget its round checkpoint.

        Raises:
            StorageFailed: the disk.
        """
        text = json.dumps({"format": FORMAT, "key": key, **result}, indent=1, ensure_ascii=False)
        write_atomic(self._cell(key), text.encode() + b"\n")
        self._round(key).unlink(missing_ok=True)

    def forget(self, key: str) -> None:
        """Remove a cell's result and checkpoint, so that it runs again.

        Raises:
            StorageFailed: the disk.
        """
        for path in (self._cell(key), self._round(key)):
            with _disk(path):
                path.unlink(missing_ok=True)

    def results(self) -> Iterator[dict[str, Any]]:
        """Every finished cell in the folder, in order of key."""
        for path in sorted(self.folder.glob("cells/*.json")):
            if (found := self.result(path.stem)) is not None:
                yield found

    def save_round(self, key: str, state: ServerState, notes: Mapping[str, Any]) -> None:
        """Write a round checkpoint, replacing the one before.

        Raises:
            StorageFailed: the disk.
        """
        data = state.to_bytes()
        body = json.dumps({"format": FORMAT, "key": key, "round": state.round, "notes": notes}).encode()
        digest = hashlib.sha256(body + b"\n" + data).hexdigest().encode()
        write_atomic(self._round(key), digest + b"\n" + body + b"\n" + data)

    def load_round(self, key: str) -> RoundCheckpoint | None:
        """The round checkpoint, or None.

        Raises:
            CorruptCheckpoint: it is damaged, or of another cell or version.
        """
        path = self._round(key)
        try:
            digest, _, rest = path.read_bytes().partition(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise CorruptCheckpoint(f"The round checkpoint {path} cannot be read.", why=str(error)) from error
        if hashlib.sha256(rest).hexdigest().encode() != digest:
            raise CorruptCheckpoint(f"The round checkpoint {path} is damaged.", why="Its SHA-256 is another.")
        body, _, data = rest.partition(b"\n")
        try:
            head = json.loads(body)
            if head["format"] != FORMAT or head["key"] != key:
                raise CorruptCheckpoint(f"The round checkpoint {path} is of another cell or version.")
            return RoundCheckpoint(ServerState.from_bytes(data, head["round"]), head["notes"])
        except (ValueError, KeyError, TypeError, AggregationError) as error:
            raise CorruptCheckpoint(f"The round checkpoint {path} cannot be understood.", why=str(error)) from error

    def _cell(self, key: str) -> Path:
        return self.folder / "cells" / f"{key}.json"

    def _round(self, key: str) -> Path:
        return self.folder / "rounds" / f"{key}.round"


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole: temporary file beside it, flush to disk, rename.

    Raises:
        StorageFailed: the disk is full or cannot be written; an older file is kept as it was.
    """
    with _disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise StorageFailed(
            f"The disk that holds {path} is full." if full else f"{path} cannot be written: {error.strerror}.",
            why="Nothing was written in part: finished cells and the last whole round are kept.",
            hint="Free some space and run the same command again; it goes on." if full else "Check its owner and mode.",
        ) from error

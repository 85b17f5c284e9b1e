"""The index file: one community's events in SQLite, with block hashes and a digest that no damaged row survives.

```
meta        identity                             whose events these are: chain, contracts, code
bookmarks block | hash | events | digest       the chain as it was when this block was the last one read
events      block | log_index | timestamp | transaction_hash | contract | name | arguments (node.index.codec)
```
A bookmark is written in one transaction with the events it covers, so a kill at any moment leaves a whole older state. Its digest
is SHA-256 over the digest before it and every event since: whoever reads all events checks all of them. Nothing here is the only copy of
anything: a damaged file is set aside and read anew from the chain.

Several processes may share a file (WAL): an append names the bookmark it follows and is refused where another process was faster.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from node.index import codec
from node.protocol.errors import ConfigError, SetupError
from node.protocol.types import Address, ChainEvent

log = logging.getLogger("commonweight.index")

SCHEMA_VERSION = 1
BUSY_SECONDS = 10.0
"""How long to wait for another process that writes."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE bookmarks (
    block INTEGER PRIMARY KEY, hash BLOB NOT NULL, events INTEGER NOT NULL, digest BLOB NOT NULL
);
CREATE TABLE events (
    block INTEGER NOT NULL, log_index INTEGER NOT NULL, timestamp INTEGER NOT NULL, transaction_hash BLOB NOT NULL,
    contract TEXT NOT NULL, name TEXT NOT NULL, arguments TEXT NOT NULL,
    PRIMARY KEY (block, log_index)
) WITHOUT ROWID;
"""

Notice = Callable[[str], None]
"""Hears what a person should know: that a file was damaged, or of another version, and is read anew."""


class IndexDamaged(Exception):
    """The file does not hold what was written. Never leaves this package: the file is rebuilt."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose events an index holds. An index of another identity is refused, never overwritten."""

    chain_id: int
    deployment_block: int
    contracts: Mapping[str, Address]
    code_hashes: Mapping[str, bytes]

    @property
    def text(self) -> str:
        """Canonical text."""
        return codec.encode(
            {
                "chain_id": self.chain_id,
                "deployment_block": self.deployment_block,
                "contracts": self.contracts,
                "code_hashes": self.code_hashes,
            }
        )


@dataclass(frozen=True, slots=True)
class Bookmark:
    """The chain as it was when ``block`` was the last one read: its hash, the events up to it, and their digest."""

    block: int
    hash: bytes
    events: int
    digest: bytes


class EventIndex:
    """One index file. Make it with `open`; `close` it.

    Attributes:
        path: the file; ``:memory:`` is no file.
    """

    def __init__(self, path: Path | None, identity: Identity, notice: Notice) -> None:
        self.path = path
        self._identity = identity
        self._notice = notice
        self._db = self._connect()

    @classmethod
    def open(cls, path: Path | None, identity: Identity, *, notice: Notice = log.warning) -> Self:
        """Open an index, making it where there is none.

        Args:
            path: the file; None keeps it in memory.
            identity: the community it must belong to.
            notice: hears why a file was read anew.

        Raises:
            ConfigError: the file belongs to another chain or deployment, or was written by a newer version.
            SetupError: the folder cannot be written, or the disk is full.
        """
        with disk_errors(path):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            index = cls(path, identity, notice)
            try:
                index._prepare()
            except (sqlite3.DatabaseError, IndexDamaged) as error:
                if is_disk_error(error):
                    raise
                index.rebuild(str(error))
        return index

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    # --- reading ---

    @property
    def tip(self) -> Bookmark | None:
        """The newest bookmark, None in an empty index."""
        return next(iter(self.bookmarks()), None)

    def bookmarks(self, first: int = 0) -> Iterator[Bookmark]:
        """Bookmarks from the newest backwards, down to block ``first``."""
        query = "SELECT block, hash, events, digest FROM bookmarks WHERE block >= ? ORDER BY block DESC"
        for row in self._db.execute(query, (first,)):
            yield Bookmark(*row)

    def events(self, first: int = 0, last: int | None = None) -> list[ChainEvent]:
        """Events of blocks ``first..last`` (inclusive; None is the tip), in chain order.

        Raises:
            IndexDamaged: a row does not decode.
        """
        query = (
            "SELECT block, log_index, timestamp, transaction_hash, contract, name, arguments FROM events"
            " WHERE block >= ? AND block <= ? ORDER BY block, log_index"
        )
        upper = last if last is not None else (1 << 62)
        return [_event(row) for row in self._db.execute(query, (first, upper))]

    def verified(self, after: Bookmark | None = None) -> tuple[Bookmark | None, list[ChainEvent]] | None:
        """The tip, and all events after a bookmark, held against the digest of every later one.

        Returns:
            None where the index does not continue ``after`` (any more): its events were taken back.

        Raises:
            IndexDamaged: something differs from what was written.
        """
        digest, count, first = (after.digest, after.events, after.block + 1) if after else (bytes(32), 0, 0)
        with self._reading():
            same = "SELECT 1 FROM bookmarks WHERE events = ? AND digest = ?"  # perhaps of a later block: see `thin`
            if after is not None and self._db.execute(same, (count, digest)).fetchone() is None:
                return None
            points = list(self.bookmarks(first))[::-1]
            events = self.events(first)
        place = 0
        for point in points:
            upto = place
            while upto < len(events) and events[upto].block <= point.block:
                upto += 1
            digest, place = extend(digest, events[place:upto]), upto
            if (point.digest, point.events) != (digest, count + place):
                raise IndexDamaged(f"the events up to block {point.block} are not those that were written")
        if place != len(events):
            raise IndexDamaged("events lie beyond the last bookmark")
        return (points[-1] if points else after), events

    # --- writing ---

    def append(self, after: Bookmark | None, block: int, block_hash: bytes, events: Sequence[ChainEvent]) -> bool:
        """Add the events of the blocks after ``after`` up to ``block``, whose hash is ``block_hash``.

        Returns:
            False, and nothing was added, where ``after`` is not the tip (any more): another process was faster.
        """
        point = Bookmark(
            block=block,
            hash=block_hash,
            events=(after.events if after else 0) + len(events),
            digest=extend(after.digest if after else bytes(32), events),
        )
        rows = [
            (e.block, e.log_index, e.timestamp, e.transaction, e.contract, e.name, codec.encode(e.arguments))
            for e in events
        ]
        with disk_errors(self.path), self._writing():
            if self.tip != after:
                return False
            self._db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._db.execute(
                "INSERT INTO bookmarks VALUES (?, ?, ?, ?)", (point.block, point.hash, point.events, point.digest)
            )
        return True

    def roll_back(self, block: int) -> None:
        """Forget everything after a block that is a bookmark; −1 forgets all."""
        with disk_errors(self.path), self._writing():
            self._db.execute("DELETE FROM events WHERE block > ?", (block,))
            self._db.execute("DELETE FROM bookmarks WHERE block > ?", (block,))

    def thin(self, block: int, *, reach: int = 1_024) -> None:
        """Of the bookmarks in the ``reach`` blocks before ``block``, keep those whose events end there: a quiet chain leaves one a block.

        A bookmark that the next one adds no events to says nothing that the next one does not say; digests stay a chain.
        """
        with disk_errors(self.path), self._writing():
            self._db.execute(
                "DELETE FROM bookmarks WHERE block >= ? AND block < ? AND events ="
                " (SELECT next.events FROM bookmarks AS next WHERE next.block > bookmarks.block AND next.block < ?"
                "  ORDER BY next.block LIMIT 1)",
                (block - reach, block, block),
            )

    def rebuild(self, reason: str) -> None:
        """Set the damaged file aside as ``….damaged`` and begin an empty one."""
        self._db.close()
        if self.path is not None:
            aside = self.path.with_name(self.path.name + ".damaged")
            self._notice(
                f"The index {self.path} was damaged ({reason}); it is read anew from the chain, kept as {aside.name}."
            )
            with disk_errors(self.path):
                for suffix in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
                self.path.replace(aside)
        with disk_errors(self.path):
            self._db = self._connect()
            self._prepare()

    # --- the file ---

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None)

    def _prepare(self) -> None:
        """Make or check the schema and the owner."""
        self._db.execute("PRAGMA trusted_schema = OFF")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            self._db.close()
            raise ConfigError(
                f"The index {self.path} has version {version}; this program writes version {SCHEMA_VERSION}.",
                hint="Update the program, or delete the file: it is read anew from the chain.",
            )
        with self._writing():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()  # another process may have made it
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO meta VALUES ('identity', ?)", (self._identity.text,))
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        owner = self._db.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
        if owner is None:
            raise IndexDamaged("it does not say whose it is")
        if owner[0] != self._identity.text:
            self._db.close()
            raise ConfigError(*_whose(self.path, owner[0], self._identity), hint=_WHOSE_HINT)

    def _reading(self) -> AbstractContextManager[None]:
        """One snapshot, whatever other processes write meanwhile."""
        return self._transaction("BEGIN")

    def _writing(self) -> AbstractContextManager[None]:
        return self._transaction("BEGIN IMMEDIATE")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._db.execute(begin)
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # a full disk has ended it already
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


_WHOSE_HINT = "Name the manifest this index was made with, or delete the file: it is read anew from the chain."


def _whose(path: Path | None, text: str, wanted: Identity) -> tuple[str]:
    try:
        found = codec.decode(text)
    except ValueError as error:
        raise IndexDamaged("it does not say whose it is") from error
    if found.get("chain_id") != wanted.chain_id:
        return (f"The index {path} holds chain {found.get('chain_id')}; the manifest says chain {wanted.chain_id}.",)
    return (f"The index {path} belongs to another deployment than the manifest's.",)


def extend(digest: bytes, events: Sequence[ChainEvent]) -> bytes:
    """SHA-256(digest ‖ event₁ ‖ event₂ …), each event as canonical text and a line feed; the digest itself where there is none."""
    if not events:
        return digest
    running = hashlib.sha256(digest)
    for e in events:
        fields = (e.block, e.log_index, e.timestamp, e.transaction.hex(), e.contract, e.name, codec.encode(e.arguments))
        running.update((" ".join(map(str, fields)) + "\n").encode())
    return running.digest()


def _event(row: tuple[int, int, int, bytes, str, str, str]) -> ChainEvent:
    block, log_index, timestamp, transaction, contract, name, text = row
    try:
        arguments = codec.decode(text)
    except (ValueError, TypeError) as error:
        raise IndexDamaged(f"an event of block {block} does not decode: {error}") from error
    return ChainEvent(contract, name, arguments, block, timestamp, transaction, log_index)


def is_disk_error(error: BaseException) -> bool:
    """Whether SQLite failed for the disk's sake, or for another process', not for the file's content."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
    )


@contextmanager
def disk_errors(path: Path | None) -> Iterator[None]:
    """Turn what the disk refuses into an error that says what to do; damage passes through."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if not is_disk_error(error):
            raise
        raise SetupError(
            f"The index {path} cannot be written: {error}.",
            why="Nothing was written in part: the last complete state is kept.",
            hint="Check free space, owner and mode of its folder; another command may be writing to it.",
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENOTDIR, errno.EEXIST):
            raise
        raise SetupError(
            f"The folder of the index {path} cannot be written: {error.strerror}.",
            hint="Check free space, owner and mode; node.data names the folder.",
        ) from error

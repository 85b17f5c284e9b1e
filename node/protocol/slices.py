r"""The file of a sealed slice: the benchmark's rows, and after them, if the steward gives one, the *public update*.

```
rows                                   JSONL of the task (docs/protocol.md), each line ended by \n
#commonweight/public-update/1\n        only where an update follows
bytes of the update to the file's end  as an update travels (`node.combine.encode_update`)
```
No row begins with ``#``, so a file without the second part is what a slice was before there was one. Rows come first: whatever is wrong
behind the marker, they can be read, and every verifier goes on from the same bytes to the same scores.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = b"#commonweight/public-update/"
VERSION = b"1"


@dataclass(frozen=True, slots=True)
class SliceFile:
    """A slice's parts: rows, and the public update as it travels; ``problem`` says why one that was announced is not used."""

    rows: bytes
    public_update: bytes | None = None
    problem: str = ""


def join_slice(rows: bytes, public_update: bytes | None) -> bytes:
    """Bytes of a slice's file; equal parts give equal bytes.

    Raises:
        ValueError: the rows do not end with a line break, or a line of theirs looks like the marker.
    """
    if public_update is None:
        return rows
    if not rows.endswith(b"\n") or _marker(rows) is not None:
        raise ValueError("The rows of a slice must be lines, none of them the marker of a public update.")
    return rows + PREFIX + VERSION + b"\n" + public_update


def split_slice(data: bytes) -> SliceFile:
    """Parts of a slice's file from outside. Neither part is looked into; an unknown version's update is left out."""
    start = _marker(data)
    if start is None:
        return SliceFile(data)
    rows, rest = data[:start], data[start + len(PREFIX) :]
    version, newline, update = rest.partition(b"\n")
    if not newline or version != VERSION:
        return SliceFile(rows, None, f"its version is {version[:16]!r}, this node knows {VERSION!r}")
    return SliceFile(rows, update)


def _marker(data: bytes) -> int | None:
    """Where the first line that begins with the marker starts."""
    if data.startswith(PREFIX):
        return 0
    found = data.find(b"\n" + PREFIX)
    return None if found < 0 else found + 1

r"""Pairs of a query and the function that answers it, and their canonical JSONL. No torch here: nodes read slices without it.

Benchmarks, sealed slices and test sets travel as JSONL, one pair a line, keys sorted, no blanks, UTF-8 without escapes, each line
ended by ``\n``: equal pairs give equal bytes, so a slice can be committed by hash.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from learning.errors import DataError

MAX_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class Pair:
    """One example: a natural-language query and the function that answers it, with where it came from."""

    query: str
    code: str
    repository: str
    path: str
    name: str


_FIELDS = tuple(field.name for field in fields(Pair))


def encode_pairs(pairs: Sequence[Pair]) -> bytes:
    """Canonical JSONL of ``pairs`` (see the module's head)."""
    return b"".join(
        json.dumps(asdict(pair), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        for pair in pairs
    )


def decode_pairs(data: bytes, *, max_bytes: int = 16 << 20, max_rows: int = 100_000) -> list[Pair]:
    """Pairs of a JSONL file from outside.

    Strict: exactly the fields of `Pair`, each a string of at most 20 000 characters, ``query`` and ``code`` not blank.

    Raises:
        DataError: too large, too many rows, or a broken line, whose number (from 1) is named.
    """
    if len(data) > max_bytes:
        raise DataError(f"The data file has {len(data)} bytes; at most {max_bytes} are allowed.")
    lines = data.split(b"\n")
    if lines[-1] != b"":
        raise DataError(
            f"Line {len(lines)} of the data file does not end with a line break.", why="The file may be cut off."
        )
    lines.pop()
    if len(lines) > max_rows:
        raise DataError(f"The data file has {len(lines)} rows; at most {max_rows} are allowed.")
    return [_decode_line(line, number) for number, line in enumerate(lines, 1)]


def _decode_line(line: bytes, number: int) -> Pair:
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise DataError(f"Line {number} of the data file is not JSON.", why=str(error)[:200]) from error
    if not isinstance(row, dict) or set(row) != set(_FIELDS):
        raise DataError(
            f"Line {number} of the data file does not have exactly the fields {', '.join(_FIELDS)}.",
            hint="Write one JSON object a line with these five text fields.",
        )
    for key, value in row.items():
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise DataError(f"Line {number}, field {key!r}: expected text of at most {MAX_TEXT} characters.")
    pair = Pair(**row)
    if not pair.query.strip() or not pair.code.strip():
        raise DataError(f"Line {number} has an empty query or empty code.")
    try:
        line.decode() and encode_pairs([pair])
    except UnicodeEncodeError as error:  # "\ud800" is valid JSON but not text
        raise DataError(f"Line {number} holds a lone surrogate, which is not text.") from error
    return pair

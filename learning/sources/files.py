"""Data files from outside, read as streams: JSONL and plain lines, also gzipped, with every broken line named by file and number.

What is refused and what is skipped:

* a file larger than ``max_bytes`` (after unpacking), or that does not exist: always refused;
* a line that is not UTF-8, not the JSON asked for, or longer than ``max_line`` bytes: refused, or, with ``lenient``, skipped and counted in
  the `ReadReport`, which keeps the first few reasons.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from learning.errors import DataError

T = TypeVar("T")
MAX_BYTES = 8 << 30
MAX_LINE = 4 << 20
_KEPT = 5


@dataclass(slots=True)
class ReadReport:
    """What a reader met.

    Attributes:
        lenient: whether broken lines are skipped and counted.
        lines: lines read, broken ones included.
        skipped: things left out, by reason: lines, files, rows.
        first: the first few of them in words.
    """

    lenient: bool = False
    lines: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    first: list[str] = field(default_factory=list)

    def skip(self, reason: str, what: str) -> None:
        """Count one left-out thing."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        if len(self.first) < _KEPT:
            self.first.append(what)

    def broken(self, error: DataError) -> None:
        """A broken line: raised again unless the reader is lenient, then counted."""
        if not self.lenient:
            raise error
        self.skip("broken lines", error.what)

    def to_mapping(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"lines": self.lines, "skipped": dict(sorted(self.skipped.items())), "first_skipped": list(self.first)}


def read_lines(
    path: Path, report: ReadReport, *, max_bytes: int = MAX_BYTES, max_line: int = MAX_LINE
) -> Iterator[tuple[int, str]]:
    r"""Lines of a text file (``.gz``: unpacked) with their numbers from 1, without line breaks (``\n``, ``\r\n``); blank ones left out.

    Raises:
        DataError: see the module's head.
    """
    total = 0
    with _open(path, max_bytes) as stream:
        number = 0
        while True:
            number += 1
            line = stream.readline(max_line + 1)
            if not line:
                return
            report.lines += 1
            total += len(line)
            if total > max_bytes:
                raise DataError(
                    f"{path} holds more than {max_bytes} bytes.", hint="Split the file, or raise the limit."
                )
            if len(line) > max_line:
                total += _drop_rest(stream, line, max_bytes - total, path)
                report.broken(DataError(f"{path}, line {number}: longer than {max_line} bytes."))
                continue
            try:
                text = line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                report.broken(DataError(f"{path}, line {number}: not UTF-8.", why=str(error)[:200]))
                continue
            if text.strip():
                yield number, text


def read_jsonl(
    path: Path,
    convert: Callable[[Mapping[str, Any]], T],
    report: ReadReport,
    *,
    max_bytes: int = MAX_BYTES,
    max_line: int = MAX_LINE,
) -> Iterator[T]:
    """``convert`` of the JSON object on each line; a `DataError` it raises is given the file and the line's number.

    Raises:
        DataError: see the module's head.
    """
    for number, text in read_lines(path, report, max_bytes=max_bytes, max_line=max_line):
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            report.broken(DataError(f"{path}, line {number}: not JSON.", why=str(error)[:200]))
            continue
        if not isinstance(row, dict):
            report.broken(DataError(f"{path}, line {number}: not a JSON object."))
            continue
        try:
            found = convert(row)
        except DataError as error:
            report.broken(DataError(f"{path}, line {number}: {error.what}", why=error.why, hint=error.hint))
            continue
        yield found


def text_field(row: Mapping[str, Any], *names: str, default: str | None = None) -> str:
    """The first of these fields as text; numbers become text.

    Raises:
        DataError: none is there and there is no ``default``, a value is neither text nor a whole number, or text holds a lone surrogate.
    """
    for name in names:
        value = row.get(name)
        if value is None:
            continue
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise DataError(f"the field {name!r} is not text.")
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise DataError(f"the field {name!r} holds a lone surrogate, which is not text.")
        return value
    if default is not None:
        return default
    raise DataError(f"the field {' or '.join(map(repr, names))} is missing.")


def tokens_field(row: Mapping[str, Any], *names: str) -> str | None:
    """The first of these fields, a list of texts, joined by blanks with white space collapsed; None if there is none.

    Raises:
        DataError: a field is not a list of texts.
    """
    for name in names:
        value = row.get(name)
        if value is None:
            continue
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise DataError(f"the field {name!r} is not a list of texts.")
        return " ".join(text_field({name: " ".join(value)}, name).split())
    return None


def label_field(row: Mapping[str, Any], *names: str) -> int:
    """The first of these fields as a label 0 or 1 (also ``"0"``, ``"1"``, true, false).

    Raises:
        DataError: missing, or another value.
    """
    for name in names:
        value = row.get(name)
        if value is None:
            continue
        if value in (0, 1):
            return int(value)
        if value in ("0", "1"):
            return int(value)
        raise DataError(f"the label {name!r} is {str(value)[:40]!r}, not 0 or 1.")
    raise DataError(f"the field {' or '.join(map(repr, names))} is missing.")


def write_jsonl(path: Path, rows: Iterator[Mapping[str, Any]]) -> None:
    """One object a line, keys sorted, no blanks, UTF-8: equal rows give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n")


@contextmanager
def _open(path: Path, max_bytes: int) -> Iterator[IO[bytes]]:
    packed = path.suffix == ".gz"
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise DataError(f"{path} holds {size} bytes, more than {max_bytes}.", hint="Split it, or raise the limit.")
        with path.open("rb") as raw:
            if packed:
                with gzip.open(raw, "rb") as unpacked:
                    yield cast(IO[bytes], unpacked)
            else:
                yield raw
    except OSError as error:  # also a damaged gzip file
        raise DataError(f"{path} cannot be read.", why=str(error)[:200]) from error
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path} is cut off or damaged.", why=str(error)[:200]) from error


def _drop_rest(stream: IO[bytes], line: bytes, budget: int, path: Path) -> int:
    """Read past the rest of an overlong line; returns how many bytes that was."""
    dropped = 0
    while line and not line.endswith(b"\n"):
        line = stream.readline(1 << 20)
        dropped += len(line)
        if dropped > budget:
            raise DataError(f"{path} holds more bytes than allowed, in one line.", hint="Is this a text file?")
    return dropped

"""A repository on disk as a source of (query, code) pairs: which files, how many, in what order, cached.

Works the same for an installed package and for an organisation's own checkout (`folder`). Files are read, never imported.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from learning.errors import DataError
from learning.sources.files import ReadReport
from learning.sources.near_duplicates import SeenBefore
from learning.sources.python_functions import functions
from learning.tasks.pairs import Pair, decode_pairs, encode_pairs

MAX_FILE_BYTES = 400_000
MAX_PAIRS_PER_FILE = 24
MAX_FILES = 50_000
_CACHE_FORMAT = 1  # raise it when extraction changes, so that old caches are not read
_SKIPPED = re.compile(
    r"(^|/)(tests?|testing|_tests?|_?vendor(ed)?|_vendored_packages|extern(al)?|site-packages|dist-packages|node_modules|"
    r"migrations|locale|examples?|build|\.[^/]*|__pycache__)/|(^|/)(test_[^/]*|[^/]*_test|conftest|setup)\.py$"
)


@dataclass(frozen=True, slots=True)
class Repository:
    """A named, versioned tree of Python files.

    Attributes:
        name: distribution or project name.
        version: part of the cache key; a new version is read anew.
        root: folder that the file names are relative to.
        files: relative POSIX paths, sorted, tests and vendored code left out.
        size: total bytes of ``files``.
    """

    name: str
    version: str
    root: Path
    files: tuple[str, ...] = field(repr=False)
    size: int

    @property
    def identity(self) -> str:
        """SHA-256 over name, version and file list (hex): what a cache entry depends on, and what a data statement may cite."""
        text = "\0".join((self.name, self.version, *self.files))
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def wanted(path: str) -> bool:
    """Whether a relative POSIX path is Python source worth reading (no tests, vendored copies, examples, migrations)."""
    return path.endswith(".py") and _SKIPPED.search(path) is None


def folder(root: Path, *, name: str = "", version: str = "") -> Repository:
    """An organisation's own checkout as a repository.

    Raises:
        DataError: no such folder, or more than 50 000 Python files.
    """
    if not root.is_dir():
        raise DataError(f"The repository folder {root} does not exist.", hint="Point the data setting at a checkout.")
    files: list[str] = []
    size = 0
    for base, folders, names in os.walk(root):  # does not follow links
        folders[:] = [f for f in folders if not f.startswith(".") and f != "__pycache__"]
        for file in names:
            path = Path(base, file)
            relative = path.relative_to(root).as_posix()
            if wanted(relative) and path.is_file() and not path.is_symlink():
                files.append(relative)
                size += path.stat().st_size
        if len(files) > MAX_FILES:
            raise DataError(
                f"The repository folder {root} holds more than {MAX_FILES} Python files.", hint="Choose a smaller tree."
            )
    return Repository(name or root.name, version, root, tuple(sorted(files)), size)


def extract_pairs(repository: Repository, *, limit: int, seed: int = 0, cache: Path | None = None) -> list[Pair]:
    """At most ``limit`` pairs of a repository, near-duplicates removed, in an order drawn by ``seed``.

    Files are visited in the order of SHA-256(seed, path) and reading stops once ``limit`` pairs are found, so the cost follows
    ``limit`` and not the size of the repository. No file gives more than 24 pairs. Files over 400 kB, not UTF-8, or gone are skipped.

    Args:
        repository: where to read.
        limit: most pairs wanted, ≥ 0.
        seed: fixes which files come first.
        cache: folder for results, or None. Damaged entries are made anew.
    """
    entry = None
    if cache is not None:
        key = f"{_CACHE_FORMAT}\0{repository.identity}\0{limit}\0{seed}"
        entry = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.jsonl"
        if entry.is_file():
            try:
                return decode_pairs(entry.read_bytes(), max_rows=limit)
            except DataError:
                pass  # cut off or from another version: extract again and overwrite
    pairs = _extract(repository, limit, seed)
    if entry is not None:
        _write_atomically(entry, encode_pairs(pairs))
    return pairs


def visit(repository: Repository, seed: int, report: ReadReport) -> Iterator[tuple[str, str]]:
    """Path and text of a repository's files in the order of SHA-256(seed, path), read one at a time.

    A file over 400 kB, not UTF-8, or gone is skipped and counted in ``report``.
    """
    for path in sorted(repository.files, key=lambda p: _draw(seed, p)):
        full = repository.root / path
        try:
            if full.stat().st_size > MAX_FILE_BYTES:
                report.skip("files too large", f"{repository.name}: {path} has more than {MAX_FILE_BYTES} bytes.")
                continue
            text = full.read_text(encoding="utf-8")
        except UnicodeError:
            report.skip("files not UTF-8", f"{repository.name}: {path} is not UTF-8.")
        except OSError as error:
            report.skip("files not readable", f"{repository.name}: {path}: {error.strerror}.")
        else:
            yield path, text


def _extract(repository: Repository, limit: int, seed: int) -> list[Pair]:
    seen = SeenBefore()
    pairs: list[Pair] = []
    for path in sorted(repository.files, key=lambda p: _draw(seed, p)):
        if len(pairs) >= limit:
            break
        text = _read(repository.root / path)
        if text is None:
            continue
        fresh = [pair for pair in _pairs_of(text, repository.name, path) if not seen.check_and_add(pair)]
        pairs += sorted(fresh, key=lambda p: _draw(seed, p.name))[:MAX_PAIRS_PER_FILE]
    return sorted(pairs[:limit], key=lambda p: _draw(seed, f"{p.path}:{p.name}:{p.query}"))


def _pairs_of(text: str, repository: str, path: str) -> Iterator[Pair]:
    for function in functions(text):
        yield Pair(function.query, function.code, repository, path, function.name)


def _draw(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{text}".encode(errors="surrogateescape")).digest()


def _read(path: Path) -> str | None:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return None
        text = path.read_text(encoding="utf-8")
        text.encode()
    except (OSError, UnicodeError):
        return None
    return text


def _write_atomically(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)

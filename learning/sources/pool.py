"""Functions and whole files out of repositories on disk, split by repository, free of near-duplicates across and within splits.

Every embedded task draws from here. Which repository goes where is decided by names and sizes alone, before anything is read: the demo's
public benchmark repositories are the test split, about a tenth of the rest (by bytes) validates, the sealed ones are left alone.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from learning.errors import DataError
from learning.sources import installed
from learning.sources.files import ReadReport
from learning.sources.minhash import groups
from learning.sources.python_functions import (
    MAX_CODE_CHARS,
    MIN_LINES,
    definitions,
    drop_docstring,
    first_paragraph,
    parse,
    usable_query,
)
from learning.sources.repository import MAX_PAIRS_PER_FILE, Repository, visit

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
VALID_PER_MILLE = 100
TEST_PER_MILLE = 150


class Located(Protocol):
    """What the pool holds: code from somewhere."""

    @property
    def repository(self) -> str:
        """Where it comes from."""

    @property
    def code(self) -> str:
        """Its text."""


T = TypeVar("T", bound=Located)


@dataclass(frozen=True, slots=True)
class Snippet:
    """One function as `ast.unparse` writes it, without docstring and decorators, or one whole file (``name`` empty).

    ``summary`` is the docstring's first paragraph where it passes CodeSearchNet's filters, else empty.
    """

    repository: str
    path: str
    name: str
    code: str
    summary: str = ""


def split_repositories(
    repositories: Sequence[Repository], seed: int, *, pinned: Mapping[str, Split] | None = None
) -> dict[Split, list[Repository]]:
    """Which split each repository belongs to: pinned ones as told, the others in the order of SHA-256(seed, name).

    Without any pinned test repository, about 15 % of the bytes (capped at 8 MB a repository) test; about 10 % validate, at least one
    repository each, and at least one trains.

    Raises:
        DataError: fewer than three repositories that could be told apart.
    """
    pinned = pinned or {}
    result: dict[Split, list[Repository]] = {split: [] for split in SPLITS}
    for repository in repositories:
        if repository.name in pinned:
            result[pinned[repository.name]].append(repository)
    free = sorted((r for r in repositories if r.name not in pinned), key=lambda r: _draw(seed, r.name))
    total = sum(min(r.size, installed.SIZE_CAP) for r in free)
    for split, per_mille in (("test", TEST_PER_MILLE), ("valid", VALID_PER_MILLE)):
        taken = 0
        while not result[split] or (split not in pinned.values() and taken * 1000 < total * per_mille):  # type: ignore[index]
            place = next((i for i, r in enumerate(free) if _fits(r, total, per_mille, len(free))), None)
            if place is None or len(free) < 2:
                break
            repository = free.pop(place)
            taken += min(repository.size, installed.SIZE_CAP)
            result[split].append(repository)  # type: ignore[index]
    result["train"] += free
    if not all(result.values()):
        raise DataError(
            f"{len(repositories)} repositories are too few to split into train, valid and test.",
            hint="Give at least three repositories.",
        )
    return {split: sorted(found, key=lambda r: r.name) for split, found in result.items()}


def _fits(repository: Repository, total: int, per_mille: int, left: int) -> bool:
    """A held-out repository should not be larger than twice the share it is for, unless few are left to choose from."""
    return left <= 6 or min(repository.size, installed.SIZE_CAP) * 1000 <= 2 * total * per_mille


def environment(seed: int) -> dict[Split, list[Repository]]:
    """The packages installed here, split: public benchmark repositories test, sealed ones are left out, the others train and validate."""
    allowed = [r for r in installed.list_repositories() if r.name not in installed.SEALED_BENCHMARK]
    return split_repositories(allowed, seed, pinned=dict.fromkeys(installed.PUBLIC_BENCHMARK, "test"))


def function_snippets(repository: Repository, seed: int, report: ReadReport) -> Iterator[Snippet]:
    """Functions of 3 lines to 4,000 characters, no tests or dunder methods, at most 24 of a file, in the files' drawn order."""
    for path, text in visit(repository, seed, report):
        tree = parse(text)
        if tree is None:
            report.skip("files not parsable", f"{repository.name}: {path} is not Python that this version reads.")
            continue
        found = [s for node, name in definitions(tree) if (s := _snippet(node, name, repository.name, path))]
        yield from sorted(found, key=lambda s: _draw(seed, s.name))[:MAX_PAIRS_PER_FILE]


def file_snippets(repository: Repository, seed: int, report: ReadReport) -> Iterator[Snippet]:
    """Whole files."""
    for path, text in visit(repository, seed, report):
        yield Snippet(repository.name, path, "", text)


def gather(
    repositories: Mapping[Split, Sequence[Repository]],
    limits: Mapping[Split, int],
    seed: int,
    report: ReadReport,
    *,
    read: Callable[[Repository, int, ReadReport], Iterator[Snippet]] = function_snippets,
    wanted: Callable[[Snippet], bool] = lambda _: True,
    least: int = 1,
) -> dict[Split, list[Snippet]]:
    """About ``limits[split]`` snippets of each split, shared evenly among its repositories, near-duplicates removed (`without_duplicates`).

    A quarter more is read than asked for, as some are removed; what a small repository lacks, larger ones give.
    So that each gives ``least`` at least, a small limit leaves repositories out, drawn by ``seed``.
    """
    found: dict[Split, list[Snippet]] = {}
    for split in SPLITS:
        remaining = limits[split] + limits[split] // 4
        gathered: list[Snippet] = []
        some = sorted(repositories[split], key=lambda r: _draw(seed, r.name))[: max(1, remaining // least)]
        ordered = sorted(some, key=lambda r: (r.size, r.name))
        for position, repository in enumerate(ordered):
            share = -(-remaining // (len(ordered) - position))
            part: list[Snippet] = []
            for snippet in read(repository, seed, report) if share > 0 else ():
                if wanted(snippet):
                    part.append(snippet)
                if len(part) >= share:
                    break
            gathered += part
            remaining -= len(part)
        found[split] = sorted(gathered, key=lambda s: _draw(seed, f"{s.repository}:{s.path}:{s.name}"))
    kept = without_duplicates(found, report)
    return {split: rows[: limits[split]] for split, rows in kept.items()}


def without_duplicates(
    splits: Mapping[Split, Sequence[T]], report: ReadReport, *, within: bool = True
) -> dict[Split, list[T]]:
    """The splits with one member of each group of near-duplicates (`learning.sources.minhash.groups`): a test one, else a valid one.

    So nothing in one split nearly repeats anything in another, or in its own. ``within`` false: near-duplicates in one split stay (a
    function before and after its repair).
    """
    order: tuple[Split, ...] = ("test", "valid", "train")
    rows = [(split, row) for split in order for row in splits[split]]
    kept: dict[Split, list[T]] = {split: [] for split in SPLITS}
    for index, (first, (split, row)) in enumerate(zip(groups([row.code for _, row in rows]), rows, strict=True)):
        other = rows[first][0]
        if first == index or (other == split and not within):
            kept[split].append(row)
        else:
            report.skip(
                "near-duplicates within a split" if other == split else "near-duplicates across splits",
                f"{row.repository}: nearly a copy of something in {rows[first][1].repository} ({other}).",
            )
    return kept


def _snippet(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str, repository: str, path: str) -> Snippet | None:
    if "test" in node.name.lower() or (node.name.startswith("__") and node.name.endswith("__")):
        return None
    summary = first_paragraph(ast.get_docstring(node) or "")
    drop_docstring(node)
    node.decorator_list = []
    try:
        code = ast.unparse(node)
    except RecursionError:
        return None
    if code.count("\n") + 1 < MIN_LINES or len(code) > MAX_CODE_CHARS:
        return None
    try:
        code.encode()
    except UnicodeEncodeError:  # a lone surrogate in a literal is not text
        return None
    return Snippet(repository, path, name, code, summary if usable_query(summary) else "")


def _draw(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{text}".encode(errors="surrogateescape")).digest()

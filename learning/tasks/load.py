"""A task's data from a source named by one word and a place.

| source | what |
|---|---|
| ``installed`` | the packages of this Python environment as repositories (no download) |
| ``repositories:FOLDER`` | every subfolder of FOLDER that holds Python files is a repository |
| ``official:FOLDER`` | CodeXGLUE's own files; their splits are kept as they are |
| ``hub:OWNER/NAME[@REVISION]`` | the same format in a hub's data set: read from the local cache, fetched only with ``online`` |
| ``corpus:FILE`` | one JSONL of rows as in the official files, with repositories: split by repository here; not clones, not completion |
| ``programs:FILE`` | clone detection: JSONL of ``problem``, ``func``, ``participant``; programs for one problem are clones |
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learning.errors import DataError, SpecError
from learning.sources import installed, pool
from learning.sources.files import ReadReport, read_jsonl, text_field
from learning.sources.minhash import groups
from learning.sources.repository import Repository, folder
from learning.tasks.base import SPLITS, Split, Task, TaskData
from learning.tasks.clone_detection import Twins, by_group, shuffled
from learning.tasks.registry import find_task

HELD_OUT_PART = 8
"""Validation and test are each a part in eight of the training limit."""
MIN_LIMIT = 16


def load(
    task_name: str,
    source: str = "installed",
    *,
    limit: int = 2000,
    seed: int = 0,
    lenient: bool = False,
    online: bool = False,
) -> TaskData[Any]:
    """Examples of a task.

    Args:
        task_name: see `learning.tasks.registry`.
        source: see the module's head.
        limit: most training examples; validation and test have an eighth of it each. Official files: the first so many lines.
        seed: fixes every choice.
        lenient: skip broken lines and count them, instead of stopping at the first.
        online: let ``hub:`` download.

    Raises:
        SpecError: an unknown task or source, or a limit below 16.
        DataError: the source cannot be read, or holds too little.
    """
    task = find_task(task_name)
    if limit < MIN_LIMIT:
        raise SpecError(f"A limit of {limit} examples is too small; at least {MIN_LIMIT}.")
    limits: dict[Split, int] = {s: limit if s == "train" else max(2, limit // HELD_OUT_PART) for s in SPLITS}
    report = ReadReport(lenient=lenient)
    kind, _, place = source.partition(":")
    splits: Mapping[Split, Sequence[Any]]
    if kind == "installed" and not place:
        splits = task.embed(pool.environment(seed), limits, seed, report)
    elif kind == "repositories" and place:
        found = pool.split_repositories(_repositories(Path(place)), seed)
        splits = task.embed(found, limits, seed, report)
    elif kind == "official" and place:
        splits = _official(task, Path(place), limits, report)
    elif kind == "hub" and place:
        splits = _official(task, _hub(place, online=online), limits, report)
    elif kind == "corpus" and place:
        splits = _corpus(task, Path(place), limits, seed, report)
    elif kind == "programs" and place and task.name == "clone_detection":
        splits = _programs(Path(place), limits, seed, report)
    else:
        raise SpecError(
            f"{source!r} is no source for {task.name}.",
            hint="Sources: installed, repositories:FOLDER, official:FOLDER, hub:OWNER/NAME, corpus:FILE, and programs:FILE for clones.",
        )
    empty = [split for split in splits if not splits[split]]
    if empty:
        raise DataError(
            f"{source} gives no example of {task.name} for {' and '.join(empty)}.",
            why="; ".join(report.first),
            hint="Give larger repositories, or a larger limit.",
        )
    return TaskData(task, source, splits, report.to_mapping())


def leakage(data: TaskData[Any]) -> dict[str, int]:
    """How many examples of each split nearly repeat code of a split after it in the order train, valid, test. Embedded data have none."""
    order: Sequence[Split] = ("test", "valid", "train")
    found: dict[str, int] = {}
    texts, owners = [], []
    for split in (s for s in order if s in data.splits):
        for place, example in enumerate(data.examples(split)):
            for text in data.task.texts(example):
                texts.append(text)
                owners.append((split, place))
    first_split: dict[int, Split] = {}
    leaking: set[tuple[Split, int]] = set()
    for group, owner in zip(groups(texts), owners, strict=True):
        if first_split.setdefault(group, owner[0]) != owner[0]:
            leaking.add(owner)
    for split in data.splits:
        found[split] = sum(owner[0] == split for owner in leaking)
    return found


def _official(
    task: Task[Any], place: Path, limits: Mapping[Split, int], report: ReadReport
) -> dict[Split, Sequence[Any]]:
    if not place.is_dir():
        raise DataError(
            f"The folder {place} does not exist.", hint="Point the source at CodeXGLUE's files of the task."
        )
    splits: dict[Split, Sequence[Any]] = {}
    for split in SPLITS:
        splits[split] = tuple(itertools.islice(task.read(place, split, report), limits[split]))
    return splits


def _repositories(place: Path) -> list[Repository]:
    if not place.is_dir():
        raise DataError(f"The folder {place} does not exist.", hint="Point the source at a folder of checkouts.")
    found = [folder(sub) for sub in sorted(place.iterdir()) if sub.is_dir() and not sub.name.startswith(".")]
    found = [r for r in found if r.files and r.name not in installed.SEALED_BENCHMARK]
    if not found:
        raise DataError(f"{place} holds no repository with Python files.", hint="Each repository is a subfolder.")
    return found


def _hub(place: str, *, online: bool) -> Path:
    """Folder of a data set repository in the hub's local cache.

    Raises:
        DataError: not there, and not to be had.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only for this source
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    name, _, revision = place.partition("@")
    try:
        return Path(
            snapshot_download(
                name,
                repo_type="dataset",
                revision=revision or None,
                local_files_only=not online,
                allow_patterns=["*.jsonl", "*.jsonl.gz", "*.txt", "*.txt.gz", "*.json"],
            )
        )
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError) as error:
        raise DataError(
            f"The data set {place} is not in the hub's cache on this machine.",
            why=str(error)[:200],
            hint="Fetch it beforehand, allow it with --online, or use official:FOLDER.",
        ) from error


@dataclass(frozen=True, slots=True)
class _Held:
    """An example with the code that no other split may nearly repeat."""

    repository: str
    code: str
    example: Any


def _corpus(
    task: Task[Any], path: Path, limits: Mapping[Split, int], seed: int, report: ReadReport
) -> dict[Split, Sequence[Any]]:
    numbers = itertools.count()
    members: dict[str, list[_Held]] = {}
    for example in read_jsonl(path, lambda row: task.from_row(row, next(numbers)), report):
        held = _Held(example.repository, "\n".join(task.texts(example)), example)
        members.setdefault(example.repository, []).append(held)
    found = [Repository(n, "", Path(), (), sum(len(h.code) for h in rows)) for n, rows in sorted(members.items())]
    parts = pool.split_repositories(found, seed)
    splits: dict[Split, list[_Held]] = {}
    for split in SPLITS:
        rows = [held for repository in parts[split] for held in members[repository.name]]
        splits[split] = sorted(rows, key=lambda h: hashlib.sha256(f"{seed}\0{h.code}".encode()).digest())
    kept = pool.without_duplicates(splits, report, within=task.labelled is False)
    return {split: [held.example for held in kept[split][: limits[split]]] for split in SPLITS}


def _programs(path: Path, limits: Mapping[Split, int], seed: int, report: ReadReport) -> dict[Split, Sequence[Any]]:
    """Pairs of programs; splits by participant where the file names them, else by problem."""

    def convert(row: Mapping[str, Any]) -> tuple[str, str, str]:
        return text_field(row, "problem"), text_field(row, "func", "code"), text_field(row, "participant", default="")

    rows = list(read_jsonl(path, convert, report))
    by_author = all(author for _, _, author in rows)
    located = [
        (problem, pool.Snippet(author if by_author else problem, "", problem, code)) for problem, code, author in rows
    ]
    owners = sorted({s.repository for _, s in located}, key=lambda n: hashlib.sha256(f"{seed}\0{n}".encode()).digest())
    held = max(1, len(owners) // HELD_OUT_PART)
    split_of: dict[str, Split] = dict.fromkeys(owners[:held], "test")
    split_of |= dict.fromkeys(owners[held : 2 * held], "valid")
    splits: dict[Split, list[pool.Snippet]] = {split: [] for split in SPLITS}
    for _, snippet in located:
        splits[split_of.get(snippet.repository, "train")].append(snippet)
    kept = pool.without_duplicates(splits, report)
    result: dict[Split, Sequence[Any]] = {}
    for split in SPLITS:
        twins = []
        for problem in sorted({s.name for s in kept[split]}):
            own = sorted(
                (s for s in kept[split] if s.name == problem), key=lambda s: hashlib.sha256(s.code.encode()).digest()
            )
            twins += [Twins(a.code, b.code, problem, a.repository) for a, b in zip(own[::2], own[1::2], strict=False)]
        order = sorted(twins, key=lambda t: hashlib.sha256(f"{seed}\0{t.first}".encode()).digest())
        result[split] = shuffled(by_group(order[: -(-limits[split] // 2)], split, report), seed)
    return result

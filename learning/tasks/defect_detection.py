"""Defect detection: does a function have a defect? Accuracy, as for Devign in CodeXGLUE.

Official folder: ``train.jsonl``, ``valid.jsonl``, ``test.jsonl`` (``func``, ``target``, ``project``, ``commit_id``, ``idx``), or Devign's
``function.json`` (one list) with ``train.txt``, ``valid.txt``, ``test.txt`` (positions in that list, one a line).

Embedded: each function twice, once as it is and once with one planted bug (`learning.sources.seeded_bugs`), so that neither length nor
words tell the label. A stand-in for real defects, and a strict one: whoever looks at topics and not at logic stays at 0.5.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from learning.errors import DataError
from learning.metrics import accuracy
from learning.sources import pool
from learning.sources.files import ReadReport, label_field, read_jsonl, read_lines, text_field, write_jsonl
from learning.sources.repository import Repository
from learning.sources.seeded_bugs import Balance, plant
from learning.tasks.base import SPLITS, Split, Task, find_files
from learning.tasks.encoding import Kind, Limits, Row, Tokenizer, check_kind, one_sequence

MAX_LIST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class DefectExample:
    """A function, and 1 if it has a defect, else 0. ``note`` says what is wrong where the source knows it."""

    code: str
    label: int
    id: str
    repository: str
    commit: str
    note: str = ""


class DefectDetection(Task[DefectExample]):
    """See the module's head."""

    name: ClassVar[str] = "defect_detection"
    title: ClassVar[str] = "Defect detection"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    example = DefectExample
    kinds: ClassVar[tuple[Kind, ...]] = ("classification",)
    limits: ClassVar[Limits] = Limits(source=400)
    labelled: ClassVar[bool] = True

    def stratum(self, example: DefectExample) -> str:
        """The label."""
        return str(example.label)

    def texts(self, example: DefectExample) -> tuple[str, ...]:
        """The function."""
        return (example.code,)

    def read(self, folder: Path, split: Split, report: ReadReport) -> Iterator[DefectExample]:
        """See `Task.read`. Rows without ``idx`` are numbered in their file's order."""
        whole = folder / "function.json"
        if whole.is_file():
            try:
                paths = find_files(folder, split)
            except DataError:
                yield from _from_list(whole, find_files(folder, split, suffixes=(".txt",)), report)
                return
        else:
            paths = find_files(folder, split)
        numbers = itertools.count()
        for path in paths:
            yield from read_jsonl(path, lambda row: _example(row, next(numbers)), report)

    def from_row(self, row: Mapping[str, Any], number: int) -> DefectExample:
        """See `Task.from_row`: the same fields as in the official files."""
        return _example(row, number)

    def write(self, folder: Path, splits: Mapping[Split, Sequence[DefectExample]]) -> None:
        """See `Task.write`. ``idx`` is the position over all splits, as the official evaluator wants numbers."""
        numbers = itertools.count()
        for split, examples in splits.items():
            rows = (
                {
                    "idx": next(numbers),
                    "func": e.code,
                    "target": e.label,
                    "project": e.repository,
                    "commit_id": e.commit,
                    "note": e.note,
                }
                for e in examples
            )
            write_jsonl(folder / f"{split}.jsonl", rows)

    def embed(
        self,
        repositories: Mapping[Split, Sequence[Repository]],
        limits: Mapping[Split, int],
        seed: int,
        report: ReadReport,
    ) -> dict[Split, list[DefectExample]]:
        """See `Task.embed` and the module's head."""
        halves = {split: -(-limit // 2) for split, limit in limits.items()}
        found = pool.gather(
            repositories, halves, seed, report, wanted=lambda s: plant(s.code, seed, Balance()) is not None
        )
        result: dict[Split, list[DefectExample]] = {}
        for split in SPLITS:
            balance = Balance()
            rows: list[DefectExample] = []
            for number, snippet in enumerate(found[split]):
                bug = plant(snippet.code, seed, balance)
                if bug is None:
                    report.skip("functions without a balanced bug", f"{snippet.repository}: {snippet.name}.")
                    continue
                name, where = f"{split}-{number}", f"{snippet.path}:{snippet.name}"
                rows.append(DefectExample(snippet.code, 0, f"{name}a", snippet.repository, where))
                note = f"{bug.kind}, line {bug.line}"
                rows.append(DefectExample(bug.code, 1, f"{name}b", snippet.repository, where, note))
            result[split] = sorted(rows, key=lambda e: hashlib.sha256(f"{seed}\0{e.id}".encode()).digest())
        return result

    def encode(
        self, examples: Sequence[DefectExample], tokenizer: Tokenizer, kind: Kind, limits: Limits | None = None
    ) -> list[Row]:
        """See `Task.encode`. White space is collapsed, as CodeXGLUE does."""
        check_kind(kind, self.kinds, self.name)
        ids = tokenizer.ids([" ".join(e.code.split()) for e in examples])
        limit = (limits or self.limits).source
        return [
            {**one_sequence([code], tokenizer, limit), "labels": example.label, "example": place}
            for place, (example, code) in enumerate(zip(examples, ids, strict=True))
        ]

    def evaluate(self, examples: Sequence[DefectExample], predictions: Sequence[Any]) -> dict[str, float]:
        """Accuracy of predicted labels."""
        return {"accuracy": accuracy([int(p) for p in predictions], [e.label for e in examples])}


def _example(row: Mapping[str, Any], number: int) -> DefectExample:
    return DefectExample(
        code=text_field(row, "func", "code"),
        label=label_field(row, "target", "label"),
        id=text_field(row, "idx", default=str(number)),
        repository=text_field(row, "project", "repository", "repo", default=""),
        commit=text_field(row, "commit_id", "commit", default=""),
        note=text_field(row, "note", "cwe", default=""),
    )


def _from_list(path: Path, indices: Sequence[Path], report: ReadReport) -> Iterator[DefectExample]:
    if path.stat().st_size > MAX_LIST_BYTES:
        raise DataError(f"{path} holds more than {MAX_LIST_BYTES} bytes.", hint="Convert it to JSONL files.")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON.", why=str(error)[:200]) from error
    if not isinstance(rows, list):
        raise DataError(f"{path} is not a list of functions.")
    for index in indices:
        for number, line in read_lines(index, report):
            try:
                place = int(line)
                row = rows[place] if 0 <= place < len(rows) else None
            except ValueError:
                row = None
            if not isinstance(row, dict):
                report.broken(DataError(f"{index}, line {number}: {line[:40]!r} is no position in {path.name}."))
                continue
            try:
                found = _example({**row, "idx": place}, place)
            except DataError as error:
                report.broken(DataError(f"{path}, entry {place}: {error.what}", hint=error.hint))
                continue
            yield found

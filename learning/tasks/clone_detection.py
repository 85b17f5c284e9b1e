"""Clone detection: do two functions do the same? F1, precision and recall of class 1, as for BigCloneBench in CodeXGLUE.

Official folder: ``data.jsonl`` (``idx``, ``func``) and ``train.txt``, ``valid.txt``, ``test.txt`` (idx1, idx2, label, separated by white
space).

Embedded: positive pairs are a function and its rewritten twin (`learning.sources.transform`), and two solutions of one problem
(`learning.sources.problems`), at most a tenth; the negative of each positive pair keeps its first function and takes the twin of another
function of the same repository and of similar length. So every function is in exactly one positive and one negative pair, on the same
side: a classifier that sees one side only is at chance. Both sides bear the function name ``function``. What stays easy: a twin keeps the
attributes and global names of its original, so a model that compares those words finds most of the rewritten pairs; the problem pairs are
the hard ones.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

from learning.errors import DataError
from learning.metrics import binary_scores
from learning.metrics.classification import check_lengths
from learning.sources import pool
from learning.sources.files import ReadReport, label_field, read_jsonl, read_lines, text_field, write_jsonl
from learning.sources.problems import PROBLEMS
from learning.sources.repository import Repository
from learning.sources.transform import rewrite
from learning.tasks.base import SPLITS, Split, Task, find_files
from learning.tasks.encoding import Kind, Limits, Row, Tokenizer, check_kind, marked, one_sequence

PROBLEM_SHARE = 10  # at most one positive pair in so many comes from the problems
_CHUNK = 12  # neighbours in length among which negatives are exchanged


@dataclass(frozen=True, slots=True)
class ClonePair:
    """Two functions, and 1 if they do the same, else 0."""

    first: str
    second: str
    label: int
    first_id: str
    second_id: str
    repository: str


@dataclass(frozen=True, slots=True)
class Twins:
    """Two programs that do the same; ``group`` names what they do, so that negatives come from other groups."""

    first: str
    second: str
    group: str
    repository: str


class CloneDetection(Task[ClonePair]):
    """See the module's head."""

    name: ClassVar[str] = "clone_detection"
    title: ClassVar[str] = "Clone detection"
    metrics: ClassVar[tuple[str, ...]] = ("f1", "precision", "recall")
    example = ClonePair
    kinds: ClassVar[tuple[Kind, ...]] = ("classification", "siamese")
    limits: ClassVar[Limits] = Limits(source=400)
    labelled: ClassVar[bool] = True

    def stratum(self, example: ClonePair) -> str:
        """The label."""
        return str(example.label)

    def texts(self, example: ClonePair) -> tuple[str, ...]:
        """Both functions."""
        return example.first, example.second

    def read(self, folder: Path, split: Split, report: ReadReport) -> Iterator[ClonePair]:
        """See `Task.read`. A pair with an unknown function is a broken line."""
        functions: dict[str, tuple[str, str]] = {}
        for path in _data_files(folder):
            for key, code, repository in read_jsonl(path, _function, report):
                functions[key] = (code, repository)
        for path in find_files(folder, split, suffixes=(".txt", ".txt.gz")):
            for number, line in read_lines(path, report):
                try:
                    yield _pair(line.split(), functions)
                except DataError as error:
                    report.broken(DataError(f"{path}, line {number}: {error.what}", hint=error.hint))

    def write(self, folder: Path, splits: Mapping[Split, Sequence[ClonePair]]) -> None:
        """See `Task.write`."""
        rows: dict[str, dict[str, str]] = {}
        for pairs in splits.values():
            for pair in pairs:
                for key, code in ((pair.first_id, pair.first), (pair.second_id, pair.second)):
                    rows[key] = {"idx": key, "func": code, "repository": pair.repository}
        write_jsonl(folder / "data.jsonl", iter(rows.values()))
        for split, pairs in splits.items():
            text = "".join(f"{p.first_id}\t{p.second_id}\t{p.label}\n" for p in pairs)
            (folder / f"{split}.txt").write_text(text, encoding="utf-8")

    def embed(
        self,
        repositories: Mapping[Split, Sequence[Repository]],
        limits: Mapping[Split, int],
        seed: int,
        report: ReadReport,
    ) -> dict[Split, list[ClonePair]]:
        """See `Task.embed` and the module's head."""
        halves = {split: -(-limit // 2) for split, limit in limits.items()}
        found = pool.gather(
            repositories, halves, seed, report, wanted=lambda s: rewrite(_anonymous(s.code), 0) is not None, least=4
        )
        problems = split_problems(seed)
        result: dict[Split, list[ClonePair]] = {}
        for split in SPLITS:
            some = problem_twins(problems[split], f"problems-{split}", halves[split] // PROBLEM_SHARE, seed)
            twins = [_twins(s, _number(seed, s)) for s in found[split][: halves[split] - len(some)]]
            result[split] = shuffled(by_length(twins, split, report) + by_group(some, f"{split}-p", report), seed)
        return result

    def encode(
        self, examples: Sequence[ClonePair], tokenizer: Tokenizer, kind: Kind, limits: Limits | None = None
    ) -> list[Row]:
        """See `Task.encode`. White space is collapsed, as CodeXGLUE does; in one sequence the two functions share twice the limit."""
        check_kind(kind, self.kinds, self.name)
        limit = (limits or self.limits).source
        firsts = tokenizer.ids([" ".join(e.first.split()) for e in examples])
        seconds = tokenizer.ids([" ".join(e.second.split()) for e in examples])
        rows: list[Row] = []
        for place, (example, a, b) in enumerate(zip(examples, firsts, seconds, strict=True)):
            if kind == "siamese":
                ids = {"first_ids": marked(a, tokenizer, limit), "second_ids": marked(b, tokenizer, limit)}
            else:
                ids = one_sequence([a, b], tokenizer, 2 * limit)
            rows.append({**ids, "labels": example.label, "example": place})
        return rows

    def evaluate(self, examples: Sequence[ClonePair], predictions: Sequence[Any]) -> dict[str, float]:
        """F1, precision and recall of predicted labels. As in the official script a pair of ids that occurs twice counts once, its last."""
        check_lengths(predictions, examples)
        answers = {(e.first_id, e.second_id): e.label for e in examples}
        found = {(e.first_id, e.second_id): int(p) for e, p in zip(examples, predictions, strict=True)}
        scores = binary_scores([found[key] for key in answers], list(answers.values()))
        return {"f1": scores.f1, "precision": scores.precision, "recall": scores.recall}


def by_length(twins: Sequence[Twins], prefix: str, report: ReadReport) -> list[ClonePair]:
    """Positive and negative pairs of twins that all do different things; negatives stay within a repository and within similar lengths.

    Twins whose repository holds no second one are left out and counted.
    """
    result: list[ClonePair] = []
    for repository in sorted({t.repository for t in twins}):
        own = sorted((t for t in twins if t.repository == repository), key=lambda t: (len(t.second), t.second))
        chunks = [own[i : i + _CHUNK] for i in range(0, len(own), _CHUNK)]
        if len(chunks) > 1 and len(chunks[-1]) == 1:
            chunks[-2:] = [chunks[-2] + chunks[-1]]
        for number, chunk in enumerate(chunks):
            if len(chunk) < 2:
                report.skip(
                    "functions alone in their repository", f"{repository}: one function makes no negative pair."
                )
                continue
            result += _both(chunk, chunk[1:] + chunk[:1], f"{prefix}-{repository}-{number}")
    return result


def by_group(twins: Sequence[Twins], prefix: str, report: ReadReport) -> list[ClonePair]:
    """Positive and negative pairs of twins of which several do the same: each negative takes its second program from another group.

    Of a group that holds more than half of all twins the surplus is left out and counted, as it has no counterpart.
    """
    ordered = sorted(twins, key=lambda t: t.group)
    while ordered:
        sizes = {g: sum(t.group == g for t in ordered) for g in {t.group for t in ordered}}
        largest = max(sorted(sizes), key=lambda g: sizes[g])
        if 2 * sizes[largest] <= len(ordered):
            shift = sizes[largest]
            return _both(ordered, ordered[shift:] + ordered[:shift], prefix)
        ordered.remove(next(t for t in ordered if t.group == largest))
        report.skip("programs without a counterpart", f"{largest}: more than half of the programs.")
    return []


def problem_twins(names: Iterable[str], repository: str, count: int, seed: int) -> list[Twins]:
    """At most ``count`` pairs of solutions of the problems with these names, each solution rewritten, problems taking turns."""
    options: list[tuple[int, str, str, str]] = []
    for problem in PROBLEMS:
        if problem.name in set(names):
            pairs = list(combinations(problem.solutions, 2))
            options += [(place, problem.name, *pair) for place, pair in enumerate(pairs)]
    twins = []
    for place, name, first, second in sorted(options)[:count]:
        number = seed * 1000 + place
        a, b = _anonymous(rewrite(first, number) or first), _anonymous(rewrite(second, number + 500) or second)
        twins.append(Twins(a, b, name, repository))
    return twins


def split_problems(seed: int) -> dict[Split, list[str]]:
    """Names of the problems of each split: three of sixteen test, three validate."""
    names = sorted((p.name for p in PROBLEMS), key=lambda n: hashlib.sha256(f"{seed}\0{n}".encode()).digest())
    return {"test": names[:3], "valid": names[3:6], "train": names[6:]}


def shuffled(pairs: Sequence[ClonePair], seed: int) -> list[ClonePair]:
    """In an order drawn by ``seed``."""
    return sorted(
        pairs, key=lambda p: hashlib.sha256(f"{seed}\0{p.first_id}\0{p.second_id}\0{p.label}".encode()).digest()
    )


def _both(twins: Sequence[Twins], others: Sequence[Twins], prefix: str) -> list[ClonePair]:
    names = {id(t): f"{prefix}-{n}".replace(" ", "_") for n, t in enumerate(twins)}
    result = []
    for own, other in zip(twins, others, strict=True):
        first, second, third = f"{names[id(own)]}a", f"{names[id(own)]}b", f"{names[id(other)]}b"
        result.append(ClonePair(own.first, own.second, 1, first, second, own.repository))
        result.append(ClonePair(own.first, other.second, 0, first, third, own.repository))
    return result


def _twins(snippet: pool.Snippet, seed: int) -> Twins:
    code = _anonymous(snippet.code)
    other = rewrite(code, seed) or rewrite(code, 0)
    assert other is not None  # `wanted` asked
    return Twins(code, other, f"{snippet.repository}:{snippet.path}:{snippet.name}", snippet.repository)


def _anonymous(code: str) -> str:
    """The function called ``function``, also where it calls itself."""
    tree = ast.parse(code)
    node = tree.body[0]
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return code
    name, node.name = node.name, "function"
    for child in ast.walk(tree):
        if isinstance(child, ast.Name) and child.id == name:
            child.id = "function"
        elif isinstance(child, ast.Attribute) and child.attr == name:
            child.attr = "function"
    return ast.unparse(tree)


def _number(seed: int, snippet: pool.Snippet) -> int:
    text = f"{seed}\0{snippet.repository}\0{snippet.path}\0{snippet.name}"
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:4], "big")


def _data_files(folder: Path) -> list[Path]:
    found = [path for name in ("data.jsonl", "data.jsonl.gz") if (path := folder / name).is_file()]
    if not found:
        raise DataError(f"{folder} has no data.jsonl with the functions.", hint="BigCloneBench's folder holds it.")
    return found[:1]


def _function(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return text_field(row, "idx"), text_field(row, "func"), text_field(row, "repository", "repo", default="")


def _pair(cells: Sequence[str], functions: Mapping[str, tuple[str, str]]) -> ClonePair:
    if len(cells) != 3:
        raise DataError(f"{len(cells)} fields instead of two ids and a label.")
    first, second, label = cells
    for key in (first, second):
        if key not in functions:
            raise DataError(f"there is no function {key[:40]!r} in data.jsonl.")
    (one, repository), (two, _) = functions[first], functions[second]
    return ClonePair(one, two, label_field({"label": label}, "label"), first, second, repository)

"""What a task is, and a task bound to its data: the interface that models, training and experiments are written against.

```
data = load("clone_detection", "installed", limit=2000, seed=0)      learning.tasks.load
data.examples("train")                                               examples of the task's own class, in a fixed order
rows = data.task.encode(examples, tokenizer, "classification", limits)   lists of ints, one mapping a row
batch = collate(rows[:16], pad=tokenizer.pad)                        numpy arrays          learning.tasks.encoding
data.evaluate("test", predictions)                                   {"f1": …, "precision": …, "recall": …}
```
A new task is one file with a frozen dataclass for its examples and a subclass of `Task`, and one line in `learning.tasks.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from learning.errors import DataError, SpecError
from learning.sources.files import ReadReport
from learning.sources.pool import SPLITS, Split
from learning.sources.repository import Repository
from learning.tasks.encoding import Kind, Limits, Row, Tokenizer


class Example(Protocol):
    """What every example has: where it came from. Frozen dataclasses with text and integer fields only."""

    @property
    def repository(self) -> str:
        """Repository or project; empty if the source does not say."""


__all__ = ["SPLITS", "Example", "Split", "Task", "TaskData", "find_files"]
E = TypeVar("E", bound=Example)


class Task(ABC, Generic[E]):
    """One of the code tasks. Stateless; get them from `learning.tasks.registry`.

    Attributes:
        name: identifier, e.g. ``clone_detection``.
        title: for people.
        metrics: what `evaluate` returns, the first being the one reported in tables.
        example: class of its examples; its fields are the schema.
        kinds: encodings it offers.
        limits: tokens kept, by default those of CodeXGLUE's own pipelines.
        labelled: whether examples have a class that can be imbalanced.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    example: type[E]
    kinds: ClassVar[tuple[Kind, ...]]
    limits: ClassVar[Limits]
    labelled: ClassVar[bool]

    @abstractmethod
    def stratum(self, example: E) -> str:
        """Class of an example for label-imbalanced partitions and summaries: its label, or its language where there are no labels."""

    @abstractmethod
    def texts(self, example: E) -> tuple[str, ...]:
        """The example's code, which no other split may nearly repeat."""

    @abstractmethod
    def read(self, folder: Path, split: Split, report: ReadReport) -> Iterator[E]:
        """Examples of one split from a folder in CodeXGLUE's format, streamed in the files' order.

        Raises:
            DataError: the split's files are missing, or a line is broken and ``report`` is not lenient.
        """

    @abstractmethod
    def write(self, folder: Path, splits: Mapping[Split, Sequence[E]]) -> None:
        """Write splits in the format that `read` and CodeXGLUE's own scripts read."""

    @abstractmethod
    def embed(
        self,
        repositories: Mapping[Split, Sequence[Repository]],
        limits: Mapping[Split, int],
        seed: int,
        report: ReadReport,
    ) -> dict[Split, list[E]]:
        """Examples made from repositories on disk, split by repository, near-duplicates removed (`learning.sources.pool`).

        Args:
            repositories: by split.
            limits: most examples of each split; there may be fewer.
            seed: fixes which functions are taken and what is drawn.
            report: counts what is left out.
        """

    @abstractmethod
    def encode(
        self, examples: Sequence[E], tokenizer: Tokenizer, kind: Kind, limits: Limits | None = None
    ) -> list[Row]:
        """Token ids for a kind of model (`learning.tasks.encoding`); field ``example`` of a row is the example's position.

        Raises:
            SpecError: a kind that the task does not offer, or limits too small.
        """

    @abstractmethod
    def evaluate(self, examples: Sequence[E], predictions: Sequence[Any]) -> dict[str, float]:
        """The task's metrics, 0…1 (BLEU: 0…100), of predictions in the examples' order.

        Raises:
            DataError: nothing to score, or predictions that do not fit the examples.
        """

    def from_row(self, row: Mapping[str, Any], number: int) -> E:  # noqa: ARG002 - tasks that can override it
        """An example from one row of a ``corpus:`` file, the row being the ``number``-th.

        Raises:
            SpecError: the task has no single-file form.
            DataError: fields are missing or wrong.
        """
        raise SpecError(f"{self.name} cannot be read from a corpus file.", hint="Use official:FOLDER or installed.")

    def schema(self) -> dict[str, str]:
        """Names and types of an example's fields."""
        return {f.name: str(f.type) for f in fields(self.example)}  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class TaskData(Generic[E]):
    """A task with its examples.

    Attributes:
        task: the task.
        source: where the examples come from, as given to `load`.
        splits: examples by split.
        report: what reading and de-duplication left out, as JSON values.
    """

    task: Task[E]
    source: str
    splits: Mapping[Split, Sequence[E]]
    report: Mapping[str, Any] = field(default_factory=dict)

    def examples(self, split: Split) -> Sequence[E]:
        """Examples of one split.

        Raises:
            DataError: the source has no such split.
        """
        if split not in self.splits:
            raise DataError(
                f"{self.source} has no split {split!r} for {self.task.name}.",
                hint=f"It has {', '.join(self.splits) or 'none'}.",
            )
        return self.splits[split]

    def strata(self, split: Split) -> list[str]:
        """Class of each example (`Task.stratum`), for partitions."""
        return [self.task.stratum(example) for example in self.examples(split)]

    def repositories(self, split: Split) -> list[str]:
        """Repository of each example, for partitions."""
        return [example.repository for example in self.examples(split)]

    def evaluate(self, split: Split, predictions: Sequence[Any]) -> dict[str, float]:
        """`Task.evaluate` on one split."""
        return self.task.evaluate(self.examples(split), predictions)


def find_files(folder: Path, split: Split, *, suffixes: tuple[str, ...] = (".jsonl", ".jsonl.gz")) -> list[Path]:
    """Files of a split in a folder or its subfolder ``data``.

    ``train.jsonl``, ``train.jsonl.gz``, shards ``train-00000-of-00002.jsonl`` or ``train_0.jsonl``; the split ``valid`` may also be called
    ``validation`` or ``dev``.

    Raises:
        DataError: none is there; the message lists what would have been read.
    """
    names = {"valid": ("valid", "validation", "dev")}.get(split, (split,))
    for place in (folder, folder / "data"):
        for name in names:
            for suffix in suffixes:
                if (place / f"{name}{suffix}").is_file():
                    return [place / f"{name}{suffix}"]
                shards = sorted(p for sign in "-_" for p in place.glob(f"{name}{sign}[0-9]*{suffix}"))
                if shards:
                    return shards
    wanted = ", ".join(f"{name}{suffix}" for name in names for suffix in suffixes)
    others = sorted(p.name for p in folder.glob("**/*.parquet"))[:3] if folder.is_dir() else []
    raise DataError(
        f"{folder} has no file for the split {split}: looked for {wanted}.",
        why=f"It holds {', '.join(others)}; Parquet is not read." if others else "",
        hint="Point the source at the folder with CodeXGLUE's files; export a hub data set with `to_json`.",
    )

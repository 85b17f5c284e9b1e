"""Code completion: predict the next token, token by token. Accuracy as CodeXGLUE counts it for py150 and javaCorpus.

Official folder: ``train.txt``, ``dev.txt``, ``test.txt``, one tokenised program a line, ``<s> … </s>`` (added where missing), ``<EOL>``
at line ends in Python. These files name no repositories; this project's own have ``<split>_repositories.txt`` beside them, one name a
line.

Embedded: Python files of repositories on disk, tokenised by py150's rules (`learning.sources.python_tokens`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from learning.metrics import token_accuracy
from learning.sources import pool
from learning.sources.files import ReadReport, read_lines
from learning.sources.python_tokens import Literals, common_literals, program_tokens
from learning.sources.repository import Repository
from learning.tasks.base import SPLITS, Split, Task, find_files
from learning.tasks.encoding import Kind, Limits, Row, Tokenizer, check_kind, completion_rows

MIN_WORDS = 20


@dataclass(frozen=True, slots=True)
class Program:
    """A program's tokens, separated by blanks."""

    tokens: str
    repository: str
    path: str


class Completion(Task[Program]):
    """See the module's head."""

    name: ClassVar[str] = "completion"
    title: ClassVar[str] = "Code completion"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    example = Program
    kinds: ClassVar[tuple[Kind, ...]] = ("completion",)
    limits: ClassVar[Limits] = Limits(source=1024)
    labelled: ClassVar[bool] = False

    def stratum(self, example: Program) -> str:  # noqa: ARG002 - all are of one class
        """One class: programs have no label."""
        return "program"

    def texts(self, example: Program) -> tuple[str, ...]:
        """The tokens."""
        return (example.tokens,)

    def read(self, folder: Path, split: Split, report: ReadReport) -> Iterator[Program]:
        """See `Task.read`."""
        for path in find_files(folder, split, suffixes=(".txt", ".txt.gz")):
            beside = path.with_name(f"{path.name.split('.')[0]}_repositories.txt")
            names = dict(read_lines(beside, report)) if beside.is_file() else {}
            for number, line in read_lines(path, report):
                tokens = line.split()
                if tokens[0] != "<s>" or tokens[-1] != "</s>":
                    tokens = ["<s>", *tokens, "</s>"]
                yield Program(" ".join(tokens), names.get(number, "-").removeprefix("-"), f"{path.name}:{number}")

    def write(self, folder: Path, splits: Mapping[Split, Sequence[Program]]) -> None:
        """See `Task.write`. The valid split is called ``dev``, as there."""
        folder.mkdir(parents=True, exist_ok=True)
        for split, programs in splits.items():
            name = "dev" if split == "valid" else split
            (folder / f"{name}.txt").write_text("".join(f"{p.tokens}\n" for p in programs), encoding="utf-8")
            names = "".join(f"{p.repository or '-'}\n" for p in programs)
            (folder / f"{name}_repositories.txt").write_text(names, encoding="utf-8")

    def embed(
        self,
        repositories: Mapping[Split, Sequence[Repository]],
        limits: Mapping[Split, int],
        seed: int,
        report: ReadReport,
    ) -> dict[Split, list[Program]]:
        """See `Task.embed`. An example is a file; literals that stay readable are the training split's commonest."""
        found = pool.gather(repositories, limits, seed, report, read=pool.file_snippets, wanted=_long_enough)
        literals = common_literals(s.code for s in found["train"])
        return {split: [p for s in found[split] if (p := _program(s, literals, report))] for split in SPLITS}

    def encode(
        self, examples: Sequence[Program], tokenizer: Tokenizer, kind: Kind, limits: Limits | None = None
    ) -> list[Row]:
        """See `Task.encode`: blocks of ``limits.source`` ids that cut no token; ``word_ids`` number a program's tokens.

        Each token but the marks of begin and end is encoded with a blank before it, as it stands in the line.
        """
        check_kind(kind, self.kinds, self.name)
        programs = [e.tokens.split() for e in examples]
        words = sorted({w for p in programs for w in p})
        known = dict(zip(words, tokenizer.ids([f" {w}" for w in words]), strict=True))
        known["</s>"] = [tokenizer.end]
        if tokenizer.begin is not None:
            known["<s>"] = [tokenizer.begin]
        limit = (limits or self.limits).source
        return [
            {**row, "example": place}
            for place, program in enumerate(programs)
            for row in completion_rows([known[w] for w in program], tokenizer, limit)
        ]

    def words(
        self, examples: Sequence[Program], rows: Sequence[Row], predicted: Sequence[Sequence[int]], tokenizer: Tokenizer
    ) -> list[list[str]]:
        """Predicted tokens of each program, for `evaluate`, from one predicted id for each position of its blocks.

        Args:
            examples: what was encoded.
            rows: what `encode` gave, all of it.
            predicted: for each row as many ids as it has: the model's best guess for a position given all before it (the true ones, as
                the official evaluation does); −1 where it had nothing before it. More (padding) are ignored.
            tokenizer: the same.

        A token whose ids are all right is right. Otherwise its guess is the first word of the decoded ids, which may still equal it.
        """
        result = [[""] * len(e.tokens.split()) for e in examples]
        truth = [e.tokens.split() for e in examples]
        for row, guess in zip(rows, predicted, strict=True):
            ids, numbers, place = row["input_ids"], row["word_ids"], row["example"]
            assert isinstance(place, int)
            assert not isinstance(ids, int)
            assert not isinstance(numbers, int)
            begin = 0
            for end in range(1, len(ids) + 1):
                if end < len(ids) and numbers[end] == numbers[begin]:
                    continue
                own, meant = [int(i) for i in guess[begin:end]], list(ids[begin:end])
                number = numbers[begin]
                if own == meant:
                    result[place][number] = truth[place][number]
                elif -1 not in own:
                    result[place][number] = next(iter(tokenizer.text(own).split()), "")
                begin = end
        return result

    def evaluate(self, examples: Sequence[Program], predictions: Sequence[Any]) -> dict[str, float]:
        """Token accuracy of one list of tokens (or one line) for each program; see `learning.metrics.completion`."""
        lists = [p.split() if isinstance(p, str) else list(p) for p in predictions]
        return {"accuracy": token_accuracy(lists, [e.tokens.split() for e in examples]).accuracy}


def _long_enough(snippet: pool.Snippet) -> bool:
    return len(snippet.code.split()) >= MIN_WORDS


def _program(snippet: pool.Snippet, literals: Literals, report: ReadReport) -> Program | None:
    tokens = program_tokens(snippet.code, literals)
    if tokens is None:
        report.skip(
            "files not tokenisable", f"{snippet.repository}: {snippet.path} is not Python that this version reads."
        )
        return None
    return Program(" ".join(tokens), snippet.repository, snippet.path)

"""Code to text: summarise a function. Smoothed BLEU-4 as CodeXGLUE scores it, for six languages.

Official folder: one subfolder a language (``ruby``, ``javascript``, ``go``, ``python``, ``java``, ``php``) with ``train.jsonl``,
``valid.jsonl``, ``test.jsonl`` of CodeSearchNet, or these files themselves for one language: ``code_tokens`` and ``docstring_tokens``,
joined by blanks.

Embedded: Python functions without their docstrings, and these docstrings' first paragraphs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from learning.errors import DataError
from learning.metrics import smoothed_bleu
from learning.metrics.classification import check_lengths
from learning.sources import pool
from learning.sources.files import ReadReport, read_jsonl, text_field, tokens_field, write_jsonl
from learning.sources.python_functions import first_paragraph
from learning.sources.repository import Repository
from learning.tasks.base import SPLITS, Split, Task, find_files
from learning.tasks.encoding import Kind, Limits, Row, Tokenizer, causal_row, check_kind, seq2seq_row
from learning.tasks.search import code_of_row

LANGUAGES = ("go", "java", "javascript", "php", "python", "ruby")
_COMMENT = {"python": "#", "ruby": "#"}


@dataclass(frozen=True, slots=True)
class SummaryExample:
    """A function and what it does, in a sentence."""

    code: str
    summary: str
    language: str
    repository: str
    path: str
    name: str


class CodeToText(Task[SummaryExample]):
    """See the module's head."""

    name: ClassVar[str] = "code_to_text"
    title: ClassVar[str] = "Code to text"
    metrics: ClassVar[tuple[str, ...]] = ("bleu", *(f"bleu_{language}" for language in LANGUAGES))
    example = SummaryExample
    kinds: ClassVar[tuple[Kind, ...]] = ("seq2seq", "causal")
    limits: ClassVar[Limits] = Limits(source=256, target=128)
    labelled: ClassVar[bool] = False

    def stratum(self, example: SummaryExample) -> str:
        """The language."""
        return example.language

    def texts(self, example: SummaryExample) -> tuple[str, ...]:
        """The function."""
        return (example.code,)

    def read(self, folder: Path, split: Split, report: ReadReport) -> Iterator[SummaryExample]:
        """See `Task.read`. Languages in alphabetical order; a language without a file of this split is an error."""
        folders = [(folder / language, language) for language in LANGUAGES if (folder / language).is_dir()]
        for place, language in folders or [(folder, "")]:
            for path in find_files(place, split):
                yield from read_jsonl(path, lambda row, known=language: _example(row, known), report)  # type: ignore[misc]

    def from_row(self, row: Mapping[str, Any], number: int) -> SummaryExample:  # noqa: ARG002 - rows need no number here
        """See `Task.from_row`: the same fields as in the official files."""
        return _example(row, "")

    def write(self, folder: Path, splits: Mapping[Split, Sequence[SummaryExample]]) -> None:
        """See `Task.write`: a subfolder for each language."""
        for split, examples in splits.items():
            for language in sorted({e.language for rows in splits.values() for e in rows}):
                rows = (
                    {
                        "repo": e.repository,
                        "path": e.path,
                        "func_name": e.name,
                        "language": e.language,
                        "clean_code": e.code,
                        "code_tokens": e.code.split(),
                        "docstring_tokens": e.summary.split(),
                    }
                    for e in examples
                    if e.language == language
                )
                write_jsonl(folder / language / f"{split}.jsonl", rows)

    def embed(
        self,
        repositories: Mapping[Split, Sequence[Repository]],
        limits: Mapping[Split, int],
        seed: int,
        report: ReadReport,
    ) -> dict[Split, list[SummaryExample]]:
        """See `Task.embed`."""
        found = pool.gather(repositories, limits, seed, report, wanted=lambda s: bool(s.summary))
        return {
            split: [SummaryExample(s.code, s.summary, "python", s.repository, s.path, s.name) for s in found[split]]
            for split in SPLITS
        }

    def encode(
        self, examples: Sequence[SummaryExample], tokenizer: Tokenizer, kind: Kind, limits: Limits | None = None
    ) -> list[Row]:
        """See `Task.encode`. Decoders are asked by a comment line ``# Summary:`` (``//`` where that is the language's sign)."""
        check_kind(kind, self.kinds, self.name)
        limits = limits or self.limits
        codes = tokenizer.ids([e.code for e in examples])
        if kind == "seq2seq":
            targets = tokenizer.ids([e.summary for e in examples])
            found = [seq2seq_row(c, t, tokenizer, limits) for c, t in zip(codes, targets, strict=True)]
        else:
            targets = tokenizer.ids([f" {e.summary}" for e in examples])
            bridges = tokenizer.ids([f"\n{_COMMENT.get(e.language, '//')} Summary:" for e in examples])
            found = [causal_row(c, b, t, tokenizer, limits) for c, b, t in zip(codes, bridges, targets, strict=True)]
        return [{**row, "example": place} for place, row in enumerate(found)]

    def evaluate(self, examples: Sequence[SummaryExample], predictions: Sequence[Any]) -> dict[str, float]:
        """``bleu_<language>`` for each language present, and ``bleu``, their mean (CodeXGLUE's "Overall"); 0…100."""
        check_lengths(predictions, examples)
        if not all(isinstance(p, str) for p in predictions):
            raise DataError("Predicted summaries must be texts.")
        result = {}
        for language in sorted({e.language for e in examples}):
            rows = [(p, e.summary) for p, e in zip(predictions, examples, strict=True) if e.language == language]
            result[f"bleu_{language}"] = smoothed_bleu([p for p, _ in rows], [s for _, s in rows])
        return {"bleu": sum(result.values()) / len(result), **result}


def _example(row: Mapping[str, Any], language: str) -> SummaryExample:
    summary = tokens_field(row, "docstring_tokens")
    if summary is None:
        summary = first_paragraph(text_field(row, "docstring", "summary"))
    code = code_of_row(row)
    if not summary.strip() or not code.strip():
        raise DataError("an empty summary or empty code.")
    return SummaryExample(
        code=code,
        summary=summary,
        language=text_field(row, "language", "lang", default=language or "unknown").lower(),
        repository=text_field(row, "repo", "repository", default=""),
        path=text_field(row, "path", default=""),
        name=text_field(row, "func_name", "name", default=""),
    )

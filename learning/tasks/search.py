"""Code search as a task with data: which function does a sentence describe? Mean reciprocal rank, as for AdvTest in CodeXGLUE.

Official folder: ``train.jsonl``, ``valid.jsonl``, ``test.jsonl`` of AdvTest or CodeSearchNet: ``docstring_tokens`` (or ``docstring``) and
``code_tokens`` or ``function_tokens`` (or ``code``, ``function``); ``repo``, ``path`` or ``url``, ``func_name``. Tokens are joined by
blanks. Every function of a split is a candidate for each of its queries.

Embedded: docstrings' first paragraphs and their functions, names hidden as in AdvTest (`learning.sources.python_functions`). Losses and
the demo's own data: `learning.tasks.code_search`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from learning.errors import DataError
from learning.metrics import mean_reciprocal_rank, reciprocal_ranks_of_scores
from learning.metrics.classification import check_lengths
from learning.sources import pool
from learning.sources.files import ReadReport, read_jsonl, text_field, tokens_field, write_jsonl
from learning.sources.python_functions import FunctionNode, first_paragraph, hide_names
from learning.sources.repository import Repository
from learning.tasks.base import SPLITS, Split, Task, find_files
from learning.tasks.encoding import Kind, Limits, Row, Tokenizer, check_kind, marked
from learning.tasks.pairs import Pair


class CodeSearch(Task[Pair]):
    """See the module's head."""

    name: ClassVar[str] = "code_search"
    title: ClassVar[str] = "Code search"
    metrics: ClassVar[tuple[str, ...]] = ("mrr",)
    example = Pair
    kinds: ClassVar[tuple[Kind, ...]] = ("retrieval",)
    limits: ClassVar[Limits] = Limits(source=256, target=128)
    labelled: ClassVar[bool] = False

    def stratum(self, example: Pair) -> str:  # noqa: ARG002 - all are of one class
        """One class: pairs have no label."""
        return "pair"

    def texts(self, example: Pair) -> tuple[str, ...]:
        """The function."""
        return (example.code,)

    def read(self, folder: Path, split: Split, report: ReadReport) -> Iterator[Pair]:
        """See `Task.read`."""
        for path in find_files(folder, split):
            yield from read_jsonl(path, pair_of_row, report)

    def from_row(self, row: Mapping[str, Any], number: int) -> Pair:  # noqa: ARG002 - rows need no number here
        """See `Task.from_row`: the same fields as in the official files."""
        return pair_of_row(row)

    def write(self, folder: Path, splits: Mapping[Split, Sequence[Pair]]) -> None:
        """See `Task.write`. ``url`` and ``idx`` are made up from positions, as the official evaluator needs them."""
        number = 0
        for split, pairs in splits.items():
            rows = []
            for pair in pairs:
                rows.append(
                    {
                        "url": f"query-{number}",
                        "idx": number,
                        "repo": pair.repository,
                        "path": pair.path,
                        "func_name": pair.name,
                        "clean_code": pair.code,
                        "code_tokens": pair.code.split(),
                        "docstring_tokens": pair.query.split(),
                    }
                )
                number += 1
            write_jsonl(folder / f"{split}.jsonl", iter(rows))

    def embed(
        self,
        repositories: Mapping[Split, Sequence[Repository]],
        limits: Mapping[Split, int],
        seed: int,
        report: ReadReport,
    ) -> dict[Split, list[Pair]]:
        """See `Task.embed`. No two pairs of all splits share a query."""
        found = pool.gather(repositories, limits, seed, report, wanted=lambda s: bool(s.summary))
        result: dict[Split, list[Pair]] = {}
        queries: set[str] = set()
        order: tuple[Split, ...] = ("test", "valid", "train")
        for split in order:
            result[split] = []
            for snippet in found[split]:
                key = "".join(snippet.summary.lower().split())
                if key in queries:
                    report.skip("queries asked before", f"{snippet.repository}: {snippet.summary[:60]}")
                    continue
                queries.add(key)
                node = ast.parse(snippet.code).body[0]
                assert isinstance(node, FunctionNode)
                code = hide_names(node)
                result[split].append(Pair(snippet.summary, code, snippet.repository, snippet.path, snippet.name))
        return {split: result[split] for split in SPLITS}

    def encode(
        self, examples: Sequence[Pair], tokenizer: Tokenizer, kind: Kind, limits: Limits | None = None
    ) -> list[Row]:
        """See `Task.encode`. ``limits.target`` is for queries."""
        check_kind(kind, self.kinds, self.name)
        limits = limits or self.limits
        queries, codes = tokenizer.ids([e.query for e in examples]), tokenizer.ids([e.code for e in examples])
        return [
            {
                "query_ids": marked(query, tokenizer, limits.target),
                "code_ids": marked(code, tokenizer, limits.source),
                "example": place,
            }
            for place, (query, code) in enumerate(zip(queries, codes, strict=True))
        ]

    def evaluate(self, examples: Sequence[Pair], predictions: Sequence[Any]) -> dict[str, float]:
        """MRR of one ranking for each query: positions of candidates, best first; or of a matrix of similarities (queries, candidates).

        The function of example i is the answer to query i. Ties in a matrix count against the model.
        """
        check_lengths(predictions, examples)
        given: object = predictions
        if isinstance(given, np.ndarray) and np.issubdtype(given.dtype, np.floating):
            return {"mrr": float(reciprocal_ranks_of_scores(given).mean())}
        return {"mrr": mean_reciprocal_rank([list(p) for p in predictions], range(len(examples)))}


def pair_of_row(row: Mapping[str, Any]) -> Pair:
    """A pair from a row in AdvTest's or CodeSearchNet's format.

    Raises:
        DataError: query or code is missing or blank.
    """
    query = tokens_field(row, "docstring_tokens") or first_paragraph(text_field(row, "docstring", "query"))
    code = code_of_row(row)
    if not query.strip() or not code.strip():
        raise DataError("an empty query or empty code.")
    return Pair(
        query=query,
        code=code,
        repository=text_field(row, "repo", "repository", default=""),
        path=text_field(row, "path", "url", default=""),
        name=text_field(row, "func_name", "name", default=""),
    )


def code_of_row(row: Mapping[str, Any]) -> str:
    """Code of a CodeSearchNet row: tokens first, as its ``code`` still holds the docstring; ``clean_code`` is what this project writes."""
    if "clean_code" in row:
        return text_field(row, "clean_code")
    tokens = tokens_field(row, "code_tokens", "function_tokens")
    return text_field(row, "code", "function") if tokens is None else tokens

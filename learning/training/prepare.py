"""Examples as flat arrays of token ids: tokenised once, kept on disk, gathered into padded batches without a Python loop over tokens.

The cache's file name is the SHA-256 over the encoding (task, kind, limits), the tokenizer, and every field of every example. So
another text, tokenizer or length is another file; an old file is never wrong, only unused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from learning.errors import DataError
from learning.tasks.base import Example, Task
from learning.tasks.encoding import IGNORED, Kind, Limits, Row, TransformersTokenizer

Ints = NDArray[np.int64]
_VERSION = 1
_FILL = {"labels": IGNORED, "word_ids": -1, "token_type_ids": 0}


@dataclass(frozen=True, slots=True)
class Ragged:
    """Lists of integers end to end: list i is ``values[starts[i]:starts[i + 1]]``."""

    values: NDArray[np.int32]
    starts: Ints

    @property
    def lengths(self) -> Ints:
        """Length of each list."""
        return np.diff(self.starts)

    def padded(self, rows: Ints, fill: int, multiple: int, *, left: bool = False) -> tuple[Ints, NDArray[np.bool_]]:
        """Some lists as (rows, longest) int64, and where their elements are; the width is a multiple of ``multiple``."""
        lengths = self.lengths[rows]
        width = -(-max(1, int(lengths.max())) // multiple) * multiple
        columns = np.arange(width)
        if left:
            columns = columns - (width - lengths)[:, None]
            mask = columns >= 0
        else:
            mask = columns < lengths[:, None]
        array = np.full((len(rows), width), fill, np.int64)
        array[mask] = self.values[_within(self.starts[rows], lengths)]
        return array, mask


@dataclass(frozen=True, slots=True)
class Prepared:
    """Encoded rows of one split.

    Attributes:
        lists: token fields by name (`learning.tasks.encoding`).
        numbers: fields with one integer a row; ``example`` is the position of the row's example.
        rows_of: for each example, where its rows begin (they follow each other); one more than examples.
    """

    lists: Mapping[str, Ragged]
    numbers: Mapping[str, Ints]
    rows_of: Ints

    def __len__(self) -> int:
        return len(self.numbers["example"])

    @property
    def examples(self) -> int:
        """Number of examples."""
        return len(self.rows_of) - 1

    def rows(self, examples: Sequence[int] | Ints) -> Ints:
        """Rows of some examples, in their order."""
        chosen = np.asarray(examples, np.int64)
        starts = self.rows_of[chosen]
        return _within(starts, self.rows_of[chosen + 1] - starts)

    def length(self) -> Ints:
        """Tokens of each row, all token fields that are fed to a model together: what batches are sorted by."""
        total = np.zeros(len(self), np.int64)
        for name, ragged in self.lists.items():
            if name.endswith("_ids") and name not in _FILL:
                total += ragged.lengths
        return total


def prepare(  # noqa: PLR0917 - what a file in the cache depends on
    task: Task[Any],
    examples: Sequence[Example],
    tokenizer: Any,
    kind: Kind,
    limits: Limits | None = None,
    cache: Path | None = None,
) -> Prepared:
    """Encode examples, or read what was encoded before.

    Args:
        task: the task they are of.
        examples: at least one.
        tokenizer: a Transformers tokenizer.
        kind: encoding.
        limits: tokens kept; None: the task's.
        cache: folder for encoded examples; None: encode every time.

    Raises:
        DataError: no examples.
    """
    if not examples:
        raise DataError(f"There are no examples of {task.name} to prepare.", hint="Give the client more data.")
    path = None
    if cache is not None:
        path = cache / f"{_key(task, examples, tokenizer, kind, limits)}.safetensors"
        if path.is_file() and (found := _read(path)) is not None:
            return found
    rows = task.encode(examples, TransformersTokenizer(tokenizer), kind, limits)
    prepared = flatten(rows, len(examples))
    if path is not None:
        _write(prepared, path)
    return prepared


def flatten(rows: Sequence[Row], examples: int) -> Prepared:
    """Rows of `Task.encode`, ordered by example, as flat arrays."""
    lists: dict[str, Ragged] = {}
    numbers: dict[str, Ints] = {}
    for name in rows[0]:
        if isinstance(rows[0][name], int):
            numbers[name] = np.array([row[name] for row in rows], np.int64)
            continue
        parts = [np.asarray(row[name], np.int32) for row in rows]
        starts = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(p) for p in parts], out=starts[1:])
        lists[name] = Ragged(np.concatenate(parts) if parts else np.zeros(0, np.int32), starts)
    owners = numbers["example"]
    if (np.diff(owners) < 0).any():
        raise DataError("The rows of an encoding are not in the order of their examples.")
    return Prepared(lists, numbers, np.searchsorted(owners, np.arange(examples + 1)).astype(np.int64))


def _within(starts: Ints, lengths: Ints) -> Ints:
    """The positions start … start + length − 1 of each, one after the other."""
    offsets = np.cumsum(lengths) - lengths
    return np.repeat(starts - offsets, lengths) + np.arange(int(lengths.sum()))


def _key(task: Task[Any], examples: Sequence[Example], tokenizer: Any, kind: Kind, limits: Limits | None) -> str:
    kept = limits or task.limits
    specials = [getattr(tokenizer, f"{n}_token_id", None) for n in ("bos", "eos", "cls", "sep", "pad")]
    head = [_VERSION, task.name, kind, kept.source, kept.target, specials]
    digest = hashlib.sha256(json.dumps(head).encode())
    backend = getattr(tokenizer, "backend_tokenizer", None)
    words = backend.to_str() if backend is not None else json.dumps(sorted(tokenizer.get_vocab().items()))
    digest.update(hashlib.sha256(words.encode()).digest())
    for example in examples:
        fields = [getattr(example, f.name) for f in dataclasses.fields(example)]  # type: ignore[arg-type]
        digest.update(json.dumps(fields).encode() + b"\n")
    return digest.hexdigest()[:40]


def _write(prepared: Prepared, path: Path) -> None:
    tensors: dict[str, NDArray[Any]] = {"rows_of": prepared.rows_of}
    for name, ragged in prepared.lists.items():
        tensors[f"values.{name}"], tensors[f"starts.{name}"] = ragged.values, ragged.starts
    tensors |= {f"number.{name}": values for name, values in prepared.numbers.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    try:
        save_file(tensors, temporary)
        os.replace(temporary, path)  # noqa: PTH105 - atomic
    finally:
        Path(temporary).unlink(missing_ok=True)


def _read(path: Path) -> Prepared | None:
    """What a file holds; None if it is damaged (it is then written anew)."""
    try:
        tensors = load_file(path)
        names = [n.removeprefix("values.") for n in tensors if n.startswith("values.")]
        lists = {n: Ragged(tensors[f"values.{n}"], tensors[f"starts.{n}"]) for n in names}
        numbers = {n.removeprefix("number."): t for n, t in tensors.items() if n.startswith("number.")}
        return Prepared(lists, numbers, tensors["rows_of"])
    except (OSError, SafetensorError, KeyError):
        return None

"""From texts to token ids to padded numpy arrays, for each kind of model. No torch: only `torch.from_numpy` is left to do.

| kind | for | fields of a batch (int64; ids and masks of shape (rows, longest)) |
|---|---|---|
| classification | models with a head; one or two texts in one sequence | input_ids, attention_mask, token_type_ids; labels (rows,) |
| siamese | two texts in two sequences, as CodeXGLUE does with clones | first_ids, first_mask, second_ids, second_mask; labels (rows,) |
| retrieval | bi-encoders | query_ids, query_mask, code_ids, code_mask |
| seq2seq | encoder-decoders | input_ids, attention_mask, labels (target ids, −100 on padding) |
| causal | decoders that continue a prompt | input_ids, attention_mask, labels (−100 on prompt and padding) |
| completion | decoders that predict code tokens | input_ids, attention_mask, labels (−100 on padding), word_ids (−1 on padding) |

Every batch also has ``example`` (rows,): the position of the row's example in the list that was encoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from learning.errors import ModelError, SpecError

Kind = Literal["classification", "siamese", "retrieval", "seq2seq", "causal", "completion"]
Row = Mapping[str, Sequence[int] | int]
IGNORED = -100
_PADS = {"labels": IGNORED, "word_ids": -1, "token_type_ids": 0, "attention_mask": 0}


@dataclass(frozen=True, slots=True)
class Limits:
    """Most tokens kept, special ones included. ``source``: of a text, prompt or block; ``target``: of a summary or query."""

    source: int
    target: int = 128

    def __post_init__(self) -> None:
        """Room for two marks and a token.

        Raises:
            SpecError: a limit below 4.
        """
        if min(self.source, self.target) < 4:
            raise SpecError(f"Token limits of {self.source} and {self.target} are too small; at least 4 each.")


class Tokenizer(Protocol):
    """What encoding needs of a tokenizer. `TransformersTokenizer` gives it from any Transformers tokenizer."""

    begin: int | None
    separator: int
    end: int
    pad: int

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""

    def text(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens left out."""


class TransformersTokenizer:
    """A Transformers tokenizer as `Tokenizer`: begin = cls or bos, separator = sep or eos, end = eos or sep, pad = pad or end.

    Raises:
        ModelError: it has neither an end nor a separator token.
    """

    def __init__(self, tokenizer: Any) -> None:
        def first(*names: str) -> int | None:
            return next((int(i) for n in names if (i := getattr(tokenizer, n, None)) is not None), None)

        end, separator = first("eos_token_id", "sep_token_id"), first("sep_token_id", "eos_token_id")
        if end is None or separator is None:
            raise ModelError("The tokenizer has no end token.", hint="Set its eos_token or sep_token.")
        self._tokenizer = tokenizer
        self.begin = first("cls_token_id", "bos_token_id")
        self.separator, self.end = separator, end
        pad = first("pad_token_id")
        self.pad = end if pad is None else pad

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        if not texts:
            return []
        found = self._tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, truncation=False, verbose=False
        )
        return [list(ids) for ids in found["input_ids"]]

    def text(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens left out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def check_kind(kind: Kind, kinds: Sequence[Kind], task: str) -> None:
    """Refuse an encoding that the task does not offer.

    Raises:
        SpecError: it does not.
    """
    if kind not in kinds:
        raise SpecError(f"{task} cannot be encoded for {kind!r} models.", hint=f"It offers {', '.join(kinds)}.")


def marked(ids: Sequence[int], tokenizer: Tokenizer, limit: int) -> list[int]:
    """begin, as many ids as fit, separator."""
    head = [] if tokenizer.begin is None else [tokenizer.begin]
    return [*head, *ids[: limit - len(head) - 1], tokenizer.separator]


def one_sequence(texts: Sequence[Sequence[int]], tokenizer: Tokenizer, limit: int) -> dict[str, list[int]]:
    """begin a separator b separator …, the longest text shortened first; token types number the texts."""
    head = [] if tokenizer.begin is None else [tokenizer.begin]
    keep = _shares([len(t) for t in texts], limit - len(head) - len(texts))
    ids, types = list(head), [0] * len(head)
    for number, (text, count) in enumerate(zip(texts, keep, strict=True)):
        ids += [*text[:count], tokenizer.separator]
        types += [number] * (count + 1)
    return {"input_ids": ids, "token_type_ids": types}


def seq2seq_row(
    source: Sequence[int], target: Sequence[int], tokenizer: Tokenizer, limits: Limits
) -> dict[str, list[int]]:
    """Source with marks, and the target ended by the end token as labels."""
    return {
        "input_ids": marked(source, tokenizer, limits.source),
        "labels": [*target[: limits.target - 1], tokenizer.end],
    }


def causal_row(
    prompt: Sequence[int], bridge: Sequence[int], target: Sequence[int], tokenizer: Tokenizer, limits: Limits
) -> dict[str, list[int]]:
    """begin, prompt, bridge, target, end; labels only on target and end. The prompt is cut, the bridge (what asks for the target) never.

    Raises:
        SpecError: the bridge alone does not fit.
    """
    head = [] if tokenizer.begin is None else [tokenizer.begin]
    room = limits.source - len(head) - len(bridge)
    if room < 1:
        raise SpecError(f"A limit of {limits.source} tokens leaves no room for code before the prompt's end.")
    context = [*head, *prompt[:room], *bridge]
    answer = [*target[: limits.target - 1], tokenizer.end]
    return {"input_ids": context + answer, "labels": [IGNORED] * len(context) + answer}


def prompt_rows(rows: Sequence[Row]) -> list[Row]:
    """Causal rows cut before their targets: what a model is given to generate from. Collate them with ``left=True``."""
    found: list[Row] = []
    for row in rows:
        labels, ids = _list(row["labels"]), _list(row["input_ids"])
        start = next((i for i, label in enumerate(labels) if label != IGNORED), len(labels))
        found.append({"input_ids": ids[:start], "example": row["example"]})
    return found


def completion_rows(words: Sequence[Sequence[int]], tokenizer: Tokenizer, block: int) -> list[dict[str, list[int]]]:
    """Blocks of at most ``block`` ids in which no word is cut in two; ``word_ids`` says which word of the program an id belongs to.

    A word of more ids than a block is cut off at the block's size; it cannot be predicted right, and counts as wrong.
    """
    rows: list[dict[str, list[int]]] = []
    ids: list[int] = []
    numbers: list[int] = []
    for number, full in enumerate(words):
        word = full[:block] or [tokenizer.end]
        if len(ids) + len(word) > block:
            rows.append({"input_ids": ids, "word_ids": numbers, "labels": ids})
            ids, numbers = [], []
        ids.extend(word)
        numbers.extend([number] * len(word))
    if ids:
        rows.append({"input_ids": ids, "word_ids": numbers, "labels": ids})
    return rows


def collate(rows: Sequence[Row], *, pad: int, multiple_of: int = 1, left: bool = False) -> dict[str, NDArray[np.int64]]:
    """Rows padded to the longest of the batch (see the module's head).

    Args:
        rows: of one kind, at least one.
        pad: token id for padding.
        multiple_of: lengths are rounded up to a multiple of this (8 suits tensor cores).
        left: pad on the left, as generation by decoders wants it.
    """
    batch: dict[str, NDArray[np.int64]] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if isinstance(values[0], int):
            batch[name] = np.array(values, np.int64)
            continue
        lists = [_list(value) for value in values]
        width = max(map(len, lists))
        width = -(-width // multiple_of) * multiple_of
        array = np.full((len(rows), width), _PADS.get(name, pad), np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        for line, value in enumerate(lists):
            place = slice(width - len(value), width) if left else slice(0, len(value))
            array[line, place] = value
            mask[line, place] = 1
        batch[name] = array
        if name.endswith("_ids") and name not in _PADS:
            batch["attention_mask" if name == "input_ids" else name.removesuffix("_ids") + "_mask"] = mask
    return batch


def _list(value: Sequence[int] | int) -> list[int]:
    return [value] if isinstance(value, int) else list(value)


def _shares(lengths: Sequence[int], room: int) -> list[int]:
    """How many of each text's tokens fit into ``room`` together, the longest being shortened first."""
    if room < len(lengths):
        raise SpecError(f"A token limit that leaves room for {room} tokens cannot hold {len(lengths)} texts.")
    keep = list(lengths)
    while sum(keep) > room:
        longest = max(range(len(keep)), key=lambda i: (keep[i], i))
        others = [k for i, k in enumerate(keep) if i != longest]
        second = max(others, default=0)
        keep[longest] -= min(sum(keep) - room, max(1, keep[longest] - second))
    return keep

"""Encodings keep their limits and lose nothing they need not lose, whatever the texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from learning.tasks.completion import Completion, Program
from learning.tasks.encoding import Limits, collate, completion_rows, one_sequence


class Letters:
    """A token a character."""

    begin: int | None = 1
    separator, end, pad = 2, 2, 0

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [[ord(c) for c in text] for text in texts]

    def text(self, ids: Sequence[int]) -> str:
        return "".join(chr(i) for i in ids if i > 2)


token_lists = st.lists(st.integers(3, 99), max_size=40)


@given(st.lists(token_lists, min_size=1, max_size=3), st.integers(8, 60))
def test_one_sequence_fills_its_limit_and_keeps_short_texts_whole(texts: list[list[int]], limit: int) -> None:
    row = one_sequence(texts, Letters(), limit)
    ids, kinds = row["input_ids"], row["token_type_ids"]
    whole = 1 + sum(len(t) + 1 for t in texts)
    assert len(ids) == len(kinds) == min(limit, whole)
    assert kinds == sorted(kinds)
    share = (limit - 1 - len(texts)) // len(texts)
    for number, text in enumerate(texts):
        own = [i for i, kind in zip(ids, kinds, strict=True) if kind == number][number == 0 : -1]
        assert own == text[: len(own)]
        assert len(own) >= min(len(text), share)


@given(st.lists(st.lists(st.integers(3, 99), min_size=1, max_size=9), max_size=30), st.integers(4, 16))
def test_blocks_hold_every_word_once_and_whole(words: list[list[int]], block: int) -> None:
    rows = completion_rows(words, Letters(), block)
    assert [i for row in rows for i in row["input_ids"]] == [i for word in words for i in word[:block]]
    assert all(0 < len(row["input_ids"]) <= block for row in rows)
    numbers = [row["word_ids"] for row in rows]
    assert all(list(n) == sorted(n) for n in numbers)
    owners = [set(n) for n in numbers]
    assert sum(map(len, owners)) == len(set[int]().union(*owners)) == len(words)


@given(
    st.lists(st.lists(st.text("abcdef.()", min_size=1, max_size=6), min_size=1, max_size=20), min_size=1, max_size=4)
)
def test_true_ids_score_one_and_wrong_ones_what_is_left(programs: list[list[str]]) -> None:
    task, letters = Completion(), Letters()
    examples = [Program(" ".join(["<s>", *p, "</s>"]), "r", "p") for p in programs]
    rows = task.encode(examples, letters, "completion", Limits(source=16))
    batch = collate(rows, pad=0)
    found = task.words(examples, rows, batch["input_ids"].tolist(), letters)
    assert task.evaluate(examples, found) == {"accuracy": 1.0}
    wrong = np.where(batch["word_ids"] == 1, ord("z"), batch["input_ids"])
    total = sum(map(len, programs))
    score = task.evaluate(examples, task.words(examples, rows, wrong.tolist(), letters))["accuracy"]
    assert score == (total - len(programs)) / total

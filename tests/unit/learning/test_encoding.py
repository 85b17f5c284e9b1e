"""Encodings by hand with a tokenizer of letters, and with a real Transformers tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from learning.errors import ModelError, SpecError
from learning.tasks.clone_detection import CloneDetection, ClonePair
from learning.tasks.code_to_text import CodeToText, SummaryExample
from learning.tasks.completion import Completion, Program
from learning.tasks.defect_detection import DefectDetection, DefectExample
from learning.tasks.encoding import Limits, TransformersTokenizer, collate, prompt_rows
from learning.tasks.pairs import Pair
from learning.tasks.search import CodeSearch


class Letters:
    """A token a character, its code point the id; 1 begins, 2 separates and ends, 0 pads."""

    begin: int | None = 1
    separator, end, pad = 2, 2, 0

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [[ord(c) for c in text] for text in texts]

    def text(self, ids: Sequence[int]) -> str:
        return "".join(chr(i) for i in ids if i > 2)


LETTERS = Letters()
SMALL = Limits(source=8, target=6)


def word(text: str) -> list[int]:
    return [ord(c) for c in text]


def test_clone_pairs_in_one_and_in_two_sequences() -> None:
    pair = ClonePair("ab  c", "defghijklmnop", 1, "1", "2", "r")
    (one,) = CloneDetection().encode([pair], LETTERS, "classification", SMALL)
    assert one["input_ids"] == [1, *word("ab c"), 2, *word("defghijkl"), 2]
    assert one["token_type_ids"] == [0] * 6 + [1] * 10
    assert (one["labels"], one["example"]) == (1, 0)
    (two,) = CloneDetection().encode([pair], LETTERS, "siamese", SMALL)
    assert two["first_ids"] == [1, *word("ab c"), 2]
    assert two["second_ids"] == [1, *word("defghi"), 2]


def test_the_longer_text_is_shortened_first() -> None:
    both = ClonePair("a" * 50, "b" * 20, 0, "1", "2", "r")
    (row,) = CloneDetection().encode([both], LETTERS, "classification", Limits(source=25))
    ids = row["input_ids"]
    assert isinstance(ids, list)
    assert (len(ids), ids.count(ord("a")), ids.count(ord("b"))) == (50, 27, 20)
    (row,) = CloneDetection().encode([both], LETTERS, "classification", Limits(source=10))
    ids = row["input_ids"]
    assert isinstance(ids, list)
    assert (len(ids), ids.count(ord("a")), ids.count(ord("b"))) == (20, 9, 8)


def test_defects_and_search() -> None:
    (row,) = DefectDetection().encode([DefectExample("ab\n\tc", 1, "0", "r", "c")], LETTERS, "classification", SMALL)
    assert row["input_ids"] == [1, *word("ab c"), 2]
    (row,) = CodeSearch().encode([Pair("find it", "def f()", "r", "p", "n")], LETTERS, "retrieval", SMALL)
    assert row["query_ids"] == [1, *word("find"), 2]
    assert row["code_ids"] == [1, *word("def f("), 2]


def test_summaries_for_both_kinds_of_generators() -> None:
    example = SummaryExample("code!", "Sum.", "ruby", "", "", "")
    (row,) = CodeToText().encode([example], LETTERS, "seq2seq", SMALL)
    assert row["input_ids"] == [1, *word("code!"), 2]
    assert row["labels"] == [*word("Sum."), 2]
    limits = Limits(source=15, target=4)
    (row,) = CodeToText().encode([example], LETTERS, "causal", limits)
    prompt = [1, *word("cod"), *word("\n# Summary:")]
    assert row["input_ids"] == [*prompt, *word(" Su"), 2]
    assert row["labels"] == [-100] * len(prompt) + [*word(" Su"), 2]
    assert prompt_rows([row]) == [{"input_ids": prompt, "example": 0}]
    with pytest.raises(SpecError, match="no room"):
        CodeToText().encode([example], LETTERS, "causal", Limits(source=12))


def test_completion_blocks_cut_no_token() -> None:
    program = Program("<s> ab = abcdefghijk </s>", "r", "p")
    rows = Completion().encode([program], LETTERS, "completion", Limits(source=8))
    assert [r["input_ids"] for r in rows] == [[1, *word(" ab"), *word(" =")], word(" abcdefg"), [2]]
    assert [r["word_ids"] for r in rows] == [[0, 1, 1, 1, 2, 2], [3] * 8, [4]]
    assert [r["example"] for r in rows] == [0, 0, 0]


def test_words_of_predicted_ids() -> None:
    task, program = Completion(), Program("<s> ab = c </s>", "r", "p")
    rows = task.encode([program], LETTERS, "completion", Limits(source=16))
    right = [int(i) for row in rows for i in row["input_ids"]]  # type: ignore[union-attr]
    assert task.words([program], rows, [right], LETTERS) == [program.tokens.split()]
    guess = [-1, *word(" ax"), *word(" ="), *word(" d"), 0, 0, 0]
    found = task.words([program], rows, [guess], LETTERS)
    assert found == [["", "ax", "=", "d", ""]]
    assert task.evaluate([program], found) == {"accuracy": 1 / 3}
    spaced = [1, *word("ab "), *word("= "), *word("c x"[:2]), 2]
    assert task.words([program], rows, [spaced], LETTERS)[0][1:4] == ["ab", "=", "c"]


def test_collating_pads_masks_and_rounds_up() -> None:
    rows = [{"input_ids": [1, 2, 3], "labels": [7], "example": 0}, {"input_ids": [4], "labels": [8, 9], "example": 1}]
    batch = collate(rows, pad=0, multiple_of=4)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 0], [4, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
    assert batch["labels"].tolist() == [[7, -100, -100, -100], [8, 9, -100, -100]]
    assert batch["example"].tolist() == [0, 1]
    assert all(a.dtype == np.int64 for a in batch.values())
    left = collate(rows, pad=0, left=True)
    assert left["input_ids"].tolist() == [[1, 2, 3], [0, 0, 4]]
    assert left["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]


def test_masks_are_named_after_their_ids() -> None:
    siamese = CloneDetection().encode([ClonePair("a", "bc", 1, "1", "2", "r")] * 2, LETTERS, "siamese")
    assert set(collate(siamese, pad=0)) == {"first_ids", "first_mask", "second_ids", "second_mask", "labels", "example"}
    search = CodeSearch().encode([Pair("a", "bc", "r", "p", "n")], LETTERS, "retrieval")
    assert set(collate(search, pad=0)) == {"query_ids", "query_mask", "code_ids", "code_mask", "example"}
    completion = Completion().encode([Program("<s> a </s>", "", "")], LETTERS, "completion")
    assert set(collate(completion, pad=0)) == {"input_ids", "attention_mask", "word_ids", "labels", "example"}
    classes = DefectDetection().encode([DefectExample("a", 1, "", "", "")], LETTERS, "classification")
    assert set(collate(classes, pad=0)) == {"input_ids", "attention_mask", "token_type_ids", "labels", "example"}


def test_other_kinds_and_tiny_limits_are_refused() -> None:
    with pytest.raises(SpecError, match="cannot be encoded for 'causal' models"):
        DefectDetection().encode([], LETTERS, "causal")
    with pytest.raises(SpecError, match="too small"):
        Limits(source=3)


def test_a_transformers_tokenizer(tiny_folder: Path) -> None:
    tokenizer = TransformersTokenizer(AutoTokenizer.from_pretrained(tiny_folder))
    assert tokenizer.ids([]) == []
    (ids,) = tokenizer.ids(["return the list"])
    assert tokenizer.text(ids) == "return the list"
    assert tokenizer.text([tokenizer.begin or 0, *ids, tokenizer.separator]) == "return the list"
    (row,) = CodeSearch().encode([Pair("return the list", "return x", "r", "p", "n")], tokenizer, "retrieval")
    assert row["query_ids"] == [tokenizer.begin, *ids, tokenizer.separator]
    assert len({tokenizer.begin, tokenizer.separator, tokenizer.pad}) == 3
    with pytest.raises(ModelError, match="no end token"):
        TransformersTokenizer(object())

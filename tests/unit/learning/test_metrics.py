"""Metrics against cases worked out by hand from the official evaluators' definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from learning.errors import DataError
from learning.metrics import (
    accuracy,
    binary_scores,
    bleu_tokens,
    mean_reciprocal_rank,
    rank_by_score,
    reciprocal_ranks_of_scores,
    sentence_bleu,
    smoothed_bleu,
    token_accuracy,
)


def test_accuracy_by_hand() -> None:
    assert accuracy([0, 1, 1, 0, 0], [0, 1, 0, 0, 1]) == 0.6


def test_f1_by_hand() -> None:
    # tp 2, fp 1, fn 2
    scores = binary_scores([1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 1, 0])
    assert (scores.precision, scores.recall, scores.f1) == (2 / 3, 1 / 2, 4 / 7)
    assert scores.f1 == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2), abs=1e-15)


def test_f1_counts_class_one_only_and_is_zero_without_it() -> None:
    assert binary_scores([0, 0], [0, 0]).f1 == 0
    assert binary_scores([0, 0], [1, 1]).precision == 0
    assert binary_scores([1, 1], [0, 0]).recall == 0
    with pytest.raises(DataError, match="0 or 1, not 2"):
        binary_scores([2], [1])


def test_mean_reciprocal_rank_by_hand() -> None:
    rankings = [
        [10, 11, 12, 13, 14],
        [10, 12, 11, 13, 14],
        [13, 11, 12, 10, 14],
        [10, 14, 12, 13, 11],
        [10, 11, 12, 13, 14],
    ]
    found = mean_reciprocal_rank(rankings, [10, 11, 12, 13, 14])
    assert found == pytest.approx((1 + 1 / 3 + 1 / 3 + 1 / 4 + 1 / 5) / 5, abs=1e-15)
    assert round(found, 4) == 0.4233


def test_an_answer_that_is_not_listed_scores_zero() -> None:
    assert mean_reciprocal_rank([[1, 2], [3]], [2, 1]) == 0.25


def test_ranks_of_scores_are_pessimistic() -> None:
    scores = np.array([[0.9, 0.1, 0.5, 0.0], [0.2, 0.2, 0.1, 0.9], [0.5, 0.5, 0.5, 0.5]])
    assert reciprocal_ranks_of_scores(scores).tolist() == [1, 1 / 3, 1 / 4]
    assert reciprocal_ranks_of_scores(np.array([[np.nan, 1.0]])).tolist() == [0.5]
    assert rank_by_score(scores, keep=3).tolist() == [[0, 2, 1], [3, 0, 1], [0, 1, 2]]
    for wrong in (np.ones(3), np.ones((3, 2)), np.ones((0, 2))):
        with pytest.raises(DataError, match="not \\(queries, candidates\\)"):
            reciprocal_ranks_of_scores(wrong)


def test_ranks_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(0).normal(size=(7, 9))
    whole = reciprocal_ranks_of_scores(scores)
    monkeypatch.setattr("learning.metrics.ranking._BLOCK", 3)
    assert (reciprocal_ranks_of_scores(scores) == whole).all()


def test_bleu_of_a_set_is_the_mean_of_its_sentences() -> None:
    predictions = ["Opens a file.", "Sort a list in place", ""]
    references = ["Open the file.", "Sort the list in place.", "Nothing"]
    # "opens a file ." against "open the file .": m = 2, 1, 0, 0 of g = 4, 3, 2, 1, no brevity penalty
    first = (2 / 4 * 2 / 4 * 1 / 3 * 1 / 2) ** 0.25
    # "sort a list in place" against six tokens: m = 4, 2, 1, 0 of g = 5, 4, 3, 2
    second = (4 / 5 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25 * math.exp(1 - 7 / 6)
    expected = 100 * (first + second + math.exp(-1)) / 3
    assert smoothed_bleu(predictions, references) == pytest.approx(expected, abs=1e-12)


def test_bleu_by_hand() -> None:
    # prediction a b c x (4 tokens), reference a b c d e (5 tokens): m = 3, 2, 1, 0 of g = 4, 3, 2, 1
    by_hand = (3 / 4 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25 * math.exp(1 - 6 / 5)
    assert sentence_bleu("a b c x", "a b c d e") == pytest.approx(by_hand, abs=1e-14)
    # a longer prediction is not penalised; repeated words are clipped: m = 1, 0, 0, 0 of g = 3, 2, 1, 0
    assert sentence_bleu("the the the", "the cat") == pytest.approx((1 / 3 * 1 / 3 * 1 / 2 * 1) ** 0.25, abs=1e-14)


def test_a_word_is_matched_as_often_as_both_have_it() -> None:
    assert sentence_bleu("the", "the the") == pytest.approx(math.exp(1 - 3 / 2), abs=1e-14)
    assert sentence_bleu("the the", "the") == pytest.approx((1 / 2 * 1 / 2) ** 0.25, abs=1e-14)


def test_bleu_at_the_edges() -> None:
    assert sentence_bleu("Same words here now", "same WORDS here now") == pytest.approx(1, abs=1e-14)
    assert sentence_bleu("One", "one") == pytest.approx(1, abs=1e-14)
    assert sentence_bleu("", "two words") == pytest.approx(math.exp(-2), abs=1e-14)
    assert 0 < sentence_bleu("x", "y") < 1e-70
    assert smoothed_bleu(["a b c d", "x"], ["a b c d", "y"]) == pytest.approx(50, abs=1e-10)


def test_bleu_tokens() -> None:
    assert bleu_tokens(" Don't split_me: 1.5-ÉTÉ&amp; ") == [
        *("don", "'", "t", "split", "_", "me", ":", "1", ".", "5", "-", "été", "&", "amp", ";")
    ]


def test_token_accuracy_by_hand() -> None:
    answer = ["<s>", "x", "=", "f", "(", "y", ")", "<EOL>", "return", "x", "</s>"]
    guess = ["=", "x", "=", "g", "(", ")", ")", "x", "return", "y", "<EOL>"]
    found = token_accuracy([guess, ["<s>", "x", "</s>"]], [answer, ["<s>", "x", "</s>"]])
    assert (found.correct, found.total, found.accuracy) == (6, 9, 6 / 9)


def test_marks_are_not_counted_even_if_right() -> None:
    found = token_accuracy([["<s>", "x", "<EOL>", "<pad>"]], [["<s>", "a", "<EOL>", "<pad>"]])
    assert (found.correct, found.total) == (0, 1)
    with pytest.raises(DataError, match="Program 0: 1 tokens"):
        token_accuracy([["a"]], [["a", "b"]])
    with pytest.raises(DataError, match="nothing to score"):
        token_accuracy([["<s>"]], [["<s>"]])


@pytest.mark.parametrize("metric", [accuracy, binary_scores, mean_reciprocal_rank, smoothed_bleu, token_accuracy])
def test_nothing_and_unequal_lists_are_refused(metric: object) -> None:
    with pytest.raises(DataError, match="nothing to score"):
        metric([], [])  # type: ignore[operator]
    with pytest.raises(DataError, match="1 predictions for 2 examples"):
        metric([1], [1, 0])  # type: ignore[operator]

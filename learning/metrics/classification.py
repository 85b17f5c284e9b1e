"""Accuracy (defect detection) and F1 with precision and recall of the positive class (clone detection)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learning.errors import DataError


@dataclass(frozen=True, slots=True)
class BinaryScores:
    """Scores of the class 1, each in 0…1; a ratio without a denominator is 0."""

    f1: float
    precision: float
    recall: float


def accuracy(predictions: Sequence[int], answers: Sequence[int]) -> float:
    """Share of equal labels, 0…1, as Devign's evaluator in CodeXGLUE counts it.

    Raises:
        DataError: no answers, or another number of predictions than answers.
    """
    check_lengths(predictions, answers)
    return sum(p == a for p, a in zip(predictions, answers, strict=True)) / len(answers)


def binary_scores(predictions: Sequence[int], answers: Sequence[int]) -> BinaryScores:
    """Precision tp/(tp + fp), recall tp/(tp + fn), F1 = 2·tp/(2·tp + fp + fn) of class 1; 0 where a denominator is 0.

    This is what BigCloneBench's evaluator in CodeXGLUE reports (the binary scores of one class, not their macro average).

    Raises:
        DataError: no answers, another number of predictions, or a label other than 0 and 1.
    """
    check_lengths(predictions, answers)
    if not {*predictions, *answers} <= {0, 1}:
        odd = sorted({*predictions, *answers} - {0, 1})
        raise DataError(f"Labels must be 0 or 1, not {odd[0]!r}.")
    tp = sum(p == 1 and a == 1 for p, a in zip(predictions, answers, strict=True))
    predicted, positive = sum(p == 1 for p in predictions), sum(a == 1 for a in answers)
    return BinaryScores(
        f1=_ratio(2 * tp, predicted + positive), precision=_ratio(tp, predicted), recall=_ratio(tp, positive)
    )


def check_lengths(predictions: Sequence[object], answers: Sequence[object]) -> None:
    """Metrics are undefined on nothing, and on lists that do not match.

    Raises:
        DataError: no answers, or another number of predictions than answers.
    """
    if len(predictions) != len(answers):
        raise DataError(
            f"There are {len(predictions)} predictions for {len(answers)} examples.",
            hint="Give one prediction for each example, in the same order.",
        )
    if not len(answers):
        raise DataError("There is nothing to score: no examples.")


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0

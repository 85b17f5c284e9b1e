"""Mean reciprocal rank (code search): of ranked lists, as AdvTest's evaluator counts it, and of a matrix of similarities."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from learning.errors import DataError
from learning.metrics.classification import check_lengths

_BLOCK = 1024


def reciprocal_rank(ranked: Sequence[Hashable], answer: Hashable) -> float:
    """1/r with r the place (from 1) at which ``answer`` first stands in ``ranked``; 0 if it does not."""
    for place, candidate in enumerate(ranked, 1):
        if candidate == answer:
            return 1 / place
    return 0.0


def mean_reciprocal_rank(rankings: Sequence[Sequence[Hashable]], answers: Sequence[Hashable]) -> float:
    """Mean of `reciprocal_rank` over queries, 0…1. The official evaluator prints it rounded to four digits; this does not round.

    Raises:
        DataError: no queries, or another number of rankings than answers.
    """
    check_lengths(rankings, answers)
    return sum(reciprocal_rank(r, a) for r, a in zip(rankings, answers, strict=True)) / len(answers)


def reciprocal_ranks_of_scores(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """1/rank of candidate i for query i, shape (n,).

    Args:
        scores: (n, m) similarities, m ≥ n; candidate i answers query i.

    A candidate with the same score as the right one counts as ranked before it, as in CodeXGLUE's own training script, so that a
    collapsed model scores 1/m and not 1. A score that is not a number ranks its query last.

    Raises:
        DataError: not a matrix with at least as many columns as rows.
    """
    if scores.ndim != 2 or not 0 < scores.shape[0] <= scores.shape[1]:
        raise DataError(f"Similarities of shape {scores.shape} are not (queries, candidates) with a candidate a query.")
    ranks = np.empty(len(scores), np.int64)
    for start in range(0, len(scores), _BLOCK):
        block = scores[start : start + _BLOCK]
        own = block[np.arange(len(block)), np.arange(start, start + len(block))]
        ranks[start : start + len(block)] = scores.shape[1] - (block < own[:, None]).sum(1)
    return 1.0 / ranks


def rank_by_score(scores: NDArray[np.floating], *, keep: int = 100) -> NDArray[np.int64]:
    """Columns of ``scores`` (n, m) by falling score, the first ``keep`` of each row; equal scores in order of column."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :keep].astype(np.int64)

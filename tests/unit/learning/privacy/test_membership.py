"""Membership scores and their statistics, on losses whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from learning.errors import DataError
from learning.privacy.membership import lira_offline, loss_drop, loss_threshold
from learning.privacy.statistics import auc, mean, proportion, tpr_at_fpr

DRAW = np.random.default_rng(11)


def test_auc_is_that_of_the_ranks_ties_counting_half() -> None:
    members, others = np.round(DRAW.normal(0.4, 1, 150), 1), np.round(DRAW.normal(0, 1, 90), 1)
    expected = roc_auc_score([1] * 150 + [0] * 90, np.concatenate([members, others]))
    found = auc(members, others)
    assert found.value == pytest.approx(expected)
    assert found.low < found.value < found.high
    assert auc(others, members).value == pytest.approx(1 - expected)


def test_the_interval_of_auc_holds_its_promise() -> None:
    inside = sum(
        (found := auc(DRAW.normal(0, 1, 60), DRAW.normal(0, 1, 60))).low <= 0.5 <= found.high for _ in range(400)
    )
    assert 0.92 <= inside / 400 <= 0.98


def test_perfect_separation_still_has_an_interval() -> None:
    found = auc(np.arange(10.0) + 100, np.arange(20.0))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.7)


def test_tpr_counts_members_above_the_quantile_of_the_others() -> None:
    others = np.arange(200.0)
    assert tpr_at_fpr(np.array([150.0, 196.9, 197.1, 300.0]), others, 0.01).value == 0.5  # 198 and 199 may be above
    assert tpr_at_fpr(np.array([199.0, 199.5]), others[-50:], 0.01).value == 0.5  # too few others: above all of them
    same = DRAW.normal(0, 1, 20_000)
    assert tpr_at_fpr(same[:10_000], same[10_000:]).value == pytest.approx(0.01, abs=0.006)


def test_proportions_have_exact_intervals() -> None:
    found = proportion(0, 30)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 30))
    assert proportion(30, 30).low == pytest.approx(0.025 ** (1 / 30))
    assert proportion(7, 20).low == pytest.approx(0.1539, abs=1e-4)  # tables of Clopper & Pearson
    assert mean(np.array([1.0, 3.0])).value == 2.0
    assert mean(np.array([1.0])).low == -np.inf


def test_too_few_or_broken_scores_are_refused() -> None:
    with pytest.raises(DataError, match="at least two"):
        auc(np.array([1.0]), np.array([1.0, 2.0]))
    with pytest.raises(DataError, match="not finite"):
        auc(np.array([1.0, np.nan]), np.array([1.0, 2.0]))
    with pytest.raises(DataError, match="at least one"):
        tpr_at_fpr(np.array([]), np.array([1.0]))


def world(size: int, gap: float, shadows: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Losses of examples of very different difficulty, lowered by ``gap`` where an example was trained on."""
    difficulty = DRAW.normal(3, 1.5, 2 * size)
    is_member = np.arange(2 * size) < size
    noise = lambda *shape: DRAW.normal(0, 0.1, shape)  # noqa: E731
    before = difficulty + noise(2 * size)
    after = difficulty - gap * is_member + noise(2 * size)
    half = DRAW.random((shadows // 2, 2 * size)) < 0.5
    is_out = np.concatenate([half, ~half]) | is_member  # every shadow has its complement; none knows a member
    shadow = difficulty - gap * ~is_out + noise(shadows, 2 * size)
    return before, after, shadow, is_out, is_member


def test_calibration_finds_members_that_a_plain_threshold_misses() -> None:
    before, after, shadows, is_out, member = world(500, gap=0.2)
    plain, drop = loss_threshold(after), loss_drop(before, after)
    ratio = lira_offline(after, shadows, is_out)
    results = [auc(score[member], score[~member]).value for score in (plain, drop, ratio)]
    assert results[0] < 0.6
    assert results[1] > 0.8
    assert results[2] > results[1]  # several shadows are a better reference than one
    assert tpr_at_fpr(ratio[member], ratio[~member]).value > 0.1


def test_no_attack_finds_anything_where_training_left_no_trace() -> None:
    before, after, shadows, is_out, member = world(500, gap=0.0)
    for score in (loss_threshold(after), loss_drop(before, after), lira_offline(after, shadows, is_out)):
        found = auc(score[member], score[~member])
        assert abs(found.value - 0.5) < 0.06


def test_the_likelihood_ratio_is_taken_against_shadows_without_the_example_only() -> None:
    shadows, is_out = np.array([[1.0, 3.0], [3.0, 0.5]]), np.array([[True, True], [True, False]])
    # Means 2 and 3, common deviation √(((1−2)² + (3−2)²) / 1) = √2; a loss at its mean has −log Φ(0) = log 2, lower ones more.
    at_mean = lira_offline(np.array([2.0, 3.0]), shadows, is_out)
    assert at_mean == pytest.approx([np.log(2)] * 2)
    below = lira_offline(np.array([2.0 - 2**0.5, 3.0]), shadows, is_out)
    assert below == pytest.approx([-np.log(0.15865525393145707), np.log(2)])


def test_the_likelihood_ratio_needs_shadows_that_lack_the_example() -> None:
    losses, shadows = np.ones(3), np.ones((2, 3))
    with pytest.raises(DataError, match="every shadow"):
        lira_offline(losses, shadows, np.array([[True, True, False], [True, True, False]]))
    with pytest.raises(DataError, match="spread"):
        lira_offline(losses, shadows, np.array([[True, True, False], [False, False, True]]))
    assert np.isfinite(lira_offline(losses, shadows, np.ones((2, 3), bool))).all()  # shadows that agree exactly

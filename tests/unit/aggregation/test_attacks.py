"""Attacks are what their formulas say, and the robust pipelines stand what the mean does not."""

from collections.abc import Callable

import numpy as np
import pytest

from aggregation.registry import parse
from aggregation.testing import attacks

HONEST = np.array([[1, 2], [3, 6]], np.float32)


def test_formulas():
    assert attacks.sign_flip(HONEST, 2, strength=3).tolist() == [[-6, -12], [-6, -12]]
    assert attacks.scaling(HONEST, 3, factor=10).tolist() == [[10, 20], [30, 60], [10, 20]]
    assert attacks.alie(HONEST, 1, z=2).tolist() == [[0, 0]]  # μ = (2, 4), σ = (1, 2)
    assert attacks.ipm(HONEST, 1, epsilon=0.5).tolist() == [[-1, -2]]
    assert attacks.zero(HONEST, 2).tolist() == [[0, 0], [0, 0]]
    assert attacks.copy(HONEST, 2, victim=1).tolist() == [[3, 6], [3, 6]]


def test_gaussian_is_seeded_and_scaled():
    wide = np.random.default_rng(0).standard_normal((5, 20_000)).astype(np.float32)
    first, again, other = (attacks.gaussian(wide, 2, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.std() == pytest.approx(10, rel=0.05)


def drawn(rows: int = 7, size: int = 500) -> np.ndarray:
    rng = np.random.default_rng(11)
    return (1 + 0.3 * rng.standard_normal((rows, size))).astype(np.float32)


def farthest_apart(rows: np.ndarray) -> float:
    return max(float(np.linalg.norm(a.astype(float) - b)) for a in rows for b in rows)


def along_sigma(honest: np.ndarray, row: np.ndarray) -> float:
    """γ of row = μ - γ·σ, which it must be."""
    mean, sigma = honest.mean(axis=0, dtype=float), honest.std(axis=0, dtype=float)
    gamma = float((mean - row) @ sigma / (sigma @ sigma))
    assert row == pytest.approx(mean - gamma * sigma, rel=1e-5, abs=1e-6)
    return gamma


def test_min_max_is_as_far_out_as_the_two_farthest_honest():
    honest = drawn()
    sent = attacks.min_max(honest, 3)
    gamma = along_sigma(honest, sent[0])
    assert gamma > 0.5
    assert np.array_equal(sent[0], sent[2])
    reach = max(float(np.linalg.norm(sent[0].astype(float) - x)) for x in honest)
    assert reach == pytest.approx(farthest_apart(honest), rel=1e-6)
    mean, sigma = honest.mean(axis=0, dtype=float), honest.std(axis=0, dtype=float)
    beyond = mean - 1.01 * gamma * sigma
    assert max(float(np.linalg.norm(beyond - x)) for x in honest) > farthest_apart(honest)


def test_min_sum_uses_up_the_largest_sum_of_squares():
    honest = drawn()
    sent = attacks.min_sum(honest, 1)
    assert along_sigma(honest, sent[0]) > 0.1
    total = sum(float(np.square(sent[0].astype(float) - x).sum()) for x in honest)
    allowed = max(sum(float(np.square(a.astype(float) - b).sum()) for b in honest) for a in honest)
    assert total == pytest.approx(allowed, rel=1e-6)


@pytest.mark.parametrize("attack", [attacks.min_max, attacks.min_sum])
def test_without_spread_there_is_nothing_to_hide_in(attack: Callable[[np.ndarray, int], np.ndarray]):
    assert attack(np.full((4, 3), 2, np.float32), 2).tolist() == [[2, 2, 2], [2, 2, 2]]
    assert attack(HONEST, 0).shape == (0, 2)


def test_mimic_repeats_the_most_deviating_client():
    honest = np.array([[1, 0.1], [1, -0.1], [1.2, 0], [9, 0.3]], np.float32)
    assert attacks.mimic(honest, 2).tolist() == [honest[3].tolist()] * 2
    tight = np.array([[0, 1], [0, -1.5], [0.2, 0.1]], np.float32)  # they differ along the second axis
    assert attacks.mimic(tight, 1).tolist() == [tight[1].tolist()]


def test_label_flip_mirrors_the_classes_and_undoes_itself():
    labels = np.array([0, 3, 9, 4], np.int64)
    assert attacks.label_flip(labels, 10).tolist() == [9, 6, 0, 5]
    assert attacks.label_flip(attacks.label_flip(labels, 10), 10).tolist() == labels.tolist()
    small = np.array([0, 2], np.uint8)
    assert attacks.label_flip(small, 3).dtype == np.uint8
    with pytest.raises(ValueError, match=r"0 … 8"):
        attacks.label_flip(labels, 9)


def test_copies_with_noise_stay_near_but_differ():
    honest = drawn(size=20_000)
    sent = attacks.copy_noise(honest, 2, seed=5, victim=1, share=0.2)
    for row in sent:
        cosine = float(row @ honest[1] / np.linalg.norm(row) / np.linalg.norm(honest[1]))
        assert cosine == pytest.approx(1 / np.sqrt(1.04), abs=2e-3)
    assert not np.array_equal(sent[0], sent[1])
    assert np.array_equal(sent, attacks.copy_noise(honest, 2, seed=5, victim=1, share=0.2))
    assert np.array_equal(attacks.copy_noise(honest, 2, seed=5, share=0.0), attacks.copy(honest, 2))


def test_replay_is_the_last_aggregate_bit_for_bit():
    last = np.random.default_rng(2).standard_normal(50).astype(np.float32)
    sent = attacks.replay(last, 3)
    assert sent.dtype == np.float32
    assert all(np.array_equal(row, last) for row in sent)


ATTACKS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "sign_flip": lambda honest, f: attacks.sign_flip(honest, f, strength=10),
    "scaling": lambda honest, f: attacks.scaling(honest, f, factor=-100),
    "gaussian": lambda honest, f: attacks.gaussian(honest, f, seed=3),
    "alie": attacks.alie,
    "ipm": attacks.ipm,
    "zero": attacks.zero,
    "copy": attacks.copy,
    "copy_noise": lambda honest, f: attacks.copy_noise(honest, f, seed=3),
    "mimic": attacks.mimic,
    "min_max": attacks.min_max,
    "min_sum": attacks.min_sum,
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("text", ["arc+nnm+trimmed_mean", "nnm+median", "trimmed_mean", "median"])
def test_robust_pipelines_keep_the_direction(attack: str, text: str):
    honest = drawn()
    everybody = np.concatenate([honest, ATTACKS[attack](honest, 3)])
    assert everybody.dtype == np.float32
    updates = {bytes([i]): {"w": row} for i, row in enumerate(everybody)}
    out = parse(text).aggregate(updates, (("w", (500,)),)).tensors["w"]
    mean = honest.mean(axis=0, dtype=np.float64)
    assert np.linalg.norm(out - mean) < 0.5 * np.linalg.norm(mean)


def test_the_mean_does_not_stand_scaling():
    honest = drawn()
    everybody = np.concatenate([honest, attacks.scaling(honest, 3, factor=-100)])
    updates = {bytes([i]): {"w": row} for i, row in enumerate(everybody)}
    out = parse("mean").aggregate(updates, (("w", (500,)),)).tensors["w"]
    assert out.mean() < 0

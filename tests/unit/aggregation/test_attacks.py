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


ATTACKS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "sign_flip": lambda honest, f: attacks.sign_flip(honest, f, strength=10),
    "scaling": lambda honest, f: attacks.scaling(honest, f, factor=-100),
    "gaussian": lambda honest, f: attacks.gaussian(honest, f, seed=3),
    "alie": attacks.alie,
    "ipm": attacks.ipm,
    "zero": attacks.zero,
    "copy": attacks.copy,
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("text", ["arc+nnm+trimmed_mean", "nnm+median", "trimmed_mean", "median"])
def test_robust_pipelines_keep_the_direction(attack: str, text: str):
    rng = np.random.default_rng(11)
    honest = (1 + 0.3 * rng.standard_normal((7, 500))).astype(np.float32)
    everybody = np.concatenate([honest, ATTACKS[attack](honest, 3)])
    assert everybody.dtype == np.float32
    updates = {bytes([i]): {"w": row} for i, row in enumerate(everybody)}
    out = parse(text).aggregate(updates, (("w", (500,)),)).tensors["w"]
    mean = honest.mean(axis=0, dtype=np.float64)
    assert np.linalg.norm(out - mean) < 0.5 * np.linalg.norm(mean)


def test_the_mean_does_not_stand_scaling():
    rng = np.random.default_rng(11)
    honest = (1 + 0.3 * rng.standard_normal((7, 500))).astype(np.float32)
    everybody = np.concatenate([honest, attacks.scaling(honest, 3, factor=-100)])
    updates = {bytes([i]): {"w": row} for i, row in enumerate(everybody)}
    out = parse("mean").aggregate(updates, (("w", (500,)),)).tensors["w"]
    assert out.mean() < 0

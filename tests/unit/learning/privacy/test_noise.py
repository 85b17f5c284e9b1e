"""Noise on updates: its size, its order after clipping and before the norm bound, and where its randomness comes from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from learning.errors import SpecError
from learning.privacy.noise import clipped, gaussian, norm_of, privatised, seeded_source, system_source


def update(norm: float, size: int = 20_000) -> dict[str, np.ndarray]:
    values = np.random.default_rng(5).standard_normal(size).astype(np.float32)
    values *= norm / np.linalg.norm(values)
    return {"b": values[: size // 2].reshape(100, -1), "a": values[size // 2 :]}


def test_the_noise_is_standard_normal_and_repeatable_from_a_seed() -> None:
    drawn = gaussian(40_001, seeded_source(3))
    assert drawn.shape == (40_001,)
    assert stats.kstest(drawn, "norm").pvalue > 0.01
    assert abs(np.corrcoef(drawn[:20_000], drawn[20_000:40_000])[0, 1]) < 0.03
    assert np.array_equal(drawn, gaussian(40_001, seeded_source(3)))
    assert not np.array_equal(drawn, gaussian(40_001, seeded_source(4)))


def test_the_systems_generator_never_repeats_itself() -> None:
    assert not np.array_equal(gaussian(8, system_source), gaussian(8, system_source))
    assert not np.array_equal(gaussian(8), gaussian(8))


def test_a_source_of_zeros_and_ones_gives_finite_noise() -> None:
    for byte in (b"\0", b"\xff"):
        assert np.isfinite(gaussian(3, lambda count, byte=byte: byte * count)).all()


def test_clipping_bounds_the_norm_over_all_tensors_and_leaves_short_updates_alone() -> None:
    long = update(7.0)
    short = clipped(long, 2.0)
    assert 1.999 < norm_of(short) <= 2.0
    assert np.allclose(short["a"] * 3.5, long["a"], rtol=1e-4)
    assert np.array_equal(clipped(long, 8.0)["b"], long["b"])


def test_noise_comes_after_clipping_with_deviation_sigma_times_c() -> None:
    long = update(50.0)
    found = privatised(long, clip=2.0, noise_multiplier=0.5, max_norm=1e9, source=seeded_source(1))
    noise = np.concatenate([(found[name] - clipped(long, 2.0)[name]).ravel() for name in ("a", "b")])
    assert noise.std() == pytest.approx(1.0, rel=0.02)  # 0.5 · 2
    assert abs(noise.mean()) < 0.03
    # What is longer than C makes no difference to the outcome: the sensitivity is that of C.
    longer = {name: 9 * array for name, array in long.items()}
    again = privatised(longer, clip=2.0, noise_multiplier=0.5, max_norm=1e9, source=seeded_source(1))
    assert all(np.allclose(found[name], again[name], atol=1e-5) for name in found)


def test_a_noised_update_keeps_the_guidelines_norm_bound() -> None:
    found = privatised(update(5.0), clip=5.0, noise_multiplier=1.0, max_norm=5.0, source=seeded_source(2))
    assert 4.99 < norm_of(found) <= 5.0
    assert all(array.dtype == np.float32 for array in found.values())
    assert found["b"].shape == (100, 100)


def test_what_cannot_be_bounded_is_refused() -> None:
    broken = {"a": np.array([1.0, np.nan], np.float32)}
    with pytest.raises(SpecError, match="cannot be clipped"):
        privatised(broken, clip=1.0, noise_multiplier=1.0, max_norm=1.0)
    with pytest.raises(SpecError, match="cannot be clipped"):
        clipped(update(1.0), 0.0)

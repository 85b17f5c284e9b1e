"""t intervals against the printed tables, and pairing by seed."""

from __future__ import annotations

import pytest

from learning.experiment.statistics import estimate, paired, t_cdf, t_quantile


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (10, 2.228), (30, 2.042), (120, 1.980)],
)
def test_quantiles_of_the_printed_table(freedom: int, expected: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(expected, abs=6e-4)


def test_the_distribution_is_symmetric_and_ends_at_one() -> None:
    for freedom in (1, 2, 5, 8):
        assert t_cdf(0.0, freedom) == pytest.approx(0.5)
        assert t_cdf(1.3, freedom) + t_cdf(-1.3, freedom) == pytest.approx(1.0)
        assert t_cdf(1e6, freedom) == pytest.approx(1.0, abs=1e-5)


def test_an_interval_by_hand() -> None:
    found = estimate([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.half_width == pytest.approx(4.303 / 3**0.5, abs=1e-3)
    assert not found.excludes_zero
    assert estimate([5.0]).half_width is None
    assert not estimate([5.0]).excludes_zero


def test_pairs_are_by_seed() -> None:
    found = paired({0: 1.0, 1: 5.0, 2: 9.0, 7: 0.0}, {0: 1.5, 1: 5.4, 2: 9.6, 8: 3.0})
    assert found is not None
    assert found.seeds == (0, 1, 2)
    assert found.difference.mean == pytest.approx(0.5)
    assert found.difference.excludes_zero
    assert found.better == 3
    assert paired({0: 1.0}, {1: 1.0}) is None

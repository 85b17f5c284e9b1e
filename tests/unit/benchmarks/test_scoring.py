"""How far score lists lie apart, and which variants are compared."""

from __future__ import annotations

from benchmarks.scoring import VARIANTS, spread


def test_the_spread_is_the_largest_difference_in_any_one_update():
    assert spread([[1, 2], [3, 2], [0, 9]]) == 7
    assert spread([[5, -5], [5, -5]]) == 0
    assert spread([[1, 2]]) == 0


def test_every_precision_is_measured_twice_with_two_threads_and_on_lesser_instructions():
    for precision in ("bf16", "float32"):
        mine = [rest for first, *rest in VARIANTS if first == precision]
        assert [1, "best", 1] in mine
        assert [1, "best", 2] in mine
        assert [2, "best", 1] in mine
        assert [1, "avx2", 1] in mine

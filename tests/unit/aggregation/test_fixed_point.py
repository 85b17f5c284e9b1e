"""Fixed point: scale, rounding, clamp, counts, and the promised error."""

from fractions import Fraction

import numpy as np
import pytest

from aggregation import fixed_point
from aggregation.errors import AggregationError, Reason, UpdateRejected


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("values", "exponent"),
    [
        ((1.0, -0.5), 1),
        ((0.99, -0.5), 0),
        ((0.0, -4.0), 3),
        ((2.0**-126,), -125),
        ((2.0**-127,), None),  # subnormal: some processors see 0
        ((0.0, -0.0), None),
        ((float(np.finfo(np.float32).max),), 128),
    ],
)
def test_exponent(values: tuple[float, ...], exponent: int | None):
    assert fixed_point.exponent_of(floats(*values)) == exponent


def test_exponent_sees_past_the_first_chunk():
    tensor = np.ones(100_000, np.float32)
    tensor[-1] = -64.0
    assert fixed_point.exponent_of(tensor) == 7


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused(bad: float):
    with pytest.raises(UpdateRejected) as caught:
        fixed_point.quantise(floats(1.0, bad), 10, 30)
    assert caught.value.reason is Reason.NOT_FINITE


@pytest.mark.parametrize(
    ("exponents", "guard", "shift"),
    [
        ([1], 0, 25),
        ([1, 5], 0, 21),  # nobody is guarded against: the largest
        ([1, 5], 1, 25),
        ([5, 1, 9], 1, 21),
        ([None, 5, None], 0, 21),  # zeros do not vote
        ([None, 5, 9, None], 3, 21),  # no more voters than the guard: the smallest
        ([None, None], 1, 0),
        ([], 0, 0),
        ([-125], 0, 125),
        ([128], 0, -102),
    ],
)
def test_common_shift(exponents: list[int | None], guard: int, shift: int):
    assert fixed_point.common_shift(exponents, 30, guard) == shift
    assert fixed_point.common_shift(exponents[::-1], 30, guard) == shift


@pytest.mark.parametrize("attack", [None, -125, 128])
def test_attackers_cannot_move_a_scale_out_of_the_honest_exponents(attack: int | None):
    honest = [3, 5, 5, 9]
    shift = fixed_point.common_shift([attack, *honest, attack, attack], 30, guard=3)
    assert 26 - 9 <= shift <= 26 - 3


def test_without_a_guard_nothing_is_clamped():
    rng = np.random.default_rng(2)
    rows = (rng.standard_normal((7, 100)) * 2.0 ** rng.integers(-60, 60, (7, 1))).astype(np.float32)
    shift = fixed_point.common_shift([fixed_point.exponent_of(row) for row in rows], 30)
    assert sum(fixed_point.quantise(row, shift, 30).saturated for row in rows) == 0


def test_rounds_half_to_even_and_clamps():
    quantised = fixed_point.quantise(floats(0.5, 1.5, 2.5, -0.5, -1.5, 15.4, 17.0, -1e30, 0.25, 3e38), 0, 4)
    assert quantised.values.tolist() == [0, 2, 2, 0, -2, 15, 16, -16, 0, 16]
    assert (quantised.saturated, quantised.nonzero, quantised.lost) == (3, 10, 3)
    assert not quantised.coarse


def test_a_product_beyond_float32_saturates():
    quantised = fixed_point.quantise(floats(3e38, -3e38), 100, 30)
    assert quantised.values.tolist() == [2**30, -(2**30)]


def test_coarse_is_more_than_half():
    assert not fixed_point.quantise(floats(0.1, 1.0, 0.0), 0, 8).coarse
    assert fixed_point.quantise(floats(0.1, 0.2, 1.0, 0.0), 0, 8).coarse
    assert not fixed_point.quantise(floats(0.0), 0, 8).coarse


def test_trainers_check_refuses_outliers_that_dwarf_the_rest():
    tensor = np.full(100, 1e-12, np.float32)
    fixed_point.require_fine({"w": tensor})
    tensor[0] = 1.0
    with pytest.raises(UpdateRejected, match="99 of 100") as caught:
        fixed_point.require_fine({"w": tensor})
    assert caught.value.reason is Reason.TOO_COARSE


@pytest.mark.parametrize("scale", [2.0**-100, 1e-9, 1.0, 3e30])
def test_error_bound_against_exact_rationals(scale: float):
    rng = np.random.default_rng(1)
    x = (rng.standard_t(3, 500) * scale).astype(np.float32)
    shift = fixed_point.common_shift([fixed_point.exponent_of(x)], 30)
    quantised = fixed_point.quantise(x, shift, 30)
    assert quantised.saturated == 0
    step = Fraction(2) ** -shift
    for value, integer in zip(x, quantised.values, strict=True):
        assert abs(Fraction(float(value)) - int(integer) * step) <= step / 2


def test_dequantise_is_one_rounding_without_negative_zero():
    values = np.array([0, 1, -1, 2**24 + 1, -(2**30)], np.int32)
    back = fixed_point.dequantise(values, 10)
    assert back.dtype == np.float32
    assert back.tolist() == [0.0, 2.0**-10, -(2.0**-10), 2.0**14, -(2.0**20)]
    assert not np.signbit(back[0])


def test_small_negatives_do_not_become_negative_zero():
    quantised = fixed_point.quantise(floats(-0.2, -0.0), 0, 8)
    assert not np.signbit(fixed_point.dequantise(quantised.values, 0)).any()


def test_subnormals_vanish_at_the_largest_shift():
    biggest_subnormal = np.nextafter(np.float32(2.0**-126), np.float32(0))
    quantised = fixed_point.quantise(np.array([biggest_subnormal, 2.0**-126], np.float32), fixed_point.MAX_SHIFT, 30)
    assert quantised.values.tolist() == [0, 0]  # 2^-126 · 2^125 is exactly a half: to even


@pytest.mark.parametrize(("n", "bits"), [(1, 30), (2, 29), (3, 28), (4, 28), (5, 27), (1024, 20)])
def test_sum_bits_leave_room(n: int, bits: int):
    assert fixed_point.sum_bits(n) == bits
    assert n * 2**bits <= 2**30


@pytest.mark.parametrize(("shift", "bits"), [(0, 31), (0, 0), (126, 30), (-127, 30)])
def test_out_of_range(shift: int, bits: int):
    with pytest.raises(AggregationError):
        fixed_point.quantise(floats(1.0), shift, bits)

"""Update checks: each refusal has its reason, and the norm is exact enough to vote on."""

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest

from aggregation import bundle, checks
from aggregation.errors import Reason, UpdateRejected

SCHEMA = (("a", (2,)), ("b", (3, 1)))
GOOD = {"a": np.array([3, 0], np.float32), "b": np.array([[4], [0], [0]], np.float32)}


def refusal(
    tensors: dict[str, np.ndarray] | bytes, *, max_bytes: int = 1 << 20, max_norm: float = 5.0
) -> UpdateRejected:
    data = tensors if isinstance(tensors, bytes) else bundle.encode(tensors)
    with pytest.raises(UpdateRejected) as caught:
        checks.validate_update(data, SCHEMA, max_bytes=max_bytes, max_norm=max_norm)
    return caught.value


def test_a_good_update_is_returned():
    data = bundle.encode(GOOD)
    tensors = checks.validate_update(data, SCHEMA, max_bytes=len(data), max_norm=5.0)  # norm exactly 5
    assert bundle.encode(tensors) == data


def test_too_large():
    assert refusal(GOOD, max_bytes=10).reason is Reason.TOO_LARGE


def test_bad_encoding():
    assert refusal(b"not a bundle at all").reason is Reason.BAD_ENCODING


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"a": GOOD["a"]}, "'b' is missing"),
        ({**GOOD, "c": GOOD["a"]}, "'c' is not part"),
        ({**GOOD, "b": GOOD["b"].reshape(3)}, "'b' has shape [3], the model has [3, 1]"),
        ({**GOOD, "a": np.ones(3, np.float32)}, "'a' has shape [3], the model has [2]"),
    ],
)
def test_schema_mismatch_names_the_difference(tensors: dict[str, np.ndarray], says: str):
    error = refusal(tensors)
    assert error.reason is Reason.SCHEMA_MISMATCH
    assert says in error.what
    assert error.hint


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_not_finite(value: float, place: int):
    tensors = {**GOOD, "a": GOOD["a"].copy()}
    tensors["a"][place] = value
    assert refusal(tensors, max_norm=float("inf")).reason is Reason.NOT_FINITE


def test_both_infinities_and_nan_together():
    tensors = {**GOOD, "b": np.array([[np.inf], [-np.inf], [np.nan]], np.float32)}
    assert refusal(tensors).reason is Reason.NOT_FINITE


def test_norm_exceeded_reports_both_numbers():
    error = refusal(GOOD, max_norm=4.999)
    assert error.reason is Reason.NORM_EXCEEDED
    assert "5.0" in error.what
    assert "4.999" in error.what


def test_a_norm_bound_that_is_no_number_accepts_nothing():
    assert refusal(GOOD, max_norm=float("nan")).reason is Reason.NORM_EXCEEDED


def test_the_largest_floats_do_not_overflow():
    biggest = np.float32(np.finfo(np.float32).max)
    tensors = {"a": np.full(2, biggest), "b": np.full((3, 1), biggest)}
    assert checks.l2_norm(tensors) == pytest.approx(float(biggest) * 5**0.5, rel=1e-15)


def test_norm_against_exact_rationals():
    rng = np.random.default_rng(5)
    tensors = {"w": rng.standard_normal(20_001).astype(np.float32), "v": np.float32(1e-3) * np.ones(3, np.float32)}
    exact = sum(Fraction(float(x)) ** 2 for tensor in tensors.values() for x in tensor)
    root = Fraction(isqrt(int(exact * 2**120)), 2**60)
    assert abs(Fraction(checks.l2_norm(tensors)) - root) < root * Fraction(1, 2**50)


def test_norm_does_not_depend_on_the_mapping_or_memory_layout():
    rng = np.random.default_rng(6)
    matrix = rng.standard_normal((130, 170)).astype(np.float32)
    tensors = {"a": matrix, "b": matrix[:3]}
    other = {"b": matrix[:3].copy(), "a": np.asfortranarray(matrix)}
    assert checks.l2_norm(tensors) == checks.l2_norm(other)

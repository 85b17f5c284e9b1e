"""The outer step: exact float32 arithmetic, frozen tensors, and what it refuses."""

import struct
from fractions import Fraction

import numpy as np
import pytest

from aggregation import outer
from aggregation.errors import AggregationError, Reason, UpdateRejected

PARENT = {"frozen": np.array([1, 2], np.float32), "w": np.array([1, -1, 0.1], np.float32)}
DELTA = {"w": np.array([0.5, 0.25, 1e-9], np.float32)}


def to_float32(value: Fraction) -> Fraction:
    """Nearest float32, by exact comparison with the two neighbours of a first guess."""
    guess = np.float32(float(value))
    candidates = [guess, np.nextafter(guess, np.float32(np.inf)), np.nextafter(guess, np.float32(-np.inf))]

    def key(candidate: np.float32) -> tuple[Fraction, int]:
        even = struct.unpack("<I", struct.pack("<f", candidate))[0] & 1
        return abs(Fraction(float(candidate)) - value), even

    return Fraction(float(min(candidates, key=key)))


def exact(array: np.ndarray) -> list[Fraction]:
    return [Fraction(float(x)) for x in array]


def test_sgd_by_hand():
    new, velocity = outer.apply(PARENT, DELTA, learning_rate=0.5)
    assert new["w"].tolist() == [1.25, -0.875, float(np.float32(0.1))]
    assert velocity == {}


def test_nesterov_by_hand():
    new, velocity = outer.apply(PARENT, DELTA, learning_rate=1.0, momentum=0.5, velocity={"w": np.ones(3, np.float32)})
    assert velocity["w"][:2].tolist() == [1.0, 0.75]  # 0.5·1 + Δ
    assert new["w"][:2].tolist() == [2.0, -0.375]  # x + 0.5·v' + Δ


def test_no_velocity_is_zero_velocity():
    first = outer.apply(PARENT, DELTA, learning_rate=0.7, momentum=0.9)
    second = outer.apply(PARENT, DELTA, learning_rate=0.7, momentum=0.9, velocity={"w": np.zeros(3, np.float32)})
    assert first[0]["w"].tobytes() == second[0]["w"].tobytes()


def test_frozen_tensors_pass_through_as_copies():
    new, velocity = outer.apply(PARENT, DELTA, learning_rate=0.5, momentum=0.9, velocity={"frozen": PARENT["frozen"]})
    assert list(new) == ["frozen", "w"]
    assert new["frozen"].tobytes() == PARENT["frozen"].tobytes()
    assert not np.shares_memory(new["frozen"], PARENT["frozen"])
    assert list(velocity) == ["w"]


def test_every_operation_rounds_once_to_float32():
    rng = np.random.default_rng(8)
    x, delta, v = (rng.standard_normal(300).astype(np.float32) for _ in range(3))
    new, velocity = outer.apply({"w": x}, {"w": delta}, learning_rate=0.7, momentum=0.9, velocity={"w": v})
    rate, decay = Fraction(float(np.float32(0.7))), Fraction(float(np.float32(0.9)))
    fused_differs = False
    for i, (xi, di, vi) in enumerate(zip(exact(x), exact(delta), exact(v), strict=True)):
        moved = to_float32(to_float32(decay * vi) + di)
        direction = to_float32(to_float32(decay * moved) + di)
        result = to_float32(xi + to_float32(rate * direction))
        assert Fraction(float(velocity["w"][i])) == moved
        assert Fraction(float(new["w"][i])) == result
        fused_differs |= to_float32(xi + rate * direction) != result
    assert fused_differs  # the data can tell a fused multiply-add from ours


@pytest.mark.parametrize(
    ("learning_rate", "momentum"),
    [(0.0, 0.0), (-1.0, 0.0), (float("nan"), 0.0), (float("inf"), 0.0), (1.0, 1.0), (1.0, -0.1), (1.0, float("nan"))],
)
def test_parameters_out_of_range(learning_rate: float, momentum: float):
    with pytest.raises(AggregationError):
        outer.apply(PARENT, DELTA, learning_rate=learning_rate, momentum=momentum)


def test_unknown_tensors_are_refused():
    with pytest.raises(AggregationError, match="'other'"):
        outer.apply(PARENT, {"other": DELTA["w"]}, learning_rate=1.0)


@pytest.mark.parametrize("bad", [np.ones(2, np.float32), np.ones(3)])
def test_other_shapes_and_dtypes_are_refused(bad: np.ndarray):
    with pytest.raises(UpdateRejected):
        outer.apply(PARENT, {"w": bad}, learning_rate=1.0)
    with pytest.raises(UpdateRejected):
        outer.apply(PARENT, DELTA, learning_rate=1.0, momentum=0.5, velocity={"w": bad})


def test_overflow_is_refused():
    huge = {"w": np.full(3, 3e38, np.float32)}
    with pytest.raises(UpdateRejected) as caught:
        outer.apply(huge, huge, learning_rate=1.0)
    assert caught.value.reason is Reason.NOT_FINITE


def test_subnormal_results_are_kept():
    tiny = {"w": np.array([2.0**-130], np.float32)}
    new, _ = outer.apply({"w": np.zeros(1, np.float32)}, tiny, learning_rate=0.5)
    assert new["w"][0] == np.float32(2.0**-131) != 0


def test_a_process_that_flushes_subnormals_is_refused(monkeypatch: pytest.MonkeyPatch):
    multiply = np.multiply

    def flushing(*args: object, **kwargs: object) -> object:
        result = multiply(*args, **kwargs)
        return np.where(np.abs(result) < 2.0**-126, np.float32(0), result)

    monkeypatch.setattr(np, "multiply", flushing)
    with pytest.raises(AggregationError, match="flushes subnormal"):
        outer.apply(PARENT, DELTA, learning_rate=0.5)

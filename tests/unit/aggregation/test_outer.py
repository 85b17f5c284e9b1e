"""The outer step: exact float32 arithmetic of every kind, frozen tensors, and what it refuses."""

import dataclasses
import hashlib
import os
import struct
import subprocess
import sys
from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from aggregation.errors import AggregationError, Reason, UpdateRejected
from aggregation.outer import SLOTS, OuterStep

PARENT = {"frozen": np.array([1, 2], np.float32), "w": np.array([1, -1, 0.1], np.float32)}
DELTA = {"w": np.array([0.5, 0.25, 1e-9], np.float32)}
SGD = OuterStep("sgd", 0.5)
MOMENTUM = OuterStep("momentum", 0.7, momentum=0.9)
NESTEROV = OuterStep("nesterov", 0.7, momentum=0.9)
ADAM = OuterStep("adam", 0.01, momentum=0.9, second_momentum=0.99, epsilon=1e-3)
STATEFUL = (MOMENTUM, NESTEROV, ADAM)


def to_float32(value: Fraction) -> Fraction:
    """Nearest float32, by exact comparison with the two neighbours of a first guess."""
    guess = np.float32(float(value))
    candidates = [guess, np.nextafter(guess, np.float32(np.inf)), np.nextafter(guess, np.float32(-np.inf))]

    def key(candidate: np.float32) -> tuple[Fraction, int]:
        even = struct.unpack("<I", struct.pack("<f", candidate))[0] & 1
        return abs(Fraction(float(candidate)) - value), even

    return Fraction(float(min(candidates, key=key)))


def root_to_float32(value: Fraction) -> Fraction:
    """Nearest float32 to the square root, by an integer square root with 200 binary places."""
    scaled = value * 4**200
    return to_float32(Fraction(isqrt(scaled.numerator // scaled.denominator), 2**200))


def exact(array: np.ndarray | float) -> list[Fraction]:
    return [Fraction(float(x)) for x in np.atleast_1d(np.asarray(array, np.float32))]


def draws(count: int, seed: int = 8) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(300).astype(np.float32) for _ in range(count)]


def test_sgd_by_hand():
    new, state = SGD.apply(PARENT, DELTA)
    assert new["w"].tolist() == [1.25, -0.875, float(np.float32(0.1))]
    assert state == {}


def test_momentum_by_hand():
    step = OuterStep("momentum", 2.0, momentum=0.5)
    new, state = step.apply(PARENT, DELTA, {"velocity": {"w": np.ones(3, np.float32)}})
    assert state["velocity"]["w"][:2].tolist() == [1.0, 0.75]  # 0.5·1 + Δ
    assert new["w"][:2].tolist() == [3.0, 0.5]  # x + 2·v'


def test_nesterov_by_hand():
    step = OuterStep("nesterov", 1.0, momentum=0.5)
    new, state = step.apply(PARENT, DELTA, {"velocity": {"w": np.ones(3, np.float32)}})
    assert state["velocity"]["w"][:2].tolist() == [1.0, 0.75]  # 0.5·1 + Δ
    assert new["w"][:2].tolist() == [2.0, -0.375]  # x + 0.5·v' + Δ


def test_adam_by_hand():
    step = OuterStep("adam", 1.0, momentum=0.5, second_momentum=0.75, epsilon=0.5)
    parent = {"w": np.zeros(2, np.float32)}
    state = {"velocity": {"w": np.array([2, 0], np.float32)}, "variance": {"w": np.array([4, 1], np.float32)}}
    new, after = step.apply(parent, {"w": np.array([2, -1], np.float32)}, state)
    assert after["velocity"]["w"].tolist() == [2.0, -0.5]
    assert after["variance"]["w"].tolist() == [4.0, 1.0]  # 0.75·4 + 0.25·4, 0.75·1 + 0.25·1
    assert new["w"].tolist() == [float(np.float32(2 / 2.5)), float(np.float32(-0.5 / 1.5))]


def test_adams_variance_starts_at_epsilon_squared_and_is_not_bias_corrected():
    step = OuterStep("adam", 1.0, momentum=0.5, second_momentum=0.5, epsilon=0.5)
    new, state = step.apply({"w": np.zeros(1, np.float32)}, {"w": np.ones(1, np.float32)})
    assert state["variance"]["w"].tolist() == [0.625]  # 0.5·0.5² + 0.5·1²
    assert state["velocity"]["w"].tolist() == [0.5]
    expected = np.float32(0.5) / (np.sqrt(np.float32(0.625)) + np.float32(0.5))
    assert new["w"].tolist() == [float(expected)]


@pytest.mark.parametrize("step", STATEFUL, ids=lambda step: step.kind)
def test_state_that_is_missing_has_its_initial_value(step: OuterStep):
    start = {"velocity": np.float32(0), "variance": np.float32(1e-3) * np.float32(1e-3)}
    full = {slot: {"w": np.full(3, start[slot], np.float32)} for slot in step.slots}
    expected = step.apply(PARENT, DELTA, full)
    for state in (None, {}, {slot: {} for slot in step.slots}, {"velocity": full["velocity"]}):
        new, after = step.apply(PARENT, DELTA, state)
        assert new["w"].tobytes() == expected[0]["w"].tobytes()
        for slot in step.slots:
            assert after[slot]["w"].tobytes() == expected[1][slot]["w"].tobytes()


@pytest.mark.parametrize("step", STATEFUL, ids=lambda step: step.kind)
def test_frozen_tensors_pass_through_as_copies_and_have_no_state(step: OuterStep):
    new, state = step.apply(PARENT, DELTA, {"velocity": {"frozen": PARENT["frozen"]}})
    assert list(new) == ["frozen", "w"]
    assert new["frozen"].tobytes() == PARENT["frozen"].tobytes()
    assert not np.shares_memory(new["frozen"], PARENT["frozen"])
    assert tuple(state) == step.slots
    assert all(list(tensors) == ["w"] for tensors in state.values())


def test_arguments_are_left_alone():
    x, delta, v, u = draws(4)
    state = {"velocity": {"w": v}, "variance": {"w": np.abs(u)}}
    before = [array.tobytes() for array in (x, delta, v, state["variance"]["w"])]
    ADAM.apply({"w": x}, {"w": delta}, state)
    assert [array.tobytes() for array in (x, delta, v, state["variance"]["w"])] == before


@pytest.mark.parametrize("kind", ["sgd", "momentum", "nesterov"])
def test_every_operation_rounds_once_to_float32(kind: str):
    x, delta, v = draws(3)
    step = OuterStep(kind, 0.7, momentum=0.0 if kind == "sgd" else 0.9)
    new, state = step.apply({"w": x}, {"w": delta}, {"velocity": {"w": v}} if step.slots else {})
    (rate,), (decay,) = exact(0.7), exact(0.9)
    fused_differs = False
    for i, (xi, di, vi) in enumerate(zip(exact(x), exact(delta), exact(v), strict=True)):
        velocity = to_float32(to_float32(decay * vi) + di)
        ahead = to_float32(to_float32(decay * velocity) + di)
        direction = {"sgd": di, "momentum": velocity, "nesterov": ahead}[kind]
        result = to_float32(xi + to_float32(rate * direction))
        if step.slots:
            assert Fraction(float(state["velocity"]["w"][i])) == velocity
        assert Fraction(float(new["w"][i])) == result
        fused_differs |= to_float32(xi + rate * direction) != result
    assert fused_differs  # the data can tell a fused multiply-add from ours


@pytest.mark.parametrize(("scale", "decay"), [(1.0, 0.1), (1e-4, 0.99), (1e-20, 0.1)])  # last: squares are subnormal
def test_every_operation_of_adam_rounds_once_to_float32(scale: float, decay: float):
    x, delta, v, u = draws(4)
    delta, v, u = delta * np.float32(scale), v * np.float32(scale), (u * np.float32(scale)) ** 2
    step = OuterStep("adam", 0.7, momentum=decay, second_momentum=decay, epsilon=scale / 7)
    new, state = step.apply({"w": x}, {"w": delta}, {"velocity": {"w": v}, "variance": {"w": u}})
    (rate,), (beta,), (epsilon,) = exact(0.7), exact(decay), exact(scale / 7)
    rest = to_float32(1 - beta)
    assert rest != 1 - beta or rest != exact(1 - decay)[0]  # 1-μ is rounded, and μ was rounded before
    naive_differs = False
    for i, (xi, di, vi, ui) in enumerate(zip(exact(x), exact(delta), exact(v), exact(u), strict=True)):
        velocity = to_float32(to_float32(beta * vi) + to_float32(rest * di))
        variance = to_float32(to_float32(beta * ui) + to_float32(rest * to_float32(di * di)))
        root = root_to_float32(variance)
        direction = to_float32(velocity / to_float32(root + epsilon))
        assert Fraction(float(state["velocity"]["w"][i])) == velocity
        assert Fraction(float(state["variance"]["w"][i])) == variance
        assert Fraction(float(new["w"][i])) == to_float32(xi + to_float32(rate * direction))
        naive_differs |= to_float32(xi + rate * velocity / (root + epsilon)) != Fraction(float(new["w"][i]))
    assert naive_differs  # the data can tell wider intermediates from ours


def digest_of_many_steps() -> str:
    """Hash of all kinds on values of very different size, subnormals and odd lengths included."""
    rng = np.random.default_rng(5)
    digest = hashlib.sha256()
    for step in (SGD, *STATEFUL):
        state: dict[str, dict[str, np.ndarray]] = {}
        tensors = {"odd": np.ones(4099, np.float32), "scalar": np.ones((), np.float32)}
        for _ in range(3):
            delta = {
                name: np.asarray(
                    rng.standard_normal(array.shape) * 2.0 ** rng.integers(-70, 8, array.shape), np.float32
                )
                for name, array in tensors.items()
            }
            tensors, state = step.apply(tensors, delta, state)
        for part in (tensors, *state.values()):
            for array in part.values():
                digest.update(array.tobytes())
    return digest.hexdigest()


def test_square_root_and_division_have_the_same_bits_at_every_vector_width():
    wide = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    code = (
        "import importlib.util, sys\n"
        "from numpy._core._multiarray_umath import __cpu_features__ as found\n"
        "spec = importlib.util.spec_from_file_location('t', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "print(module.digest_of_many_steps(), *[name for name in sys.argv[2:] if found[name]])"
    )
    for count in range(len(wide) + 1):  # widest vectors off first, down to the baseline
        disabled, kept = wide[len(wide) - count :], wide[: len(wide) - count]
        done = subprocess.run(
            [sys.executable, "-c", code, __file__, *wide],
            env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(disabled)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.split() == [digest_of_many_steps(), *kept], disabled


@pytest.mark.parametrize("step", [SGD, *STATEFUL], ids=lambda step: step.kind)
@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 1e-50, 1e39, 10.0**300])
def test_learning_rates_out_of_range(step: OuterStep, rate: float):
    with pytest.raises(AggregationError, match="learning_rate"):
        dataclasses.replace(step, learning_rate=rate)


@pytest.mark.parametrize("step", STATEFUL, ids=lambda step: step.kind)
@pytest.mark.parametrize("momentum", [1.0, 1.5, -0.1, float("nan"), 1 - 1e-9])  # the last is 1 as float32
def test_momenta_out_of_range(step: OuterStep, momentum: float):
    with pytest.raises(AggregationError, match="momentum"):
        dataclasses.replace(step, momentum=momentum)


@pytest.mark.parametrize(
    ("step", "change"),
    [
        (SGD, {"momentum": 0.9}),
        (MOMENTUM, {"momentum": 0.0}),
        (NESTEROV, {"momentum": 0.0}),
        (SGD, {"epsilon": 1e-8}),
        (MOMENTUM, {"second_momentum": 0.9}),
        (NESTEROV, {"epsilon": 1e-8}),
        (ADAM, {"second_momentum": 1.0}),
        (ADAM, {"second_momentum": -0.5}),
        (ADAM, {"second_momentum": 1 - 1e-9}),
        (ADAM, {"epsilon": 0.0}),
        (ADAM, {"epsilon": 1e-60}),
        (ADAM, {"epsilon": float("inf")}),
    ],
)
def test_parameters_that_do_not_fit_the_kind(step: OuterStep, change: dict[str, float]):
    with pytest.raises(AggregationError, match=next(iter(change))):
        dataclasses.replace(step, **change)


def test_adam_may_do_without_momenta():
    new, _ = OuterStep("adam", 1.0, epsilon=0.5).apply({"w": np.zeros(1, np.float32)}, {"w": np.ones(1, np.float32)})
    assert new["w"].tolist() == [float(np.float32(1 / 1.5))]


def test_unknown_kinds_are_refused_with_the_known_ones():
    with pytest.raises(AggregationError, match="adam, momentum, nesterov, sgd"):
        OuterStep("adagrad", 1.0)


def test_unknown_tensors_are_refused():
    with pytest.raises(AggregationError, match="'other'"):
        SGD.apply(PARENT, {"other": DELTA["w"]})


def test_state_of_another_kind_is_refused():
    with pytest.raises(AggregationError, match="'variance'"):
        NESTEROV.apply(PARENT, DELTA, {"variance": DELTA})
    with pytest.raises(AggregationError, match="'velocity'"):
        SGD.apply(PARENT, DELTA, {"velocity": DELTA})


@pytest.mark.parametrize("bad", [np.ones(2, np.float32), np.ones(3)])
def test_other_shapes_and_dtypes_are_refused(bad: np.ndarray):
    with pytest.raises(UpdateRejected):
        SGD.apply(PARENT, {"w": bad})
    for slot in SLOTS["adam"]:
        with pytest.raises(UpdateRejected):
            ADAM.apply(PARENT, DELTA, {slot: {"w": bad}})


@pytest.mark.parametrize("step", [OuterStep("sgd", 1.0), MOMENTUM, NESTEROV], ids=lambda step: step.kind)
def test_overflow_is_refused(step: OuterStep):
    huge = {"w": np.full(3, 3e38, np.float32)}
    with pytest.raises(UpdateRejected) as caught:
        step.apply(huge, huge)
    assert caught.value.reason is Reason.NOT_FINITE


@pytest.mark.parametrize("variance", [0.0, -1.0])
def test_a_variance_that_overflows_or_is_negative_is_refused(variance: float):
    large = {"w": np.full(3, 1e25 if variance == 0 else 0.0, np.float32)}  # its square is infinite, the step would be 0
    with pytest.raises(UpdateRejected) as caught:
        ADAM.apply(PARENT, large, {"variance": {"w": np.full(3, variance, np.float32)}})
    assert caught.value.reason is Reason.NOT_FINITE


def test_subnormal_results_are_kept():
    tiny = {"w": np.array([2.0**-130], np.float32)}
    new, _ = SGD.apply({"w": np.zeros(1, np.float32)}, tiny)
    assert new["w"][0] == np.float32(2.0**-131) != 0


def test_a_process_that_flushes_subnormals_is_refused(monkeypatch: pytest.MonkeyPatch):
    multiply = np.multiply

    def flushing(*args: object, **kwargs: object) -> object:
        result = multiply(*args, **kwargs)
        return np.where(np.abs(result) < 2.0**-126, np.float32(0), result)

    monkeypatch.setattr(np, "multiply", flushing)
    with pytest.raises(AggregationError, match="flushes subnormal"):
        SGD.apply(PARENT, DELTA)

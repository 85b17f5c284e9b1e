"""Every algorithm on problems whose answer is known, its state as bytes, and what it refuses."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from aggregation.rules import RULES
from learning.errors import SpecError, TrainingDiverged
from learning.experiment.algorithms import (
    Algorithm,
    ClientResult,
    DiLoCo,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    Rule,
    ServerState,
    find_algorithm,
)

START = np.array([1.0, -2.0, 0.5], np.float32)


def server(model: np.ndarray = START) -> ServerState:
    return ServerState(0, {"w": np.asarray(model, np.float32)})


def results(rows: Sequence[Sequence[float]], samples: Sequence[int] | None = None) -> list[ClientResult]:
    counts = samples or [1] * len(rows)
    return [
        ClientResult(i, {"w": np.array(row, np.float32)}, n)
        for i, (row, n) in enumerate(zip(rows, counts, strict=True))
    ]


def after(algorithm: Algorithm, rows: Sequence[Sequence[float]], samples: Sequence[int] | None = None) -> np.ndarray:
    return algorithm.step(server(), results(rows, samples)).model["w"]


ROWS = [[2, 0, 1], [3, 1, 0], [4, -1, 2], [50, -60, 9], [0, 3, -7]]


def test_fedavg_is_the_mean_weighted_by_examples() -> None:
    assert after(FedAvg(), [[2, 0, 1], [5, 3, 4]], [1, 3]) == pytest.approx([4.25, 2.25, 3.25], abs=1e-6)


def test_trimmed_mean_drops_a_fifth_at_either_end() -> None:
    assert after(FedTrimmedAvg(), ROWS) == pytest.approx([3, 0, 1], abs=1e-5)
    assert after(FedTrimmedAvg(beta=0.4), ROWS) == pytest.approx(np.median(ROWS, axis=0), abs=1e-5)
    assert after(FedTrimmedAvg(beta=0.0), ROWS) == pytest.approx(np.mean(ROWS, axis=0), abs=1e-5)


def test_median_of_odd_and_even_numbers() -> None:
    assert after(FedMedian(), ROWS) == pytest.approx([3, 0, 1], abs=1e-5)
    assert after(FedMedian(), ROWS[:4]) == pytest.approx(np.median(ROWS[:4], axis=0), abs=1e-5)


def quadratic(algorithm: Algorithm, targets: Sequence[float], rounds: int, rate: float) -> list[float]:
    """Client i makes one gradient step on (w − aᵢ)²/2 with FedProx's pull; its start is the model, so the pull is 0 there."""
    state, path = server(np.array([10.0])), []
    for _ in range(rounds):
        w = state.model["w"]
        state = algorithm.step(
            state,
            [ClientResult(i, {"w": w - np.float32(rate) * (w - np.float32(a))}, 1) for i, a in enumerate(targets)],
        )
        path.append(float(state.model["w"][0]))
    return path


def test_fedavg_contracts_to_the_mean_of_the_optima() -> None:
    path = quadratic(FedAvg(), [1.0, 2.0, 6.0], 20, 0.3)
    assert path == pytest.approx([3 + 7 * 0.7 ** (r + 1) for r in range(20)], abs=1e-4)


def test_fedmedian_goes_to_the_middle_optimum() -> None:
    assert quadratic(FedMedian(), [1.0, 2.0, 60.0], 60, 0.3)[-1] == pytest.approx(2.0, abs=1e-3)


def test_momentum_by_the_recurrence() -> None:
    path = quadratic(FedAvgM(learning_rate=0.5, momentum=0.6), [1.0, 3.0], 12, 0.2)
    w, v, expected = 10.0, 0.0, []
    for _ in range(12):
        v = 0.6 * v - 0.2 * (w - 2.0)
        w += 0.5 * v
        expected.append(w)
    assert path == pytest.approx(expected, abs=1e-4)


def test_nesterov_by_the_recurrence() -> None:
    path = quadratic(DiLoCo(), [1.0, 3.0], 12, 0.2)
    w, v, expected = 10.0, 0.0, []
    for _ in range(12):
        delta = -0.2 * (w - 2.0)
        v = 0.9 * v + delta
        w += 0.7 * (0.9 * v + delta)
        expected.append(w)
    assert path == pytest.approx(expected, abs=1e-4)


def test_adam_by_reddi_s_second_algorithm() -> None:
    path = quadratic(FedAdam(learning_rate=0.1, beta1=0.8, beta2=0.9, tau=0.05), [1.0, 3.0], 12, 0.2)
    w, m, v, expected = 10.0, 0.0, 0.05**2, []
    for _ in range(12):
        delta = -0.2 * (w - 2.0)
        m = 0.8 * m + 0.2 * delta
        v = 0.9 * v + 0.1 * delta**2
        w += 0.1 * m / (v**0.5 + 0.05)
        expected.append(w)
    assert path == pytest.approx(expected, abs=1e-4)


def test_fedprox_only_tells_the_clients() -> None:
    assert FedProx(mu=0.5).prox_mu == 0.5
    assert FedAvg().prox_mu == 0
    assert after(FedProx(), ROWS).tolist() == after(FedAvg(), ROWS).tolist()


def test_one_client_s_fedavg_is_its_own_model() -> None:
    assert after(FedAvg(), [[0.1, 0.2, 0.3]], [17]) == pytest.approx([0.1, 0.2, 0.3], abs=1e-7)


ROBUST = (
    "median",
    "trimmed_mean",
    "meamed",
    "krum",
    "multi_krum",
    "bulyan",
    "geometric_median",
    "centred_clipping",
    "dnc",
)


def test_the_robust_rules_are_those_of_the_registry() -> None:
    assert {*ROBUST, "mean", "weighted_mean"} == {rule.name for rule in RULES}


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_every_rule_of_the_registry_by_name(rule: str) -> None:
    honest = np.random.default_rng(0).normal(3.0, 0.1, (9, 3))
    everybody = [*honest.tolist(), [900.0, 900.0, 900.0]]
    moved = find_algorithm(f"{rule}:f=1").step(server(), results(everybody)).model["w"]
    if rule in ROBUST:
        assert moved == pytest.approx([3, 3, 3], abs=0.7), "an outlier moved a robust rule"
    else:
        assert moved == pytest.approx(np.mean(everybody, axis=0), rel=1e-3)


def test_a_pipeline_with_stages() -> None:
    honest = np.random.default_rng(1).normal(3.0, 0.1, (9, 3)).tolist()
    moved = find_algorithm("arc+nnm+trimmed_mean:f=2").step(server(), results([*honest, [1e3] * 3])).model["w"]
    assert moved == pytest.approx([3, 3, 3], abs=0.5)


ALL = (FedAvg(), FedProx(), FedTrimmedAvg(), FedMedian(), FedAvgM(), FedAdam(), DiLoCo(), Rule("krum:f=1"))


@pytest.mark.parametrize("algorithm", ALL, ids=lambda a: a.name)
def test_order_of_clients_and_a_stop_between_rounds_change_no_bit(algorithm: Algorithm) -> None:
    rows = results(ROWS, [3, 1, 2, 5, 4])
    first = algorithm.step(server(), rows)
    shuffled = algorithm.step(server(), rows[::-1])
    assert shuffled.to_bytes() == first.to_bytes()
    restored = ServerState.from_bytes(first.to_bytes(), 1)
    assert restored.round == 1
    assert restored.slots.keys() == first.slots.keys()
    assert algorithm.step(restored, rows).to_bytes() == algorithm.step(first, rows).to_bytes()


def test_momentum_is_part_of_the_bytes() -> None:
    first = FedAvgM().step(server(), results(ROWS))
    forgotten = ServerState(1, first.model)
    rows = results(ROWS)
    assert FedAvgM().step(forgotten, rows).to_bytes() != FedAvgM().step(first, rows).to_bytes()


def test_weights_beyond_the_rule_s_bound_keep_their_ratios() -> None:
    moved = after(FedAvg(), [[0, 0, 0], [1, 1, 1]], [30_000_000, 10_000_000])
    assert moved == pytest.approx([0.25] * 3, abs=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_client_that_is_not_finite_stops_the_round(bad: float) -> None:
    with pytest.raises(TrainingDiverged, match="Round 1 of fedavg"):
        after(FedAvg(), [[bad, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("name", "settings", "clients", "message"),
    [
        ("krum:f=1", {}, 4, r"cannot combine 4"),
        ("fedtrimmedavg", {"beta": 0.5}, 5, r"beta"),
        ("fedprox", {"mu": -1}, 5, r"mu"),
        ("fedavgm", {"momentum": 1.5}, 5, r"momentum"),
        ("fedadam", {"tau": 0}, 5, r"epsilon"),
        ("diloco", {"learning_rate": 0}, 5, r"learning_rate"),
    ],
)
def test_settings_out_of_range(name: str, settings: dict[str, float], clients: int, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        find_algorithm(name, settings).check(clients)


def test_unknown_names_and_settings() -> None:
    with pytest.raises(SpecError, match="no algorithm called 'fedsgd'"):
        find_algorithm("fedsgd")
    with pytest.raises(SpecError, match="fedprox has no setting 'nu'"):
        find_algorithm("fedprox", {"nu": 1})
    with pytest.raises(SpecError, match="mu must be a number"):
        find_algorithm("fedprox", {"mu": "big"})
    with pytest.raises(SpecError, match="no setting 'f'"):
        find_algorithm("krum", {"f": 1})


def test_names_are_distinct() -> None:
    assert all(a.name != b.name for a, b in itertools.combinations(ALL, 2))

"""The accountant: known values of others' accountants, composition, units, and a ledger that cannot be read as empty by mistake."""

from __future__ import annotations

import math

import pytest

from learning.errors import SpecError
from learning.privacy.accountant import Ledger, Spending, epsilon, gaussian_delta, gaussian_epsilon


def example(steps: int = 100, sigma: float = 1.0, rate: float = 0.01, number: int = 1) -> Spending:
    return Spending(number, "example", sigma, rate, steps)


def client(sigma: float, number: int = 1) -> Spending:
    return Spending(number, "client", sigma, 1.0, 1)


# dp-accounting 0.6.0 (Google), PLDAccountant, delta 1e-5: an implementation apart from ours and from Opacus'.
@pytest.mark.parametrize(
    ("multiplier", "expected"), [(0.1, 91.81729), (0.5, 9.997256), (1.0, 4.377178), (2.0, 1.993091), (10.0, 0.340669)]
)
def test_one_gaussian_mechanism_costs_what_another_accountant_says(multiplier: float, expected: float) -> None:
    assert gaussian_epsilon(multiplier, 1e-5) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("sigma", "rate", "steps", "tight"),
    [(1.0, 0.01, 1000, 1.828244), (1.0, 0.25, 4, 4.205808), (2.0, 0.25, 40, 3.954231), (0.7, 0.25, 4, 7.812871)],
)
def test_sampled_steps_cost_at_least_what_a_tight_accountant_says_and_not_much_more(
    sigma: float, rate: float, steps: int, tight: float
) -> None:
    found = epsilon([example(steps, sigma, rate)], 1e-5)
    assert tight <= found <= 1.2 * tight


def test_delta_of_zero_epsilon_is_the_total_variation_of_two_gaussians() -> None:
    # TV(N(0, 1), N(1, 1)) = 2Φ(½) − 1
    assert gaussian_delta(1.0, 0.0) == pytest.approx(math.erf(0.5 / math.sqrt(2)))
    assert gaussian_epsilon(1.0, 0.4) == 0.0


def test_epsilon_is_never_too_small_for_its_delta() -> None:
    for multiplier in (0.05, 0.5, 1.0, 7.0, 300.0):
        found = gaussian_epsilon(multiplier, 1e-6)
        assert gaussian_delta(multiplier, found) <= 1e-6
        assert found == 0 or gaussian_delta(multiplier, found * 0.999) > 1e-6


def test_replacing_a_client_costs_as_much_as_an_example_under_half_the_noise() -> None:
    assert epsilon([client(2.0)], 1e-5) == epsilon([example(1, 1.0, 1.0)], 1e-5)


def test_rounds_add_up_and_four_cost_as_much_as_one_with_half_the_noise() -> None:
    four = [client(4.0, number) for number in range(1, 5)]
    assert epsilon(four, 1e-5) == pytest.approx(epsilon([client(2.0)], 1e-5))
    costs = [epsilon(four[:count], 1e-5) for count in range(5)]
    assert costs[0] == 0
    assert costs == sorted(set(costs))


def test_more_noise_less_sampling_and_fewer_steps_cost_less() -> None:
    base = epsilon([example()], 1e-5)
    assert epsilon([example(sigma=1.5)], 1e-5) < base
    assert epsilon([example(rate=0.005)], 1e-5) < base
    assert epsilon([example(steps=50)], 1e-5) < base
    assert epsilon([example(), example(number=2)], 1e-5) > base


def test_units_are_not_added_up() -> None:
    with pytest.raises(SpecError, match="cannot be added"):
        epsilon([client(1.0), example()], 1e-5)
    both = Ledger((client(1.0), example())).epsilons(1e-5)
    assert both == {"client": epsilon([client(1.0)], 1e-5), "example": epsilon([example()], 1e-5)}


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5])
def test_a_delta_that_is_no_probability_is_refused(delta: float) -> None:
    with pytest.raises(SpecError, match="delta"):
        epsilon([client(1.0)], delta)


@pytest.mark.parametrize(
    "wrong",
    [("group", 1.0, 1.0, 1), ("client", 0.0, 1.0, 1), ("client", math.inf, 1.0, 1), ("example", 1.0, 0.0, 1), ("example", 1.0, 1.5, 1)],
)  # fmt: skip
def test_a_spending_that_cannot_be_is_refused(wrong: tuple[str, float, float, int]) -> None:
    with pytest.raises(SpecError, match="privacy spending"):
        Spending(1, *wrong)


def test_a_ledger_survives_json_and_a_damaged_one_is_not_taken_for_an_empty_one() -> None:
    ledger = Ledger().with_entry(client(1.0)).with_entry(example(number=2))
    assert Ledger.from_json(ledger.to_json()) == ledger
    with pytest.raises(SpecError, match="version"):
        Ledger.from_json({"version": 99, "spendings": []})
    for damaged in ({}, {"version": 1}, {"version": 1, "spendings": [{"round": 1}]}, {"version": 1, "spendings": None}):
        with pytest.raises(SpecError, match="damaged"):
            Ledger.from_json(damaged)

from __future__ import annotations

import json
from decimal import ROUND_FLOOR, Decimal, localcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.rewards import CWT
from incentives.voting import CURVE_BOUND, votes, voting_units

VECTORS = Path(__file__).parents[2] / "vectors" / "voting.json"
TOKENS = st.integers(min_value=0, max_value=CURVE_BOUND - 1)
LINEAR = st.integers(min_value=1, max_value=CURVE_BOUND - 1)


def test_values_by_hand():
    assert [voting_units(x, 100) for x in (0, 99, 100, 101, 102, 400, 10_000)] == [0, 99, 100, 100, 101, 300, 1_900]


def test_a_whale_of_the_whole_supply():
    assert voting_units(10_000_000 * CWT, 10_000 * CWT) == 622_455_532_033_675_866_399_778


@given(TOKENS, LINEAR)
def test_never_above_linear(locked: int, linear_up_to: int):
    assert voting_units(locked, linear_up_to) <= locked


@given(TOKENS, TOKENS, LINEAR)
def test_monotone(x: int, y: int, linear_up_to: int):
    low, high = sorted((x, y))
    assert voting_units(low, linear_up_to) <= voting_units(high, linear_up_to)


@given(TOKENS, LINEAR)
def test_equals_the_formula_in_decimals(locked: int, linear_up_to: int):
    with localcontext() as context:
        context.prec = 120
        root = (2 * (Decimal(linear_up_to) * locked).sqrt()).to_integral_value(ROUND_FLOOR)
    expected = locked if locked <= linear_up_to else int(root) - linear_up_to
    assert voting_units(locked, linear_up_to) == expected


@given(st.lists(st.integers(min_value=0, max_value=10**25), min_size=1, max_size=10), LINEAR)
def test_splitting_never_beats_the_linear_share(parts: list[int], linear_up_to: int):
    assert sum(voting_units(part, linear_up_to) for part in parts) <= sum(parts)


@pytest.mark.parametrize(("locked", "linear_up_to"), [(-1, 5), (CURVE_BOUND, 5), (5, -1), (5, CURVE_BOUND)])
def test_refuses_what_the_contract_refuses(locked: int, linear_up_to: int):
    with pytest.raises(ValueError, match="the curve is defined"):
        voting_units(locked, linear_up_to)


@pytest.mark.parametrize(
    ("delegated", "total", "expected"),
    [(5, 100, 5), (10, 100, 10), (11, 100, 10), (11, 109, 10), (11, 110, 11), (3, 9, 0)],
)
def test_one_delegate_counts_at_most_a_tenth(delegated: int, total: int, expected: int):
    assert votes(delegated, total, is_member=True) == expected
    assert votes(delegated, total, is_member=False) == 0


def test_vectors():
    cases = json.loads(VECTORS.read_text(encoding="ascii"))["cases"]
    assert len(cases) >= 50
    for case in cases:
        assert voting_units(int(case["locked"]), int(case["linearUpTo"])) == int(case["units"]), case

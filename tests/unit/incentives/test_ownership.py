from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.ownership import claimable, entitled_down, least_score, score_quorum, shares_ppm

CASES = json.loads((Path(__file__).parents[2] / "vectors" / "ownership.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES)
def test_vectors(case: dict[str, list[str] | int | str]):
    credits_of = [int(credit) for credit in case["credits"]]
    total = sum(credits_of)
    so_far, entitled = 0, []
    for amount in case["deposits"]:
        so_far += int(amount)
        entitled += [entitled_down(so_far, credit, total) for credit in credits_of]
    assert entitled == [int(amount) for amount in case["entitled"]]
    assert least_score(case["parentScore"], case["maxRegression"]) == case["leastScore"]
    assert score_quorum(case["correct"]) == case["quorum"]


def test_enough_cases():
    assert len(CASES) >= 30


@given(
    st.lists(st.integers(0, 10**25), min_size=1, max_size=8).filter(any), st.lists(st.integers(0, 10**30), max_size=8)
)
def test_i16_paid_is_at_most_deposited(credits_of: list[int], deposits: list[int]):
    total = sum(credits_of)
    paid = [0] * len(credits_of)
    deposited = 0
    for amount in deposits:
        deposited += amount
        for place, credit in enumerate(credits_of):
            now = claimable(deposited, credit, total, paid=paid[place])
            assert now >= 0
            paid[place] += now
        assert deposited - len(credits_of) < sum(paid) <= deposited


@given(st.integers(0, 31))
def test_quorum_is_more_than_two_thirds(correct: int):
    assert 3 * score_quorum(correct) > 2 * correct >= 3 * (score_quorum(correct) - 1)


def test_shares_for_people():
    assert shares_ppm({"a": 1, "b": 2}) == {"a": 333_333, "b": 666_666}
    assert shares_ppm({"a": 0}) == {}


@pytest.mark.parametrize(("credit", "total"), [(1, 0), (2, 1), (-1, 1)])
def test_a_credit_is_part_of_its_total(credit: int, total: int):
    with pytest.raises(ValueError, match="no part of a total"):
        entitled_down(1, credit, total)


@pytest.mark.parametrize(("parent", "most", "least"), [(5_000, 5_000, 0), (4_999, 5_000, 0), (500_000, 5_000, 495_000)])
def test_least_score(parent: int, most: int, least: int):
    assert least_score(parent, most) == least

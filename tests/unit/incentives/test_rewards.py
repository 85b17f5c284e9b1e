from __future__ import annotations

import pytest

from incentives.rewards import (
    CWT,
    EmissionParams,
    attester_reward,
    emission,
    trainer_reward,
    treasury_reward,
    verifier_reward,
)

PARAMS = EmissionParams()


@pytest.mark.parametrize(
    ("round_number", "expected"),
    [(1, 10_000 * CWT), (500, 10_000 * CWT), (501, 5_000 * CWT), (1_000, 5_000 * CWT), (1_001, 2_500 * CWT)],
)
def test_halving(round_number: int, expected: int):
    assert emission(round_number, PARAMS) == expected


def test_emission_ends():
    assert emission(500 * 74 + 1, PARAMS) == 0
    assert emission(2**48, PARAMS) == 0


def test_all_emissions_together_stay_below_the_cap():
    assert sum(500 * emission(500 * era + 1, PARAMS) for era in range(80)) < 10_000_000 * CWT


def test_shares_are_the_documented_ones():
    emitted = 10_000 * CWT
    alone = {"weight": 1, "sum_weight": 1, "weight_target": 1}
    assert trainer_reward(emitted, **alone, is_sealed=True) == 7_000 * CWT
    assert trainer_reward(emitted, **alone, is_sealed=False) == 3_500 * CWT
    assert verifier_reward(emitted, correct=20, participants=5, verifiers=4) == 2_000 * CWT
    assert attester_reward(emitted, attesters=5) * 5 == 500 * CWT
    assert treasury_reward(emitted) == 500 * CWT


def test_a_lone_self_dealer_gets_its_fraction_of_the_target():
    earned = trainer_reward(10_000 * CWT, weight=400, sum_weight=400, weight_target=20_000, is_sealed=True)
    assert earned == 7_000 * CWT * 2 // 100


def test_above_the_target_the_pool_is_shared():
    rewards = [
        trainer_reward(10_000 * CWT, weight=weight, sum_weight=40_000, weight_target=20_000, is_sealed=True)
        for weight in (10_000, 30_000)
    ]
    assert rewards == [1_750 * CWT, 5_250 * CWT]


def test_every_field_has_the_same_price():
    # 20 % of 1 009 is 201, over 7·6 fields 4 each: the price is rounded, not the sum.
    assert [verifier_reward(1_009, correct=count, participants=7, verifiers=6) for count in (1, 6)] == [4, 24]


def test_dust_is_not_minted():
    assert trainer_reward(1, weight=1, sum_weight=3, weight_target=1, is_sealed=True) == 0
    assert attester_reward(19, attesters=1) == 0

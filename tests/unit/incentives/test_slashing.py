from __future__ import annotations

import pytest

from incentives.slashing import BPS, PENALTY_BPS, divide, penalty_up
from node.protocol.types import Fault


def test_every_fault_has_its_documented_price():
    assert dict(PENALTY_BPS) == {
        Fault.UPDATE_NOT_REVEALED: 200,
        Fault.VERIFIER_ABSENT: 100,
        Fault.SCORES_NOT_REVEALED: 500,
        Fault.UNAVAILABLE: 200,
        Fault.MALFORMED: 2_000,
        Fault.HARMFUL: 1_000,
        Fault.WRONG_ATTESTATION: 2_500,
    }


@pytest.mark.parametrize(
    ("stake", "bps", "expected"), [(10_000, 200, 200), (1, 1, 1), (0, 2_500, 0), (3, 5_000, 2), (7, BPS, 7), (9, 0, 0)]
)
def test_penalties_round_up(stake: int, bps: int, expected: int):
    assert penalty_up(stake, bps) == expected


@pytest.mark.parametrize(
    ("amount", "is_proven", "expected"),
    [(10, True, (5, 5)), (11, True, (6, 5)), (1, True, (1, 0)), (11, False, (11, 0)), (0, True, (0, 0))],
)
def test_half_burns_rounded_up(amount: int, *, is_proven: bool, expected: tuple[int, int]):
    assert divide(amount, is_proven=is_proven) == expected

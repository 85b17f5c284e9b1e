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
        Fault.ATTESTER_ABSENT: 100,
        Fault.SLICE_NOT_REVEALED: 500,
        Fault.COPY: 2_000,
        Fault.FIELD_WRONG: 1_000,
        Fault.LIE: 10_000,
        Fault.BALLOT_ABSENT: 100,
        Fault.BALLOT_NOT_REVEALED: 500,
    }


@pytest.mark.parametrize(
    ("stake", "bps", "expected"), [(10_000, 200, 200), (1, 1, 1), (0, 2_500, 0), (3, 5_000, 2), (7, BPS, 7), (9, 0, 0)]
)
def test_penalties_round_up(stake: int, bps: int, expected: int):
    assert penalty_up(stake, bps) == expected


@pytest.mark.parametrize(
    ("amount", "own", "is_proven", "expected"),
    [
        (10, 50, True, (5, 5)),
        (11, 50, True, (6, 5)),
        (1, 50, True, (1, 0)),
        (11, 50, False, (11, 0)),
        (0, 50, True, (0, 0)),
        (10, 6, True, (7, 3)),
        (10, 0, True, (10, 0)),
    ],
)
def test_half_of_the_own_part_goes_to_the_prover(amount: int, own: int, *, is_proven: bool, expected: tuple[int, int]):
    assert divide(amount, own=own, is_proven=is_proven) == expected

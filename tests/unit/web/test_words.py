"""News in words: amounts are rounded, since nobody reads eighteen decimals; what is there is never told as nothing."""

from __future__ import annotations

import pytest

from node.protocol.types import ChainEvent
from node.web.words import activity_of, amount

CWT = 10**18


@pytest.mark.parametrize(
    ("units", "shown"),
    [
        (0, "0"),
        (1, "<0.01"),
        (5 * CWT // 1000, "0.01"),
        (5 * CWT // 1000 - 1, "<0.01"),
        (CWT, "1"),
        (1234 * CWT + CWT // 10, "1,234.10"),
        (1_999_999 * CWT + 999 * CWT // 1000, "2,000,000"),
        (-9 * CWT, "−9"),
        (58_310_931_234_567_890_123, "58.31"),
    ],
)
def test_amounts_are_rounded_to_hundredths(units: int, shown: str) -> None:
    assert amount(units) == shown


def test_a_vote_is_told_with_rounded_power() -> None:
    a = {"voter": "0xa", "support": 1, "weight": 58_310_931_234_567_890_123, "reason": "It is better."}
    event = ChainEvent("CommunityGovernor", "VoteCast", a, 7, 1, b"\x01" * 32, 0)
    assert activity_of(event) == ("0xa", "voted for a proposal with 58.31 votes, “It is better.”")

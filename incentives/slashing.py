"""What a fault costs: basis points of the member's stake, rounded up, and how it is divided (docs/protocol.md, "Faults and penalties")."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

BPS = 10_000

PENALTY_BPS: Mapping[int, int] = MappingProxyType(
    {
        1: 200,  # UpdateNotRevealed
        2: 100,  # VerifierAbsent
        3: 500,  # ScoresNotRevealed
        4: 200,  # Unavailable
        5: 2_000,  # Malformed
        6: 1_000,  # Harmful
        7: 2_500,  # WrongAttestation
    }
)
"""Fault code (node.protocol.types.Fault) → basis points."""


def penalty_up(stake: int, bps: int) -> int:
    """⌈stake · bps / 10 000⌉, never more than the stake."""
    return min(stake, -(-stake * bps // BPS))


def divide(amount: int, *, is_proven: bool) -> tuple[int, int]:
    """(burned, bounty) of a slash: a proven fault pays ⌊half⌋ to its prover; one found by `settle` burns whole."""
    bounty = amount // 2 if is_proven else 0
    return amount - bounty, bounty

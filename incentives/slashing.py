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
        8: 100,  # AttesterAbsent
        9: 500,  # SliceNotRevealed
        10: 2_000,  # Copy
        11: 1_000,  # FieldWrong
        12: 10_000,  # Lie, and a ban
        13: 100,  # BallotAbsent
        14: 500,  # BallotNotRevealed
    }
)
"""Fault code (node.protocol.types.Fault) → basis points."""


def penalty_up(stake: int, bps: int) -> int:
    """⌈stake · bps / 10 000⌉, never more than the stake."""
    return min(stake, -(-stake * bps // BPS))


def divide(amount: int, *, own: int, is_proven: bool) -> tuple[int, int]:
    """(burned, bounty) of a slash. A proven fault pays its prover ⌊half⌋ of what is taken from the member's ``own`` part of the stake.

    The unvested part of a grant burns whole, else a second account could prove one's own fault and free half of it. What those
    who voted found burns whole, since they must not gain.
    """
    bounty = min(amount, own) // 2 if is_proven else 0
    return amount - bounty, bounty

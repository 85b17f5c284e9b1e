"""Voting units of locked tokens and the cap of one delegate, in units of 10⁻¹⁸ CWT. Both round down.

Mirrors `contracts/src/libraries/PowerCurve.sol` and the cap of `VotingVault.sol`; `tests/vectors/voting.json` holds cases that both replay.
"""

from __future__ import annotations

from math import isqrt

CAP_DIVISOR = 10
CURVE_BOUND = 2**127


def voting_units(locked: int, linear_up_to: int) -> int:
    """f(x) = x up to T, then ⌊2·√(T·x)⌋ − T, with x ``locked`` and T ``linear_up_to``; never above x.

    Raises:
        ValueError: an argument is negative or at least 2¹²⁷: the contract would refuse it.
    """
    for name, value in (("locked", locked), ("linear_up_to", linear_up_to)):
        if not 0 <= value < CURVE_BOUND:
            raise ValueError(f"{name} is {value}, but the curve is defined from 0 to 2^127 - 1; are these token units?")
    if locked <= linear_up_to:
        return locked
    return isqrt(4 * linear_up_to * locked) - linear_up_to


def votes(delegated: int, total_units: int, *, is_member: bool) -> int:
    """What a delegate counts: min(``delegated``, ⌊``total_units`` / 10⌋), both of one moment; 0 unless a member now."""
    return min(delegated, total_units // CAP_DIVISOR) if is_member else 0

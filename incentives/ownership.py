"""Shares of a release and its revenue, the quorum of its scores, and what a score may lose. Integers; payouts round down.

Mirrors `contracts/src/libraries/OwnershipMath.sol`; `tests/vectors/ownership.json` holds cases that both replay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

BEST_SCORE = 1_000_000
"""Best score of a benchmark, ppm."""

_Member = TypeVar("_Member")


def entitled_down(deposited: int, credit: int, total: int) -> int:
    """⌊deposited · credit / total⌋: what a member is due in all of what a release has earned, paid or not.

    Args:
        deposited: all that arrived for the release, in the token's units.
        credit: the member's, from rounds up to the release's.
        total: of all members; the credits add up to at most this.

    Raises:
        ValueError: nobody has a credit, or a credit exceeds the total.
    """
    if total <= 0 or not 0 <= credit <= total:
        raise ValueError(f"A credit of {credit} is no part of a total of {total}: give the total of the same round.")
    return deposited * credit // total


def claimable(deposited: int, credit: int, total: int, *, paid: int) -> int:
    """What a claim pays now: `entitled_down` less what was paid before."""
    return entitled_down(deposited, credit, total) - paid


def shares_ppm(credits_of: Mapping[_Member, int]) -> dict[_Member, int]:
    """⌊10⁶ · credit / total⌋ of each member, for people to read; empty where nobody has a credit."""
    total = sum(credits_of.values())
    if total == 0:
        return {}
    return {member: 1_000_000 * credit // total for member, credit in credits_of.items()}


def least_score(parent_score: int, max_regression: int) -> int:
    """max(0, parent − maxRegression), ppm: below this a release has regressed."""
    return max(0, parent_score - max_regression)


def score_quorum(correct: int) -> int:
    """⌊2·correct/3⌋ + 1 votes: more than two thirds of all correct attesters, not of those who turned up."""
    return correct * 2 // 3 + 1

"""Rewards of a finalised round, in units of 10⁻¹⁸ CWT. Payouts round down; what is not earned is not minted.

Mirrors `contracts/src/libraries/RewardMath.sol`; `tests/vectors/rewards.json` holds cases that both replay.
"""

from __future__ import annotations

from dataclasses import dataclass

CWT = 10**18
TRAINER_PERCENT = 70
VERIFIER_PERCENT = 20
ATTESTER_PERCENT = 5
TREASURY_PERCENT = 5


@dataclass(frozen=True, slots=True)
class EmissionParams:
    """Emission of round 1, rounds per halving, and the weight sum (ppm) that earns the whole trainers' pool."""

    initial: int = 10_000 * CWT
    halving: int = 500
    weight_target: int = 1


def emission(round_number: int, params: EmissionParams) -> int:
    """E(r) = E₀ >> ((r−1) // halving), rounds counted from 1."""
    return params.initial >> ((round_number - 1) // params.halving)


def trainer_reward(emitted: int, *, weight: int, sum_weight: int, weight_target: int, is_sealed: bool) -> int:
    """pool · w // max(Σw, target); the pool is 70 % of the emission, half of that in an unsealed round."""
    pool = emitted * TRAINER_PERCENT // 100
    if not is_sealed:
        pool //= 2
    return pool * weight // max(sum_weight, weight_target)


def verifier_reward(emitted: int, *, correct: int, participants: int, verifiers: int) -> int:
    """Price of one right field, ⌊(20 % of the emission) / (n·k)⌋, times the right fields."""
    return (emitted * VERIFIER_PERCENT // 100) // (participants * verifiers) * correct


def attester_reward(emitted: int, *, attesters: int) -> int:
    """(5 % of the emission) // attesters, for one right attestation."""
    return (emitted * ATTESTER_PERCENT // 100) // attesters


def treasury_reward(emitted: int) -> int:
    """5 % of the emission."""
    return emitted * TREASURY_PERCENT // 100

"""Canaries: made-up secrets planted in training, and how far they stick out afterwards (Carlini et al. 2019, arXiv 1802.08232).

exposure = log₂ |R| − log₂ rank: R is a space of alternatives of the same form, rank the place of the planted one among them by how much
training lowered its loss. A canary that left no trace has a uniform rank and mean exposure 1/ln 2 = 1.44 bits; one that is first of
1024 has 10 bits.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np

from learning.privacy.statistics import Scores
from learning.tasks.pairs import Pair

_DIGITS = 12
_NOUNS = (
    "gateway", "ledger", "payroll", "staging", "billing", "archive", "mailer", "registry", "backup", "console", "broker", "vault",
    "scheduler", "warehouse", "tracker", "proxy",
)  # fmt: skip
REPOSITORY = "canary"


@dataclass(frozen=True, slots=True)
class Canaries:
    """Planted secrets and their alternatives.

    Attributes:
        planted: the pairs that go into training, one each.
        alternatives: code texts of the same form with other digits, which no training saw.
    """

    planted: tuple[Pair, ...]
    alternatives: tuple[str, ...]


def make_canaries(count: int, alternatives: int, seed: int) -> Canaries:
    """``count`` canaries that differ in what their query names, and ``alternatives`` codes with other random digits.

    Args:
        count: 1 to 240 (pairs of different nouns).
        alternatives: size of the space that each is ranked in, less one.
        seed: equal seeds, equal canaries.
    """
    draw = random.Random(f"canaries/{seed}")  # noqa: S311 - no secret
    names = draw.sample([(a, b) for a in _NOUNS for b in _NOUNS if a != b], count)
    planted = tuple(
        Pair(f"Return the access code of the {a} {b}.", _code(draw), REPOSITORY, f"{a}/{b}.py", "code")
        for a, b in names
    )
    return Canaries(planted, tuple(_code(draw) for _ in range(alternatives)))


def _code(draw: random.Random) -> str:
    digits = "".join(draw.choices("0123456789", k=_DIGITS))
    return f'def Func():\n    return "{digits}"'


def exposures(own: Scores, alternatives: np.ndarray) -> Scores:
    """Exposure of each canary in bits, shape (c,).

    Args:
        own: how strongly each canary sticks out (higher: more), shape (c,).
        alternatives: the same for every alternative in each canary's place, shape (c, r).

    Ties rank in the canary's disfavour by half, so a model that tells nothing apart exposes nothing.
    """
    above = (alternatives > own[:, None]).sum(1) + (alternatives == own[:, None]).sum(1) / 2
    space = alternatives.shape[1] + 1
    return np.array([math.log2(space / (1 + rank)) for rank in above])

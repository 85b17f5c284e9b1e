"""A problem with several solutions: the type that `learning.sources.problems` is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: solutions (source of one function each) and argument lists on which they agree."""

    name: str
    solutions: tuple[str, ...]
    samples: tuple[tuple[Any, ...], ...]


def problem(name: str, samples: list[tuple[Any, ...]], *solutions: str) -> Problem:
    """A problem from solutions written as indented text blocks."""
    return Problem(name, tuple(s.strip("\n") + "\n" for s in solutions), tuple(samples))

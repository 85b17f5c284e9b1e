"""Small problems with several independently written solutions each: programs that do the same by other means.

They stand in for the same-problem programs of contest corpora (Google Code Jam, POJ-104), on machines where there are none: far fewer,
shorter, and by one hand. All solutions of a problem agree on its sample inputs; a test runs them. Each problem counts as a repository of
its own, so no problem is in two splits.
"""

from __future__ import annotations

from learning.sources.problem import Problem
from learning.sources.problems_numbers import NUMBERS
from learning.sources.problems_sequences import SEQUENCES

__all__ = ["PROBLEMS", "Problem"]
PROBLEMS: tuple[Problem, ...] = (*NUMBERS, *SEQUENCES)

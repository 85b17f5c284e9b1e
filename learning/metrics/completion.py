"""Token accuracy of code completion as CodeXGLUE's evaluator counts it: marks of begin, end and line are predicted but not counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learning.errors import DataError
from learning.metrics.classification import check_lengths

NOT_COUNTED = frozenset({"<s>", "</s>", "<EOL>", "<pad>"})


@dataclass(frozen=True, slots=True)
class TokenScore:
    """Counts behind an accuracy: sums over clients and batches stay exact."""

    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """correct/total, 0…1."""
        return self.correct / self.total


def token_accuracy(predictions: Sequence[Sequence[str]], answers: Sequence[Sequence[str]]) -> TokenScore:
    """How many tokens of ``answers`` are predicted right, token by token, those in `NOT_COUNTED` left out.

    Args:
        predictions: for each program as many tokens as its answer has; what stands where `NOT_COUNTED` tokens are does not matter.
        answers: the programs' tokens, marks included.

    Raises:
        DataError: another number of programs or of tokens in a program, or nothing to count.
    """
    check_lengths(predictions, answers)
    correct = total = 0
    for row, (guess, truth) in enumerate(zip(predictions, answers, strict=True)):
        if len(guess) != len(truth):
            raise DataError(f"Program {row}: {len(guess)} tokens are predicted, the program has {len(truth)}.")
        counted = [(g, t) for g, t in zip(guess, truth, strict=True) if t not in NOT_COUNTED]
        total += len(counted)
        correct += sum(g == t for g, t in counted)
    if not total:
        raise DataError("There is nothing to score: no program has a token that counts.")
    return TokenScore(correct, total)

"""Pairs after the frozen part of the encoder: what training, scoring and evaluation work on, computed once and shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from learning.errors import DataError
from learning.models.encoder import Encoder, Prepared
from learning.tasks.code_search import Pair


@dataclass(frozen=True, slots=True)
class PreparedPairs:
    """Row i of ``queries`` and row i of ``codes`` belong together."""

    queries: Prepared
    codes: Prepared

    def __len__(self) -> int:
        return len(self.queries)


def prepare_pairs(
    model: Encoder,
    pairs: Sequence[Pair] | PreparedPairs,
    precision: str,
    should_stop: Callable[[], bool] | None = None,
) -> PreparedPairs:
    """Run ``pairs`` through the frozen layers; already prepared ones are returned as they are.

    Raises:
        DataError: fewer than two pairs, on which no ranking or contrast exists.
        TrainingStopped: ``should_stop`` said yes.
    """
    if len(pairs) < 2:
        raise DataError(f"{len(pairs)} pair(s) were given; contrast and ranking need at least two.")
    if isinstance(pairs, PreparedPairs):
        return pairs
    spec = model.spec
    return PreparedPairs(
        model.prepare([pair.query for pair in pairs], spec.query_tokens, precision, should_stop),
        model.prepare([pair.code for pair in pairs], spec.code_tokens, precision, should_stop),
    )

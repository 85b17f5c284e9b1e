"""Benchmark slices of a steward, drawn from held-out repositories on this machine and kept from everybody until they are revealed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.protocol.errors import TrainingError


@dataclass(frozen=True, slots=True)
class LocalSlices:
    """Makes the slice of a round.

    Attributes:
        rows: pairs in a slice.
        derive: secret bytes by label (`Signer.derive`): nobody else can foresee which pairs are drawn, and a restart draws the same.
        cache: folder for extracted pairs.
    """

    rows: int
    derive: Callable[[bytes], bytes]
    cache: Path

    def __call__(self, round_number: int) -> bytes:
        """JSONL bytes of the slice.

        Raises:
            TrainingError: there are no held-out repositories on this machine.
        """
        from learning.errors import LearningError  # noqa: PLC0415 - imports torch, which only stewards' rounds need
        from learning.sources import installed  # noqa: PLC0415
        from learning.tasks.code_search import encode_pairs  # noqa: PLC0415

        seed = int.from_bytes(self.derive(b"commonweight/slice/1" + round_number.to_bytes(32, "big"))[:8], "big")
        try:
            return encode_pairs(installed.sealed_slice(self.rows, seed, cache=self.cache))
        except LearningError as error:
            raise TrainingError(error.what, why=error.why, hint=error.hint) from error

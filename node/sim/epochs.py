"""The guideline in force, as RoundManager reads it: one epoch that never changes. `node.sim.guidelines` is the whole registry."""

from __future__ import annotations

from node.protocol.types import Address, Scoring


class FixedEpoch:
    """Epoch 1 for ever.

    Args:
        address: where the GuidelineRegistry would lie.
        guideline_hash: of the combined guideline file.
        scoring: how its rounds are scored.
    """

    def __init__(self, address: Address, guideline_hash: bytes, scoring: Scoring) -> None:
        self.address = address
        self._hash = guideline_hash
        self._scoring = scoring

    def current(self) -> tuple[int, bytes, Scoring]:
        """(epoch, hash of the combined guideline file, scoring)."""
        return 1, self._hash, self._scoring

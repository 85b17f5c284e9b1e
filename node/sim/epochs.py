"""The guideline in force, as RoundManager reads it: one epoch that never changes. `node.sim.guidelines` is the whole registry."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from node.protocol.types import Address, Scoring


@dataclass(slots=True)
class FixedEpoch:
    """Epoch 1 for ever.

    Attributes:
        address: where the GuidelineRegistry would lie.
        guideline_hash: of the combined guideline file.
        scoring: how its rounds are scored.
    """

    address: Address
    guideline_hash: bytes
    scoring: Scoring

    def current(self) -> tuple[int, bytes, tuple[int, ...]]:
        """(epoch, hash of the combined guideline file, scoring in the order of `Scoring`)."""
        return 1, self.guideline_hash, astuple(self.scoring)

"""Seeded dice for faults: a counter through a hash, the same on every machine and Python version."""

from __future__ import annotations

from node.protocol.hashing import keccak256

_SCALE = 1 << 64


class Dice:
    """A stream of numbers that depends only on its label.

    Args:
        label: names the stream.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._count = 0

    def uniform(self) -> float:
        """Next number in [0, 1)."""
        digest = keccak256(f"{self._label}/{self._count}".encode())
        self._count += 1
        return int.from_bytes(digest[:8], "big") / _SCALE

    def happens(self, probability: float) -> bool:
        """Whether an event of this probability happens now. 0 never draws, so a fault switched off changes nothing else."""
        return probability > 0 and self.uniform() < probability

    def between(self, least: float, most: float) -> float:
        """Next number in [least, most)."""
        return least + (most - least) * self.uniform()

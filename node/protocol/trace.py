"""A number and its past: what a checkpointed storage variable held at every moment (OpenZeppelin's `Checkpoints`)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trace:
    """Values by ascending key: a time in seconds, or a round's number. Before the first key the value is 0."""

    keys: tuple[int, ...] = ()
    values: tuple[int, ...] = ()

    @property
    def latest(self) -> int:
        """Value now."""
        return self.values[-1] if self.values else 0

    def at(self, key: int) -> int:
        """Value as of a key: that of the greatest key which is not above it."""
        place = bisect_right(self.keys, key)
        return self.values[place - 1] if place else 0

    def push(self, key: int, value: int) -> Trace:
        """Trace with another value from a key on; a second value of the same key replaces the first.

        Raises:
            ValueError: the key lies before the last one.
        """
        if self.keys and key < self.keys[-1]:
            raise ValueError(f"a checkpoint of {key} after one of {self.keys[-1]}")
        if self.keys and key == self.keys[-1]:
            return Trace(self.keys, (*self.values[:-1], value))
        return Trace((*self.keys, key), (*self.values, value))

    def add(self, key: int, amount: int) -> Trace:
        """Trace of a sum to which an amount was added from a key on, in any order of keys."""
        place = bisect_left(self.keys, key)
        later = tuple(value + amount for value in self.values[place:])
        if place < len(self.keys) and self.keys[place] == key:
            return Trace(self.keys, self.values[:place] + later)
        here = (self.values[place - 1] if place else 0) + amount
        return Trace((*self.keys[:place], key, *self.keys[place:]), (*self.values[:place], here, *later))

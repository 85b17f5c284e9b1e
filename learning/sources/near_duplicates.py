"""Finds near-duplicate functions, so that no client trains on what a benchmark asks.

Each function's token 5-grams are hashed with CRC-32; the 32 smallest values are its bottom-k sketch (Broder 1997), from which the
Jaccard similarity is estimated. Public corpora without this step overstate results badly (Allamanis 2019, arXiv 1812.06469).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from typing import Protocol

SKETCH = 32
SHINGLE = 5
THRESHOLD = 0.6
_TOKEN = re.compile(r"\w+|[^\w\s]")


class Searchable(Protocol):
    """What is compared: the text of the query and of the code."""

    @property
    def query(self) -> str:
        """Natural-language description."""

    @property
    def code(self) -> str:
        """Source text."""


def sketch(code: str) -> tuple[int, ...]:
    """The ``SKETCH`` smallest distinct CRC-32 values of the token 5-grams of ``code``, ascending."""
    tokens = _TOKEN.findall(code)
    grams = {
        zlib.crc32("\x1f".join(tokens[i : i + SHINGLE]).encode()) for i in range(max(1, len(tokens) - SHINGLE + 1))
    }
    return tuple(sorted(grams)[:SKETCH])


def similarity(left: tuple[int, ...], right: tuple[int, ...]) -> float:
    """Estimated Jaccard similarity of two functions from their sketches, 0…1."""
    union = sorted({*left, *right})[:SKETCH]
    both = {*left} & {*right}
    return sum(value in both for value in union) / len(union)


class SeenBefore:
    """Remembers functions and says whether a new one is nearly one of them, by code or by equal query."""

    def __init__(self, known: Iterable[Searchable] = ()) -> None:
        self._sketches: list[tuple[int, ...]] = []
        self._by_value: dict[int, list[int]] = {}
        self._queries: set[str] = set()
        for item in known:
            self.add(item)

    def add(self, item: Searchable) -> None:
        """Remember ``item``."""
        self._remember(_key(item.query), sketch(item.code))

    def check_and_add(self, item: Searchable) -> bool:
        """True if a near-duplicate is remembered; otherwise remember ``item`` and return False."""
        query, values = _key(item.query), sketch(item.code)
        if query in self._queries:
            return True
        candidates = {i for value in values for i in self._by_value.get(value, ())}
        if any(similarity(values, self._sketches[i]) >= THRESHOLD for i in candidates):
            return True
        self._remember(query, values)
        return False

    def _remember(self, query: str, values: tuple[int, ...]) -> None:
        self._queries.add(query)
        for value in values:
            self._by_value.setdefault(value, []).append(len(self._sketches))
        self._sketches.append(values)


def _key(query: str) -> str:
    return "".join(_TOKEN.findall(query.lower()))

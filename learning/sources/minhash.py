"""Near-duplicates among many texts at once: MinHash signatures, banded buckets, exact Jaccard similarity, groups.

Each text becomes the set of its token 5-grams (hashed to 64 bits). A signature holds, for each of 72 hash functions, the least value of the
set (Broder 1997). Texts that agree on 3 neighbouring values of one of 24 bands are compared exactly: a pair of similarity s is compared
with probability 1 − (1 − s³)²⁴, which is 0.997 at 0.6, 0.99995 at 0.7 and 1 − 10⁻⁷ at 0.8 (Leskovec et al., Mining of Massive Datasets,
chapter 3). Pairs of similarity ≥ 0.6 are joined into groups, transitively. So splits that never share a group share no near-duplicate
that was found, nor one by way of a third text. Public code corpora without this step overstate results (Allamanis 2019, arXiv 1812.06469).
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from learning.sources.near_duplicates import SHINGLE, THRESHOLD

BANDS, ROWS = 24, 3
_TOKEN = re.compile(r"\w+|[^\w\s]")
_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_WIDE = np.uint64(32)
_STREAM = hashlib.shake_256(b"commonweight/minhash/1").digest(8 * BANDS * ROWS)
_MULTIPLIERS: NDArray[np.uint64] = np.frombuffer(_STREAM, "<u8").astype(np.uint64) | np.uint64(1)


def shingles(text: str) -> NDArray[np.uint64]:
    """Sorted distinct 64-bit hashes of the token 5-grams of ``text``; a shorter text has one, a text without tokens none."""
    tokens = _TOKEN.findall(text)
    if not tokens:
        return np.empty(0, np.uint64)
    values = np.fromiter(map(_token_hash, tokens), np.uint64, len(tokens))
    width = min(SHINGLE, len(values))
    count = len(values) - width + 1
    grams = np.zeros(count, np.uint64)
    for offset in range(width):
        grams = grams * _BASE + values[offset : offset + count]
    grams ^= grams >> _WIDE
    return np.unique(grams * _MIX)


def signature(grams: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Least value of (multiplier·gram mod 2⁶⁴) over the set, for each hash function; shape (72,). The set must not be empty."""
    return (grams[:, None] * _MULTIPLIERS[None, :]).min(axis=0)


def jaccard(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> float:
    """|A ∩ B| / |A ∪ B| of two sorted sets, exactly; 0 if both are empty."""
    both = np.intersect1d(left, right, assume_unique=True).size
    union = left.size + right.size - both
    return both / union if union else 0.0


def groups(texts: Sequence[str], *, threshold: float = THRESHOLD) -> list[int]:
    """For each text the index of the first text of its group of near-duplicates (itself if it has none).

    Texts without tokens belong to no group. Deterministic; the order of texts changes only which index names a group.
    """
    parent = list(range(len(texts)))
    sets: list[NDArray[np.uint64]] = []
    exact: dict[bytes, int] = {}
    bands: list[dict[bytes, list[int]]] = [{} for _ in range(BANDS)]
    for index, text in enumerate(texts):
        grams = shingles(text)
        sets.append(grams)
        if not grams.size:
            continue
        first = exact.setdefault(grams.tobytes(), index)
        if first != index:
            _join(parent, first, index)
            continue
        rows = signature(grams).reshape(BANDS, ROWS)
        for band, values in zip(bands, rows, strict=True):
            others = band.setdefault(values.tobytes(), [])
            for other in others:
                if _root(parent, other) != _root(parent, index) and jaccard(sets[other], grams) >= threshold:
                    _join(parent, other, index)
            others.append(index)
    return [_root(parent, index) for index in range(len(texts))]


@lru_cache(maxsize=1 << 18)
def _token_hash(token: str) -> int:
    data = token.encode(errors="surrogatepass")
    return zlib.crc32(data) << 32 | zlib.adler32(data)


def _root(parent: list[int], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def _join(parent: list[int], left: int, right: int) -> None:
    first, second = sorted((_root(parent, left), _root(parent, right)))
    parent[second] = first

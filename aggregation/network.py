"""Sorting networks: fixed comparator lists that put chosen order statistics of n rows in place.

Batcher's odd-even merge exchange for any n (Knuth, TAOCP 3, 5.2.2 M), pruned backwards to the comparators, and to the
halves of comparators, that reach a wanted rank. A network has no data-dependent branch: it runs on whole rows.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from aggregation.kernels_numpy import Integers

KEEP_LOW, KEEP_HIGH = 1, 2


def batcher(n: int) -> list[tuple[int, int]]:
    """Comparators (i, j), i < j, that sort n values ascending."""
    pairs: list[tuple[int, int]] = []
    top = 1 << max((n - 1).bit_length() - 1, 0)
    p = top if n > 1 else 0
    while p > 0:
        q, r, d = top, 0, p
        while d > 0:
            pairs += [(i, i + d) for i in range(n - d) if i & p == r]
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return pairs


@lru_cache(maxsize=256)
def selecting(n: int, ranks: frozenset[int]) -> Integers:
    """Network int32 ``[c, 3]`` of (i, j, keep) after which row r holds the r-th smallest, for every r in ``ranks``.

    Other rows end up with anything. ``keep`` says which results matter: 1 the minimum (row i), 2 the maximum (row j),
    3 both.
    """
    wanted = set(ranks)
    kept: list[tuple[int, int, int]] = []
    for i, j in reversed(batcher(n)):
        keep = KEEP_LOW * (i in wanted) + KEEP_HIGH * (j in wanted)
        if keep:
            kept.append((i, j, keep))
            wanted |= {i, j}
    network = np.array(kept[::-1], np.int32).reshape(-1, 3)
    network.flags.writeable = False  # cached: shared by all callers
    return network

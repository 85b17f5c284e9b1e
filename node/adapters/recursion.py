"""Take back a global side effect of the Ethereum libraries that would let a stranger crash the process.

Importing `py_ecc` (which eth-account and web3 do) raises Python's recursion limit to 100 000. The C stack does not grow with it: JSON
of 64 KiB of ``[`` then ends the process with a segmentation fault instead of a `RecursionError`, and nodes parse JSON of strangers.
"""

from __future__ import annotations

import sys

DEFAULT_LIMIT = 1_000
"""Python's own default."""


def bound_recursion() -> None:
    """Restore Python's default limit; call it after importing eth-account or web3."""
    import py_ecc  # noqa: F401, PLC0415 - its side effect happens once, so it must have happened before

    sys.setrecursionlimit(DEFAULT_LIMIT)

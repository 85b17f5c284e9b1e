"""Who trains on what in the story, and the kinds of code that a model may be weak on: installed packages as companies' code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from learning.sources import installed
from learning.sources.near_duplicates import SeenBefore
from learning.sources.repository import extract_pairs
from learning.tasks.code_search import Pair
from node.protocol.errors import SetupError

FOUNDERS: tuple[tuple[str, ...], ...] = (
    ("mypy", "typer"),
    ("cpython-stdlib", "urllib3"),
    ("setuptools", "packaging"),
    ("matplotlib", "protobuf"),
)
"""The first team's data: general-purpose Python."""
ROWS = 150
"""Rows of each kind's test set: equally many, since a search among more is harder."""
POOL = 400


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of code: what its team trains on, and the other repositories that its test set is made of."""

    about: str
    trained: tuple[str, ...]
    tested: tuple[str, ...]


KINDS: Mapping[str, Kind] = {
    "machine-learning": Kind("neural networks", ("transformers", "accelerate"), ("peft", "sentence-transformers")),
    "protocols": Kind("cryptography and network protocols", ("pycryptodome", "aioquic"), ("cryptography", "zeroconf")),
}


def rows_of(kind: Kind, training: Sequence[Pair], cache: Path) -> list[Pair]:
    """A kind's test set: nothing that anybody trains on, or that the public benchmark asks already, is nearly among it.

    Args:
        kind: which.
        training: rows of all members and of the kind's own team.
        cache: folder of extracted pairs.

    Raises:
        SetupError: too few of its packages are installed here.
    """
    known = {repository.name: repository for repository in installed.list_repositories()}
    missing = [name for name in (*kind.trained, *kind.tested) if name not in known]
    if missing:
        raise SetupError(f"The story needs the package {missing[0]}.", hint="`make setup` installs it.")
    pool = [pair for name in kind.tested for pair in extract_pairs(known[name], limit=POOL, cache=cache)]
    seen = SeenBefore([*training, *installed.public_benchmark(500, cache=cache)])
    fresh = [pair for pair in pool if not seen.check_and_add(pair)]
    return spread(fresh, ROWS)


def spread(rows: Sequence[Pair], count: int) -> list[Pair]:
    """``count`` rows in an order by hash: the same ones for everybody, from all over the repositories."""
    return sorted(rows, key=lambda row: hashlib.sha256(f"{row.query}\0{row.code}".encode()).digest())[:count]

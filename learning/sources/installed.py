"""Packages installed in this Python environment as repositories: training data that need no download.

Each distribution (and the standard library) is one repository, as one company's code base would be. Some are set aside: the
*public* ones make the benchmark that everybody may see, the *sealed* ones the slices that stewards hide until scoring. No trainer is
ever given those.
"""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from learning.errors import DataError
from learning.sources.near_duplicates import SeenBefore
from learning.sources.repository import Repository, extract_pairs, folder, wanted
from learning.tasks.pairs import Pair

STANDARD_LIBRARY = "cpython-stdlib"
PUBLIC_BENCHMARK = ("networkx", "aiohttp", "trio", "click", "hypothesis", "dnspython", "pygments", "fsspec")
SEALED_BENCHMARK = ("web3", "pydantic", "libp2p", "rich", "websockets", "requests", "pillow", "pytest")
PER_NODE = 2  # repositories a node gets: one large and one smaller, as a company has its own narrow taste
MIN_BYTES = 300_000  # smaller packages rarely hold a hundred documented functions
SEALED_POOL = 600  # pairs from which a steward draws its slice
SIZE_CAP = 8_000_000  # beyond this a repository counts as no larger: nobody reads all of it
_LEFT_OUT = {"commonweight", "pip", "opacus", "opt-einsum", "detect-secrets"}
"""Ourselves, pip's vendored copies of others, and what came with the privacy tools: hands dealt before stay as they were."""
_STDLIB_SKIPPED = ("test/", "lib2to3/", "idlelib/", "turtledemo/", "ensurepip/", "encodings/", "pydoc_data/")


def list_repositories() -> list[Repository]:
    """Every installed distribution with at least 300 kB of Python source, and the standard library, sorted by name.

    Reads only the distributions' own file lists (RECORD) and file sizes.
    """
    found: dict[str, Repository] = {}
    for distribution in metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if name and name not in _LEFT_OUT and name not in found:
            repository = _from_distribution(name, distribution)
            if repository is not None:
                found[name] = repository
    library = folder(Path(sysconfig.get_paths()["stdlib"]))
    files = tuple(f for f in library.files if not f.startswith(_STDLIB_SKIPPED))
    version = sysconfig.get_config_var("py_version") or ""
    found[STANDARD_LIBRARY] = Repository(STANDARD_LIBRARY, version, library.root, files, _size(library.root, files))
    return sorted((r for r in found.values() if r.size >= MIN_BYTES), key=lambda r: r.name)


def _from_distribution(name: str, distribution: metadata.Distribution) -> Repository | None:
    listed = distribution.files
    if not listed:
        return None  # editable or system installs without a file list
    root = Path(str(distribution.locate_file("")))
    files = tuple(sorted({p for p in (f.as_posix() for f in listed) if wanted(p) and not p.startswith(("/", "../"))}))
    return Repository(name, distribution.version, root, files, _size(root, files))


def _size(root: Path, files: Iterable[str]) -> int:
    total = 0
    for file in files:
        try:
            total += (root / file).stat().st_size
        except OSError:
            continue  # listed but deleted: reading skips it too
    return total


def trainers(repositories: Sequence[Repository]) -> list[Repository]:
    """The repositories that may be trained on: all but the public and sealed ones."""
    held_out = {*PUBLIC_BENCHMARK, *SEALED_BENCHMARK}
    return [r for r in repositories if r.name not in held_out]


def assign(nodes: int, seed: int, repositories: Sequence[Repository] | None = None) -> list[list[Repository]]:
    """Deals the trainers' repositories out: node i's own list, disjoint from the others' and from all held-out ones.

    Repositories are sorted by size (capped at 8 MB) and dealt in two rows of ``nodes``; each row is shuffled by ``seed``, so every
    node gets one of each size class and all have comparable amounts.

    Raises:
        DataError: fewer trainers' repositories than nodes.
    """
    pool = trainers(list_repositories() if repositories is None else repositories)
    if nodes < 1 or len(pool) < nodes:
        raise DataError(
            f"{nodes} nodes were asked for, but {len(pool)} installed packages are large enough to train on.",
            hint="Install more packages into this environment, or give each node its own folder of repositories.",
        )
    pool = sorted(pool, key=lambda r: (-min(r.size, SIZE_CAP), r.name))
    hands: list[list[Repository]] = [[] for _ in range(nodes)]
    for start in range(0, min(len(pool), PER_NODE * nodes), nodes):
        row = sorted(pool[start : start + nodes], key=lambda r: _draw(seed, r.name))
        for hand, repository in zip(hands, row, strict=False):
            hand.append(repository)
    return hands


def collect(
    repositories: Sequence[Repository],
    *,
    limit: int,
    seed: int = 0,
    against: Sequence[Pair] = (),
    cache: Path | None = None,
) -> list[Pair]:
    """At most ``limit`` pairs from several repositories together, shuffled by ``seed``, free of near-duplicates.

    Repositories share ``limit`` evenly; what a small one lacks, the others give.

    Args:
        repositories: where to read.
        limit: most pairs.
        seed: fixes choice and order.
        against: pairs (a public benchmark) that nothing returned may nearly equal.
        cache: folder for extraction results, or None.
    """
    seen = SeenBefore(against)
    gathered: list[Pair] = []
    remaining = limit
    smallest_first = sorted(repositories, key=lambda r: (r.size, r.name))
    for position, repository in enumerate(smallest_first):
        share = -(-remaining // (len(smallest_first) - position))
        found = extract_pairs(repository, limit=share + share // 4, seed=seed, cache=cache)
        fresh = [pair for pair in found if not seen.check_and_add(pair)][:share]
        gathered += fresh
        remaining -= len(fresh)
    return sorted(gathered, key=lambda p: _draw(seed, f"{p.repository}:{p.path}:{p.name}:{p.query}"))


def public_benchmark(limit: int, seed: int = 0, *, cache: Path | None = None) -> list[Pair]:
    """The benchmark everybody may see: ``limit`` pairs from the public held-out repositories.

    Raises:
        DataError: none of them is installed.
    """
    return _held_out(PUBLIC_BENCHMARK, limit, seed, cache)


def sealed_slice(limit: int, seed: int, *, cache: Path | None = None) -> list[Pair]:
    """A steward's slice: ``limit`` pairs from the sealed repositories, different for every secret ``seed``.

    Raises:
        DataError: none of them is installed.
    """
    pool = _held_out(SEALED_BENCHMARK, max(4 * limit, SEALED_POOL), 0, cache)
    return sorted(pool, key=lambda p: _draw(seed, f"{p.repository}:{p.path}:{p.name}:{p.query}"))[:limit]


def _held_out(names: Sequence[str], limit: int, seed: int, cache: Path | None) -> list[Pair]:
    present = [r for r in list_repositories() if r.name in names]
    if not present:
        raise DataError(
            f"None of the packages set aside for benchmarks is installed: {', '.join(names)}.",
            hint="Install one of them, or give a benchmark file.",
        )
    return collect(present, limit=limit, seed=seed, cache=cache)


def _draw(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{text}".encode(errors="surrogateescape")).digest()

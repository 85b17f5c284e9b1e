from __future__ import annotations

from pathlib import Path

import pytest

from learning.errors import DataError
from learning.sources import installed
from learning.sources.near_duplicates import SeenBefore
from learning.sources.repository import Repository


@pytest.fixture(scope="module")
def repositories() -> list[Repository]:
    return installed.list_repositories()


def test_the_environment_has_enough_to_train_eight_nodes(repositories: list[Repository]) -> None:
    names = {r.name for r in repositories}
    assert {"torch", "transformers", "numpy", "numba", "matplotlib", installed.STANDARD_LIBRARY} <= names
    assert "commonweight" not in names
    assert [r.name for r in repositories] == sorted(names)
    assert len(installed.assign(8, 0, repositories)) == 8


def test_hands_are_disjoint_held_out_free_and_deterministic(repositories: list[Repository]) -> None:
    hands = installed.assign(5, 7, repositories)
    names = [r.name for hand in hands for r in hand]
    assert len(set(names)) == len(names)
    assert not {*names} & {*installed.PUBLIC_BENCHMARK, *installed.SEALED_BENCHMARK}
    assert hands == installed.assign(5, 7, list(reversed(repositories)))
    assert hands != installed.assign(5, 8, repositories)
    assert {len(hand) for hand in hands} == {installed.PER_NODE}


def test_public_and_sealed_repositories_are_disjoint() -> None:
    assert not {*installed.PUBLIC_BENCHMARK} & {*installed.SEALED_BENCHMARK}


def test_too_many_nodes_are_refused(repositories: list[Repository]) -> None:
    with pytest.raises(DataError, match="1000 nodes"):
        installed.assign(1000, 0, repositories)
    with pytest.raises(DataError, match="0 nodes"):
        installed.assign(0, 0, repositories)


def test_collected_pairs_share_the_limit_and_avoid_the_benchmark(
    repositories: list[Repository], tmp_path: Path
) -> None:
    chosen = [r for r in repositories if r.name in {"click", "fsspec"}]
    benchmark = installed.collect(chosen, limit=40, seed=1, cache=tmp_path)
    pairs = installed.collect(chosen, limit=40, seed=1, against=benchmark[:10], cache=tmp_path)
    assert len(benchmark) == 40
    assert {p.repository for p in benchmark} == {"click", "fsspec"}
    seen = SeenBefore(benchmark[:10])
    assert not any(seen.check_and_add(pair) for pair in pairs)


def test_sealed_slices_differ_by_secret_and_repeat_by_secret(tmp_path: Path) -> None:
    first = installed.sealed_slice(16, 1, cache=tmp_path)
    assert len(first) == 16
    assert {p.repository for p in first} <= {*installed.SEALED_BENCHMARK}
    assert first == installed.sealed_slice(16, 1, cache=tmp_path)
    assert first != installed.sealed_slice(16, 2, cache=tmp_path)


def test_missing_benchmark_packages_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "PUBLIC_BENCHMARK", ("no-such-package",))
    with pytest.raises(DataError, match="no-such-package"):
        installed.public_benchmark(10)

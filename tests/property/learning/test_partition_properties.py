"""Every partition covers every example exactly once, with nobody empty, the same for the same seed, within its kind's bounds."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.errors import DataError
from learning.partition import KINDS, Partition, Settings, apportion, partition

data_sets = st.integers(1, 120).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from("abc"), min_size=n, max_size=n),
        st.lists(st.sampled_from(["r1", "r2", "r3", "r4", "r5", "r6"]), min_size=n, max_size=n),
    )
)
some_settings = st.builds(
    Settings,
    kind=st.sampled_from(KINDS),
    clients=st.integers(1, 9),
    seed=st.integers(0, 2**40),
    skew=st.integers(0, 1000),
    ratio=st.fractions(Fraction(11, 10), 4, max_denominator=20),
    alpha=st.sampled_from([0.05, 0.5, 5.0]),
    over=st.sampled_from(["labels", "repositories", "quantity"]),
)


def made(chosen: Settings, labels: list[str], repositories: list[str]) -> Partition | None:
    try:
        return partition(chosen, labels, repositories)
    except DataError:
        return None


@given(some_settings, data_sets)
@settings(max_examples=300, deadline=None)
def test_cover_disjoint_nobody_empty_and_deterministic(chosen: Settings, rows: tuple[list[str], list[str]]) -> None:
    found = made(chosen, *rows)
    if found is None:
        return
    assert sorted(i for client in found.clients for i in client) == list(range(len(rows[0])))
    assert all(found.clients)
    assert all(list(client) == sorted(client) for client in found.clients)
    assert len(found.clients) == (1 if chosen.kind == "centralised" else chosen.clients)
    assert set(found.trains) <= set(range(len(found.clients)))
    assert found == made(chosen, *rows)


@given(
    data_sets, st.integers(1, 9), st.integers(0, 99), st.sampled_from(["uniform", "single_client", "label_imbalanced"])
)
@settings(max_examples=150, deadline=None)
def test_equal_kinds_differ_by_one_at_most(
    rows: tuple[list[str], list[str]], clients: int, seed: int, kind: str
) -> None:
    found = made(Settings(kind, clients, seed), *rows)  # type: ignore[arg-type]
    if found is None:
        assert len(rows[0]) < clients or (kind == "label_imbalanced" and len(set(rows[0])) < 2)
        return
    sizes = [len(client) for client in found.clients]
    assert max(sizes) - min(sizes) <= 1


@given(data_sets, st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_repositories_stay_whole_and_loads_are_bounded(
    rows: tuple[list[str], list[str]], clients: int, seed: int
) -> None:
    found = made(Settings("by_repository", clients, seed), *rows)
    repositories = rows[1]
    if found is None:
        assert len(set(repositories)) < clients or len(repositories) < clients
        return
    owner: dict[str, int] = {}
    for client, indices in enumerate(found.clients):
        for index in indices:
            assert owner.setdefault(repositories[index], client) == client
    sizes = [len(client) for client in found.clients]
    largest = max(repositories.count(name) for name in set(repositories))
    assert max(sizes) - min(sizes) <= largest


@given(st.integers(0, 10_000), st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any))
def test_apportioning_sums_up_and_rounds_each_share(total: int, weights: list[int]) -> None:
    counts = apportion(total, weights)
    assert sum(counts) == total
    for count, weight in zip(counts, weights, strict=True):
        exact = Fraction(total * weight, sum(weights))
        assert exact - 1 < count < exact + 1


@given(st.integers(2, 8), st.integers(0, 99), st.integers(0, 1000))
@settings(max_examples=100, deadline=None)
def test_skew_bounds_what_a_client_lacks(clients: int, seed: int, skew: int) -> None:
    labels = ["a", "b"] * 200
    found = partition(Settings("label_imbalanced", clients, seed, skew=skew), labels, ["r"] * 400)
    shares = [sum(labels[i] == "a" for i in client) / len(client) for client in found.clients]
    expected = (1000 + skew) / 2000  # of the clients at either end
    assert max(shares) <= expected + 0.25
    if skew == 1000:
        assert max(shares) == 1
        assert min(shares) == 0


@pytest.mark.parametrize(("seed", "other"), [(0, 1), (7, 8)])
@pytest.mark.parametrize("kind", [k for k in KINDS if k not in {"centralised", "by_repository"}])
def test_another_seed_gives_another_partition(kind: str, seed: int, other: int) -> None:
    rows = (["a", "b"] * 60, ["r1", "r2", "r3"] * 40)
    assert made(Settings(kind, 4, seed), *rows) is not None  # type: ignore[arg-type]
    first, second = made(Settings(kind, 4, seed), *rows), made(Settings(kind, 4, other), *rows)  # type: ignore[arg-type]
    assert first is not None
    assert second is not None
    assert first.clients != second.clients

"""The ring: a permutation with an inverse, and the assignment that follows from it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from node.protocol.sortition import assigned_updates, attesters, forward, inverse, verifiers_of, verifiers_per_update

seeds = st.binary(min_size=32, max_size=32)
sizes = st.integers(2, 40)
limits = st.integers(1, 7)


@given(seeds, st.integers(1, 90))
def test_forward_is_a_bijection(seed: bytes, n: int):
    assert sorted(forward(seed, n, index) for index in range(n)) == list(range(n))


@given(seeds, st.integers(1, 65_536), st.data())
def test_inverse_undoes_forward_at_any_size(seed: bytes, n: int, data: st.DataObject):
    index = data.draw(st.integers(0, n - 1))
    position = forward(seed, n, index)
    assert 0 <= position < n
    assert inverse(seed, n, position) == index
    assert forward(seed, n, inverse(seed, n, index)) == index


@given(seeds, sizes, limits)
def test_everybody_is_verified_by_exactly_k_others(seed: bytes, n: int, limit: int):
    k = verifiers_per_update(n, limit)
    assert k == min(n - 1, limit)
    received: Counter[int] = Counter()
    for verifier in range(n):
        assigned = assigned_updates(seed, n, verifier, k)
        assert verifier not in assigned
        assert len(set(assigned)) == k
        received.update(assigned)
    assert set(received.values()) == {k}
    assert set(received) == set(range(n))


@given(seeds, sizes, limits)
def test_both_directions_of_the_assignment_agree(seed: bytes, n: int, limit: int):
    k = verifiers_per_update(n, limit)
    by_verifier = {
        (verifier, j, update)
        for verifier in range(n)
        for j, update in enumerate(assigned_updates(seed, n, verifier, k))
    }
    by_update = {(verifier, j, update) for update in range(n) for verifier, j in verifiers_of(seed, n, update, k)}
    assert by_verifier == by_update


@given(seeds, sizes, st.integers(1, 31))
def test_attesters_are_the_first_of_the_ring(seed: bytes, n: int, limit: int):
    found = list(attesters(seed, n, limit))
    assert len(set(found)) == len(found) == min(n, limit)
    assert [forward(seed, n, index) for index in found] == list(range(len(found)))


@given(st.integers(0, 1), limits)
def test_a_ring_of_less_than_two_has_no_verifiers(n: int, limit: int):
    assert verifiers_per_update(n, limit) == 0


def test_the_seed_decides_the_ring():
    rings = {tuple(forward(bytes([s]) * 32, 16, index) for index in range(16)) for s in range(50)}
    assert len(rings) == 50


def test_positions_are_spread_evenly():
    # 2 000 seeds, 5 positions: 400 expected each; 5 standard deviations are 90.
    counts = Counter(forward(seed.to_bytes(32, "big"), 5, 0) for seed in range(2_000))
    assert set(counts) == set(range(5))
    assert all(abs(count - 400) < 90 for count in counts.values())

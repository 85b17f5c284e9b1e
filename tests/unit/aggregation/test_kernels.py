"""Kernels and networks: numba gives numpy's bits, and numpy gives what the formulas say."""

from itertools import product

import numpy as np
import pytest

from aggregation import kernels, kernels_numba, kernels_numpy, network
from aggregation.errors import AggregationError

BOTH = pytest.mark.parametrize("module", [kernels_numpy, kernels_numba], ids=["numpy", "numba"])


def tile(n: int, m: int, bound: int = 2**30) -> np.ndarray:
    return np.random.default_rng(n * 1000 + m).integers(-bound, bound, (n, m), np.int32, endpoint=True)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8])
def test_networks_sort_every_zero_one_input(n: int):
    # a network that sorts all 0/1 inputs sorts everything (Knuth's zero-one principle)
    sorter = network.selecting(n, frozenset(range(n)))
    columns = np.array(list(product([0, 1], repeat=n)), np.int32).T.copy()
    expected = np.sort(columns, axis=0)
    kernels_numpy.exchange(columns, sorter)
    assert np.array_equal(columns, expected)


@BOTH
@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 13, 33])
def test_selecting_networks_place_the_wanted_ranks(module: kernels.Kernels, n: int):
    for ranks in ({0}, {n - 1}, {(n - 1) // 2, n // 2}, {0, n - 1}, set()):
        rows = tile(n, 50, 5)
        expected = np.sort(rows, axis=0)
        module.exchange(rows, network.selecting(n, frozenset(ranks)))
        for rank in ranks:
            assert np.array_equal(rows[rank], expected[rank])


def test_pruning_saves_work():
    full, median = network.selecting(20, frozenset(range(20))), network.selecting(20, frozenset({9, 10}))
    assert network.cost(median) < network.cost(full)
    assert network.cost(network.selecting(20, frozenset())) == 0


def test_cached_networks_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        network.selecting(4, frozenset({0}))[0, 0] = 1


@BOTH
def test_quantise(module: kernels.Kernels):
    values = np.array([0.5, 1.5, -2.5, 3e38, -3e38, 0.0, -0.0, 7.6, 1e-45], np.float32)
    out = np.empty(9, np.int32)
    counts = module.quantise(values, np.float32(1), np.float32(8), out)
    assert out.tolist() == [0, 2, -2, 8, -8, 0, 0, 8, 0]
    assert tuple(counts) == (2, 7, 2)
    module.quantise(values, np.float32(2.0**100), np.float32(2.0**30), out)
    assert out.tolist() == [2**30, 2**30, -(2**30), 2**30, -(2**30), 0, 0, 2**30, 0]


@BOTH
def test_quantise_reads_read_only_memory(module: kernels.Kernels):
    values = np.frombuffer(np.ones(3, np.float32).tobytes(), np.float32)
    out = np.empty(3, np.int32)
    module.quantise(values, np.float32(4), np.float32(8), out)
    assert out.tolist() == [4, 4, 4]


@BOTH
def test_narrow_rounds_and_never_leaves_20_bits(module: kernels.Kernels):
    rows = np.array([[2**30, -(2**30), 1024, 1023, -1024, -1025, 0]], np.int32)
    out = np.empty(rows.shape, np.float64)
    module.narrow(rows, 11, out)
    assert out.tolist() == [[2**19, -(2**19), 1, 0, 0, -1, 0]]
    module.narrow(rows, 0, out)
    assert out.tolist() == rows.tolist()


@BOTH
def test_clip_is_exact_integer_scaling(module: kernels.Kernels):
    rows = np.array([[2**30, -(2**30), 1, -1], [5, 5, 5, 5], [2**30, 3, -3, 2]], np.int32)
    module.clip(rows, np.array([65535, 65536, 32768], np.int64))
    assert rows.tolist() == [[2**30 - 2**14, -(2**30) + 2**14, 1, -1], [5, 5, 5, 5], [2**29, 2, -1, 1]]


@BOTH
def test_mix_and_add_rows(module: kernels.Kernels):
    rows = np.array([[1, 10], [2, 20], [4, 40]], np.int32)
    out = np.empty_like(rows)
    module.mix(rows, np.array([[2], [0], [1]], np.int64), out)
    assert out.tolist() == [[3, 30], [6, 60], [5, 50]]
    total = np.zeros(2, np.int64)
    module.add_rows(rows, np.array([0, 2]), 1, total)
    module.add_rows(rows, np.array([1]), -1, total)
    assert total.tolist() == [3, 30]


@BOTH
def test_finish_rounds_half_even_without_negative_zero(module: kernels.Kernels):
    total = np.array([1, 3, 5, -1, -3, -5, 7, 2**31 - 4, 0], np.int64)
    out = np.empty(9, np.float32)
    module.finish(total, 2, np.float32(1), out)
    assert out[:7].tolist() == [0, 2, 2, 0, -2, -2, 4]
    assert not np.signbit(out[[0, 3, 8]]).any()


@BOTH
def test_finish_against_integer_division(module: kernels.Kernels):
    rng = np.random.default_rng(3)
    for divisor in (1, 2, 3, 7, 28, 1000, 2**20):
        near = rng.integers(-(2**29), 2**29, 500) * divisor
        ties = near + divisor // 2
        total = np.concatenate([near, ties - 1, ties, ties + 1, -ties])
        out = np.empty(total.size, np.float32)
        module.finish(total, divisor, np.float32(1), out)
        doubled = 2 * total
        floor = (doubled + divisor) // (2 * divisor)  # half up …
        half_even = np.where((doubled + divisor) % (2 * divisor) == 0, floor - (floor & 1), floor)  # … and ties to even
        assert np.array_equal(out, half_even.astype(np.float32))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 17), (10, 1000), (33, 8192)])
def test_numba_gives_the_bits_of_numpy(n: int, m: int):
    rng = np.random.default_rng(n)
    f = (n - 1) // 3
    excluded = np.array([rng.permutation(n)[:f] for _ in range(n)], np.int64).reshape(n, f)
    factors = rng.integers(0, 65537, n)
    results = []
    for module in (kernels_numpy, kernels_numba):
        rows, mixed, wide = tile(n, m, 2**30 // n), np.empty((n, m), np.int32), np.empty((n, m), np.float64)
        total, out = np.zeros(m, np.int64), np.empty(m, np.float32)
        module.clip(rows, factors)
        module.narrow(rows, 7, wide)
        module.mix(rows, excluded, mixed)
        module.exchange(mixed, network.selecting(n, frozenset({n // 2})))
        module.add_rows(mixed, np.array([n // 2]), 1, total)
        module.finish(total, n - f, np.float32(2.0**-20), out)
        quantised = np.empty(m, np.int32)
        counts = module.quantise(out, np.float32(2.0**9), np.float32(2.0**10), quantised)
        arrays = (rows, wide, mixed[n // 2], total, out, quantised)
        results.append([*(array.tobytes() for array in arrays), tuple(int(count) for count in counts)])
    assert results[0] == results[1]


def test_choice_by_argument_environment_and_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    assert kernels.choose().NAME == "numpy"
    assert kernels.choose(values=kernels.NUMBA_PAYS_FROM).NAME == "numba"
    assert kernels.choose("numpy", values=kernels.NUMBA_PAYS_FROM).NAME == "numpy"
    monkeypatch.setenv(kernels.VARIABLE, "numba")
    assert kernels.choose().NAME == "numba"
    assert kernels.choose("numpy").NAME == "numpy"


def test_unknown_kernels_are_refused_with_the_known_ones():
    with pytest.raises(AggregationError, match="auto, numpy, numba"):
        kernels.choose("cuda")

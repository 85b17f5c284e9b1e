"""Kernels and networks: numba gives numpy's bits, and numpy gives what the formulas say."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from aggregation import kernels, kernels_numba, kernels_numpy, network
from aggregation.errors import AggregationError
from aggregation.kernels_numpy import GROUP

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
    kept = [int(np.bitwise_count(found[:, 2]).sum()) for found in (median, full)]  # minima and maxima carried out
    assert kept[0] < kept[1]
    assert len(network.selecting(20, frozenset())) == 0


def test_cached_networks_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        network.selecting(4, frozenset({0}))[0, 0] = 1


@BOTH
def test_quantise(module: kernels.Kernels):
    values = np.array([0.5, 1.5, -2.5, 3e38, -3e38, 0.0, -0.0, 7.6, 1e-45], np.float32)
    out = np.empty(9, np.int32)
    assert module.quantise(values, np.float32(1), np.float32(8), out) == 2
    assert out.tolist() == [0, 2, -2, 8, -8, 0, 0, 8, 0]
    module.quantise(values, np.float32(2.0**100), np.float32(2.0**30), out)
    assert out.tolist() == [2**30, 2**30, -(2**30), 2**30, -(2**30), 0, 0, 2**30, 0]


@BOTH
def test_quantise_reads_read_only_memory(module: kernels.Kernels):
    values = np.frombuffer(np.ones(3, np.float32).tobytes(), np.float32)
    out = np.empty(3, np.int32)
    module.quantise(values, np.float32(4), np.float32(8), out)
    assert out.tolist() == [4, 4, 4]


@BOTH
def test_clip_is_exact_integer_scaling(module: kernels.Kernels):
    rows = np.array([[2**30, -(2**30), 1, -1], [5, 5, 5, 5], [2**30, 3, -3, 2]], np.int32)
    module.clip(rows, np.array([65535, 65536, 32768], np.int64))
    assert rows.tolist() == [[2**30 - 2**14, -(2**30) + 2**14, 1, -1], [5, 5, 5, 5], [2**29, 2, -1, 1]]


@BOTH
def test_mix_combine_and_weigh(module: kernels.Kernels):
    rows = np.array([[1, 10], [2, 20], [4, 40]], np.int32)
    out = np.empty_like(rows)
    module.mix(rows, np.array([[2], [0], [1]], np.int64), out)
    assert out.tolist() == [[3, 30], [6, 60], [5, 50]]
    pairs = np.empty((2, 2), np.int32)
    module.combine(rows, np.array([[1, 0, 1], [0, 2, 0]], np.int64), pairs)
    assert pairs.tolist() == [[5, 50], [4, 40]]
    total = np.ones(2, np.int64)
    module.weigh(rows, np.array([0, 2]), np.array([1 << 20, -1]), total)
    assert total.tolist() == [(1 << 20) - 4, (10 << 20) - 40]
    module.weigh(rows, np.zeros(0, np.int64), np.zeros(0, np.int64), total)
    assert total.tolist() == [0, 0]


@BOTH
def test_exponents_and_shifts_by_hand(module: kernels.Kernels):
    rows = [np.zeros(2 * GROUP + 3, np.float32) for _ in range(4)]
    rows[0][GROUP - 1], rows[1][5], rows[2][7] = -1.0, 8.0, 2.0**-126  # first group: frexp 1, 4, -125, none
    rows[3][2 * GROUP + 2] = np.nan
    rows[0][GROUP] = 2.0**-127  # subnormal: does not vote
    fields = module.exponents(rows)
    assert fields.tolist() == [[127, 0, 0], [130, 0, 0], [1, 0, 0], [0, 0, 255]]
    by_guard = [module.shifts(fields, 30, guard)[:2].tolist() for guard in (0, 1, 2, 3, 9)]
    assert by_guard == [[22, 0], [25, 0], [125, 0], [125, 0], [125, 0]]


@BOTH
@pytest.mark.parametrize(
    ("column", "keep", "total"),
    [
        ([0, 4, 5, 6, 90], 3, 15),
        ([0, 4, 5, 6, 90], 5, 105),
        ([1, 3, 5], 2, 4),  # 1 and 5 are equally near: the lower window
        ([-9, 0, 2, 4], 2, 2),  # even n: the median is 1, windows (0, 2) and (-9, 0), (2, 4)
        ([-(2**30), 2**30, 2**30], 2, 2**31),  # neither distances nor sums fit int32
    ],
)
def test_nearest_by_hand(module: kernels.Kernels, column: list[int], keep: int, total: int):
    out = np.empty(1, np.int64)
    module.nearest(np.array(column, np.int32)[:, None], keep, out)
    assert out.tolist() == [total]


@BOTH
def test_nearest_against_a_plain_sort_by_distance(module: kernels.Kernels):
    rows = np.sort(tile(8, 300), axis=0)
    out = np.empty(300, np.int64)
    module.nearest(rows, 5, out)
    wide = rows.astype(np.int64)
    away = np.abs(2 * wide - wide[3] - wide[4])
    chosen = np.take_along_axis(wide, np.argsort(away, axis=0, kind="stable")[:5], axis=0)
    assert np.array_equal(out, chosen.sum(axis=0))


@BOTH
def test_finish_rounds_half_even_without_negative_zero(module: kernels.Kernels):
    total = np.array([1, 3, 5, -1, -3, -5, 7, 2**31 - 4, 0], np.int64)
    out = np.empty(9, np.float32)
    module.finish(total, 2, np.ones(1, np.float32), out)
    assert out[:7].tolist() == [0, 2, 2, 0, -2, -2, 4]
    assert not np.signbit(out[[0, 3, 8]]).any()


@BOTH
def test_finish_has_a_scale_per_group(module: kernels.Kernels):
    total, out = np.full(GROUP + 2, 6, np.int64), np.empty(GROUP + 2, np.float32)
    module.finish(total, 3, np.array([1, 0.25], np.float32), out)
    assert out[[0, GROUP - 1, GROUP, GROUP + 1]].tolist() == [2, 2, 0.5, 0.5]


@BOTH
def test_finish_against_integer_division(module: kernels.Kernels):
    rng = np.random.default_rng(3)
    for divisor in (1, 2, 3, 7, 28, 1000, 2**20):
        near = rng.integers(-(2**29), 2**29, 500) * divisor
        ties = near + divisor // 2
        total = np.concatenate([near, ties - 1, ties, ties + 1, -ties])
        out = np.empty(total.size, np.float32)
        module.finish(total, divisor, np.ones(3, np.float32), out)
        doubled = 2 * total
        floor = (doubled + divisor) // (2 * divisor)  # half up …
        half_even = np.where((doubled + divisor) % (2 * divisor) == 0, floor - (floor & 1), floor)  # … and ties to even
        assert np.array_equal(out, half_even.astype(np.float32))


def floats(n: int, m: int, *, spread: int = 1, loud: int = 0) -> list[np.ndarray]:
    """Rows whose groups have ``spread`` different scales; the first ``loud`` rows are 2^12 times larger (and clamped)."""
    rng = np.random.default_rng(n * 100_000 + m)
    rows = rng.standard_normal((n, m))
    rows[:, rng.random(m) < 0.05] = 0
    rows *= np.repeat(2.0 ** (3 * (np.arange(-(-m // GROUP)) % spread)), GROUP)[:m]
    rows[:loud] *= 2.0**12
    return list(rows.astype(np.float32))


def outcome(module: kernels.Kernels, n: int, m: int) -> Iterator[bytes]:
    """The bytes of every kernel's results on the same inputs, one kernel fed by the one before."""
    rng = np.random.default_rng(n)
    rows, f = floats(n, m, spread=3, loud=n // 3), (n - 1) // 3
    bits = 30 - (n - 1).bit_length()
    fields = module.exponents(rows)
    shifts = module.shifts(fields, bits, f)
    yield from (fields.tobytes(), shifts.tobytes())
    loaded, mixed, total, out = (
        np.empty((n, m), np.int32),
        np.empty((n, m), np.int32),
        np.empty(m, np.int64),
        np.empty(m, np.float32),
    )
    module.load(rows, np.ldexp(np.float32(1), shifts), np.float32(2.0**bits), loaded)
    yield loaded.tobytes()
    module.clip(loaded, rng.integers(0, 65537, n))
    yield loaded.tobytes()
    module.mix(loaded, np.array([rng.permutation(n)[:f] for _ in range(n)], np.int64).reshape(n, f), mixed)
    yield mixed.tobytes()
    halves = np.empty((-(-n // 2), m), np.int32)
    module.combine(loaded, np.repeat(np.eye(len(halves), dtype=np.int64), 2, axis=1)[:, :n].copy(), halves)
    yield halves.tobytes()
    module.weigh(loaded, np.arange(0, n, 2), rng.integers(0, 2**10, -(-n // 2)), total)
    yield total.tobytes()
    module.finish(total, 1023, np.ldexp(np.float32(1), -shifts), out)
    yield out.tobytes()
    module.exchange(loaded, network.selecting(n, frozenset(range(n))))
    module.nearest(loaded, n - f, total)
    yield from (loaded.tobytes(), total.tobytes())
    module.ranks(mixed, network.selecting(n, frozenset(range(f, n - f))), f, n - f, total)
    yield total.tobytes()


@pytest.mark.parametrize(
    ("n", "m"),
    [(1, 1), (2, 17), (10, 1000), (10, 2048), (5, 3 * 1024 + 15), (64, 1040), (65, 1049)],
)
def test_numba_gives_the_bits_of_numpy(n: int, m: int):
    for place, (one, other) in enumerate(zip(outcome(kernels_numpy, n, m), outcome(kernels_numba, n, m), strict=True)):
        assert one == other, place


@pytest.mark.parametrize(
    ("n", "m", "spread"),
    [(1, 5, 1), (3, GROUP, 1), (6, 20 * GROUP + 9, 20), (6, 12 * GROUP, 2), (65, 2 * GROUP + 700, 2)],
)
def test_products_of_numba_are_those_of_numpy_and_of_python_integers(n: int, m: int, spread: int):
    rows = floats(n, m, spread=spread, loud=1)
    found = {}
    for module in (kernels_numpy, kernels_numba):
        fields, shifts = np.empty((n, -(-m // GROUP)), np.uint8), np.empty(-(-m // GROUP), np.int32)
        products = module.products(rows, 27, 1, fields, shifts)
        found[module.NAME] = {shift: product.tolist() for shift, product in products.items()}
        assert np.array_equal(fields, kernels_numpy.exponents(rows))
        assert np.array_equal(shifts, kernels_numpy.shifts(fields, 27, 1))
    assert found["numba"] == found["numpy"]
    assert len(found["numpy"]) == len(set(shifts.tolist())) >= min(spread, 12)  # 12 is more than numba's 8 slots
    for shift, matrix in found["numpy"].items():
        assert matrix[0][n - 1] == sum(
            image(x, shift) * image(y, shift)
            for x, y, of in zip(
                rows[0].tolist(), rows[n - 1].tolist(), np.repeat(shifts, GROUP)[:m].tolist(), strict=True
            )
            if of == shift
        )


def image(value: float, shift: int) -> int:
    """13 bits of a float, as the Gram matrix's docstring has it, on Python integers."""
    clamped = max(min(round(Fraction(value) * Fraction(2) ** shift), 2**27), -(2**27))
    return (clamped + 2**14) >> 15


@pytest.mark.parametrize("m", [5, GROUP, 2 * GROUP + 15])
@pytest.mark.parametrize(
    ("n", "low", "high", "guard"),
    [
        (1, 0, 1, 0),
        (4, 1, 3, 1),
        (4, 0, 4, 0),
        (10, 4, 6, 4),
        (10, 3, 7, 3),
        (7, 2, 5, 2),
        (33, 0, 33, 0),
        (64, 9, 55, 9),
    ],
)
def test_the_one_pass_kernel_gives_the_bits_of_the_tiles(n: int, low: int, high: int, guard: int, m: int):
    kernel = kernels_numba.fused(n, low, high)
    assert kernel is not None
    for loud in {0, min(1, guard), guard}:
        rows, groups = floats(n, m, spread=2, loud=loud), -(-m // GROUP)
        out, fields, found = np.empty(m, np.float32), np.empty((n, groups), np.uint8), np.empty(groups, np.int32)
        kernel(rows, 30, guard, out, fields, found)
        expected, tiles, total = np.empty(m, np.float32), np.empty((n, m), np.int32), np.empty(m, np.int64)
        shifts = kernels_numpy.shifts(kernels_numpy.exponents(rows), 30, guard)
        kernels_numpy.load(rows, np.ldexp(np.float32(1), shifts), np.float32(2.0**30), tiles)
        assert np.any(np.abs(tiles) == 2**30) == (loud > 0)  # loud values are clamped, others never
        kernels_numpy.ranks(tiles, network.selecting(n, frozenset(range(low, high))), low, high, total)
        kernels_numpy.finish(total, high - low, np.ldexp(np.float32(1), -shifts), expected)
        assert out.tobytes() == expected.tobytes()
        assert found.tolist() == shifts.tolist()
        assert np.array_equal(fields, kernels_numpy.exponents(rows))


def test_reciprocals_are_as_close_as_the_division_of_the_one_pass_kernel_needs():
    errors = {d: abs(Fraction(1.0 / d) * d - 1) for d in range(1, kernels_numba.MOST_UNROLLED + 1)}
    assert {d for d, error in errors.items() if error > Fraction(1, 2**54)} == {49}  # odd divisors have no ties


def test_no_one_pass_kernel_for_many_rows_nor_in_numpy():
    assert kernels_numba.fused(65, 32, 33) is None
    assert kernels_numpy.fused(4, 1, 3) is None


@pytest.mark.parametrize("n", [31, 32, 50, 62, 63, 64])
def test_the_one_pass_kernel_rounds_sums_beyond_32_bits_as_exact_arithmetic_does(n: int):
    # every value but the last almost 1 or almost -1, that is 2^26; every rest modulo n, ties among them, of either parity
    kernel = kernels_numba.fused(n, 0, n)
    assert kernel is not None
    integers = np.full((n, 4 * n), 2**26 - 4, np.int64)
    integers[-1] = -(np.arange(4 * n) % (2 * n))
    integers[:, 2 * n :] *= -1
    rows = [row.astype(np.float32) for row in integers * 2.0**-26]
    out, fields, found = np.empty(4 * n, np.float32), np.empty((n, 1), np.uint8), np.empty(1, np.int32)
    kernel(rows, 30, 0, out, fields, found)
    assert found.tolist() == [26]
    sums = integers.sum(axis=0).tolist()
    assert max(map(abs, sums)) > 2**31 or n < 34
    assert n % 2 or {total // (n // 2) % 4 for total in sums if total % n == n // 2} == {1, 3}
    assert out.tolist() == [float(np.float32(round(Fraction(total, n)))) * 2.0**-26 for total in sums]


@pytest.mark.parametrize("divisor", [2, 4, 6, 10])
def test_the_one_pass_kernel_rounds_ties_to_even(divisor: int):
    # equal exponents, so integers are x·2^25; sums of neighbours of a tie, every parity and both signs
    kernel = kernels_numba.fused(divisor, 0, divisor)
    assert kernel is not None
    sums = np.arange(-5 * divisor, 5 * divisor + 1)
    rows = np.zeros((divisor, sums.size + 1))
    rows[0, :-1], rows[:, -1] = sums * 2.0**-26, 0.75
    out, fields, found = np.empty(sums.size + 1, np.float32), np.empty((divisor, 1), np.uint8), np.empty(1, np.int32)
    kernel(list(rows.astype(np.float32)), 30, 0, out, fields, found)
    assert found.tolist() == [26]
    assert [int(x * 2**26) for x in out[:-1].tolist()] == [round(Fraction(int(total), divisor)) for total in sums]


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


@pytest.mark.parametrize("module", [kernels_numpy, kernels_numba], ids=["numpy", "numba"])
@pytest.mark.parametrize(
    ("column", "keep", "total"),
    [
        ([-3, -3, 0, 1, 9], 3, -2),  # both windows of -3 reach equally far, but only one holds the nearer 1
        ([-9, -1, 0, 3, 3], 3, 2),  # its mirror image
        ([0, 0, 0, 0, 5], 4, 0),
        ([-2, 0, 2], 2, -2),  # equally near: the lower one
    ],
)
def test_nearest_keeps_the_nearest_where_values_repeat(
    module: kernels.Kernels, column: list[int], keep: int, total: int
):
    out = np.empty(1, np.int64)
    module.nearest(np.array(column, np.int32)[:, None], keep, out)
    assert out.tolist() == [total]

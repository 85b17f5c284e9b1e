"""The Gram matrix: exact whatever the scales, chunks and order; cosines as integers."""

from fractions import Fraction

import numpy as np
import pytest

from aggregation import bundle, engine, gram, kernels
from aggregation.errors import UpdateRejected

SCHEMA = (("a", (3,)), ("b", (2, 2)))


def update(a: list[float], b: list[float]) -> dict[str, np.ndarray]:
    return {"a": np.array(a, np.float32), "b": np.array(b, np.float32).reshape(2, 2)}


def exact_cosine_ppm(u: dict[str, np.ndarray], v: dict[str, np.ndarray]) -> float:
    x, y = (bundle.flatten(w, SCHEMA).astype(np.float64) for w in (u, v))
    return 1e6 * float(x @ y) / float(np.linalg.norm(x) * np.linalg.norm(y))


def test_different_scales_are_combined_exactly():
    total = gram.GramSum(2)
    total.add(np.array([[3, 1], [1, 2]]), (0, 0), 5)  # step 1
    total.add(np.array([[7, -5], [-5, 9]]), (100, 100), 5)  # step 2^-100
    total.add(np.array([[1, 1], [1, 1]]), (10, 30), 5)  # rows of different step
    unit = 2**100
    assert total.total() == [
        [3 * unit**2 + 7 + (unit // 2**10) ** 2, unit**2 - 5 + (unit // 2**10) * (unit // 2**30)],
        [unit**2 - 5 + (unit // 2**10) * (unit // 2**30), 2 * unit**2 + 9 + (unit // 2**30) ** 2],
    ]


def test_sums_beyond_int64_stay_exact():
    total = gram.GramSum(1)
    largest = np.array([[2**38 * 8192]])
    for _ in range(5000):  # 5000 · 2^51 > 2^63
        total.add(largest, (3,), 8192)
    assert total.total() == [[5000 * 2**51]]


def measured(rows: np.ndarray, bits: int = 27, guard: int = 0) -> tuple[list[list[int]], int]:
    source = engine.Source((tuple(rows),), bits, guard)
    found, unit, _ = engine.measure(source, engine.Machine(kernels.choose("numpy")))
    return found, unit


def test_the_measured_matrix_is_in_the_updates_own_units():
    rows = np.array([[24, 32, 0], [0, 16, 1024]], np.float32)  # frexp 11: steps of 2^(11 + 4 - 12) = 8
    for group_scale in (1.0, 2.0**-40):
        found, unit = measured(rows * np.float32(group_scale))
        exact = (rows.astype(np.float64) @ rows.T.astype(np.float64)) * group_scale**2
        assert [[value * 2.0**-unit for value in line] for line in found] == exact.tolist()


def test_the_measured_matrix_is_near_float64s():
    # an entry g is off by at most h = 2^-9 of its group's 2^E (13 bits, 4 of them headroom): the matrix is within h·(|x| + |y| + h) summed
    rng = np.random.default_rng(7)
    scales = np.repeat(2.0 ** np.array([-9, 0, 5]), 1024)[:2500]
    rows = (rng.standard_t(4, (6, 2500)) * scales).astype(np.float32)
    found, unit = measured(rows)
    x = rows.astype(np.float64)
    starts = [0, 1024, 2048]
    largest = np.maximum.reduceat(np.abs(x).max(axis=0), starts)
    h = np.repeat(2.0 ** (np.floor(np.log2(largest)) + 1 - 8 - 1), 1024)[:2500]
    size = np.abs(x)
    bound = (size[:, None] * h + size[None] * h + h * h).sum(2)
    error = np.abs(np.array([[value * 2.0**-unit for value in line] for line in found]) - x @ x.T)
    assert (error <= bound).all()


def test_distances_of_normal_data_are_right_to_a_thousandth():
    x = np.random.default_rng(8).standard_normal((4, 5000)).astype(np.float32)
    found, unit = measured(x)
    exact = ((x[:, None].astype(np.float64) - x[None]) ** 2).sum(2)
    assert np.allclose(np.array(gram.squared_distances(found)) * 2.0**-unit, exact, rtol=1e-3)


def test_a_clamped_row_is_scored_as_it_is_aggregated():
    # with guard 1 the scale is that of 1, so 1000 is clamped to 2^(4+1) = 32
    found, unit = measured(np.array([[1.0], [1.0], [1000.0]], np.float32), guard=1)
    assert [line[2] * 2.0**-unit for line in found] == [32, 32, 1024]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[4, 4], [4, 4]], 1_000_000),
        ([[4, -4], [-4, 4]], -1_000_000),
        ([[1, 1], [1, 4]], 500_000),
        ([[3, 1], [1, 3]], 333_333),
        ([[3, -1], [-1, 3]], -333_333),  # towards zero, not down
        ([[0, 0], [0, 9]], 0),
        ([[2, 2], [2, 3]], 1_000_000),  # isqrt(6) = 2: limited
        ([[10**60, 10**60], [10**60, 10**60]], 1_000_000),
    ],
)
def test_cosine_ppm(matrix: list[list[int]], expected: int):
    assert gram.cosine_ppm(matrix, 0, 1) == gram.cosine_ppm(matrix, 1, 0) == expected


def test_squared_distances():
    assert gram.squared_distances([[5, 1], [1, 2]]) == [[0, 5], [5, 0]]


def test_similarity_of_known_directions():
    x = update([1, 0, 0], [0, 0, 0, 0])
    y = update([0, 0, 0], [0, 0, 0, 1e-20])
    both = update([3, 0, 0], [4, 0, 0, 0])
    zero = update([0, 0, 0], [0, 0, 0, 0])
    minus = update([-8, 0, 0], [0, 0, 0, 0])
    matrix, to_reference = gram.similarity_ppm([x, y, both, zero, minus], x, SCHEMA)
    assert to_reference == [1_000_000, 0, 600_000, 0, -1_000_000]
    assert [matrix[i][i] for i in range(5)] == [1_000_000, 1_000_000, 1_000_000, 0, 1_000_000]
    assert matrix[0] == to_reference


def test_similarity_is_close_to_float64():
    rng = np.random.default_rng(2)
    updates = [update(list(rng.standard_normal(3)), list(rng.standard_normal(4) * 1e-3)) for _ in range(6)]
    matrix, to_reference = gram.similarity_ppm(updates, updates[2], SCHEMA)
    assert to_reference is not None
    for i, u in enumerate(updates):
        for j, v in enumerate(updates):
            assert abs(matrix[i][j] - exact_cosine_ppm(u, v)) < 15  # 18 bits against the largest of each tensor
            assert matrix[i][j] == matrix[j][i]
        assert to_reference[i] == matrix[i][2]


def test_similarity_of_a_pair_does_not_depend_on_the_others():
    rng = np.random.default_rng(3)
    updates = [update(list(rng.standard_normal(3) * 10.0**k), list(rng.standard_normal(4))) for k in range(-3, 4)]
    matrix, _ = gram.similarity_ppm(updates, None, SCHEMA)
    for i in range(7):
        for j in range(7):
            assert gram.similarity_ppm([updates[i], updates[j]], None, SCHEMA)[0][0][1] == matrix[i][j]


def test_copies_are_seen_even_when_scaled():
    rng = np.random.default_rng(4)
    original = update(list(rng.standard_normal(3)), list(rng.standard_normal(4)))
    scaled = {name: tensor * np.float32(0.125) for name, tensor in original.items()}
    matrix, _ = gram.similarity_ppm([original, scaled], None, SCHEMA)
    assert matrix[0][1] == 1_000_000


def test_similarity_across_tiles_and_kernels():
    schema = (("w", (20_001,)),)
    rng = np.random.default_rng(5)
    updates = [{"w": rng.standard_normal(20_001).astype(np.float32)} for _ in range(3)]
    matrix, _ = gram.similarity_ppm(updates, None, schema, kernels="numpy")
    assert gram.similarity_ppm(updates, None, schema, kernels="numba")[0] == matrix
    x, y = (u["w"].astype(np.float64) for u in updates[:2])
    assert abs(matrix[0][1] - 1e6 * float(Fraction(x @ y)) / np.sqrt((x @ x) * (y @ y))) < 15


def test_similarity_refuses_other_schemas_and_nan():
    good, bad = update([1, 2, 3], [1, 2, 3, 4]), update([1, 2, 3], [1, 2, float("nan"), 4])
    with pytest.raises(UpdateRejected):
        gram.similarity_ppm([good, {"a": good["a"]}], None, SCHEMA)
    with pytest.raises(UpdateRejected):
        gram.similarity_ppm([good], {"a": good["a"]}, SCHEMA)
    with pytest.raises(UpdateRejected):
        gram.similarity_ppm([good, bad], None, SCHEMA)


def test_nothing_to_compare():
    assert gram.similarity_ppm([], None, SCHEMA) == ([], None)

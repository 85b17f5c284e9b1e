"""The Gram matrix: exact whatever the scales, chunks and order; cosines as integers."""

from fractions import Fraction

import numpy as np
import pytest

from aggregation import bundle, gram, kernels
from aggregation.errors import AggregationError, UpdateRejected

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


def test_tile_product_is_exact_at_the_limit():
    tile = np.full((2, 8192), 2**30, np.int32)
    tile[1] = -(2**30)
    product = gram.tile_product(kernels.choose("numpy"), tile, 11, np.empty(tile.shape))
    assert product.tolist() == [[2**51, -(2**51)], [-(2**51), 2**51]]


def test_a_wider_tile_is_refused():
    tile = np.zeros((1, 8193), np.int32)
    with pytest.raises(AggregationError, match="8192"):
        gram.tile_product(kernels.choose("numpy"), tile, 11, np.empty(tile.shape))


def test_tile_product_against_python_integers():
    tile = np.random.default_rng(1).integers(-(2**27), 2**27, (4, 300), np.int32)
    product = gram.tile_product(kernels.choose("numpy"), tile, 8, np.empty(tile.shape))
    rounded = [[(int(q) + 128) >> 8 for q in row] for row in tile]
    assert product.tolist() == [[sum(x * y for x, y in zip(u, v, strict=True)) for v in rounded] for u in rounded]


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

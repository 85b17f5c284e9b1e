"""Laws of the pipelines: no order, no machine, agreement, translation, scale, no leaving the honest range."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aggregation.gram import similarity_ppm
from aggregation.registry import Aggregate, parse

NAMELESS = ["mean", "median", "trimmed_mean", "meamed", "norm_clip+mean", "arc+trimmed_mean"]  # no ties to break
EVERY = [
    *NAMELESS,
    *("weighted_mean", "krum", "multi_krum", "bulyan", "geometric_median", "centred_clipping", "dnc"),
    *("nnm+median", "arc+nnm+trimmed_mean", "bucketing+nnm+krum", "norm_clip+bucketing(s=3)+meamed"),
]
# below 2^127, from where on values are refused: rounded up, a result could leave float32
FLOATS = st.floats(-(2.0**126), 2.0**126, width=32)
FEW = settings(max_examples=25)
SMALL = st.integers(-100, 100)


def matrices(elements: st.SearchStrategy[float], *, least: int = 1, most: int = 9) -> st.SearchStrategy[np.ndarray]:
    shapes = st.tuples(st.integers(least, most), st.integers(1, 12))
    return shapes.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=elements))


def run(text: str, rows: np.ndarray, ids: Sequence[int] | None = None, **machine: object) -> Aggregate:
    keys = range(len(rows)) if ids is None else ids
    updates = {bytes([key]): {"w": row} for key, row in zip(keys, rows, strict=True)}
    weights = {bytes([key]): 3 * key + 1 for key in keys}
    return parse(text).aggregate(updates, (("w", (rows.shape[1],)),), weights=weights, seed=b"7", **machine)


def bits(aggregate: Aggregate) -> bytes:
    return aggregate.tensors["w"].tobytes()


def step(aggregate: Aggregate) -> float:
    return float(2.0 ** -float(aggregate.report.shifts["w"][0]))


@pytest.mark.parametrize("text", EVERY)
@FEW
@given(rows=matrices(FLOATS), data=st.data())
def test_order_of_arrival_does_not_matter(text: str, rows: np.ndarray, data: st.DataObject):
    order = data.draw(st.permutations(range(len(rows))))
    assert bits(run(text, rows)) == bits(run(text, rows[order], ids=order))


@pytest.mark.parametrize("text", NAMELESS)
@FEW
@given(rows=matrices(FLOATS), data=st.data())
def test_names_of_clients_do_not_matter(text: str, rows: np.ndarray, data: st.DataObject):
    order = data.draw(st.permutations(range(len(rows))))
    assert bits(run(text, rows)) == bits(run(text, rows[order]))


@pytest.mark.parametrize("text", ["krum", "dnc", "geometric_median", "nnm+median", "arc+nnm+trimmed_mean"])
@FEW
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(6, 12))  # of fewer rows, the nearest pair has equal Krum scores
def test_names_of_clients_do_not_matter_without_ties(text: str, seed: int, n: int):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 40)).astype(np.float32)
    assert bits(run(text, rows)) == bits(run(text, rows[rng.permutation(n)]))


@pytest.mark.parametrize("text", EVERY)
@FEW
@given(rows=hnp.arrays(np.float32, st.tuples(st.just(5), st.integers(1, 40)), elements=FLOATS))
def test_kernels_do_not_matter_on_any_floats(text: str, rows: np.ndarray):
    one, other = (run(text, rows, kernels=kernels) for kernels in ("numpy", "numba"))  # one n: numba compiles for each
    assert bits(one) == bits(other)
    assert one.report.clients == other.report.clients


@pytest.mark.parametrize("text", EVERY)
@FEW
@given(row=hnp.arrays(np.float32, st.integers(1, 8), elements=FLOATS), n=st.integers(1, 9))
def test_agreement_is_kept(text: str, row: np.ndarray, n: int):
    result = run(text, np.repeat(row[None, :], n, axis=0))
    error = np.abs(result.tensors["w"].astype(np.float64) - row)
    # centred clipping rounds n coefficients down to multiples of 2^-20
    rounding = 2.0**-24 + (n * 2.0**-20 if text == "centred_clipping" else 0)
    assert (error <= step(result) / 2 + rounding * np.abs(row.astype(np.float64))).all()
    assert not (np.signbit(result.tensors["w"]) & (result.tensors["w"] == 0)).any()


@pytest.mark.parametrize("text", [text for text in EVERY if text != "centred_clipping"])
@FEW
@given(row=hnp.arrays(np.float32, st.integers(1, 8), elements=SMALL), n=st.integers(1, 9))
def test_agreement_on_representable_values_is_exact(text: str, row: np.ndarray, n: int):
    assert np.array_equal(run(text, np.repeat(row[None, :], n, axis=0)).tensors["w"], row)


@pytest.mark.parametrize(
    "text",
    [
        *("mean", "weighted_mean", "median", "trimmed_mean", "meamed", "krum", "multi_krum", "bulyan", "dnc"),
        *("geometric_median", "nnm+trimmed_mean", "bucketing+median"),
    ],
)
@FEW
@given(rows=matrices(SMALL, least=1), shift=SMALL)
def test_translation(text: str, rows: np.ndarray, shift: int):
    # one coordinate of 255 = 2^8 - 1 fixes the scale, so integers are exact in the Gram matrix's 13 bits
    anchor = np.full((len(rows), 1), 255, np.float32)
    before = run(text, np.hstack([anchor, rows])).tensors["w"][1:].astype(np.float64)
    after = run(text, np.hstack([anchor, rows + np.float32(shift)])).tensors["w"][1:].astype(np.float64)
    assert np.allclose(after, before + shift, rtol=2.0**-22, atol=2.0**-11)


@pytest.mark.parametrize("text", EVERY)
@FEW
@given(rows=matrices(SMALL), exponent=st.integers(-40, 40))
def test_scaling_by_powers_of_two_is_exact(text: str, rows: np.ndarray, exponent: int):
    factor = np.float32(2.0**exponent)
    assert np.array_equal(run(text, rows * factor).tensors["w"], run(text, rows).tensors["w"] * factor)


@pytest.mark.parametrize("text", ["median", "trimmed_mean"])
@settings(max_examples=150)
@given(rows=matrices(FLOATS, least=3), data=st.data())
def test_the_honest_range_is_never_left(text: str, rows: np.ndarray, data: st.DataObject):
    n = len(rows)
    f = data.draw(st.integers(1, (n - 1) // 2))
    honest = rows[data.draw(st.permutations(range(n)))[f:]].astype(np.float64)
    result = run(f"{text}:f={f}", rows)
    out = result.tensors["w"].astype(np.float64)
    slack = step(result) / 2 + 2.0**-24 * np.abs(out)
    assert (out >= honest.min(axis=0) - slack).all()
    assert (out <= honest.max(axis=0) + slack).all()


@given(rows=matrices(FLOATS, least=1))
def test_clipping_never_lengthens_and_never_turns(rows: np.ndarray):
    report = run("arc+mean", rows).report
    assert all(0 <= client.clip_factor <= 65536 for client in report.clients)
    assert (
        sum(client.clip_factor < 65536 for client in report.clients) <= 2 * report.f * (report.n - report.f) // report.n
    )


@given(rows=matrices(FLOATS, least=2))
def test_similarities_are_symmetric_bounded_and_odd(rows: np.ndarray):
    schema = (("w", (rows.shape[1],)),)
    updates = [{"w": row} for row in rows]
    matrix, to_reference = similarity_ppm(updates, {"w": -rows[0]}, schema)
    assert to_reference == [-value for value in matrix[0]]
    for i, line in enumerate(matrix):
        assert line[i] in (0, 1_000_000)
        assert all(-1_000_000 <= value <= 1_000_000 for value in line)
        assert all(value == matrix[j][i] for j, value in enumerate(line))

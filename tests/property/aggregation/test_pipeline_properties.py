"""Laws of the pipelines: no order, no machine, no leaving the honest range; and agreement with a float64 oracle."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aggregation.gram import similarity_ppm
from aggregation.registry import Aggregate, parse

RANK_RULES = ["mean", "median", "trimmed_mean", "norm_clip+mean", "arc+trimmed_mean"]
EVERY = [*RANK_RULES, "multi_krum", "nnm+median", "nnm+multi_krum", "arc+nnm+trimmed_mean", "norm_clip+nnm+median"]
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
SMALL = st.integers(-1000, 1000)


def matrices(elements: st.SearchStrategy[float], *, least: int = 1, most: int = 9) -> st.SearchStrategy[np.ndarray]:
    shapes = st.tuples(st.integers(least, most), st.integers(1, 12))
    return shapes.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=elements))


def run(text: str, rows: np.ndarray, ids: Sequence[int] | None = None, **machine: object) -> Aggregate:
    keys = range(len(rows)) if ids is None else ids
    updates = {bytes([key]): {"w": row} for key, row in zip(keys, rows, strict=True)}
    return parse(text).aggregate(updates, (("w", (rows.shape[1],)),), **machine)


def bits(aggregate: Aggregate) -> bytes:
    return aggregate.tensors["w"].tobytes()


def step(aggregate: Aggregate) -> float:
    return 2.0 ** -aggregate.report.shifts["w"]


@pytest.mark.parametrize("text", EVERY)
@given(rows=matrices(FLOATS), data=st.data())
def test_order_of_arrival_does_not_matter(text: str, rows: np.ndarray, data: st.DataObject):
    order = data.draw(st.permutations(range(len(rows))))
    assert bits(run(text, rows)) == bits(run(text, rows[order], ids=order))


@pytest.mark.parametrize("text", RANK_RULES)
@given(rows=matrices(FLOATS), data=st.data())
def test_names_of_clients_do_not_matter(text: str, rows: np.ndarray, data: st.DataObject):
    order = data.draw(st.permutations(range(len(rows))))
    assert bits(run(text, rows)) == bits(run(text, rows[order]))


@pytest.mark.parametrize("text", ["multi_krum", "nnm+median", "arc+nnm+trimmed_mean"])
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 12))
def test_names_of_clients_do_not_matter_without_ties(text: str, seed: int, n: int):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 40)).astype(np.float32)
    assert bits(run(text, rows)) == bits(run(text, rows[rng.permutation(n)]))


@pytest.mark.parametrize("text", EVERY)
@settings(max_examples=40)
@given(rows=matrices(FLOATS), tile=st.integers(1, 13), threads=st.sampled_from([1, 2]))
def test_the_machine_does_not_matter(text: str, rows: np.ndarray, tile: int, threads: int):
    reference = run(text, rows, kernels="numpy")
    for kernels in ("numpy", "numba"):
        other = run(text, rows, kernels=kernels, tile=tile, threads=threads)
        assert bits(other) == bits(reference)
        assert other.report == reference.report


@pytest.mark.parametrize("text", EVERY)
@given(row=hnp.arrays(np.float32, st.integers(1, 8), elements=FLOATS), n=st.integers(1, 9))
def test_agreement_is_kept(text: str, row: np.ndarray, n: int):
    result = run(text, np.repeat(row[None, :], n, axis=0))
    error = np.abs(result.tensors["w"].astype(np.float64) - row)
    assert (error <= step(result) / 2 + 2.0**-24 * np.abs(row.astype(np.float64))).all()
    assert not (np.signbit(result.tensors["w"]) & (result.tensors["w"] == 0)).any()


@pytest.mark.parametrize("text", EVERY)
@given(row=hnp.arrays(np.float32, st.integers(1, 8), elements=SMALL), n=st.integers(1, 9))
def test_agreement_on_representable_values_is_exact(text: str, row: np.ndarray, n: int):
    assert np.array_equal(run(text, np.repeat(row[None, :], n, axis=0)).tensors["w"], row)


@pytest.mark.parametrize("text", ["mean", "median", "trimmed_mean", "multi_krum", "nnm+trimmed_mean"])
@given(rows=matrices(SMALL, least=1), shift=SMALL)
def test_translation(text: str, rows: np.ndarray, shift: int):
    # one coordinate of 4096 fixes the scale, so distances of small integers are exact in 20 bits
    anchor = np.full((len(rows), 1), 4096, np.float32)
    before = run(text, np.hstack([anchor, rows])).tensors["w"][1:].astype(np.float64)
    after = run(text, np.hstack([anchor, rows + np.float32(shift)])).tensors["w"][1:].astype(np.float64)
    assert np.allclose(after, before + shift, rtol=2.0**-22, atol=2.0**-11)


@pytest.mark.parametrize("text", EVERY)
@given(rows=matrices(SMALL), exponent=st.integers(-40, 40))
def test_scaling_by_powers_of_two_is_exact(text: str, rows: np.ndarray, exponent: int):
    factor = np.float32(2.0**exponent)
    assert np.array_equal(run(text, rows * factor).tensors["w"], run(text, rows).tensors["w"] * factor)


@pytest.mark.parametrize("text", ["median", "trimmed_mean"])
@settings(max_examples=300)
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


def oracle(text: str, rows: np.ndarray, f: int) -> np.ndarray:
    """The same pipelines as the papers write them, in float64, sharing no code with ours."""
    x = rows.astype(np.float64)
    n = len(x)
    for stage in text.split("+"):
        norms = np.sqrt((x**2).sum(1))
        if stage in ("arc", "norm_clip"):
            bound = np.sort(norms)[n - 1 - int(2 * f * (n - f) / n)] if stage == "arc" else np.sort(norms)[(n - 1) // 2]
            x = x * np.minimum(1, bound / norms)[:, None]
        distances = ((x[:, None, :] - x[None, :, :]) ** 2).sum(2)
        if stage == "nnm":
            x = np.stack([x[np.argsort(row)[: n - f]].mean(0) for row in distances])
        elif stage == "multi_krum":
            scores = np.sort(distances, axis=1)[:, 1 : n - f - 1].sum(1)
            return np.asarray(x[np.argsort(scores)[: n - f]].mean(0))
        elif stage == "mean":
            return np.asarray(x.mean(0))
        elif stage == "median":
            return np.asarray(np.median(x, axis=0))
        elif stage == "trimmed_mean":
            return np.asarray(np.sort(x, axis=0)[f : n - f].mean(0))
    raise AssertionError(text)


@pytest.mark.parametrize("text", EVERY)
@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(3, 16))
def test_against_a_float64_oracle(text: str, seed: int, n: int):
    rng = np.random.default_rng(seed)
    rows = (rng.standard_normal((n, 60)) * rng.uniform(0.7, 1.4, (n, 1))).astype(np.float32)
    result = run(text, rows)
    assume(not any(client.saturated for client in result.report.clients))
    expected = oracle(text, rows, result.report.f)
    out = result.tensors["w"].astype(np.float64)
    # the promised bound; a clip factor of k/2^16 adds up to 2^-15 of the largest value
    bound = step(result) + 2.0**-24 * np.abs(out)
    if "arc" in text or "norm_clip" in text:
        bound = bound + 2.0**-15 * float(np.abs(rows).max())
    assert (np.abs(out - expected) <= bound).all()

"""The engine: one hash whatever the machine, half precision, outputs in place, exact decisions, and the promised error."""

import hashlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from aggregation import bundle, engine
from aggregation.bundle import Schema
from aggregation.errors import AggregationError, Reason, UpdateRejected
from aggregation.fixed_point import common_shift, exponent_of
from aggregation.gram import Gram
from aggregation.kernels import choose
from aggregation.kernels_numpy import GROUP
from aggregation.registry import Aggregate, parse
from aggregation.rules import RULES

SCHEMA: Schema = (("bias", (7,)), ("weight", (3, 1500)), ("z", (500,)))
N = 10


def crowd(n: int = N, *, schema: Schema = SCHEMA, outliers: bool = True, seed: int = 1) -> dict[bytes, dict[str, Any]]:
    """Updates whose groups differ in scale; every fourth client is loud, one group of another is louder still."""
    rng = np.random.default_rng(seed)
    updates = {}
    for i in range(n):
        update = {name: np.asarray(rng.standard_normal(shape) * 2.0 ** len(name), np.float32) for name, shape in schema}
        if outliers:
            for tensor in update.values():
                tensor[...] *= np.float32(2.0**9 if i % 4 == 3 else 1)
            if i == 1 and "weight" in update:
                update["weight"].reshape(-1)[GROUP : 2 * GROUP] *= np.float32(2.0**14)
        updates[hashlib.sha256(bytes([i])).digest()[:4]] = update
    return updates


def digest(result: Aggregate) -> str:
    return hashlib.sha256(bundle.encode(result.tensors)).hexdigest()


EVERY = [rule.name for rule in RULES]
COMBINED = [
    "norm_clip+mean",
    "clip(c=50)+geometric_median",
    "norm_bound(c=500)+meamed",
    "bucketing(s=3)+median",
    "arc+nnm+trimmed_mean",
    "nnm+bulyan",
    "bucketing+nnm+krum",
    "nnm+clip(c=9)+bucketing(s=4)+mean:f=1",
    "median:f=0",
    "trimmed_mean:f=4",
]


@pytest.mark.parametrize("text", [*EVERY, *COMBINED])
def test_one_hash_for_any_order_threads_tiles_and_kernels(text: str):
    updates, pipeline = crowd(), parse(text)
    weights, seed = {client: int.from_bytes(client[:1], "big") for client in updates}, b"round 1"
    reference = pipeline.aggregate(updates, SCHEMA, weights=weights, seed=seed, kernels="numpy")
    machines = [("numpy", 1, 1024), ("numpy", 3, 2048), ("numba", 1, 0), ("numba", 2, 4096), ("numba", 3, 1024)]
    for turn, (kernels, threads, tile) in enumerate(machines):
        order = np.random.default_rng(turn).permutation(N)
        shuffled = {list(updates)[i]: updates[list(updates)[i]] for i in order}
        result = pipeline.aggregate(
            shuffled, SCHEMA, weights=weights, seed=seed, kernels=kernels, threads=threads, tile=tile
        )
        assert digest(result) == digest(reference), (kernels, threads, tile)
        assert result.report.clients == reference.report.clients
        assert all(np.array_equal(result.report.shifts[name], reference.report.shifts[name]) for name, _ in SCHEMA)


def halves(updates: Mapping[bytes, Mapping[str, Any]], kind: str) -> tuple[dict[bytes, Any], dict[bytes, Any]]:
    """The updates in half precision, and the same values as float32."""
    half: dict[bytes, Any] = {}
    full: dict[bytes, Any] = {}
    for client, update in updates.items():
        if kind == "float16":
            half[client] = {name: (tensor / 64).astype(np.float16) for name, tensor in update.items()}
            full[client] = {name: tensor.astype(np.float32) for name, tensor in half[client].items()}
        else:
            half[client] = {name: (tensor.view(np.uint32) >> 16).astype(np.uint16) for name, tensor in update.items()}
            full[client] = {
                name: (tensor.astype(np.uint32) << 16).view(np.float32) for name, tensor in half[client].items()
            }
    return half, full


@pytest.mark.parametrize("kernels", ["numpy", "numba"])
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision_gives_the_hash_of_its_float32_values(kind: str, kernels: str):
    updates = crowd()
    first = next(iter(updates.values()))
    first["z"][:4] = np.array([2.0**-20, -(2.0**-24), 0.0, -0.0]) * 64  # float16 subnormals
    updates = {client: {k: np.clip(v, -1e6, 1e6) for k, v in update.items()} for client, update in updates.items()}
    half, full = halves(updates, kind)
    mixed = {client: half[client] if i % 2 else full[client] for i, client in enumerate(half)}
    for text in ("median", "mean", "arc+nnm+trimmed_mean"):
        wanted = digest(parse(text).aggregate(full, SCHEMA, kernels="numpy"))
        for given in (half, mixed):
            assert digest(parse(text).aggregate(given, SCHEMA, kernels=kernels, threads=2, tile=1024)) == wanted


@pytest.mark.parametrize("text", ["median", "mean", "arc+mean"])
@pytest.mark.parametrize("kernels", ["numpy", "numba"])
@pytest.mark.parametrize("bits", [0x7C00, 0xFE01])
def test_half_precision_infinity_and_nan_are_refused(bits: int, kernels: str, text: str):
    updates = {bytes([i]): {"w": np.ones(3, np.float16)} for i in range(4)}
    updates[b"\x02"]["w"].view(np.uint16)[1] = bits
    with pytest.raises(UpdateRejected) as caught:
        parse(text).aggregate(updates, (("w", (3,)),), kernels=kernels)
    assert caught.value.reason is Reason.NOT_FINITE
    assert "client 02" in caught.value.why


@pytest.mark.parametrize("text", ["median", "krum", "geometric_median"])
@pytest.mark.parametrize("kernels", ["numpy", "numba"])
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
@pytest.mark.parametrize("place", [0, GROUP - 1, 2 * GROUP + 3])
def test_nan_and_infinity_are_found_in_every_group(place: int, bad: float, kernels: str, text: str):
    updates = {bytes([i]): {"w": np.ones(2 * GROUP + 4, np.float32)} for i in range(4)}
    for client in (b"\x03", b"\x01"):
        updates[client]["w"][place] = bad
    with pytest.raises(UpdateRejected, match="NaN, infinity") as caught:
        parse(text).aggregate(updates, (("w", (2 * GROUP + 4,)),), kernels=kernels, threads=2, tile=1024)
    assert "client 01" in caught.value.why  # the first in order of id


def test_results_go_where_they_are_wanted():
    updates = crowd()
    memory = np.zeros(bundle.size_of(SCHEMA) + 1, np.float32)
    out = {"bias": memory[1:8], "weight": memory[8:4508].reshape(3, 1500), "z": memory[4508:]}
    result = parse("median").aggregate(updates, SCHEMA, out=out)
    assert digest(result) == digest(parse("median").aggregate(updates, SCHEMA))
    assert all(result.tensors[name] is out[name] for name, _ in SCHEMA)
    assert memory[0] == 0


@pytest.mark.parametrize(
    "bad", [None, np.zeros(6, np.float32), np.zeros(7), np.zeros((7, 1), np.float32), np.zeros(14, np.float32)[::2]]
)
def test_outputs_that_do_not_fit_are_refused(bad: Any):
    out = {"weight": np.zeros((3, 1500), np.float32), "z": np.zeros(500, np.float32)}
    with pytest.raises(AggregationError, match="'bias'"):
        parse("mean").aggregate(crowd(2), SCHEMA, out=out if bad is None else {**out, "bias": bad})


def test_a_tile_is_whole_groups():
    for tile, columns in ((1, 1024), (1024, 1024), (1025, 2048), (4096, 4096)):
        assert engine.Machine(choose("numpy"), tile=tile).columns(10) == columns
    assert engine.Machine(choose("numpy")).columns(10) == 12 * GROUP
    assert engine.Machine(choose("numpy")).columns(1024) == GROUP


def test_the_report_counts_groups():
    updates = crowd()
    clients = sorted(updates)
    report = parse("median").aggregate(updates, SCHEMA).report
    assert [len(report.shifts[name]) for name, _ in SCHEMA] == [1, 5, 1]
    for client, row in zip(clients, report.clients, strict=True):
        assert row.groups == 7
        loud = list(updates).index(client)
        assert row.saturated == (7 if loud % 4 == 3 else 1 if loud == 1 else 0)
        assert row.lost == 0


@pytest.mark.parametrize(("text", "guard"), [("mean", 0), ("median", 4), ("trimmed_mean:f=2", 2), ("arc+mean:f=3", 3)])
def test_every_group_has_the_scale_of_the_formula(text: str, guard: int):
    updates = crowd()
    report = parse(text).aggregate(updates, SCHEMA).report
    for name, _ in SCHEMA:
        for group, shift in enumerate(report.shifts[name].tolist()):
            parts = [update[name].reshape(-1)[group * GROUP : (group + 1) * GROUP] for update in updates.values()]
            assert shift == common_shift([exponent_of(part) for part in parts], report.bits, guard)


def exact_gram(updates: Mapping[bytes, Mapping[str, Any]], schema: Schema) -> Gram:
    """Inner products of the float values, without any rounding, times 2^120."""
    rows = [
        [Fraction(float(x)) for name, _ in schema for x in updates[client][name].reshape(-1)]
        for client in sorted(updates)
    ]
    integers = [[int(x * 2**60) for x in row] for row in rows]
    return [[sum(x * y for x, y in zip(u, v, strict=True)) for v in integers] for u in integers]


def matrix_of(updates: Mapping[bytes, Mapping[str, Any]], schema: Schema) -> np.ndarray:
    return np.stack([bundle.flatten(updates[client], schema) for client in sorted(updates)]).astype(np.float64)


def test_a_given_gram_matrix_decides():
    rows = {bytes([i]): {"w": np.array([i], np.float32)} for i in range(5)}
    schema: Schema = (("w", (1,)),)
    far = [[10 * (i == j) for j in range(5)] for i in range(5)]
    far[3][4] = far[4][3] = 10  # 3 and 4 are copies, all others far from everybody
    assert parse("krum:f=1").aggregate(rows, schema, gram=far).tensors["w"][0] == 3
    assert parse("krum:f=1").aggregate(rows, schema).tensors["w"][0] != 3
    for bad in (far[:4], [row[:4] for row in far], []):
        with pytest.raises(AggregationError, match="not 5 by 5"):
            parse("krum:f=1").aggregate(rows, schema, gram=bad)
    for text in ("clip(c=1)+krum:f=1", "norm_bound(c=1)+krum:f=1"):
        with pytest.raises(AggregationError, match="own units"):
            parse(text).aggregate(rows, schema, gram=far)


SMALL: Schema = (("a", (40,)), ("b", (4, 5)))


def before(stage: str, x: np.ndarray, f: int) -> np.ndarray:
    """A pre-aggregation as its paper writes it, in float64."""
    n, norms = len(x), np.linalg.norm(x, axis=1)
    if stage == "nnm":
        return np.stack([x[np.argsort(np.linalg.norm(x - row, axis=1), kind="stable")[: n - f]].mean(0) for row in x])
    place = n - 1 - int(2 * f * (n - f) / n) if stage == "arc" else (n - 1) // 2
    return np.asarray(x * np.minimum(1, np.sort(norms)[place] / norms)[:, None])


def by_score(x: np.ndarray, f: int, left: list[int]) -> list[int]:
    """Krum's order of the rows in ``left``."""
    squared = ((x[:, None] - x[None]) ** 2).sum(2)
    near = max(len(left) - f - 2, 1)
    return sorted(left, key=lambda i: np.sort([squared[i, j] for j in left if j != i])[:near].sum())


def around_median(rows: np.ndarray, keep: int) -> np.ndarray:
    away = np.argsort(np.abs(rows - np.median(rows, axis=0)), axis=0, kind="stable")[:keep]
    return np.asarray(np.take_along_axis(rows, away, axis=0).mean(0))


def bulyan(x: np.ndarray, f: int) -> np.ndarray:
    chosen: list[int] = []
    while len(chosen) < len(x) - 2 * f:
        chosen.append(by_score(x, f, [i for i in range(len(x)) if i not in chosen])[0])
    return around_median(x[chosen], len(x) - 4 * f)


def dnc(x: np.ndarray, f: int) -> np.ndarray:
    centred = x - x.mean(0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    return np.asarray(x[np.argsort(along**2)[: len(x) - f]].mean(0))


def weiszfeld(x: np.ndarray, _f: int) -> np.ndarray:
    z = x.mean(0)
    for _ in range(200):
        weights = 1 / np.linalg.norm(x - z, axis=1)
        z = weights @ x / weights.sum()
    return np.asarray(z)


def centred_clipping(x: np.ndarray, _f: int) -> np.ndarray:
    radius, v = np.sort(np.linalg.norm(x, axis=1))[(len(x) - 1) // 2], np.zeros(x.shape[1])
    for _ in range(5):
        away = x - v
        v = v + (away * np.minimum(1, radius / np.linalg.norm(away, axis=1))[:, None]).mean(0)
    return v


# the rules as their papers write them, in float64, sharing no code with ours
ORACLES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "mean": lambda x, _f: x.mean(0),
    "median": lambda x, _f: np.median(x, axis=0),
    "trimmed_mean": lambda x, f: np.sort(x, axis=0)[f : len(x) - f].mean(0),
    "meamed": lambda x, f: around_median(x, len(x) - f),
    "krum": lambda x, f: x[by_score(x, f, list(range(len(x))))[0]],
    "multi_krum": lambda x, f: x[by_score(x, f, list(range(len(x))))[: len(x) - f]].mean(0),
    "bulyan": bulyan,
    "dnc": dnc,
    "geometric_median": weiszfeld,
    "centred_clipping": centred_clipping,
}


EXACT = [
    "mean",
    "median",
    "trimmed_mean",
    "meamed",
    "krum",
    "multi_krum",
    "bulyan",
    "dnc",
    "nnm+median",
    "nnm+multi_krum",
]
# coefficients of 2^-20 and an unfinished iteration; clip factors of 2^-16
ROUGH = {"geometric_median": 1e-4, "centred_clipping": 1e-4, "arc+trimmed_mean": 2e-5, "norm_clip+nnm+mean": 2e-5}


@pytest.mark.parametrize("text", [*EXACT, *ROUGH])
@pytest.mark.parametrize(("n", "seed"), [(7, 1), (11, 2), (12, 3)])
def test_against_a_float64_oracle(text: str, n: int, seed: int):
    updates = crowd(n, schema=SMALL, outliers=False, seed=seed)
    for i, update in enumerate(updates.values()):
        for tensor in update.values():
            tensor[...] *= np.float32(1 + i / 8)
            # a direction of largest spread, so that dnc's power iteration has one to find
            tensor[...] += np.float32(i % 3) + np.resize(np.array([3, -3, 0], np.float32), tensor.shape) * (i % 4)
    result = parse(text).aggregate(updates, SMALL, gram=exact_gram(updates, SMALL))
    assert not any(client.saturated for client in result.report.clients)
    x = matrix_of(updates, SMALL)
    wanted, f = x, result.report.f
    *pre, rule = text.split("+")
    for stage in pre:
        wanted = before(stage, wanted, f)
    out = bundle.flatten(result.tensors, SMALL).astype(np.float64)
    slack = ROUGH.get(text, 0) * np.abs(x).max()
    assert (np.abs(out - ORACLES[rule](wanted, f)) <= step_of(result, SMALL) + 2.0**-24 * np.abs(out) + slack).all()


def step_of(result: Aggregate, schema: Schema) -> np.ndarray:
    """2^-s of every coordinate."""
    steps = [
        np.repeat(2.0 ** -result.report.shifts[name].astype(float), GROUP)[: bundle.size_of(((name, shape),))]
        for name, shape in schema
    ]
    return np.concatenate(steps)


LONG: Schema = (("w", (2 * GROUP + 300,)),)


def exact(text: str, columns: np.ndarray, weights: list[int], f: int, rows: list[int]) -> list[Fraction]:
    """A rule on exact rationals, coordinate by coordinate; ``rows`` is bulyan's choice."""
    answers = []
    for column in columns.T.tolist():
        values = [Fraction(x) for x in column]
        n, ranked = len(values), sorted(values)
        median = (ranked[(n - 1) // 2] + ranked[n // 2]) / 2
        if text == "weighted_mean":
            answers.append(sum(w * x for w, x in zip(weights, values, strict=True)) / sum(weights))
        elif text == "median":
            answers.append(median)
        elif text in ("mean", "trimmed_mean"):
            kept = ranked if text == "mean" else ranked[f : n - f]
            answers.append(sum(kept) / len(kept))
        else:
            chosen = sorted(values[i] for i in rows)
            keep = n - f if text == "meamed" else n - 4 * f
            middle = (chosen[(len(rows) - 1) // 2] + chosen[len(rows) // 2]) / 2
            windows = [chosen[i : i + keep] for i in range(len(rows) - keep + 1)]
            best = min(windows, key=lambda window: max(middle - window[0], window[-1] - middle))
            answers.append(sum(best) / keep)
    return answers


@pytest.mark.parametrize("text", ["mean", "weighted_mean", "median", "trimmed_mean", "meamed", "bulyan"])
@pytest.mark.parametrize("law", ["normal", "student"])
def test_the_promised_error_against_exact_rationals(text: str, law: str):
    rng = np.random.default_rng(4)
    size = (11, LONG[0][1][0])
    x = rng.standard_normal(size) if law == "normal" else rng.standard_t(3, size)
    x = (x * np.repeat([1e-6, 3.0, 1e4], GROUP)[: size[1]]).astype(np.float32)
    updates = {bytes([i]): {"w": row} for i, row in enumerate(x)}
    weights = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 0]
    result = parse(text).aggregate(
        updates, LONG, weights={bytes([i]): weight for i, weight in enumerate(weights)}, kernels="numpy"
    )
    assert not any(client.saturated for client in result.report.clients) or text not in ("mean", "weighted_mean")
    rows = [i for i, client in enumerate(result.report.clients) if client.selected] if text == "bulyan" else range(11)
    expected = exact(text, x.astype(np.float64), weights, result.report.f, list(rows))
    for got, wanted, step in zip(result.tensors["w"].tolist(), expected, step_of(result, LONG).tolist(), strict=True):
        assert abs(Fraction(got) - wanted) <= Fraction(step) + Fraction(abs(got)) / 2**24


def attacks(honest: np.ndarray, f: int) -> list[np.ndarray]:
    mean, deviation = honest.mean(0), honest.std(0)
    rng = np.random.default_rng(0)
    return [
        np.tile(mean - 1.5 * deviation, (f, 1)),  # ALIE (Baruch et al. 2019)
        np.tile(-3 * mean, (f, 1)),  # inner-product manipulation (Xie et al. 2019)
        np.tile(mean + 1e6, (f, 1)),
        rng.standard_normal((f, honest.shape[1])) * 30,
        np.zeros((f, honest.shape[1])),
        np.tile(honest.max(0), (f, 1)),
    ]


def kappa(text: str, n: int, f: int) -> float:
    """Allouah et al., AISTATS 2023 (arXiv 2302.01772), table 1 (κ of each rule) and lemma 1 (κ of nnm before it).

    ``‖F - mean_S‖² ≤ κ/|S| · Σ_{i∈S} ‖x_i - mean_S‖²`` for every S of n - f rows.
    """
    ratio = f / (n - 2 * f)
    if text == "median":
        return 4 * (1 + ratio) ** 2
    trimmed = 6 * ratio * (1 + ratio)
    return trimmed if text == "trimmed_mean" else 8 * f / (n - f) * (trimmed + 1)


@pytest.mark.parametrize("text", ["median", "trimmed_mean", "nnm+trimmed_mean"])
@pytest.mark.parametrize(("n", "f"), [(5, 1), (10, 3), (11, 5)])
def test_resilience_against_f_attackers(text: str, n: int, f: int):
    honest = np.random.default_rng(n).standard_normal((n - f, 1500)) + 0.5
    mean = honest.mean(0)
    spread = float(((honest - mean) ** 2).sum(1).mean())
    for attack in attacks(honest, f):
        rows = np.vstack([attack, honest]).astype(np.float32)
        updates = {bytes([i]): {"w": row} for i, row in enumerate(rows)}
        out = parse(f"{text}:f={f}").aggregate(updates, (("w", (1500,)),)).tensors["w"].astype(np.float64)
        assert float(((out - mean) ** 2).sum()) <= kappa(text, n, f) * spread


@pytest.mark.parametrize(("text", "survives"), [("median", True), ("bulyan", True), ("mean", False)])
def test_one_loud_attacker_moves_the_mean_only(text: str, *, survives: bool):
    updates = crowd(7, schema=SMALL, outliers=False)
    before = matrix_of(updates, SMALL)[:6]
    loudest = sorted(updates)[6]
    updates[loudest] = {name: tensor + np.float32(1e9) for name, tensor in updates[loudest].items()}
    out = bundle.flatten(parse(text).aggregate(updates, SMALL).tensors, SMALL)
    assert ((before.min(0) - 1e-3 <= out) & (out <= before.max(0) + 1e-3)).all() == survives

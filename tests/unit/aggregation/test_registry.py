"""Pipelines by name, what they refuse, and what their report says."""

import numpy as np
import pytest

from aggregation.bundle import Schema
from aggregation.errors import AggregationError, PreconditionFailed, Reason, UpdateRejected
from aggregation.pre import PRE_AGGREGATIONS
from aggregation.registry import DEFAULT, parse
from aggregation.rules import RULES

SCHEMA: Schema = (("w", (4,)),)


def rows(*values: list[float]) -> dict[bytes, dict[str, np.ndarray]]:
    return {bytes([9 - i, i]): {"w": np.array(row, np.float32)} for i, row in enumerate(values)}


def randoms(n: int) -> dict[bytes, dict[str, np.ndarray]]:
    rng = np.random.default_rng(n)
    return {bytes([i]): {"w": rng.standard_normal(4).astype(np.float32)} for i in range(n)}


@pytest.mark.parametrize(
    "text",
    [
        DEFAULT,
        "mean",
        "norm_clip+mean:f=2",
        "nnm+median:f=0",
        "arc+nnm+multi_krum:f=12",
        "bucketing(s=3)+bulyan",
        "clip(c=0.0625)+weighted_mean",
        "norm_bound(c=20)+bucketing+dnc:f=1",
        "clip(c=100)+meamed",
    ],
)
def test_text_round_trip(text: str):
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("bucketing(s=2)+median", "bucketing+median"),  # the default
        ("bucketing(s=02)+median", "bucketing+median"),
        ("clip(c=2.50)+mean:f=auto", "clip(c=2.5)+mean"),
        ("clip(c=00.5)+mean", "clip(c=0.5)+mean"),
    ],
)
def test_other_spellings_become_the_canonical_one(text: str, canonical: str):
    assert str(parse(text)) == canonical
    assert parse(text) == parse(canonical)


def test_auto_is_the_default():
    assert parse("median:f=auto") == parse("median")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flame", "Unknown stage 'flame'"),
        ("arc+nmn+mean", "Unknown stage 'nmn'"),
        ("arc+nnm", "must end with its one rule"),
        ("median+mean", "must end with its one rule"),
        ("mean+arc", "must end with its one rule"),
        ("arc+arc+mean", "twice"),
        ("", "no aggregation pipeline"),
        ("mean:g=1", "no aggregation pipeline"),
        ("mean:f=-1", "no aggregation pipeline"),
        ("mean:f=01", "no aggregation pipeline"),
        ("mean:f=1:f=2", "no aggregation pipeline"),
        ("Mean", "no aggregation pipeline"),
        ("mean ", "no aggregation pipeline"),
        ("mean\n", "no aggregation pipeline"),
        ("clip+mean", "clip needs its parameter 'c'"),
        ("norm_bound+mean", "norm_bound needs its parameter 'c'"),
        ("clip(s=1)+mean", "clip has no parameter 's'"),
        ("mean(c=1)", "mean has no parameter 'c'"),
        ("bucketing(c=2)+mean", "bucketing has no parameter 'c'"),
        ("clip(c=-1)+mean", "no aggregation pipeline"),
        ("clip(c=1e3)+mean", "no aggregation pipeline"),
        ("clip(c=)+mean", "no aggregation pipeline"),
        ("clip()+mean", "no aggregation pipeline"),
    ],
)
def test_bad_texts_are_refused_with_a_hint(text: str, says: str):
    with pytest.raises(AggregationError) as caught:
        parse(text)
    assert says in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bucketing(s=0)+mean", "whole number from 1 to 32"),
        ("bucketing(s=1.5)+mean", "whole number from 1 to 32"),
        ("bucketing(s=33)+mean", "whole number from 1 to 32"),
        ("clip(c=0)+mean", "above 0"),
        ("norm_bound(c=0.00)+mean", "above 0"),
    ],
)
def test_impossible_parameters_are_refused(text: str, says: str):
    with pytest.raises(AggregationError, match=says):
        parse(text).aggregate(randoms(4), SCHEMA)


def test_too_much_growth_is_refused():
    many = {i.to_bytes(2, "big"): {"w": np.ones(4, np.float32)} for i in range(1000)}
    # sums of 1000 rows leave 20 bits, the least common multiple of 31 and 8 as bucket sizes 12
    with pytest.raises(AggregationError, match="leaves 12 bits of resolution"):
        parse("nnm+bucketing(s=31)+mean").aggregate(many, SCHEMA)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(AggregationError) as caught:
        parse("flame")
    for stage in (*RULES, *PRE_AGGREGATIONS):
        assert stage.name in caught.value.hint


@pytest.mark.parametrize(("n", "f"), [(1, 0), (2, 0), (3, 0), (4, 1), (6, 1), (7, 2), (10, 3), (31, 10)])
def test_auto_f(n: int, f: int):
    assert parse(DEFAULT).aggregate(randoms(n), SCHEMA).report.f == f


def test_auto_f_is_lowered_with_a_warning():
    report = parse("multi_krum").aggregate(randoms(4), SCHEMA).report
    assert report.f == 0
    assert report.warnings == ("f=auto was lowered from 1 to 0: multi_krum needs n > 2f + 2 or f = 0; n=4.",)
    assert parse("multi_krum").aggregate(randoms(5), SCHEMA).report.warnings == ()


def test_explicit_f_is_kept_or_refused():
    assert parse("median:f=2").aggregate(randoms(5), SCHEMA).report.f == 2
    with pytest.raises(PreconditionFailed, match="trimmed_mean needs n > 2f, got n=4, f=2"):
        parse("trimmed_mean:f=2").aggregate(randoms(4), SCHEMA)
    with pytest.raises(PreconditionFailed, match="nnm needs n > 2f, got n=4, f=2"):
        parse("nnm+mean:f=2").aggregate(randoms(4), SCHEMA)


def test_no_updates_and_too_many_are_refused():
    with pytest.raises(AggregationError, match="0 updates"):
        parse("mean").aggregate({}, SCHEMA)
    one = np.ones(4, np.float32)
    many = {i.to_bytes(2, "big"): {"w": one} for i in range(1025)}
    with pytest.raises(AggregationError, match="1025 updates"):
        parse("mean").aggregate(many, SCHEMA)
    del many[bytes(2)]
    assert parse(DEFAULT).aggregate({k: many[k] for k in list(many)[:3]}, SCHEMA).tensors["w"].tolist() == [1.0] * 4


def test_an_empty_schema_is_refused():
    with pytest.raises(AggregationError, match="no tensors"):
        parse("mean").aggregate({b"a": {}}, ())


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (np.array([1, 2, np.nan, 4], np.float32), Reason.NOT_FINITE),
        (np.array([1, 2, np.inf, 4], np.float32), Reason.NOT_FINITE),
        (np.ones(3, np.float32), Reason.SCHEMA_MISMATCH),
        (np.ones((2, 2), np.float32), Reason.SCHEMA_MISMATCH),
        (np.ones(4), Reason.DTYPE),
    ],
)
def test_a_bad_update_is_refused_naming_its_client(tensor: np.ndarray, reason: Reason):
    updates = {**randoms(3), b"\xab\xcd": {"w": tensor}}
    with pytest.raises(UpdateRejected) as caught:
        parse("mean").aggregate(updates, SCHEMA)
    assert caught.value.reason is reason
    assert "abcd" in caught.value.why


def test_huge_values_neither_overflow_nor_win():
    biggest = float(np.nextafter(np.float32(2.0**127), np.float32(0)))  # the largest that is not refused
    updates = rows([1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], [biggest, -biggest, biggest, biggest])
    for text in (DEFAULT, "median", "trimmed_mean", "meamed", "dnc", "geometric_median", "centred_clipping:f=1"):
        result = parse(text).aggregate(updates, SCHEMA)
        assert np.abs(result.tensors["w"]).max() <= 6, text  # clamped to 2^7 it would still pull a mean to 32
        assert [client.saturated for client in result.report.clients] == [1, 0, 0, 0]
    everybody = rows(*[[biggest, -biggest, 0, 1]] * 3)
    assert parse(DEFAULT).aggregate(everybody, SCHEMA).tensors["w"][:2].tolist() == [biggest, -biggest]


def test_the_mean_of_a_huge_value_is_exact_since_nothing_is_clamped():
    assert parse("mean").aggregate(rows(*[[x] * 4 for x in (1, 2, 3, 4, 100)]), SCHEMA).tensors["w"][0] == 22
    biggest = float(np.nextafter(np.float32(2.0**127), np.float32(0)))  # the largest that is not refused
    result = parse("mean").aggregate(rows([biggest] * 4, [0] * 4), SCHEMA)
    assert result.tensors["w"][0] == np.float32(biggest / 2)
    assert not any(client.saturated for client in result.report.clients)


def test_all_zero_updates_give_positive_zeros():
    for text in (DEFAULT, "mean", "multi_krum"):
        out = parse(text).aggregate(rows([-0.0] * 4, [0.0] * 4, [-0.0] * 4), SCHEMA).tensors["w"]
        assert out.tobytes() == bytes(16)


def test_cancelling_sums_give_positive_zero():
    out = parse("mean").aggregate(rows([-1, 1, -3, 2], [1, -1, 3, -2]), SCHEMA).tensors["w"]
    assert out.tobytes() == bytes(16)


def test_the_report_names_what_happened_to_whom():
    updates = {bytes([i]): {"w": np.array([1, 1, 1, 1 + i / 10], np.float32)} for i in range(5)}
    updates[b"bad"] = {"w": np.array([-20, -20, -20, -20], np.float32)}
    updates[b"tiny"] = {"w": np.full(4, 1e-20, np.float32)}
    report = parse("arc+nnm+multi_krum:f=2").aggregate(updates, SCHEMA).report
    assert (report.n, report.f, report.bits, report.pipeline) == (7, 2, 27, "arc+nnm+multi_krum:f=2")
    assert report.shifts["w"].tolist() == [27 - 4 - 1]  # f = 2 guards: the third largest exponent is 1
    clients = {client.client: client for client in report.clients}
    assert list(clients) == sorted(updates)
    assert not any(client.saturated for client in report.clients)  # 20 < 2^(1 + 4)
    assert clients[b"bad"].clip_factor < 65536
    assert clients[bytes([0])].clip_factor == 65536
    assert b"bad" in clients[bytes([0])].excluded
    assert len(clients[b"bad"].excluded) == 2
    assert sum(client.selected for client in clients.values()) == 5
    assert (clients[b"tiny"].groups, clients[b"tiny"].lost) == (1, 1)
    assert report.warnings == (
        f"Client {b'tiny'.hex()}: in 1 of 1 groups all its values are too small for the round's scale.",
    )


def test_the_aggregate_is_what_the_report_says():
    # clipping acts on the row: a single far client is brought back before the mean
    out = parse("norm_clip+mean:f=1").aggregate(rows([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 3, 0]), SCHEMA).tensors["w"]
    third = 1 / 3
    assert out.tolist() == pytest.approx([third, third, third, 0], abs=1e-4)


def test_inputs_are_not_changed():
    updates = randoms(5)
    before = {client: update["w"].tobytes() for client, update in updates.items()}
    parse(DEFAULT).aggregate(updates, SCHEMA, kernels="numba")
    assert {client: update["w"].tobytes() for client, update in updates.items()} == before


def test_shapes_of_zero_dimensions_and_strides():
    schema: Schema = (("m", (2, 3)), ("s", ()))
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2).T
    updates = {b"a": {"m": matrix, "s": np.array(2, np.float32)}, b"b": {"m": matrix, "s": np.array(4, np.float32)}}
    tensors = parse("mean").aggregate(updates, schema).tensors
    assert tensors["m"].tolist() == matrix.tolist()
    assert tensors["s"].shape == ()
    assert float(tensors["s"]) == 3


@pytest.mark.parametrize(("threads", "tile"), [(0, 0), (1, -1)])
def test_impossible_machines_are_refused(threads: int, tile: int):
    with pytest.raises(AggregationError):
        parse("mean").aggregate(randoms(2), SCHEMA, threads=threads, tile=tile)


@pytest.mark.parametrize("kernels", ["numpy", "numba"])
def test_values_whose_sum_could_leave_float32_are_refused(kernels: str):
    huge, large = np.float32(2.0**127), np.float32(1.7e38)
    rows = {bytes([i]): {"w": np.full(3, large, np.float32)} for i in range(5)}
    assert np.isfinite(parse("nnm+mean").aggregate(rows, (("w", (3,)),), kernels=kernels).tensors["w"]).all()
    rows[b"\x02"] = {"w": np.full(3, huge, np.float32)}
    with pytest.raises(UpdateRejected, match=r"2\^127.*client 02"):
        parse("nnm+mean").aggregate(rows, (("w", (3,)),), kernels=kernels)


def test_fractional_weights_are_refused():
    rows = {bytes([i]): {"w": np.ones(3, np.float32)} for i in range(2)}
    with pytest.raises(AggregationError, match="integers"):
        parse("weighted_mean").aggregate(rows, (("w", (3,)),), weights={b"\x00": 0.5, b"\x01": 1.5})

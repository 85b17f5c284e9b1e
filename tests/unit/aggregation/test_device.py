"""Torch tensors aggregate where they are, to the host's bits."""

import hashlib
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch

from aggregation import device
from aggregation.bundle import Schema
from aggregation.engine import NotFinite
from aggregation.errors import AggregationError, PreconditionFailed, Reason, UpdateRejected
from aggregation.kernels_numpy import GROUP
from aggregation.registry import _RULES, parse
from aggregation.stages import Clip, Combine, Mix, Nearest, Ranks, Weighted

DEVICES = pytest.mark.parametrize("where", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
SCHEMA: Schema = (("a", (3, 1000)), ("b", (1,)), ("c", (2 * GROUP,)), ("d", ()))
PIPELINES = [
    *sorted(_RULES),
    "arc+nnm+trimmed_mean",
    "nnm+median",
    "arc+mean",
    "norm_clip+nnm+multi_krum",
    "clip(c=2.5)+mean",
    "bucketing(s=3)+median",
    "bucketing(s=2)+nnm+meamed:f=1",
    "arc+bulyan",
    "arc+nnm+geometric_median",
    "nnm+centred_clipping:f=1",
    "trimmed_mean:f=0",
]


def updates(n: int, schema: Schema = SCHEMA) -> dict[bytes, dict[str, np.ndarray]]:
    """Clients of different loudness, with outliers, zeros, subnormals, ties and one who is very loud."""
    rng = np.random.default_rng(n)
    made: dict[bytes, dict[str, np.ndarray]] = {}
    for i in range(n):
        made[bytes([255 - i // 2, i])] = {}
        for name, shape in schema:
            values = (rng.standard_normal(shape) * 2.0 ** rng.integers(-3, 4)).astype(np.float32)
            flat = values.reshape(-1)
            flat[rng.random(flat.size) < 0.05] = -0.0
            flat[rng.random(flat.size) < 0.05] = 0.5
            flat[rng.random(flat.size) < 0.02] = 1e-40
            flat[rng.random(flat.size) < 0.002] *= np.float32(2.0**40)
            made[bytes([255 - i // 2, i])][name] = flat.reshape(shape) * np.float32(1e24 if i == 2 else 1)
    return made


def tensors(arrays: dict[bytes, dict[str, np.ndarray]], where: str) -> dict[bytes, dict[str, torch.Tensor]]:
    return {
        client: {name: torch.tensor(array, device=where) for name, array in update.items()}
        for client, update in arrays.items()
    }


def digest(result: dict[str, torch.Tensor]) -> str:
    hashed = hashlib.sha256()
    for name, tensor in result.items():
        assert tensor.dtype == torch.float32
        hashed.update(name.encode() + tensor.cpu().numpy().tobytes())
    return hashed.hexdigest()


def expected(text: str, arrays: dict[bytes, dict[str, np.ndarray]], schema: Schema = SCHEMA, **options):
    result = parse(text).aggregate(arrays, schema, kernels="numpy", **options)
    hashed = hashlib.sha256()
    for name, array in result.tensors.items():
        hashed.update(name.encode() + array.tobytes())
    return hashed.hexdigest(), result.report


def same_report(left, right) -> bool:
    assert left.shifts.keys() == right.shifts.keys()
    assert all(np.array_equal(left.shifts[name], right.shifts[name]) for name in left.shifts)
    facts = [(r.pipeline, r.n, r.f, r.bits, r.clients, r.warnings) for r in (left, right)]
    return facts[0] == facts[1]


@DEVICES
@pytest.mark.parametrize("n", [1, 2, 7, 11])
@pytest.mark.parametrize("text", PIPELINES)
def test_every_pipeline_gives_the_hosts_bits(text: str, n: int, where: str):
    arrays = updates(n)
    options = {"seed": b"drawn"}
    if "weighted" in text:
        options["weights"] = {client: 3 * i for i, client in enumerate(arrays, start=1)}
    if text.endswith(":f=1") and n < 7:
        with pytest.raises(PreconditionFailed):
            device.aggregate(parse(text), tensors(arrays, where), SCHEMA, **options)
        return
    result, report = device.aggregate(parse(text), tensors(arrays, where), SCHEMA, **options)
    wanted, wanted_report = expected(text, arrays, **options)
    assert digest(result) == wanted
    assert same_report(report, wanted_report)
    assert all(tensor.device.type == where for tensor in result.values())
    assert [(name, tuple(tensor.shape)) for name, tensor in result.items()] == list(SCHEMA)
    for tensor in result.values():
        assert not torch.any(torch.signbit(tensor) & (tensor == 0))


@DEVICES
@pytest.mark.parametrize("text", ["clip(c=50)+mean", "norm_bound(c=50)+nnm+trimmed_mean", "nnm+clip(c=25.5)+median"])
def test_norms_in_the_updates_own_units(text: str, where: str):
    schema: Schema = (("w", (2100,)),)  # norms around 46, times 0.5 … 1.5
    rng = np.random.default_rng(5)
    arrays = {bytes([i]): {"w": (rng.standard_normal(2100) * (5 + i) / 10).astype(np.float32)} for i in range(11)}
    result, report = device.aggregate(parse(text), tensors(arrays, where), schema)
    wanted, wanted_report = expected(text, arrays, schema)
    assert digest(result) == wanted
    assert same_report(report, wanted_report)
    touched = [not client.selected or client.clip_factor < 1 << 16 for client in report.clients]
    assert text.startswith("nnm") or 0 < sum(touched) < 11


@DEVICES
@pytest.mark.parametrize("text", ["meamed", "median", "mean", "arc+nnm+trimmed_mean", "bulyan"])
def test_corners(text: str, where: str):
    schema: Schema = (("loud", (GROUP,)), ("ties", (3 * GROUP + 5,)), ("tiny", (GROUP + 7,)), ("zero", (2 * GROUP,)))
    rng = np.random.default_rng(8)
    arrays = {}
    for i in range(8):
        tiny = (rng.standard_normal(GROUP + 7) * 2.0**-112).astype(np.float32)
        arrays[bytes([i])] = {
            "loud": np.full(GROUP, 1.7e38, np.float32) if i == 5 else np.resize(tiny, GROUP),  # times 2^s: infinity
            "ties": rng.integers(-3, 4, 3 * GROUP + 5).astype(np.float32),
            "tiny": tiny,  # finer than any shift
            "zero": np.full(2 * GROUP, -0.0, np.float32),
        }
    result, report = device.aggregate(parse(text), tensors(arrays, where), schema)
    wanted, wanted_report = expected(text, arrays, schema)
    assert digest(result) == wanted
    assert same_report(report, wanted_report)
    assert set(report.shifts["tiny"].tolist()) == {125}
    assert set(report.shifts["zero"].tolist()) == {0}
    assert torch.count_nonzero(result["zero"]) == 0


@DEVICES
@pytest.mark.parametrize("text", ["median", "arc+nnm+trimmed_mean", "meamed"])
@pytest.mark.parametrize("n", [64, 65, 70])
def test_many_clients_sort_instead_of_exchanging(text: str, n: int, where: str):
    schema: Schema = (("w", (1500,)),)
    arrays = updates(n, schema)
    result, _ = device.aggregate(parse(text), tensors(arrays, where), schema)
    assert digest(result) == expected(text, arrays, schema)[0]


@DEVICES
@pytest.mark.parametrize("text", ["arc+nnm+trimmed_mean", "median", "multi_krum", "mean"])
@pytest.mark.parametrize("columns", [1, 1024, 1025, 3000, 1 << 20])
def test_span_and_order_leave_no_trace(text: str, columns: int, where: str):
    arrays = updates(9)
    shuffled = dict(sorted(tensors(arrays, where).items(), key=lambda pair: hashlib.sha256(pair[0]).digest()))
    result, report = device.aggregate(parse(text), shuffled, SCHEMA, columns=columns)
    wanted, wanted_report = expected(text, arrays)
    assert digest(result) == wanted
    assert same_report(report, wanted_report)


@DEVICES
@pytest.mark.parametrize("text", ["arc+nnm+trimmed_mean", "median", "mean"])
def test_half_precision_is_taken_at_its_exact_values(text: str, where: str):
    schema: Schema = (("w", (2500,)), ("x", (7, 5)))
    rng = np.random.default_rng(3)
    halves: dict[bytes, dict[str, torch.Tensor]] = {}
    floats: dict[bytes, dict[str, np.ndarray]] = {}
    for i in range(7):
        kinds = (torch.float16, torch.bfloat16, torch.float32)
        halves[bytes([i])] = {
            name: torch.tensor(rng.standard_normal(shape) * 1e-3, dtype=kinds[(i + k) % 3], device=where)
            for k, (name, shape) in enumerate(schema)
        }
        if i == 1:
            halves[bytes([i])]["w"][:3] = 1e-40  # subnormal in bfloat16
        floats[bytes([i])] = {name: half.float().cpu().numpy() for name, half in halves[bytes([i])].items()}
    result, _ = device.aggregate(parse(text), halves, schema)
    assert digest(result) == expected(text, floats, schema)[0]


@DEVICES
def test_settings_of_torch_leave_no_trace(where: str):
    arrays = updates(7)
    wanted, _ = expected("arc+nnm+trimmed_mean", arrays)
    inputs = tensors(arrays, where)
    for update in inputs.values():
        for tensor in update.values():
            tensor.requires_grad_()
    before = torch.get_float32_matmul_precision(), torch.get_default_dtype()
    torch.set_float32_matmul_precision("medium")
    torch.set_default_dtype(torch.float64)
    torch.set_flush_denormal(True)
    try:
        with torch.autocast(where, dtype=torch.bfloat16):
            result, _ = device.aggregate(parse("arc+nnm+trimmed_mean"), inputs, SCHEMA)
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.set_default_dtype(before[1])
        torch.set_flush_denormal(False)
    assert digest(result) == wanted
    assert not any(tensor.requires_grad for tensor in result.values())
    assert all(np.array_equal(inputs[c][k].detach().cpu().numpy(), arrays[c][k]) for c in arrays for k in arrays[c])


@DEVICES
def test_views_with_gaps_are_read_as_what_they_show(where: str):
    arrays = updates(5)
    inputs = tensors(arrays, where)
    gaps = {c: {k: torch.stack([x, -x], dim=-1)[..., 0] for k, x in update.items()} for c, update in inputs.items()}
    assert not gaps[min(gaps)]["c"].is_contiguous()
    result, _ = device.aggregate(parse("nnm+median"), gaps, SCHEMA)
    assert digest(result) == expected("nnm+median", arrays)[0]


@DEVICES
def test_distances_from_outside_decide(where: str):
    arrays = updates(5)
    gram = [[100 * (i == j) + i + j for j in range(5)] for i in range(5)]
    result, report = device.aggregate(parse("nnm+multi_krum"), tensors(arrays, where), SCHEMA, gram=gram)
    wanted, wanted_report = expected("nnm+multi_krum", arrays, gram=gram)
    assert digest(result) == wanted
    assert same_report(report, wanted_report)


@DEVICES
@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 1024, 1 << 20])
def test_division_rounds_half_to_even(divisor: int, where: str):
    rng = np.random.default_rng(divisor)
    totals = [*range(-40, 40), *rng.integers(-(2**30), 2**30, 200).tolist(), divisor * 2**30, -divisor * 2**30]
    totals += [divisor * k + divisor // 2 for k in (-3, -2, -1, 0, 1, 2, 2**29 - 1)]
    found = device._divided(torch.tensor(totals, dtype=torch.int64, device=where), divisor)
    assert found.tolist() == [round(Fraction(total, divisor)) for total in totals]


@DEVICES
def test_powers_of_two_are_exact(where: str):
    exponents = torch.arange(-126, 128, dtype=torch.int32, device=where)
    assert device._powers(exponents).tolist() == [2.0**e for e in range(-126, 128)]


@DEVICES
def test_what_torch_must_do(where: str):
    odd = torch.tensor([-3, -1, 1, 3], dtype=torch.int32, device=where)
    assert (odd >> 1).tolist() == [-2, -1, 0, 1]
    assert (odd.to(torch.int64) >> 1).tolist() == [-2, -1, 0, 1]
    halves = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], dtype=torch.float32, device=where)
    assert halves.round().tolist() == [-2, -2, 0, 0, 2, 2]


@DEVICES
def test_every_stage_of_the_host_has_a_form_here(where: str):
    tile = torch.tensor([[4, -6], [1, 3], [-5, 2**30]], dtype=torch.int32, device=where)
    assert device._stepped(Clip((65536, 32768, 0)), tile).tolist() == [[4, -6], [1, 2], [0, 0]]
    assert device._stepped(Mix(((1,), (2,), (0,))), tile // 4).tolist() == [[-1, 2**28 - 2], [1, -2], [-2, 2**28]]
    assert device._stepped(Combine(((1, 1, 0), (0, 0, -1)), 2), tile).tolist() == [[5, -3], [5, -(2**30)]]
    assert device._selected(Ranks((0, 2), 0, 1), tile.clone()).tolist() == [-5, -6]
    assert device._selected(Nearest((0, 1, 2), 2), tile.clone()).tolist() == [5, -3]
    assert device._selected(Weighted((1 << 19, 0, 1 << 19), 1 << 20), tile).tolist() == [-(1 << 19), (2**30 - 6) << 19]


def test_an_unknown_step_is_refused():
    with pytest.raises(AggregationError, match="no form for devices"):
        device._stepped(object(), torch.zeros((2, GROUP), dtype=torch.int32))


@DEVICES
@pytest.mark.parametrize("text", ["mean", "arc+nnm+trimmed_mean"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_name(text: str, value: float, where: str):
    arrays = updates(5)
    client = sorted(arrays)[3]
    arrays[client]["c"][-1] = value
    with pytest.raises(UpdateRejected) as caught:
        device.aggregate(parse(text), tensors(arrays, where), SCHEMA)
    assert caught.value.reason is Reason.NOT_FINITE
    assert client.hex() in caught.value.why
    assert isinstance(caught.value.__cause__, NotFinite)


@DEVICES
def test_other_dtypes_and_shapes_are_refused_by_name(where: str):
    for name, wrong, reason in [
        ("c", torch.zeros(2 * GROUP, dtype=torch.float64), Reason.DTYPE),
        ("c", torch.zeros(2 * GROUP, dtype=torch.int32), Reason.DTYPE),
        ("c", torch.zeros(2 * GROUP - 1), Reason.SCHEMA_MISMATCH),
        ("z", torch.zeros(3), Reason.SCHEMA_MISMATCH),
    ]:
        inputs = tensors(updates(3), where)
        client = sorted(inputs)[1]
        inputs[client][name] = wrong.to(where)
        with pytest.raises(UpdateRejected) as caught:
            device.aggregate(parse("mean"), inputs, SCHEMA)
        assert caught.value.reason is reason
        assert client.hex() in caught.value.why


def test_bad_calls_are_refused():
    inputs = tensors(updates(3), "cpu")
    with pytest.raises(AggregationError, match="columns=-1"):
        device.aggregate(parse("mean"), inputs, SCHEMA, columns=-1)
    with pytest.raises(AggregationError, match="names no tensors"):
        device.aggregate(parse("mean"), inputs, ())
    with pytest.raises(AggregationError, match="Cannot aggregate 0"):
        device.aggregate(parse("mean"), {}, SCHEMA)
    with pytest.raises(PreconditionFailed):
        device.aggregate(parse("median:f=2"), inputs, SCHEMA)
    inputs[min(inputs)]["b"] = torch.empty(1, device="meta")
    with pytest.raises(AggregationError, match="several devices: cpu, meta"):
        device.aggregate(parse("mean"), inputs, SCHEMA)


def test_importing_it_needs_no_torch():
    code = "import sys, aggregation.device; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"

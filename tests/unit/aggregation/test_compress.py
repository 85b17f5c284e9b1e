"""Compressed updates: canonical bytes, exact values, error feedback, refusals."""

import hashlib

import numpy as np
import pytest

from aggregation import compress, registry
from aggregation.checks import l2_norm
from aggregation.compress import blocks, topk
from aggregation.errors import AggregationError, Reason, UpdateRejected
from aggregation.fixed_point import common_shift, exponent_of, quantise

ALL = ("int8", "int4", "sign", "topk", "topk:k=1", "topk:k=1024")
SIZES = (1, 2, 3, 255, 256, 257, 1000, 4095, 4096, 4097, 9001)
HEADER = 16


def schema_of(*sizes: int):
    return tuple((f"t{i}", (size,)) for i, size in enumerate(sizes))


def vector(size: int, seed: int = 0, scale: float = 1e-3):
    rng = np.random.default_rng([size, seed])
    return (rng.standard_normal(size) * rng.standard_normal(size) * scale).astype(np.float32)


def sent(text: str, *tensors, residual=None):
    """(bytes, decoded flat tensors, residual) of one update."""
    scheme, schema = compress.parse(text), schema_of(*(t.size for t in tensors))
    update = {name: tensor for (name, _), tensor in zip(schema, tensors, strict=True)}
    data, left = scheme.compress(update, schema, residual)
    decoded = scheme.decompress(data, schema, max_bytes=len(data))
    return data, [decoded[name] for name, _ in schema], left


def refused(text: str, data: bytes, *sizes: int, max_bytes: int = 1 << 20):
    with pytest.raises(UpdateRejected) as caught:
        compress.parse(text).decompress(data, schema_of(*sizes), max_bytes=max_bytes)
    return caught.value.reason


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("size", SIZES)
def test_length_is_exact_and_decoding_encodes_to_the_same_bytes(text: str, size: int):
    data, (decoded,), _ = sent(text, vector(size))
    scheme, schema = compress.parse(text), schema_of(size)
    assert len(data) == scheme.encoded_bytes(schema)
    assert scheme.compress({"t0": decoded}, schema)[0] == data
    assert decoded.dtype == np.float32
    assert not np.signbit(decoded[decoded == 0]).any()


def test_bits_per_value_of_large_tensors():
    size = 1 << 20
    bits = {text: 8 * compress.parse(text).encoded_bytes(schema_of(size)) / size for text in ALL[:4]}
    assert bits == pytest.approx({"int8": 8.0313, "int4": 4.0313, "sign": 1.0313, "topk": 0.2247}, abs=2e-4)


@pytest.mark.parametrize(("text", "qmax"), [("int8", 127), ("int4", 7)])
def test_integer_blocks_round_to_the_smallest_scale_that_fits(text: str, qmax: int):
    x = vector(700)
    _, (decoded,), left = sent(text, x)
    assert left is None
    for start in range(0, 700, 256):
        block = x[start : start + 256].astype(np.float64)
        e = next(e for e in range(-60, 60) if np.abs(block).max() <= qmax * 2.0**e)
        assert decoded[start : start + 256].tolist() == (np.rint(block / 2.0**e) * 2.0**e).tolist()


@pytest.mark.parametrize(("value", "scale"), [(127.0, 1.0), (127.001, 2.0), (63.5, 0.5), (64.0, 1.0), (254.0, 2.0)])
def test_int8_scale_at_its_limits(value: float, scale: float):
    _, (decoded,), _ = sent("int8", np.array([value, 0.0], np.float32))
    assert float(decoded[0]) == np.rint(np.float32(value) / scale) * scale


def test_halves_round_to_even():
    _, (decoded,), _ = sent("int8", np.array([127, 0.5, 1.5, -0.5, -2.5], np.float32))
    assert decoded.tolist() == [127, 0, 2, 0, -2]


@pytest.mark.parametrize(
    ("magnitudes", "scale"),
    [
        ([3, 3, 3], 4.0),
        ([2.999, 3, 3], 2.0),
        ([1, 1, 1], 1.0),
        ([1, 0, 0, 0, 0], 0.25),
        ([6, 0], 4.0),
        ([1.4, 1.4], 1.0),
    ],
)
def test_sign_takes_the_power_of_two_nearest_the_mean_magnitude(magnitudes: list[float], scale: float):
    x = np.array(magnitudes, np.float32) * np.where(np.arange(len(magnitudes)) % 2, -1, 1).astype(np.float32)
    _, (decoded,), _ = sent("sign", x)
    assert np.abs(decoded).tolist() == [scale] * len(magnitudes)
    assert ((decoded < 0) == (x < 0)).all()


def test_the_mean_of_a_short_block_counts_its_own_values():
    _, (decoded,), _ = sent("sign", np.full(257, 1.0, np.float32))
    assert decoded.tolist() == [1.0] * 257


def test_topk_keeps_the_largest_and_breaks_ties_by_index():
    x = np.zeros(4096, np.float32)
    x[[5, 4000, 17, 3000]] = [-8.0, 8.0, 8.0, -8.0]
    _, (decoded,), _ = sent("topk:k=3", x)
    assert np.flatnonzero(decoded).tolist() == [5, 17, 3000]
    assert decoded[[5, 17, 3000]].tolist() == [-8.0, 8.0, -8.0]


def test_topk_of_a_short_chunk_keeps_its_share_rounded_up():
    for size, kept in ((1, 1), (64, 1), (65, 2), (4095, 64), (4096, 64), (4097, 65)):
        _, (decoded,), _ = sent("topk", np.arange(1, size + 1, dtype=np.float32))
        assert np.count_nonzero(decoded) == kept


def test_topk_levels_are_the_means_of_the_best_cut():
    x = np.zeros(4096, np.float32)
    x[:6] = [100, 96, -92, 10, -12, 14]
    _, (decoded,), _ = sent("topk:k=6", x)
    assert decoded[:6].tolist() == [96, 96, -96, 12, -12, 12]


def test_topk_two_level_error_is_the_least_over_all_cuts():
    x = np.abs(vector(4096, 3)) + np.float32(1e-6)
    _, (decoded,), _ = sent("topk", x)
    kept = np.sort(x[decoded != 0].astype(np.float64))[::-1]
    parts = [(kept[:cut], kept[cut:]) for cut in range(1, len(kept))]
    best = min(((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum() for a, b in parts)
    got = ((x - decoded)[decoded != 0].astype(np.float64) ** 2).sum()
    assert best * 0.999 <= got <= best * 1.01  # the levels have 8 bits


@pytest.mark.parametrize("text", ALL)
def test_zeros_are_zero_bytes_or_first_indices(text: str):
    data, (decoded,), _ = sent(text, np.zeros(5000, np.float32))
    assert not decoded.any()
    if not text.startswith("topk"):
        assert not any(data[HEADER:])


@pytest.mark.parametrize("text", ALL)
def test_tiny_blocks_vanish_and_the_residual_keeps_them(text: str):
    x = np.full(300, 2.0**-110, np.float32)
    _, (decoded,), left = sent(text, x)
    assert not decoded.any()
    assert left is None or left["t0"].tolist() == x.tolist()


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("value", [2.0**-100, 1.99 * 2.0**-101, 2.0**100, 1.99 * 2.0**99])
def test_the_ends_of_the_range_are_canonical(text: str, value: float):
    data, (decoded,), _ = sent(text, np.full(300, value, np.float32))
    assert compress.parse(text).compress({"t0": decoded}, schema_of(300))[0] == data
    assert np.isfinite(decoded).all()


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**101])
def test_not_finite_or_huge_is_refused(text: str, value: float):
    x = vector(300)
    x[7] = value
    with pytest.raises(UpdateRejected) as caught:
        sent(text, x)
    assert caught.value.reason is Reason.NOT_FINITE


def test_another_schema_is_refused_on_the_way_in():
    with pytest.raises(UpdateRejected) as caught:
        compress.parse("int8").compress({"t0": vector(3)}, schema_of(4))
    assert caught.value.reason is Reason.SCHEMA_MISMATCH
    with pytest.raises(UpdateRejected) as caught:
        compress.parse("sign").compress({"t0": vector(3)}, schema_of(3), {"other": vector(3)})
    assert caught.value.reason is Reason.SCHEMA_MISMATCH


@pytest.mark.parametrize("schema", [(), (("a", (0,)),), (("b", (1,)), ("a", (1,))), (("a", (1,)), ("a", (1,)))])
def test_schemas_that_are_none(schema):
    with pytest.raises(AggregationError, match="distinct names"):
        compress.parse("int8").encoded_bytes(schema)


@pytest.mark.parametrize(("text", "decay"), [("sign", 1.0), ("topk", 0.95), ("int4:feedback=50", 0.5)])
def test_error_feedback_formula(text: str, decay: float):
    first, second = vector(5000, 1), vector(5000, 2)
    _, (got,), left = sent(text, first)
    assert left["t0"].tobytes() == (first - got).tobytes()
    moved = second + left["t0"] * np.float32(decay)
    _, (again,), left = sent(text, second, residual=left)
    assert again.tobytes() == sent(f"{text.split(':', maxsplit=1)[0]}:feedback=0", moved)[1][0].tobytes()
    assert left["t0"].tobytes() == (moved - again).tobytes()


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("bound", [1e-3, 0.02, 0.0499, 1e9])
def test_what_is_decoded_stays_within_the_norm_bound(text: str, bound: float):
    scheme, schema = compress.parse(text), schema_of(5000, 7)
    update = {"t0": vector(5000), "t1": vector(7)}
    residual = {name: 2 * tensor for name, tensor in update.items()}
    data, left = scheme.compress(update, schema, residual, max_norm=bound)
    sent_tensors = scheme.decompress(data, schema, max_bytes=len(data))
    free, _ = scheme.compress(update, schema, residual)
    free_norm = l2_norm(scheme.decompress(free, schema, max_bytes=len(free)))
    assert l2_norm(sent_tensors) <= bound
    assert l2_norm(sent_tensors) > 0.45 * min(bound, free_norm)  # not much less than allowed
    if left is not None:
        x = {name: tensor + residual[name] * np.float32(scheme.feedback / 100) for name, tensor in update.items()}
        assert all(left[name].tobytes() == (x[name] - sent_tensors[name]).tobytes() for name in x)


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_a_norm_bound_is_positive(bound: float):
    with pytest.raises(AggregationError, match="max_norm"):
        compress.parse("int8").compress({"t0": vector(3)}, schema_of(3), max_norm=bound)


@pytest.mark.parametrize("text", ["sign", "topk:feedback=100"])
def test_with_feedback_the_sums_agree_in_the_end(text: str):
    x = vector(4096, 5)
    total, left = np.zeros(4096), None
    for _ in range(400):
        _, (got,), left = sent(text, x, residual=left)
        total += got
    assert np.linalg.norm(total / 400 - x) < 0.1 * np.linalg.norm(x)


@pytest.mark.parametrize("text", ALL)
def test_values_pass_the_fixed_point_unrounded_as_far_down_as_claimed(text: str):
    octaves = compress.parse(text).unrounded_octaves(30)
    _, (values,), _ = sent(text, vector(4096, 6))
    b = exponent_of(values[:256]) if not text.startswith("topk") else exponent_of(values)
    block = values[:256]
    shift = common_shift([b + octaves], 30)
    q = quantise(block, shift, 30)
    assert (q.values * 2.0**-shift == block).all()
    if text in {"int8", "int4"}:  # and no further: the smallest code is halved
        one = np.array([np.abs(block)[block != 0].min()], np.float32)
        finer = one if text == "int4" else np.array([2.0 ** (b - 7)], np.float32)
        assert (quantise(finer, common_shift([b + octaves + 1], 30), 30).values * 2.0 ** -(shift - 1) != finer).all()


def test_claimed_numbers():
    octaves = {text: compress.parse(text).unrounded_octaves() for text in ALL[:4]}
    assert octaves == {"int8": 19, "int4": 23, "sign": 25, "topk": 18}


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ALL)
def test_container_refusals(text: str):
    data, _, _ = sent(text, vector(300), vector(5))
    assert refused(text, data, 300, 5, max_bytes=len(data) - 1) is Reason.TOO_LARGE
    assert refused(text, data[:-1], 300, 5) is Reason.BAD_ENCODING
    assert refused(text, data + b"\0", 300, 5) is Reason.BAD_ENCODING
    assert refused(text, data[:10], 300, 5) is Reason.BAD_ENCODING
    assert refused(text, b"", 300, 5) is Reason.BAD_ENCODING
    assert refused(text, data, 300, 6) is Reason.SCHEMA_MISMATCH
    assert refused(text, data, 5, 300) is Reason.SCHEMA_MISMATCH
    for position in range(8):
        broken = bytearray(data)
        broken[position] ^= 1
        assert refused(text, bytes(broken), 300, 5) is Reason.BAD_ENCODING
    other = "int4" if text != "int4" else "int8"
    assert refused(other, data, 300, 5) is Reason.BAD_ENCODING


def test_a_huge_schema_is_refused_by_length_before_anything_is_allocated():
    scheme, schema = compress.parse("topk"), (("t0", (1 << 40,)),)
    from aggregation.compress import container

    data = container.header(scheme.number, scheme.parameter, schema)
    with pytest.raises(UpdateRejected) as caught:
        scheme.decompress(data, schema, max_bytes=1 << 60)
    assert caught.value.reason is Reason.BAD_ENCODING


def patched(text: str, tensor, position: int, value: int):
    data = bytearray(sent(text, tensor)[0])
    data[HEADER + position] = value
    return refused(text, bytes(data), tensor.size)


ONES = np.array([1, -1, 1], np.float32)  # int8: one exponent byte, then 64, -64, 64


def test_integer_blocks_refuse_other_images():
    data = sent("int8", ONES)[0][HEADER:]
    assert list(data) == [128 - 6, 64, 192, 64]
    reasons = [patched("int8", ONES, 1, 128)]  # -128
    reasons.append(patched("int8", np.zeros(3, np.float32), 0, 128))  # zeros with an exponent
    reasons.append(patched("int8", ONES, 0, 0))  # the exponent of zeros, but not zero
    reasons.append(patched("int8", np.array([64], np.float32), 1, 63))  # could use half the scale
    reasons.append(patched("int8", ONES, 0, 255))  # above 2^100
    reasons.append(patched("int8", ONES, 0, 1))  # below 2^-100
    reasons.append(patched("int4", ONES, 1, 0x8C))  # -8
    reasons.append(patched("int4", ONES, 2, 0x14))  # unused nibble
    assert set(reasons) == {Reason.BAD_ENCODING}


def test_sign_blocks_refuse_other_images():
    assert list(sent("sign", ONES)[0][HEADER:]) == [128, 0b010]
    reasons = [patched("sign", ONES, 1, 0b1010)]  # unused bit
    reasons.append(patched("sign", np.zeros(3, np.float32), 1, 1))  # sign of a zero
    reasons.append(patched("sign", ONES, 0, 255))
    reasons.append(patched("sign", ONES, 0, 1))
    assert set(reasons) == {Reason.BAD_ENCODING}


def chunk(hi: int, lo: int, exponent: int, indices: list[int], codes: list[int]) -> bytes:
    """A container of one chunk as given, canonical or not."""
    from aggregation.compress import container

    scheme = compress.parse(f"topk:k={len(indices)}")
    packed = topk._pack_indices(np.array(indices)), topk._pack_pairs(np.array(codes, np.uint8))
    head = container.header(scheme.number, scheme.parameter, schema_of(4096))
    return head + bytes([hi, lo, exponent]) + packed[0].tobytes() + packed[1].tobytes()


def test_a_chunk_by_hand():
    data = chunk(200, 7, 128, [3, 70, 4095], [1, 2, 3])
    decoded = compress.parse("topk:k=3").decompress(data, schema_of(4096), max_bytes=100)["t0"]
    assert {int(i): float(decoded[i]) for i in np.flatnonzero(decoded)} == {3: 200.0, 70: -7.0, 4095: -200.0}


@pytest.mark.parametrize(
    "image",
    [
        (200, 7, 128, [70, 3, 4095], [1, 2, 3]),  # not ascending
        (200, 7, 128, [3, 3, 4095], [1, 2, 3]),  # twice
        (100, 7, 128, [3, 70, 4095], [1, 2, 3]),  # hi has 7 bits
        (200, 7, 128, [3, 70, 4095], [0, 0, 0]),  # lo alone
        (200, 7, 128, [3, 70, 4095], [1, 1, 1]),  # lo unused, but not 0
        (200, 200, 128, [3, 70, 4095], [1, 0, 1]),  # hi = lo
        (200, 201, 128, [3, 70, 4095], [1, 0, 1]),  # hi < lo
        (200, 0, 128, [3, 70, 4095], [1, 2, 1]),  # minus zero
        (200, 0, 128, [3, 70, 4095], [1, 0, 1]),  # a kept zero that is not the first
        (0, 0, 128, [0, 1, 2], [0, 0, 0]),  # zeros with an exponent
        (0, 0, 0, [0, 1, 3], [0, 0, 0]),  # zeros at other places
        (200, 7, 0, [3, 70, 4095], [1, 2, 3]),  # the exponent of zeros
        (200, 7, 255, [3, 70, 4095], [1, 2, 3]),  # above 2^100
        (200, 7, 2, [3, 70, 4095], [1, 2, 3]),  # below 2^-100
    ],
)
def test_topk_refuses_other_images(image):
    assert refused("topk:k=3", chunk(*image), 4096) is Reason.BAD_ENCODING


def test_topk_refuses_indices_beyond_a_short_chunk_and_unused_bits():
    x = vector(100)
    size = 100  # k = 1024 keeps 25
    data = bytearray(sent("topk:k=1024", x)[0])
    last = HEADER + 3 + 24 * 12 // 8
    data[last], data[last + 1] = 100, 0
    assert refused("topk:k=1024", bytes(data), size) is Reason.BAD_ENCODING
    good = bytearray(sent("topk:k=1024", x)[0])
    good[last + 1] |= 0x80
    assert refused("topk:k=1024", bytes(good), size) is Reason.BAD_ENCODING
    good = bytearray(sent("topk:k=1024", x)[0])
    good[-1] |= 0x80
    assert refused("topk:k=1024", bytes(good), size) is Reason.BAD_ENCODING


def test_packing_round_trips():
    for count in (1, 2, 3, 64, 65):
        index = np.arange(count) * 63
        assert topk._unpack_indices(topk._pack_indices(index), count).tolist() == index.tolist()
        codes = (np.arange(count) % 4).astype(np.uint8)
        assert topk._unpack_pairs(topk._pack_pairs(codes), count).tolist() == codes.tolist()
        nibbles = (np.arange(count) % 15 - 7).astype(np.int8)
        assert blocks._unpack_nibbles(blocks._pack_nibbles(nibbles), count).tolist() == nibbles.tolist()


# --- names and pipelines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["int8", "int4", "sign", "topk", "topk:k=32", "topk:k=32,feedback=90", "int4:feedback=100"]
)
def test_parse_and_print(text: str):
    assert str(compress.parse(text)) == text


def test_defaults_are_not_printed():
    assert str(compress.parse("topk:k=64,feedback=95")) == "topk"
    assert compress.parse("topk:feedback=95").parameter == 64


@pytest.mark.parametrize(
    "text",
    ["", "gzip", "int8:", "int8:k=3", "topk:k=0", "topk:k=1025", "topk:k=1,k=2", "sign:feedback=101", "topk:k=x"],
)
def test_parse_refuses(text: str):
    with pytest.raises(AggregationError):
        compress.parse(text)


@pytest.mark.parametrize("pipeline", ["median", "trimmed_mean", "arc+trimmed_mean", "norm_clip+median"])
def test_sparse_updates_do_not_go_with_ranks(pipeline: str):
    with pytest.raises(AggregationError, match="nnm") as caught:
        compress.require_compatible(registry.parse(pipeline), compress.parse("topk"))
    assert "mean" in caught.value.hint
    compress.require_compatible(registry.parse(pipeline), compress.parse("sign"))


@pytest.mark.parametrize("pipeline", ["mean", "norm_clip+mean", "nnm+trimmed_mean", "arc+nnm+median", "multi_krum"])
def test_sparse_updates_go_with(pipeline: str):
    compress.require_compatible(registry.parse(pipeline), compress.parse("topk"))


def test_why_ranks_of_coordinates_are_refused():
    rng = np.random.default_rng(4)
    common = rng.standard_normal(4096, dtype=np.float32)
    noisy = [common + 2 * rng.standard_normal(4096).astype(np.float32) for _ in range(12)]
    clients = {bytes([i]): {"t0": sent("topk", x)[1][0]} for i, x in enumerate(noisy)}
    kept = {}
    for name in ("mean", "nnm+trimmed_mean", "multi_krum", "median", "trimmed_mean"):
        out = registry.parse(name).aggregate(clients, schema_of(4096)).tensors["t0"].astype(np.float64)
        kept[name] = float(out @ common / np.square(common, dtype=np.float64).sum())  # share along the common direction
    assert min(kept["nnm+trimmed_mean"], kept["multi_krum"]) > 0.8 * kept["mean"]
    assert max(kept["median"], kept["trimmed_mean"]) < 0.1 * kept["mean"]


def test_known_bytes():
    """A change of format must be noticed: these hashes were computed once, on the machine that wrote the code."""
    rng = np.random.Generator(np.random.PCG64(7))
    x = (rng.integers(-(2**20), 2**20, 6000) * rng.integers(0, 2**10, 6000)).astype(np.float32) * np.float32(2.0**-40)
    found = {text: hashlib.sha256(sent(text, x[:5000], x[5000:])[0]).hexdigest()[:16] for text in ALL[:4]}
    assert found == KNOWN


KNOWN = {
    "int8": "eb3d53c844f2b471",
    "int4": "fd084cd879cf259e",
    "sign": "d70a4ee99a82237d",
    "topk": "7f1de2b314c80cda",
}

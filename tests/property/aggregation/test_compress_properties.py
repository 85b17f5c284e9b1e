"""Compressed updates under fuzzing: any bytes give tensors or `UpdateRejected`, and what is accepted is the one image of its content."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aggregation import compress
from aggregation.errors import UpdateRejected

TEXTS = st.sampled_from(["int8", "int4", "sign", "topk", "topk:k=3", "topk:k=700"])
SIZES = st.one_of(st.integers(1, 12), st.sampled_from([255, 256, 257, 515]))
WIDE = st.floats(-(2.0**100), 2.0**100, width=32)  # all magnitudes, subnormals too
NARROW = st.one_of(st.just(0.0), st.floats(-1, 1, width=32), st.sampled_from([1.0, -1.0, 0.5, 2.0**-20]))
TENSORS = st.lists(
    st.tuples(SIZES, st.sampled_from([WIDE, NARROW])).flatmap(lambda p: hnp.arrays(np.float32, p[0], elements=p[1])),
    min_size=1,
    max_size=3,
)
HEADER = 16


def named(tensors: list[np.ndarray]):
    update = {f"t{i}": tensor for i, tensor in enumerate(tensors)}
    return update, tuple((name, tensor.shape) for name, tensor in update.items())


def recoded(scheme: compress.Scheme, data: bytes, schema) -> bytes | None:
    """The bytes that the decoded content encodes to; None if refused. Any other exception fails the test."""
    try:
        tensors = scheme.decompress(data, schema, max_bytes=len(data))
    except UpdateRejected:
        return None
    for tensor in tensors.values():
        assert np.isfinite(tensor).all()
        assert not np.signbit(tensor[tensor == 0]).any()
    return scheme.compress(tensors, schema)[0]


@given(TEXTS, TENSORS)
def test_round_trip_is_canonical(text: str, tensors: list[np.ndarray]):
    scheme = compress.parse(text)
    update, schema = named(tensors)
    data, _ = scheme.compress(update, schema)
    assert len(data) == scheme.encoded_bytes(schema)
    assert recoded(scheme, data, schema) == data


@settings(max_examples=400)
@given(TEXTS, TENSORS, st.data())
def test_mutations_are_canonical_or_refused(text: str, tensors: list[np.ndarray], data: st.DataObject):
    scheme = compress.parse(text)
    update, schema = named(tensors)
    whole = bytearray(scheme.compress(update, schema)[0])
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(HEADER, len(whole) - 1))
        whole[position] = data.draw(st.integers(0, 255))
    assert recoded(scheme, bytes(whole), schema) in (None, bytes(whole))


@settings(max_examples=300)
@given(TEXTS, st.lists(st.integers(1, 9), min_size=1, max_size=2), st.data())
def test_random_payloads_are_canonical_or_refused(text: str, sizes: list[int], data: st.DataObject):
    scheme = compress.parse(text)
    update, schema = named([np.zeros(size, np.float32) for size in sizes])
    head = scheme.compress(update, schema)[0][:HEADER]
    length = scheme.encoded_bytes(schema) - HEADER
    whole = head + data.draw(st.binary(min_size=length, max_size=length))
    assert recoded(scheme, whole, schema) in (None, whole)


@given(TEXTS, st.binary(max_size=300))
def test_arbitrary_bytes(text: str, data: bytes):
    scheme = compress.parse(text)
    assert recoded(scheme, data, (("t0", (40,)),)) in (None, data)


@given(TEXTS, TENSORS, TENSORS)
def test_feedback_loses_nothing(text: str, tensors: list[np.ndarray], others: list[np.ndarray]):
    """Sent plus residual is what was to be sent, up to float32's rounding of the difference."""
    scheme = compress.parse(text)
    update, schema = named(tensors)
    data, residual = scheme.compress(update, schema)
    decoded = scheme.decompress(data, schema, max_bytes=len(data))
    if scheme.feedback == 0:
        assert residual is None
        return
    assert residual is not None
    for name, tensor in update.items():
        exact = tensor.astype(np.float64) - decoded[name]
        assert np.allclose(residual[name], exact, rtol=2.0**-23, atol=2.0**-120)


@given(st.sampled_from([("int8", 127), ("int4", 7)]), TENSORS)
def test_integer_blocks_err_by_half_a_step(scheme: tuple[str, int], tensors: list[np.ndarray]):
    text, qmax = scheme
    update, schema = named(tensors)
    data, _ = compress.parse(text).compress(update, schema)
    decoded = compress.parse(text).decompress(data, schema, max_bytes=len(data))
    for name, tensor in update.items():
        for start in range(0, tensor.size, 256):
            block, got = (x[start : start + 256].astype(np.float64) for x in (tensor, decoded[name]))
            step = 2 * np.abs(block).max() / qmax  # the scale is less than twice the one that just fits
            assert np.abs(block - got).max() <= max(step / 2, 2.0**-100)


@pytest.mark.parametrize("text", ["int8", "int4", "sign", "topk"])
@settings(max_examples=30)
@given(tensor=hnp.arrays(np.float32, 300, elements=NARROW), exponent=st.integers(-40, 40))
def test_scaling_by_a_power_of_two_scales_what_is_decoded(text: str, tensor: np.ndarray, exponent: int):
    scheme, factor = compress.parse(text), np.float32(2.0**exponent)
    tensor = np.where(np.abs(tensor) < 2.0**-24, np.float32(0), tensor)
    schema = (("t0", tensor.shape),)
    plain, scaled = (
        scheme.decompress(scheme.compress({"t0": x}, schema)[0], schema, max_bytes=10_000)["t0"]
        for x in (tensor, tensor * factor)
    )
    assert (plain * factor == scaled).all()

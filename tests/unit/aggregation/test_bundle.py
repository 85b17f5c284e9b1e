"""Bundles: one byte image per content, everything else refused with a reason."""

import json

import numpy as np
import pytest
import safetensors.numpy

from aggregation import bundle
from aggregation.errors import AggregationError, Reason, UpdateRejected

TENSORS = {
    "b.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.array(-0.0, np.float32),
    "c:x/y-z_1": np.array([np.nan, np.inf, 1e-45], np.float32),
}


def pack(header: object, data: bytes, *, pad: bool = True) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    if pad:
        text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def entry(shape: list[int], start: int, stop: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def refusal(data: bytes, max_bytes: int = 1 << 20) -> Reason:
    with pytest.raises(UpdateRejected) as caught:
        bundle.decode(data, max_bytes=max_bytes)
    assert caught.value.what
    return caught.value.reason


def test_round_trip_keeps_every_bit():
    data = bundle.encode(TENSORS)
    decoded = bundle.decode(data, max_bytes=len(data))
    assert list(decoded) == sorted(TENSORS)
    for name, tensor in TENSORS.items():
        assert decoded[name].tobytes() == tensor.tobytes()
        assert decoded[name].shape == tensor.shape
        assert decoded[name].dtype == np.float32
    assert bundle.encode(decoded) == data


def test_order_of_the_mapping_does_not_matter():
    assert bundle.encode(dict(reversed(TENSORS.items()))) == bundle.encode(TENSORS)


def test_strided_tensors_are_written_in_c_order():
    square = np.arange(9, dtype=np.float32).reshape(3, 3)
    assert bundle.encode({"w": square.T}) == bundle.encode({"w": square.T.copy()})


def test_same_bytes_as_the_safetensors_library():
    data = bundle.encode(TENSORS)
    assert safetensors.numpy.save(dict(TENSORS)) == data
    assert safetensors.numpy.load(data)["b.weight"].tolist() == TENSORS["b.weight"].tolist()


def test_layout_is_pinned():
    header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  '
    expected = len(header).to_bytes(8, "little") + header + b"\x00\x00\x80\x3f\x00\x00\x00\xc0"
    assert bundle.encode({"w": np.array([1, -2], np.float32)}) == expected


def test_encoded_bytes_is_exact():
    assert bundle.encoded_bytes(bundle.schema_of(TENSORS)) == len(bundle.encode(TENSORS))


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"": np.ones(1, np.float32)},
        {"ä": np.ones(1, np.float32)},
        {'quote"': np.ones(1, np.float32)},
        {"x" * 257: np.ones(1, np.float32)},
        {"w": np.ones(1, np.float64)},
        {"w": np.ones(1, ">f4")},
        {"w": np.ones((0, 3), np.float32)},
        {"w": np.ones((1,) * 17, np.float32)},
    ],
)
def test_what_has_no_canonical_form_is_not_encoded(tensors: dict[str, np.ndarray]):
    with pytest.raises(AggregationError):
        bundle.encode(tensors)


def test_too_large_is_found_before_anything_is_read():
    data = bundle.encode(TENSORS)
    assert refusal(data, max_bytes=len(data) - 1) is Reason.TOO_LARGE


def test_every_truncation_is_refused():
    data = bundle.encode(TENSORS)
    assert {refusal(data[:length]) for length in range(len(data))} == {Reason.BAD_ENCODING}


def test_every_flipped_header_bit_is_refused_or_changes_the_content():
    data = bundle.encode({"w": np.ones((2, 2), np.float32)})
    header_end = 8 + int.from_bytes(data[:8], "little")
    accepted = set()
    for position in range(header_end * 8):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << (position % 8)
        try:
            decoded = bundle.decode(bytes(flipped), max_bytes=1 << 20)
        except UpdateRejected:
            continue
        assert bundle.encode(decoded) == bytes(flipped)
        accepted |= set(decoded)
    assert accepted  # names such as "v" or "s" are other valid bundles


F16 = entry([1], 0, 4, "F16")
HOSTILE = {
    "empty": (b"", Reason.BAD_ENCODING),
    "header length only": (b"\x00" * 8, Reason.BAD_ENCODING),
    "absurd header length": (b"\xff" * 8 + b"{}", Reason.BAD_ENCODING),
    "no tensors": (pack({}, b""), Reason.BAD_ENCODING),
    "trailing byte": (pack({"a": entry([1], 0, 4)}, bytes(5)), Reason.BAD_ENCODING),
    "unsorted": (pack({"b": entry([1], 0, 4), "a": entry([1], 4, 8)}, bytes(8)), Reason.BAD_ENCODING),
    "gap": (pack({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)), Reason.BAD_ENCODING),
    "overlap": (pack({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, bytes(4)), Reason.BAD_ENCODING),
    "offset against shape": (pack({"a": entry([2], 0, 4)}, bytes(4)), Reason.BAD_ENCODING),
    "negative size": (pack({"a": entry([-1], 0, 4)}, bytes(4)), Reason.BAD_ENCODING),
    "leading zero": (pack(b'{"a":{"dtype":"F32","shape":[01],"data_offsets":[0,4]}}', bytes(4)), Reason.BAD_ENCODING),
    "empty tensor": (pack({"a": entry([0], 0, 0)}, b""), Reason.BAD_ENCODING),
    "overflowing shape": (pack({"a": entry([2**59] * 16, 0, 4)}, bytes(4)), Reason.BAD_ENCODING),
    "overflow to a small size": (pack({"a": entry([2**32, 2**32], 0, 0)}, b""), Reason.BAD_ENCODING),
    "17 axes": (pack({"a": entry([1] * 17, 0, 4)}, bytes(4)), Reason.BAD_ENCODING),
    "metadata": (pack({"__metadata__": {"a": "b"}, "a": entry([1], 0, 4)}, bytes(4)), Reason.BAD_ENCODING),
    "blanks": (pack(json.dumps({"a": entry([1], 0, 4)}).encode(), bytes(4)), Reason.BAD_ENCODING),
    "escaped name": (
        pack(b'{"\\u0061":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
        Reason.BAD_ENCODING,
    ),
    "duplicate": (
        pack(
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
            bytes(8),
        ),
        Reason.BAD_ENCODING,
    ),
    "deep": (pack(b"[" * 100_000, b""), Reason.BAD_ENCODING),
    "huge number": (
        pack(b'{"a":{"dtype":"F32","shape":[' + b"9" * 10_000 + b'],"data_offsets":[0,4]}}', bytes(4)),
        Reason.BAD_ENCODING,
    ),
    "other key order": (
        pack(b'{"a":{"shape":[1],"dtype":"F32","data_offsets":[0,4]}}', bytes(4)),
        Reason.BAD_ENCODING,
    ),
    "too much padding": (
        pack(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' + b" " * 10, bytes(4)),
        Reason.BAD_ENCODING,
    ),
    "no padding": (
        pack(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4), pad=False),
        Reason.BAD_ENCODING,
    ),
    "comma at the end": (
        pack(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},}', bytes(4)),
        Reason.BAD_ENCODING,
    ),
    "float16": (pack({"a": F16}, bytes(4)), Reason.DTYPE),
    "float64": (pack({"a": entry([1], 0, 8, "F64")}, bytes(8)), Reason.DTYPE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused_with_their_reason(name: str):
    data, reason = HOSTILE[name]
    assert refusal(data) is reason


def test_flatten_and_back():
    schema = bundle.schema_of(TENSORS)
    vector = bundle.flatten(TENSORS, schema)
    assert vector.shape == (bundle.size_of(schema),) == (10,)
    assert vector[1:7].tolist() == [0, 1, 2, 3, 4, 5]  # "a" comes first, then "b.weight"
    back = bundle.unflatten(vector, schema)
    assert bundle.encode(back) == bundle.encode(TENSORS)


def test_flatten_refuses_another_schema():
    with pytest.raises(UpdateRejected, match="'a' is missing"):
        bundle.flatten({"b": np.ones(1, np.float32)}, (("a", (1,)),))


@pytest.mark.parametrize("vector", [np.ones(9, np.float32), np.ones(10), np.ones((2, 5), np.float32)])
def test_unflatten_refuses_another_vector(vector: np.ndarray):
    with pytest.raises(AggregationError, match="float32 vector of 10"):
        bundle.unflatten(vector, bundle.schema_of(TENSORS))

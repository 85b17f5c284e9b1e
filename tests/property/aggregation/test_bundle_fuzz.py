"""Bundles under fuzzing: whatever the bytes, the answer is tensors or `UpdateRejected`, and acceptance is canonical."""

import numpy as np
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aggregation import bundle, checks
from aggregation.errors import UpdateRejected

NAMES = st.text("abcXYZ019._/:-", min_size=1, max_size=12)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, max_side=4)
BITS = st.integers(0, 2**32 - 1)
ARRAYS = SHAPES.flatmap(lambda shape: hnp.arrays(np.uint32, shape, elements=BITS)).map(
    lambda bits: bits.view(np.float32)
)
TENSORS = st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=5)


def accepted(data: bytes) -> dict[str, np.ndarray] | None:
    """Decoded tensors; None if refused. Any other exception fails the test."""
    try:
        return bundle.decode(data, max_bytes=1 << 16)
    except UpdateRejected:
        return None


@given(TENSORS)
def test_round_trip(tensors: dict[str, np.ndarray]):
    data = bundle.encode(tensors)
    decoded = bundle.decode(data, max_bytes=len(data))
    assert bundle.schema_of(decoded) == bundle.schema_of(tensors)
    for name, tensor in tensors.items():
        assert decoded[name].tobytes() == tensor.tobytes()
    assert bundle.encode(decoded) == data
    assert bundle.encoded_bytes(bundle.schema_of(tensors)) == len(data)


@given(TENSORS)
def test_the_library_reads_and_writes_the_same_bytes(tensors: dict[str, np.ndarray]):
    data = bundle.encode(tensors)
    loaded = safetensors.numpy.load(data)
    assert {name: array.tobytes() for name, array in loaded.items()} == {n: t.tobytes() for n, t in tensors.items()}
    assert safetensors.numpy.save(tensors) == data


@given(st.binary(max_size=400))
def test_arbitrary_bytes(data: bytes):
    tensors = accepted(data)
    assert tensors is None or bundle.encode(tensors) == data


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_arbitrary_headers(header: bytes, data: bytes):
    whole = len(header).to_bytes(8, "little") + header + data
    tensors = accepted(whole)
    assert tensors is None or bundle.encode(tensors) == whole


@given(st.text('{}[]":,0123456789abFdtypeshapedata_offsets ', max_size=300), st.integers(0, 40))
def test_almost_json_headers(text: str, size: int):
    header = text.encode()
    whole = len(header).to_bytes(8, "little") + header + bytes(size)
    tensors = accepted(whole)
    assert tensors is None or bundle.encode(tensors) == whole


@settings(max_examples=300)
@given(TENSORS, st.data())
def test_mutations_of_good_bundles(tensors: dict[str, np.ndarray], data: st.DataObject):
    whole = bytearray(bundle.encode(tensors))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(whole) - 1))
        edit = data.draw(st.sampled_from(["replace", "delete", "insert"]))
        if edit == "replace":
            whole[position] = data.draw(st.integers(0, 255))
        elif edit == "delete":
            del whole[position]
        else:
            whole.insert(position, data.draw(st.integers(0, 255)))
    found = accepted(bytes(whole))
    assert found is None or bundle.encode(found) == bytes(whole)


@given(TENSORS, st.floats(0, 1e6))
def test_validation_never_raises_anything_else(tensors: dict[str, np.ndarray], max_norm: float):
    data = bundle.encode(tensors)
    flat = np.concatenate([tensor.reshape(-1) for tensor in tensors.values()]).astype(np.float64)
    with np.errstate(invalid="ignore"):
        good = bool(np.isfinite(flat).all()) and float(np.linalg.norm(flat)) <= max_norm * (1 - 1e-9)
    try:
        checks.validate_update(data, bundle.schema_of(tensors), max_bytes=len(data), max_norm=max_norm)
    except UpdateRejected:
        assert not good
    else:
        assert np.isfinite(flat).all()


@given(TENSORS)
def test_flatten_round_trip(tensors: dict[str, np.ndarray]):
    schema = bundle.schema_of(tensors)
    back = bundle.unflatten(bundle.flatten(tensors, schema), schema)
    assert bundle.encode(back) == bundle.encode(tensors)

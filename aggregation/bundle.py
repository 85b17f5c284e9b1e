"""Canonical bundles: float32 tensors as safetensors bytes, one byte image per content.

The file format is safetensors (8 bytes little-endian header length, JSON header, data). Of the many byte images that
format allows for one set of tensors, exactly one is accepted here, so a hash of the bytes is a hash of the content:

* names sorted by bytes, 1 to 256 characters of ``A-Z a-z 0-9 . _ - / :``, at least one tensor;
* every tensor F32, little-endian, C order, no empty tensors, at most 16 dimensions;
* data in the order of the names, without gap or overlap, nothing after it;
* header without blanks, keys ``dtype, shape, data_offsets`` in this order, no ``__metadata__``, padded with spaces to
  a multiple of 8.

Since the canonical header is a regular language, it is read by one regular expression instead of a JSON parser: no
recursion, no duplicate keys, no big floats, time linear in its length. `safetensors` reads every bundle, and for
float32 tensors writes the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aggregation.errors import AggregationError, Reason, UpdateRejected

Vector: TypeAlias = NDArray[np.float32]
Tensors: TypeAlias = Mapping[str, Vector]
Shape: TypeAlias = tuple[int, ...]
Schema: TypeAlias = tuple[tuple[str, Shape], ...]
"""Names and shapes, sorted by name: what two bundles must share to be added."""

MAX_HEADER_BYTES = 1 << 24
MAX_DIMENSIONS = 16
_ITEM = 4  # bytes of a float32
_ALIGN = 8
_LITTLE_ENDIAN = np.dtype("<f4")
_NAME = re.compile(r"[A-Za-z0-9._/:-]{1,256}")
_NUMBER = rb"(?:0|[1-9][0-9]{0,17})"  # below 2^63
_ENTRY = re.compile(
    rb'"([A-Za-z0-9._/:-]{1,256})":\{"dtype":"([A-Z0-9_]{1,16})",'
    rb'"shape":\[((?:' + _NUMBER + rb"(?:," + _NUMBER + rb'){0,63})?)\],"data_offsets":\[('
    rb"" + _NUMBER + rb"),(" + _NUMBER + rb")\]\}"
)


def encode(tensors: Tensors) -> bytes:
    """Canonical bytes of the tensors; equal content gives equal bytes, whatever the order of the mapping.

    Args:
        tensors: float32 arrays by name. Bits are kept as they are, NaN payloads and −0 included.

    Raises:
        AggregationError: no tensors, a name outside the alphabet, another dtype, or an empty tensor.
    """
    if not tensors:
        raise AggregationError("A bundle needs at least one tensor.", hint="Check which parameters are trainable.")
    for name, tensor in tensors.items():
        _require_encodable(name, tensor)
    schema = schema_of(tensors)
    parts = [prefix(schema)]
    parts += [np.ascontiguousarray(tensors[name], dtype=_LITTLE_ENDIAN).tobytes() for name, _ in schema]
    return b"".join(parts)


def to_float32(values: NDArray[Any], out: Vector) -> None:
    """float16, or bfloat16 held in uint16, to float32: exact, subnormals included."""
    if values.dtype == np.uint16:
        np.left_shift(values, 16, out=out.view(np.uint32), dtype=np.uint32)
    else:
        out[...] = values


def decode(data: bytes, *, max_bytes: int) -> dict[str, Vector]:
    """Tensors of a canonical bundle, in order of name: read-only views into ``data``, nothing is copied.

    (For torch use ``torch.tensor(array)``, which copies; ``torch.from_numpy`` warns about read-only memory.)

    Args:
        data: bytes from anywhere; nothing about them is trusted.
        max_bytes: longest acceptable length.

    Raises:
        UpdateRejected: `TOO_LARGE`, `DTYPE` (a tensor is not F32) or `BAD_ENCODING` (anything else that is not
            the one canonical image). Values are not looked at: see `aggregation.checks`.
    """
    if len(data) > max_bytes:
        raise UpdateRejected(
            Reason.TOO_LARGE,
            f"The bundle has {len(data)} bytes, the limit is {max_bytes}.",
            hint="Compare your trainable tensors with the guideline's architecture.",
        )
    header, start = _split(data)
    schema = _parse(header)
    size = sum(_count(shape) for _, shape in schema) * _ITEM
    if len(data) - start != size:
        raise _bad(f"The header announces {size} bytes of data, {len(data) - start} follow.")
    tensors: dict[str, Vector] = {}
    offset = start
    for name, shape in schema:
        count = _count(shape)
        view = np.frombuffer(data, dtype=_LITTLE_ENDIAN, count=count, offset=offset).reshape(shape)
        tensors[name] = view.astype(np.float32, copy=False)
        offset += count * _ITEM
    return tensors


def prefix(schema: Schema) -> bytes:
    """What stands before the data: the header's length and the header; a multiple of 8 bytes."""
    header = _header(schema)
    return len(header).to_bytes(_ALIGN, "little") + header


def schema_of(tensors: Tensors) -> Schema:
    """Names and shapes, sorted by name."""
    return tuple((name, tuple(int(size) for size in tensors[name].shape)) for name in sorted(tensors))


def size_of(schema: Schema) -> int:
    """Number of parameters."""
    return sum(_count(shape) for _, shape in schema)


def encoded_bytes(schema: Schema) -> int:
    """Exact length of a bundle of this schema: the natural ``max_bytes``."""
    return len(prefix(schema)) + size_of(schema) * _ITEM


def require_schema(tensors: Tensors, schema: Schema, *, half: bool = False) -> None:
    """Names, shapes and dtype are exactly those of the schema.

    Args:
        tensors: arrays by name.
        schema: what they must be.
        half: float16, and bfloat16 held in uint16, are welcome as well.

    Raises:
        UpdateRejected: `SCHEMA_MISMATCH` naming the first difference, or `DTYPE`.
    """
    found, expected = dict(schema_of(tensors)), dict(schema)
    hint = "Start training from the round's checkpoint, with the guideline's trainable parameters."
    for name in sorted(found.keys() ^ expected.keys()):
        state = "is missing" if name in expected else "is not part of the model"
        raise UpdateRejected(Reason.SCHEMA_MISMATCH, f"Tensor {name!r} {state}.", hint=hint)
    for name, shape in schema:
        if found[name] != shape:
            what = f"Tensor {name!r} has shape {list(found[name])}, the model has {list(shape)}."
            raise UpdateRejected(Reason.SCHEMA_MISMATCH, what, hint=hint)
        dtype = tensors[name].dtype
        if dtype != np.float32 and not (half and dtype in (np.float16, np.uint16)):
            raise UpdateRejected(Reason.DTYPE, f"Tensor {name!r} is {dtype}, not float32.")


def flatten(tensors: Tensors, schema: Schema) -> Vector:
    """All parameters as one new float32 vector, tensors in order of name, each in C order.

    Raises:
        UpdateRejected: the tensors do not have this schema.
    """
    require_schema(tensors, schema)
    parts = [tensors[name].reshape(-1) for name, _ in schema]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def unflatten(vector: Vector, schema: Schema) -> dict[str, Vector]:
    """Inverse of `flatten`; the tensors are views into ``vector``.

    Raises:
        AggregationError: wrong dtype, not one-dimensional, or wrong length.
    """
    size = size_of(schema)
    if vector.dtype != np.float32 or vector.shape != (size,):
        raise AggregationError(f"Expected a float32 vector of {size}, got {vector.dtype} of shape {vector.shape}.")
    tensors: dict[str, Vector] = {}
    start = 0
    for name, shape in schema:
        stop = start + _count(shape)
        tensors[name] = vector[start:stop].reshape(shape)
        start = stop
    return tensors


def is_name(name: str) -> bool:
    """Whether a tensor of this name can be encoded."""
    return _NAME.fullmatch(name) is not None


def _count(shape: Shape) -> int:
    return prod(shape)


def _require_encodable(name: str, tensor: Vector) -> None:
    if not is_name(name):
        raise AggregationError(f"Tensor name {name!r} cannot be encoded.", why="Allowed: 1-256 of A-Za-z0-9._/:-")
    if tensor.dtype != np.float32:
        raise AggregationError(
            f"Tensor {name!r} is {tensor.dtype}, not float32.",
            hint="Convert it yourself, so that the rounding is yours to choose.",
        )
    if tensor.size == 0 or tensor.ndim > MAX_DIMENSIONS:
        raise AggregationError(f"Tensor {name!r} of shape {tensor.shape} is empty or has over {MAX_DIMENSIONS} axes.")


def _header(schema: Schema) -> bytes:
    entries = []
    start = 0
    for name, shape in schema:
        stop = start + _count(shape) * _ITEM
        sizes = ",".join(map(str, shape))
        entries.append(f'"{name}":{{"dtype":"F32","shape":[{sizes}],"data_offsets":[{start},{stop}]}}')
        start = stop
    text = ("{" + ",".join(entries) + "}").encode("ascii")
    return text + b" " * (-len(text) % _ALIGN)


def _split(data: bytes) -> tuple[bytes, int]:
    """Header bytes and where the data starts."""
    if len(data) < _ALIGN:
        raise _bad(f"{len(data)} bytes are too few for a header length.")
    length = int.from_bytes(data[:_ALIGN], "little")
    start = _ALIGN + length
    if length > MAX_HEADER_BYTES or start > len(data):
        raise _bad(f"A header of {length} bytes cannot be (the file has {len(data)}).")
    return data[_ALIGN:start], start


def _parse(header: bytes) -> Schema:
    """The header's schema, once every entry has been read and the whole header equals its canonical form."""
    schema: list[tuple[str, Shape]] = []
    for found in _entries(header):
        name, dtype = found[1].decode("ascii"), found[2].decode("ascii")
        if dtype != "F32":
            raise UpdateRejected(Reason.DTYPE, f"Tensor {name!r} is {dtype}, not F32.")
        shape = tuple(int(size) for size in found[3].split(b",")) if found[3] else ()
        if len(shape) > MAX_DIMENSIONS or 0 in shape:
            raise _bad(f"Tensor {name!r} of shape {list(shape)} is empty or has over {MAX_DIMENSIONS} axes.")
        schema.append((name, shape))
    if any(before >= after for (before, _), (after, _) in pairwise(schema)):
        raise _bad("Tensor names are not in strictly ascending order.")
    if header != _header(tuple(schema)):
        raise _bad("The header is not canonical (offsets, padding).")
    return tuple(schema)


def _entries(header: bytes) -> Iterator[re.Match[bytes]]:
    position = 1
    if header[:1] != b"{":
        raise _bad("The header does not start with '{'.")
    while True:
        found = _ENTRY.match(header, position)
        if found is None:
            raise _bad(f"The header cannot be read at byte {position}.")
        yield found
        position = found.end() + 1
        if header[found.end() : position] != b",":
            return  # what follows ("}" and padding) is compared with the canonical header


def _bad(what: str) -> UpdateRejected:
    return UpdateRejected(Reason.BAD_ENCODING, what, hint="Write bundles with aggregation.bundle.encode.")

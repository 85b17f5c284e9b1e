"""The container of a compressed update: which scheme and which tensors, in 16 bytes, before the payload.

```
0  4  magic "CWCU"
4  1  version, 1
5  1  number of the scheme
6  2  parameter of the scheme, little-endian (k of topk; 0 for the others)
8  8  first 8 bytes of SHA-256 over the canonical text of the schema
16    payload: each tensor's codes, tensors in order of name, without gap
```

Every length follows from scheme and schema, so none is stored. Eight bytes of the hash are enough: the receiver knows the schema it
wants and compares; the field finds mistakes, and who forged it would gain only that his bytes are read with the receiver's schema.
"""

from __future__ import annotations

import hashlib
from math import prod

from aggregation.bundle import Schema
from aggregation.errors import AggregationError, Reason, UpdateRejected

HEADER_BYTES = 16
_MAGIC = b"CWCU"
_VERSION = 1
_DOMAIN = b"commonweight/compressed-update/1\n"


def header(number: int, parameter: int, schema: Schema) -> bytes:
    """The 16 bytes (layout in the module docstring)."""
    return _MAGIC + bytes([_VERSION, number]) + parameter.to_bytes(2, "little") + schema_digest(schema)


def schema_digest(schema: Schema) -> bytes:
    """First 8 bytes of SHA-256 over the domain, then per tensor ``name, blank, sizes joined by commas, line feed``."""
    lines = "".join(f"{name} {','.join(map(str, shape))}\n" for name, shape in schema)
    return hashlib.sha256(_DOMAIN + lines.encode()).digest()[:8]


def sizes_of(schema: Schema) -> list[int]:
    """Number of values of each tensor.

    Raises:
        AggregationError: no tensors, unsorted names, or an empty tensor.
    """
    names = [name for name, _ in schema]
    sizes = [prod(shape) for _, shape in schema]
    if not schema or names != sorted(set(names)) or min(sizes) < 1:
        raise AggregationError(
            "A compressed update needs tensors with distinct names in order, none of them empty.",
            hint="Take the schema from aggregation.bundle.schema_of.",
        )
    return sizes


def open_payload(data: bytes, expected: bytes, length: int, max_bytes: int) -> memoryview:
    """Payload of a container whose header is exactly ``expected`` and whose length is ``length``; nothing is copied.

    Raises:
        UpdateRejected: `TOO_LARGE`, `BAD_ENCODING` or `SCHEMA_MISMATCH`, checked in that order (then the length).
    """
    if len(data) > max_bytes:
        raise UpdateRejected(
            Reason.TOO_LARGE,
            f"The compressed update has {len(data)} bytes, the limit is {max_bytes}.",
            hint="Compare your trainable tensors and scheme with the guideline.",
        )
    found = bytes(data[:HEADER_BYTES])
    if len(found) < HEADER_BYTES or found[:5] != expected[:5]:
        raise bad("The bytes are no compressed update of version 1.")
    if found[5:8] != expected[5:8]:
        raise bad(
            f"The update was compressed by scheme {found[5]} with parameter {int.from_bytes(found[6:8], 'little')}, "
            f"expected is {expected[5]} with {int.from_bytes(expected[6:8], 'little')}."
        )
    if found[8:] != expected[8:]:
        raise UpdateRejected(
            Reason.SCHEMA_MISMATCH,
            "The compressed update is one of other tensors.",
            hint="Start training from the round's checkpoint, with the guideline's trainable parameters.",
        )
    if len(data) != length:
        raise bad(f"The compressed update has {len(data)} bytes, this scheme and schema make {length}.")
    return memoryview(data)[HEADER_BYTES:]


def bad(what: str) -> UpdateRejected:
    """A `BAD_ENCODING` refusal."""
    return UpdateRejected(Reason.BAD_ENCODING, what, hint="Write compressed updates with aggregation.compress.")

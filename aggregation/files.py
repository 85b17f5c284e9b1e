"""Updates as memory-mapped safetensors files, for aggregates of any size in little memory.

`mapped` opens any safetensors file of float32, float16 or bfloat16 tensors (not only the canonical bundles of `aggregation.bundle`)
without reading it; `aggregate_files` streams many into one canonical bundle. What is needed beside the mapped pages is a
tile per thread; pages already used may be dropped by the kernel at any time, since nothing writes to them.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregation import bundle
from aggregation.errors import AggregationError, Reason, UpdateRejected
from aggregation.registry import Aggregate, Pipeline

MAX_HEADER_BYTES = bundle.MAX_HEADER_BYTES
_LENGTH = 8
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
_CHUNK = 1 << 20


@contextmanager
def mapped(path: Path) -> Iterator[dict[str, NDArray[Any]]]:
    """Tensors of a safetensors file, read-only views into the mapped file, valid inside the ``with``; bfloat16 as uint16.

    Raises:
        AggregationError: the file cannot be opened.
        UpdateRejected: `BAD_ENCODING` or `DTYPE`.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < _LENGTH:
                raise _bad(path, f"{size} bytes are too few")
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise AggregationError(
            f"Cannot open {path}: {error.strerror}.", hint="Check the path and its permissions."
        ) from error
    # The views keep the mapping alive; it goes when the last of them does.
    yield _tensors(path, np.frombuffer(view, np.uint8))


def file_id(path: Path) -> bytes:
    """SHA-256 of a file's bytes: an id that depends on the content alone."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.digest()


def aggregate_files(
    pipeline: Pipeline,
    paths: Sequence[Path],
    out: Path,
    *,
    weights: Sequence[int] | None = None,
    seed: bytes = b"",
    kernels: str | None = None,
    threads: int = 1,
    tile: int = 0,
) -> tuple[Aggregate, str]:
    """Aggregate files into a canonical bundle; the same bytes whatever the order of the paths.

    Clients are identified by the SHA-256 of their file (equal files: and by how many came before). The result is written
    through a mapped file beside ``out`` that takes its place at the end, so a crash or a full disk leaves the old file.

    Args:
        pipeline: what to do.
        paths: the updates; the first file's names and shapes are those all must have.
        out: the bundle to write.
        weights: one integer per path, for ``weighted_mean``.
        seed: see `Pipeline.aggregate`.
        kernels: likewise.
        threads: likewise.
        tile: likewise.

    Returns:
        The aggregate (its tensors are views into the written file) and the file's SHA-256 in hex.

    Raises:
        AggregationError: no files, one that cannot be read, or ``out`` cannot be written.
        UpdateRejected: a file is no safetensors file of such tensors, or they differ in schema.
    """
    if not paths:
        raise AggregationError("No files to aggregate.", hint="Name at least one safetensors file.")
    if weights is not None and len(weights) != len(paths):
        raise AggregationError(f"{len(weights)} weights for {len(paths)} files.", hint="Give one integer per file.")
    with ExitStack() as stack:
        updates: dict[bytes, dict[str, NDArray[Any]]] = {}
        shares: dict[bytes, int] = {}
        for index, path in enumerate(paths):
            tensors = stack.enter_context(mapped(path))
            client = _unique(file_id(path), updates)
            updates[client] = tensors
            shares[client] = 1 if weights is None else weights[index]
        schema = bundle.schema_of(next(iter(updates.values())))
        try:
            result = _written(
                out,
                schema,
                lambda target: pipeline.aggregate(
                    updates,
                    schema,
                    weights=None if weights is None else shares,
                    seed=seed,
                    out=target,
                    kernels=kernels,
                    threads=threads,
                    tile=tile,
                ),
            )
        except UpdateRejected as error:
            whose = [path for path, client in zip(paths, updates, strict=True) if client.hex() in error.why]
            why = f"{error.why} Its file is {whose[0]}." if whose else error.why
            raise UpdateRejected(error.reason, error.what, why=why, hint=error.hint) from error
    return result, file_id(out).hex()


def _written(out: Path, schema: bundle.Schema, fill: Any) -> Aggregate:
    """Let ``fill`` write a canonical bundle's tensors in place, then move it to ``out``."""
    prefix = bundle.prefix(schema)
    size = bundle.encoded_bytes(schema)
    # not the process id: in a container a crashed process had the same one
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(8)}.part")
    try:
        with temporary.open("x+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk shows here, not as a fault while writing
            file.write(prefix)
            file.flush()
            view = mmap.mmap(file.fileno(), size)
        values = np.frombuffer(view, np.dtype("<f4"), offset=len(prefix))
        result: Aggregate = fill(bundle.unflatten(values, schema))
        view.flush()
        temporary.replace(out)
    except OSError as error:
        hint = "Check the folder, its permissions and space."
        raise AggregationError(f"Cannot write {out}: {error.strerror}.", hint=hint) from error
    finally:
        temporary.unlink(missing_ok=True)
    return result


def _unique(digest: bytes, taken: Mapping[bytes, Any]) -> bytes:
    copies = sum(client.startswith(digest) for client in taken)
    return digest + copies.to_bytes(2, "big")


def _tensors(path: Path, data: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    length = int.from_bytes(data[:_LENGTH].tobytes(), "little")
    start = _LENGTH + length
    if length > MAX_HEADER_BYTES or start > data.size:
        raise _bad(path, f"its header of {length} bytes cannot be")
    try:
        header = json.loads(data[_LENGTH:start].tobytes())
    except (ValueError, RecursionError) as error:
        raise _bad(path, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise _bad(path, "its header is not an object")
    header.pop("__metadata__", None)
    if not header:
        raise _bad(path, "it holds no tensors")
    tensors = {name: _tensor(path, name, entry, data[start:]) for name, entry in sorted(header.items())}
    spans = sorted(tuple(entry["data_offsets"]) for entry in header.values())
    if any(stop > start for (_, stop), (start, _) in pairwise(spans)):
        raise _bad(path, "its tensors overlap")
    return tensors


def _tensor(path: Path, name: str, entry: Any, data: NDArray[np.uint8]) -> NDArray[Any]:
    match entry:
        case {"dtype": str(kind), "shape": list(shape), "data_offsets": [int(first), int(last)]}:
            pass
        case _:
            raise _bad(path, f"its entry for {name!r} is incomplete")
    if not bundle.is_name(name):
        raise _bad(path, f"tensor {name!r} needs a name of 1 to 256 of A-Za-z0-9._/:-")
    if kind not in _DTYPES:
        raise UpdateRejected(Reason.DTYPE, f"{path}: tensor {name!r} is {kind}, not one of {', '.join(_DTYPES)}.")
    if not all(type(size) is int and 0 < size < 1 << 48 for size in shape) or len(shape) > bundle.MAX_DIMENSIONS:
        raise _bad(path, f"tensor {name!r} of shape {shape} is empty or impossible")
    count = bundle.size_of(((name, tuple(shape)),))
    if not 0 <= first <= last <= data.size or last - first != count * _DTYPES[kind].itemsize:
        raise _bad(path, f"tensor {name!r} lies outside the file or has another size than its shape")
    values: NDArray[Any] = np.frombuffer(data[first:last], _DTYPES[kind])
    return values.reshape(shape)


def _bad(path: Path, what: str) -> UpdateRejected:
    return UpdateRejected(
        Reason.BAD_ENCODING, f"{path} is no safetensors file: {what}.", hint="Write it with safetensors."
    )

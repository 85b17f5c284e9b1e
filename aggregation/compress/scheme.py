"""Compression schemes by name: ``int8``, ``int4``, ``sign``, ``topk``, with settings as in ``topk:k=64,feedback=95``.

Error feedback: with residual r of the trainer's last update, decay d and codec C::

    x = update + d · r        sent: C(x)        r' = x - C(x)        each operation float32, elementwise

So what a coarse code loses is sent later. The residual is private state of the trainer and has no bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from aggregation.bundle import Schema, Tensors, Vector, require_schema
from aggregation.checks import l2_norm
from aggregation.compress import container
from aggregation.compress.blocks import LIMIT, IntegerBlocks, SignBlocks
from aggregation.compress.topk import MAX_K, TopK
from aggregation.errors import AggregationError, Reason, UpdateRejected
from aggregation.kernels_numpy import HEADROOM

_SHRINK = 0.99
_TEXT = re.compile(r"([a-z0-9]+)(?::([a-z]+=[0-9]{1,4}(?:,[a-z]+=[0-9]{1,4})*))?")


class Codec(Protocol):
    """Bytes of one flat tensor, canonical (`aggregation.compress.blocks`, `aggregation.compress.topk`)."""

    @property
    def value_bits(self) -> int:
        """Values of a block below 2^b are multiples of ``2^(b - value_bits)``."""
        ...

    def length(self, size: int) -> int:
        """Exact number of bytes."""
        ...

    def encode(self, flat: Vector) -> bytes:
        """Bytes of finite values."""
        ...

    def decode(self, data: memoryview, size: int) -> Vector:
        """Values, or `UpdateRejected`."""
        ...


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to compress updates. Pure functions of their arguments, the same bits on every machine.

    Attributes:
        name: as written in a guideline.
        number: in the container.
        codec: how a tensor becomes bytes.
        parameter: in the container: k of topk, else 0.
        feedback: decay d of error feedback in per cent; 0 is none.
    """

    name: str
    number: int
    codec: Codec
    parameter: int = 0
    feedback: int = 0

    def __str__(self) -> str:
        default = _DEFAULTS[self.name]
        settings = [f"k={self.parameter}"] if self.parameter != default.parameter else []
        settings += [f"feedback={self.feedback}"] if self.feedback != default.feedback else []
        return self.name + (":" + ",".join(settings) if settings else "")

    @property
    def sparse(self) -> bool:
        """Whether most coordinates of an update are zero."""
        return isinstance(self.codec, TopK)

    def unrounded_octaves(self, bits: int = 30) -> int:
        """How many powers of two a block may lie below its group's scale and still pass the fixed point unrounded.

        `aggregation.fixed_point` keeps multiples of ``2^(E - (bits - 4))`` in every group of 1024 coordinates, E the exponent that its
        clients voted; a block below 2^b holds multiples of ``2^(b - value_bits)``. So its values are kept exactly (unless so large
        that they are clamped) while ``E - b ≤ bits - 4 - value_bits``: for bits = 30 that is 19 for int8, 23 for int4, 25 for
        sign, 18 for topk. With ``nnm`` bits is ``30 - ⌈log2 n⌉``, for n = 10 four less.
        """
        return bits - HEADROOM - self.codec.value_bits

    def encoded_bytes(self, schema: Schema) -> int:
        """Exact length of every compressed update of this schema: the natural ``max_bytes``."""
        return container.HEADER_BYTES + sum(self.codec.length(size) for size in container.sizes_of(schema))

    def compress(
        self, update: Tensors, schema: Schema, residual: Tensors | None = None, *, max_norm: float | None = None
    ) -> tuple[bytes, dict[str, Vector] | None]:
        """Bytes of ``update + d · residual``, and what they lack of it (formula in the module docstring).

        Args:
            update: float32 tensors of this schema.
            schema: names and shapes, sorted by name.
            residual: what the last call returned; None at first. Not looked at without error feedback.
            max_norm: largest L2 norm of what is decoded. Rounding, and more so a residual, can lift an update above the bound to
                which it was clipped; then less is sent, x times a factor below 1, and the residual keeps the rest.

        Returns:
            ``(bytes, new residual)``; the residual is None without error feedback.

        Raises:
            UpdateRejected: `SCHEMA_MISMATCH` or `DTYPE`; `NOT_FINITE`: NaN, infinity, or a magnitude above 2^100.
            AggregationError: an empty schema or tensor, or a norm bound that is not positive.
        """
        wanted = self._wanted(update, schema, residual)
        data, sent = self._coded(wanted, schema)
        if max_norm is not None:
            if not max_norm > 0:
                raise AggregationError(f"max_norm={max_norm} must be above 0.", hint="Correct the guideline.")
            factor = 1.0
            while (norm := l2_norm(sent)) > max_norm:  # each pass shrinks by 1 % or more, zeros are within any bound
                factor *= max_norm / norm * _SHRINK
                data, sent = self._coded({name: x * np.float32(factor) for name, x in wanted.items()}, schema)
        return data, {name: wanted[name] - sent[name] for name in wanted} if self.feedback else None

    def decompress(self, data: bytes, schema: Schema, *, max_bytes: int) -> dict[str, Vector]:
        """Tensors of a compressed update, new arrays: every value is a small integer times a power of two, never −0.

        Nothing is allocated before all lengths have been checked.

        Args:
            data: bytes from anywhere; nothing about them is trusted.
            schema: names and shapes expected.
            max_bytes: longest acceptable length.

        Raises:
            UpdateRejected: `TOO_LARGE`; `BAD_ENCODING`: another scheme or parameter, or anything but the one image of its content;
                `SCHEMA_MISMATCH`.
        """
        sizes = container.sizes_of(schema)
        expected = container.header(self.number, self.parameter, schema)
        payload = container.open_payload(data, expected, self.encoded_bytes(schema), max_bytes)
        tensors: dict[str, Vector] = {}
        for (name, shape), size in zip(schema, sizes, strict=True):
            length = self.codec.length(size)
            tensors[name] = self.codec.decode(payload[:length], size).reshape(shape)
            payload = payload[length:]
        return tensors

    def _wanted(self, update: Tensors, schema: Schema, residual: Tensors | None) -> dict[str, Vector]:
        """x, finite."""
        require_schema(update, schema)
        wanted = {name: update[name] for name, _ in schema}
        if self.feedback and residual is not None:
            require_schema(residual, schema)
            decay = np.float32(self.feedback / 100)
            wanted = {name: x + residual[name] * decay for name, x in wanted.items()}
        container.sizes_of(schema)
        for name, x in wanted.items():
            _require_moderate(name, x)
        return wanted

    def _coded(self, tensors: Tensors, schema: Schema) -> tuple[bytes, dict[str, Vector]]:
        """Bytes, and what they decode to."""
        parts = [container.header(self.number, self.parameter, schema)]
        decoded: dict[str, Vector] = {}
        for name, shape in schema:
            flat = tensors[name].reshape(-1)
            parts.append(self.codec.encode(flat))
            decoded[name] = self.codec.decode(memoryview(parts[-1]), flat.size).reshape(shape)
        return b"".join(parts), decoded


def parse(text: str) -> Scheme:
    """Scheme of a text: ``name[:setting=number[,…]]``, settings ``feedback`` (per cent, 0-100) and, of topk, ``k`` (1-1024).

    Raises:
        AggregationError: an unknown name or setting, one given twice or out of range, or bad syntax.
    """
    found = _TEXT.fullmatch(text)
    hint = f"Schemes: {', '.join(SCHEMES)}; with settings e.g. topk:k=64,feedback=95."
    if found is None or found[1] not in _DEFAULTS:
        raise AggregationError(f"{text!r} is no compression scheme.", hint=hint)
    scheme = _DEFAULTS[found[1]]
    pairs = [part.split("=") for part in found[2].split(",")] if found[2] else []
    settings = {name: int(number) for name, number in pairs}
    known = {"feedback", "k"} if scheme.sparse else {"feedback"}
    if len(settings) < len(pairs) or not settings.keys() <= known:
        raise AggregationError(
            f"{text!r} has an unknown or repeated setting.", why=f"Known: {', '.join(sorted(known))}."
        )
    feedback, k = settings.get("feedback", scheme.feedback), settings.get("k", scheme.parameter)
    if feedback > 100 or (scheme.sparse and not 1 <= k <= MAX_K):
        raise AggregationError(f"{text!r}: feedback must be in 0..100 and k in 1..{MAX_K}.", hint=hint)
    return Scheme(scheme.name, scheme.number, TopK(k) if scheme.sparse else scheme.codec, k, feedback)


def _require_moderate(name: str, flat: Vector) -> None:
    low, high = float(flat.min()), float(flat.max())  # both hand NaN on
    if not (low >= -(2.0**LIMIT) and high <= 2.0**LIMIT):
        raise UpdateRejected(
            Reason.NOT_FINITE,
            f"Tensor {name!r} holds NaN, infinity, or a magnitude above 2^{LIMIT}.",
            hint="Training diverged: lower the learning rate or clip gradients.",
        )


_DEFAULTS = {
    scheme.name: scheme
    for scheme in (
        Scheme("int8", 1, IntegerBlocks(8)),
        Scheme("int4", 2, IntegerBlocks(4)),
        Scheme("sign", 3, SignBlocks(), feedback=100),
        Scheme("topk", 4, TopK(64), parameter=64, feedback=95),
    )
}
SCHEMES = tuple(_DEFAULTS)
"""Names that `parse` knows."""

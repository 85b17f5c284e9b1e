"""The developer guideline: what a community agreed to train, how updates are made, combined and scored. Data, not code.

Four documents (data, architecture, update, versioning) in one JSON object. Its hash is fixed in the contracts and pinned by every
round; a node whose guideline hashes to something else refuses the round.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn

from node.protocol.errors import ConfigError
from node.protocol.hashing import keccak256

DOCUMENTS = ("data", "architecture", "update", "versioning")
MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class UpdateProtocol:
    """The part of the update document the node itself acts on; learning reads the rest.

    Attributes:
        pipeline: aggregation pipeline, e.g. ``arc+nnm+trimmed_mean``.
        outer_learning_rate: step of the aggregate added to the parent model.
        outer_momentum: Nesterov momentum of the outer step; 0 is plain SGD.
        max_norm: L2 bound of an update; above it the update is malformed.
        max_bytes: size limit of an update or checkpoint file.
    """

    pipeline: str
    outer_learning_rate: float
    outer_momentum: float
    max_norm: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Guideline:
    """The four documents as plain JSON values, and their canonical bytes."""

    documents: Mapping[str, Mapping[str, Any]]

    @property
    def canonical(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, ASCII, one trailing newline."""
        return (json.dumps(self.documents, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n").encode()

    @property
    def hash(self) -> bytes:
        """Keccak-256 of the canonical bytes: what the contracts and every round name."""
        return keccak256(self.canonical)

    @property
    def update(self) -> UpdateProtocol:
        """The update protocol's fields that the node acts on.

        Raises:
            ConfigError: one is missing or of the wrong kind.
        """
        document = self.documents["update"]
        try:
            protocol = UpdateProtocol(
                pipeline=str(document["pipeline"]),
                outer_learning_rate=float(document["outer_learning_rate"]),
                outer_momentum=float(document.get("outer_momentum", 0.0)),
                max_norm=float(document["max_norm"]),
                max_bytes=int(document["max_bytes"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ConfigError(
                f"The guideline's update document is not usable: {error!r}.",
                hint="Compare it with docs/protocol.md; `commonweight guideline show` prints the one in force.",
            ) from error
        numbers = (protocol.max_norm, protocol.max_bytes, protocol.outer_learning_rate)
        if not all(isfinite(number) and number > 0 for number in numbers):
            raise ConfigError(
                "The guideline's max_norm, max_bytes and outer_learning_rate must be positive and finite."
            )
        return protocol

    @property
    def learning(self) -> dict[str, Any]:
        """What `learning.spec.LearningSpec` reads: the ``learning`` parts of data, architecture and update, merged.

        Raises:
            ConfigError: two documents set the same key.
        """
        merged: dict[str, Any] = {}
        for name in ("data", "architecture", "update"):
            for key, value in dict(self.documents[name].get("learning", {})).items():
                if key in merged:
                    raise ConfigError(f"The guideline sets {key!r} in two documents.")
                merged[key] = value
        return merged

    @classmethod
    def parse(cls, data: bytes) -> Guideline:
        """Guideline of JSON bytes.

        Raises:
            ConfigError: not JSON, not exactly the four documents, or too large.
        """
        if len(data) > MAX_BYTES:
            raise ConfigError(f"The guideline has {len(data)} bytes; at most {MAX_BYTES} are read.")
        try:
            value = json.loads(data, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"The guideline is not JSON: {error}.") from error
        if not isinstance(value, dict) or sorted(value) != sorted(DOCUMENTS):
            found = sorted(value) if isinstance(value, dict) else type(value).__name__
            raise ConfigError(f"A guideline has exactly the documents {', '.join(DOCUMENTS)}; this one has {found}.")
        for name in DOCUMENTS:
            if not isinstance(value[name], dict):
                raise ConfigError(f"The guideline's document {name!r} is not an object.")
        return cls(value)


def _refuse_constant(name: str) -> NoReturn:
    """NaN and Infinity are no JSON, though Python reads them."""
    raise ValueError(f"{name} is not a JSON value")

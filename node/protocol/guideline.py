"""The developer guideline: what a community agreed to train, how updates are made, combined and scored. Data, not code.

Four documents (data, architecture, update, versioning) in one JSON object. Its hash is fixed in the contracts and pinned by every
round; a node whose guideline hashes to something else refuses the round.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"The guideline's update document is not usable: {error!r}.",
                hint="Compare it with docs/protocol.md; `commonweight guideline show` prints the one in force.",
            ) from error
        if not (protocol.max_norm > 0 and protocol.max_bytes > 0 and protocol.outer_learning_rate > 0):
            raise ConfigError("The guideline's max_norm, max_bytes and outer_learning_rate must be positive.")
        return protocol

    @classmethod
    def parse(cls, data: bytes) -> Guideline:
        """Guideline of JSON bytes.

        Raises:
            ConfigError: not JSON, not exactly the four documents, or too large.
        """
        if len(data) > MAX_BYTES:
            raise ConfigError(f"The guideline has {len(data)} bytes; at most {MAX_BYTES} are read.")
        try:
            value = json.loads(data)
        except ValueError as error:
            raise ConfigError(f"The guideline is not JSON: {error}.") from error
        if not isinstance(value, dict) or sorted(value) != sorted(DOCUMENTS):
            found = sorted(value) if isinstance(value, dict) else type(value).__name__
            raise ConfigError(f"A guideline has exactly the documents {', '.join(DOCUMENTS)}; this one has {found}.")
        for name in DOCUMENTS:
            if not isinstance(value[name], dict):
                raise ConfigError(f"The guideline's document {name!r} is not an object.")
        return cls(value)

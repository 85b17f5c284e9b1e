"""The developer guideline: what a community agreed to train, how updates are made, combined and scored. Data, not code.

Four documents (data, architecture, update, versioning) in one JSON object. Its hash is fixed in the contracts and pinned by every
round; a node whose guideline hashes to something else refuses the round.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, NoReturn

from node.protocol.errors import ConfigError
from node.protocol.hashing import keccak256

DOCUMENTS = ("data", "architecture", "update", "versioning")
MAX_BYTES = 64 * 1024

CONFIDENTIAL = "members"
CONFIDENTIALITY = ("none", CONFIDENTIAL)
"""Who can read an update before its round is final: everybody, or the round's members (`node.confidential.envelope`)."""

OUTER_KEYS: Mapping[str, tuple[str, ...]] = {
    "sgd": (),
    "momentum": ("outer_momentum",),
    "nesterov": ("outer_momentum",),
    "adam": ("outer_momentum", "outer_second_momentum", "outer_epsilon"),
}
"""Kinds of outer step (`aggregation.outer`), and which keys each needs beside ``outer_learning_rate``."""


def _canonical(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n").encode()


@dataclass(frozen=True, slots=True)
class UpdateProtocol:
    """The part of the update document the node itself acts on; learning reads the rest.

    Attributes:
        pipeline: aggregation pipeline, e.g. ``arc+nnm+trimmed_mean``.
        outer_kind: how the aggregate moves the model, a key of `OUTER_KEYS`. A document without it means ``nesterov`` if it
            has an outer momentum, else ``sgd``.
        outer_learning_rate: step of the aggregate added to the parent model.
        outer_momentum: momentum of the outer step; 0 for sgd.
        outer_second_momentum: decay of adam's variance; 0 for the others.
        outer_epsilon: what adam adds to the root of its variance; 0 for the others.
        compression: how updates travel (`aggregation.compress`), e.g. ``none``.
        max_norm: L2 bound of an update; above it the update is malformed.
        max_bytes: size limit of an update or checkpoint file.
        confidentiality: who can read an update before its round is final, one of `CONFIDENTIALITY`.
    """

    pipeline: str
    outer_kind: str
    outer_learning_rate: float
    outer_momentum: float
    outer_second_momentum: float
    outer_epsilon: float
    compression: str
    max_norm: float
    max_bytes: int
    confidentiality: str = "none"


@dataclass(frozen=True, slots=True)
class Guideline:
    """The four documents as plain JSON values, and their canonical bytes."""

    documents: Mapping[str, Mapping[str, Any]]

    @property
    def canonical(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, ASCII, one trailing newline."""
        return _canonical(self.documents)

    @property
    def hash(self) -> bytes:
        """Keccak-256 of the canonical bytes: what the contracts and every round name."""
        return keccak256(self.canonical)

    def document(self, name: str) -> bytes:
        """Canonical JSON of one of the four documents, by itself: what the GuidelineRegistry names by hash and CID."""
        return _canonical(self.documents[name])

    @property
    def update(self) -> UpdateProtocol:
        """The update protocol's fields that the node acts on.

        Raises:
            ConfigError: one is missing, of the wrong kind, or out of its range.
        """
        document = self.documents["update"]
        try:
            momentum = float(document.get("outer_momentum", 0.0))
            protocol = UpdateProtocol(
                pipeline=str(document["pipeline"]),
                outer_kind=str(document.get("outer_kind", "sgd" if momentum == 0 else "nesterov")),
                outer_learning_rate=float(document["outer_learning_rate"]),
                outer_momentum=momentum,
                outer_second_momentum=float(document.get("outer_second_momentum", 0.0)),
                outer_epsilon=float(document.get("outer_epsilon", 0.0)),
                compression=str(document.get("compression", "none")),
                max_norm=float(document["max_norm"]),
                max_bytes=int(document["max_bytes"]),
                confidentiality=str(document.get("confidentiality", "none")),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ConfigError(
                f"The guideline's update document is not usable: {error!r}.",
                hint="Compare it with docs/protocol.md; `commonweight guideline show` prints the one in force.",
            ) from error
        numbers = (protocol.max_norm, protocol.max_bytes, protocol.outer_learning_rate)
        if not all(0 < number < inf for number in numbers):  # false for NaN; isfinite() cannot take every whole number
            raise ConfigError(
                "The guideline's max_norm, max_bytes and outer_learning_rate must be positive and finite."
            )
        if protocol.confidentiality not in CONFIDENTIALITY:
            raise ConfigError(
                f"The guideline's confidentiality is {protocol.confidentiality!r}; it can be {' or '.join(CONFIDENTIALITY)}."
            )
        _require_outer(protocol, document)
        return protocol

    @property
    def learning(self) -> dict[str, Any]:
        """What `learning.spec.LearningSpec` reads: the ``learning`` parts of data, architecture and update, merged.

        Raises:
            ConfigError: two documents set the same key, or one's learning part is no object.
        """
        merged: dict[str, Any] = {}
        for name in ("data", "architecture", "update"):
            part = self.documents[name].get("learning", {})
            if not isinstance(part, dict):
                raise ConfigError(f"The guideline's {name}.learning is {part!r:.80}, not an object.")
            for key, value in part.items():
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


def _require_outer(protocol: UpdateProtocol, document: Mapping[str, Any]) -> None:
    """The outer step's kind is known, and exactly the keys that it uses are set, within their ranges (those of `aggregation.outer`).

    Raises:
        ConfigError: names the key and the values it may have.
    """
    kind = protocol.outer_kind
    if kind not in OUTER_KEYS:
        raise ConfigError(
            f"The guideline's outer_kind is {kind!r}; it can be one of {', '.join(sorted(OUTER_KEYS))}.",
            hint="Leave it out for nesterov (with an outer_momentum) or sgd (without).",
        )
    adam = kind == "adam"
    momentum, second, epsilon = protocol.outer_momentum, protocol.outer_second_momentum, protocol.outer_epsilon
    wanted = "within [0, 1)" if adam else "above 0 and below 1"
    for key, value, is_within, allowed in (
        ("outer_momentum", momentum, 0 <= momentum < 1 and (adam or momentum > 0), wanted),
        ("outer_second_momentum", second, 0 <= second < 1, "within [0, 1)"),
        ("outer_epsilon", epsilon, 0 < epsilon < inf, "above 0 and finite"),
    ):
        if key not in OUTER_KEYS[kind]:
            if value != 0:
                raise ConfigError(
                    f"The guideline's {key} is {value}; outer_kind {kind} does not use it, so it must be 0."
                )
        elif key not in document:
            raise ConfigError(f"The guideline's outer_kind {kind} needs {key}: a number {allowed}.")
        elif not is_within:
            raise ConfigError(f"The guideline's {key} is {value}; for outer_kind {kind} it must be {allowed}.")


def _refuse_constant(name: str) -> NoReturn:
    """NaN and Infinity are no JSON, though Python reads them."""
    raise ValueError(f"{name} is not a JSON value")

"""From accepted updates to the next checkpoint: the one computation that every peer and every auditor must get bit for bit.

next = outer step(parent, pipeline(updates in order of trainer address)). Everything here is a pure function of bytes and the guideline.
"""

from __future__ import annotations

from collections.abc import Mapping

from aggregation.bundle import Schema, Tensors, decode, encode, schema_of
from aggregation.outer import apply as outer_step
from node.protocol.errors import ConfigError
from node.protocol.guideline import Guideline

VELOCITY = "velocity."
"""Prefix of the outer optimiser's momentum: it lives in the checkpoint, so that a checkpoint alone is enough to go on from."""


def trainable_names(names: Mapping[str, object], guideline: Guideline) -> list[str]:
    """Sorted names of the tensors an update carries: those ending in the architecture document's ``trainable_suffix``.

    Raises:
        ConfigError: the guideline names none of the checkpoint's tensors.
    """
    suffix = str(guideline.documents["architecture"].get("trainable_suffix", ""))
    chosen = sorted(name for name in names if name.endswith(suffix) and not name.startswith(VELOCITY))
    if not chosen:
        raise ConfigError(f"No tensor of the checkpoint ends in the guideline's trainable_suffix {suffix!r}.")
    return chosen


def trainable_schema(checkpoint: Tensors, guideline: Guideline) -> Schema:
    """Names and shapes that every update of this checkpoint must have."""
    return schema_of({name: checkpoint[name] for name in trainable_names(checkpoint, guideline)})


def difference(newer: Tensors, older: Tensors, guideline: Guideline) -> Tensors:
    """Newer − older on the trainable tensors, float32, each subtraction rounded once."""
    return {name: newer[name] - older[name] for name in trainable_names(newer, guideline)}


def combine(parent: bytes, updates: Mapping[bytes, bytes], guideline: Guideline) -> bytes:
    """Next checkpoint's bytes.

    Args:
        parent: encoded parent checkpoint.
        updates: encoded accepted updates by the 20 bytes of their trainer's address.
        guideline: names pipeline and outer step.
    """
    # Imported here: the pipeline's kernels compile on first use, and most processes that import this module never aggregate.
    from aggregation.registry import parse  # noqa: PLC0415

    protocol = guideline.update
    base = decode(parent, max_bytes=protocol.max_bytes)
    schema = trainable_schema(base, guideline)
    decoded = {trainer: decode(data, max_bytes=protocol.max_bytes) for trainer, data in sorted(updates.items())}
    aggregate = parse(protocol.pipeline).aggregate(decoded, schema)
    velocity = {name: base[VELOCITY + name] for name, _shape in schema if VELOCITY + name in base}
    stepped, moved = outer_step(
        {name: base[name] for name, _shape in schema},
        aggregate.tensors,
        learning_rate=protocol.outer_learning_rate,
        momentum=protocol.outer_momentum,
        velocity=velocity or None,
    )
    kept = {VELOCITY + name: value for name, value in moved.items()} if moved and protocol.outer_momentum else {}
    return encode({**base, **stepped, **kept})

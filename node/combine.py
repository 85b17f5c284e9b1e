"""From accepted updates to the next checkpoint: the one computation that every peer and every auditor must get bit for bit.

next = outer step(parent, pipeline(updates in order of trainer address)). Everything here is a pure function of bytes and the guideline.
An update travels in the guideline's compression; `encode_update` and `decode_update` are the two ends of that wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from aggregation.bundle import Schema, Tensors, Vector, decode, encode, encoded_bytes, schema_of
from aggregation.checks import validate_update
from aggregation.errors import AggregationError
from aggregation.outer import SLOTS, OuterStep
from node.protocol.errors import ConfigError
from node.protocol.guideline import Guideline

if TYPE_CHECKING:  # see _scheme
    from aggregation.compress import Scheme
    from aggregation.registry import Pipeline

STATE_PREFIXES: Mapping[str, str] = {slot: f"{slot}." for slots in SLOTS.values() for slot in slots}
"""Prefix of each slot of the outer step's state: it lives in the checkpoint, so that a checkpoint alone is enough to go on from."""

_NOT_IN_ROUNDS = {
    "bucketing": "Its buckets must be drawn after the updates are fixed; no seed is handed to the aggregation yet.",
    "weighted_mean": "Trainers would report their own weights.",
}

UNCOMPRESSED = "none"


# --- checkpoints ------------------------------------------------------------------------------------------------------


def model_tensors(checkpoint: Tensors) -> dict[str, Vector]:
    """The checkpoint without the outer step's state: what a trainer loads."""
    prefixes = tuple(STATE_PREFIXES.values())
    return {name: tensor for name, tensor in checkpoint.items() if not name.startswith(prefixes)}


def trainable_names(names: Mapping[str, object], guideline: Guideline) -> list[str]:
    """Sorted names of the tensors an update carries: those ending in the architecture document's ``trainable_suffix``.

    Raises:
        ConfigError: the guideline names none of the checkpoint's tensors.
    """
    suffix = str(guideline.documents["architecture"].get("trainable_suffix", ""))
    prefixes = tuple(STATE_PREFIXES.values())
    chosen = sorted(name for name in names if name.endswith(suffix) and not name.startswith(prefixes))
    if not chosen:
        raise ConfigError(f"No tensor of the checkpoint ends in the guideline's trainable_suffix {suffix!r}.")
    return chosen


def trainable_schema(checkpoint: Tensors, guideline: Guideline) -> Schema:
    """Names and shapes that every update of this checkpoint must have."""
    return schema_of({name: checkpoint[name] for name in trainable_names(checkpoint, guideline)})


def difference(newer: Tensors, older: Tensors, guideline: Guideline) -> Tensors:
    """Newer − older on the trainable tensors, float32, each subtraction rounded once."""
    return {name: newer[name] - older[name] for name in trainable_names(newer, guideline)}


# --- guidelines -------------------------------------------------------------------------------------------------------


def outer_step(guideline: Guideline) -> OuterStep:
    """The guideline's outer step.

    Raises:
        ConfigError: a number that is in range becomes none as float32.
    """
    update = guideline.update
    try:
        return OuterStep(
            update.outer_kind,
            update.outer_learning_rate,
            momentum=update.outer_momentum,
            second_momentum=update.outer_second_momentum,
            epsilon=update.outer_epsilon,
        )
    except AggregationError as error:
        raise _unusable(error) from error


def require_guideline(guideline: Guideline, genesis: bytes | None = None) -> None:
    """The update document can be carried out: pipeline, compression, both together, and the outer step.

    Called by every shell that starts from a guideline, so that a community learns of a mistake before its first round.

    Args:
        guideline: the guideline.
        genesis: the founding checkpoint, if at hand: it must stay within ``max_bytes`` with the outer step's state in it.

    Raises:
        ConfigError: says which part is not possible, and why.
    """
    from aggregation.compress import require_compatible  # noqa: PLC0415 - see _scheme
    from aggregation.registry import parse  # noqa: PLC0415 - see combine

    update = guideline.update
    try:
        pipeline = parse(update.pipeline)
        if update.compression != UNCOMPRESSED:
            require_compatible(pipeline, _scheme(guideline))
    except AggregationError as error:
        raise _unusable(error) from error
    if beyond := [stage.name for stage in pipeline.stages if stage.name in _NOT_IN_ROUNDS]:
        raise ConfigError(
            f"The guideline's pipeline {update.pipeline!r} uses {beyond[0]}, which a round cannot.",
            why=_NOT_IN_ROUNDS[beyond[0]],
            hint="Use mean for equal weights, nnm instead of bucketing.",
        )
    slots = outer_step(guideline).slots
    if genesis is not None:
        base = _require_room(genesis, slots, guideline)
        _require_linear(trainable_schema(base, guideline), pipeline)


def _require_linear(schema: Schema, pipeline: Pipeline) -> None:
    """LoRA factors that a round trains together only go with rules that hand a client's product on whole."""
    from aggregation.lora import A, B, require_aggregatable  # noqa: PLC0415 - see combine

    factors = tuple((name, shape) for name, shape in schema if name.endswith((A, B)))
    if {name[-len(A) :] for name, _ in factors} == {A, B}:
        try:
            require_aggregatable("joint", pipeline, factors)
        except AggregationError as error:
            raise _unusable(error) from error


def _require_room(genesis: bytes, slots: tuple[str, ...], guideline: Guideline) -> Tensors:
    """The genesis checkpoint, which fits with the state of its outer step."""
    limit = guideline.update.max_bytes
    try:
        base = decode(genesis, max_bytes=limit)
    except AggregationError as error:
        raise ConfigError(f"The genesis model cannot be read: {error.what}", why=error.why, hint=error.hint) from error
    state = [
        (STATE_PREFIXES[slot] + name, shape) for slot in slots for name, shape in trainable_schema(base, guideline)
    ]
    grown = encoded_bytes(tuple(sorted({*schema_of(base), *state})))
    if grown > limit:
        raise ConfigError(
            f"Checkpoints will have {grown} bytes, the guideline's max_bytes is {limit}.",
            why=f"The outer step keeps its state ({', '.join(slots)}) in the checkpoint.",
            hint="Raise max_bytes, or choose an outer_kind that keeps less.",
        )
    return base


def _unusable(error: AggregationError) -> ConfigError:
    return ConfigError(f"The guideline's update document is not usable: {error.what}", why=error.why, hint=error.hint)


# --- the wire ---------------------------------------------------------------------------------------------------------


def encode_update(
    update: bytes, schema: Schema, guideline: Guideline, residual: Tensors | None = None
) -> tuple[bytes, Tensors]:
    """An update as it travels, and what the compression left out.

    What arrives is rounded, and with error feedback it is the sum of two updates: it may be longer than ``max_norm`` though the
    update is not, and would be slashed. Then less of it is sent, and with error feedback the residual keeps the rest.

    Args:
        update: canonical bundle of the trainer; without compression its bytes travel as they are, unread.
        schema: names and shapes of the checkpoint's trainable tensors.
        guideline: names compression and norm bound.
        residual: what the trainer's last update left out (error feedback); None is nothing.

    Returns:
        ``(bytes, residual)``; the residual is empty where nothing is carried over.

    Raises:
        AggregationError: the update is no bundle of this schema, or is not finite.
    """
    limits = guideline.update
    if limits.compression == UNCOMPRESSED:
        return update, {}
    tensors = decode(update, max_bytes=limits.max_bytes)
    data, left = _scheme(guideline).compress(tensors, schema, residual or None, max_norm=limits.max_norm)
    return data, left or {}


def decode_update(data: bytes, schema: Schema, guideline: Guideline) -> dict[str, Vector]:
    """Tensors of an update that travelled; nothing about the bytes is trusted, the values are not looked at.

    Raises:
        UpdateRejected: the bytes are not those of the guideline's compression, or are too many.
    """
    limits = guideline.update
    if limits.compression == UNCOMPRESSED:
        return decode(data, max_bytes=limits.max_bytes)
    return _scheme(guideline).decompress(data, schema, max_bytes=limits.max_bytes)


def plain_update(data: bytes, schema: Schema, guideline: Guideline) -> bytes:
    """`decode_update` as a canonical bundle: what the trainer port reads.

    Raises:
        UpdateRejected: as `decode_update`.
    """
    if guideline.update.compression == UNCOMPRESSED:
        return data
    return encode(decode_update(data, schema, guideline))


def check_update(data: bytes, schema: Schema, guideline: Guideline) -> dict[str, Vector]:
    """Decode an update and refuse it unless every check of `aggregation.checks.validate_update` passes.

    Raises:
        UpdateRejected: its `reason` is that of the first failed check.
    """
    limits = guideline.update
    bundle = plain_update(data, schema, guideline)
    # The limit is on what travels; a bundle that was unpacked is as long as the schema makes it.
    max_bytes = limits.max_bytes if limits.compression == UNCOMPRESSED else len(bundle)
    return validate_update(bundle, schema, max_bytes=max_bytes, max_norm=limits.max_norm)


def _scheme(guideline: Guideline) -> Scheme:
    # Imported here: a node without compression never needs it.
    from aggregation.compress import parse  # noqa: PLC0415

    try:
        return parse(guideline.update.compression)
    except AggregationError as error:
        raise AggregationError(
            error.what, why=error.why, hint=f"{error.hint} Or {UNCOMPRESSED}: updates travel as they are.".strip()
        ) from error


# --- the next checkpoint ----------------------------------------------------------------------------------------------


def combine(parent: bytes, updates: Mapping[bytes, bytes], guideline: Guideline) -> bytes:
    """Next checkpoint's bytes: frozen tensors as they were, trainable ones moved, the outer step's state under `STATE_PREFIXES`.

    State of a kind that the guideline does not use any more is dropped.

    Args:
        parent: encoded parent checkpoint.
        updates: accepted updates, as they travelled, by the 20 bytes of their trainer's address.
        guideline: names compression, pipeline and outer step.
    """
    # Imported here: the pipeline's kernels compile on first use, and most processes that import this module never aggregate.
    from aggregation.registry import parse  # noqa: PLC0415

    protocol = guideline.update
    base = decode(parent, max_bytes=protocol.max_bytes)
    schema = trainable_schema(base, guideline)
    decoded = {trainer: decode_update(data, schema, guideline) for trainer, data in sorted(updates.items())}
    aggregate = parse(protocol.pipeline).aggregate(decoded, schema)
    step = outer_step(guideline)
    state = {
        slot: {name: base[STATE_PREFIXES[slot] + name] for name, _ in schema if STATE_PREFIXES[slot] + name in base}
        for slot in step.slots
    }
    moved, kept = step.apply({name: base[name] for name, _ in schema}, aggregate.tensors, state)
    prefixed = {STATE_PREFIXES[slot] + name: tensor for slot in kept for name, tensor in kept[slot].items()}
    return encode({**model_tensors(base), **moved, **prefixed})

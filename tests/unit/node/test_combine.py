"""From updates to the next checkpoint: state in the checkpoint, the compressed wire, and guidelines that cannot be carried out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from aggregation.bundle import Schema, Tensors, decode, encode, encoded_bytes, schema_of
from aggregation.checks import l2_norm
from aggregation.errors import AggregationError, Reason, UpdateRejected
from aggregation.outer import SLOTS
from aggregation.registry import parse
from node.combine import (
    STATE_PREFIXES,
    check_update,
    combine,
    decode_update,
    difference,
    encode_update,
    model_tensors,
    outer_step,
    plain_update,
    require_guideline,
    trainable_names,
    trainable_schema,
)
from node.protocol.errors import ConfigError
from node.protocol.guideline import DOCUMENTS, Guideline

STEPS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"outer_kind": "momentum", "outer_momentum": 0.9},
    "nesterov": {"outer_momentum": 0.9},
    "adam": {"outer_kind": "adam", "outer_momentum": 0.9, "outer_second_momentum": 0.99, "outer_epsilon": 1e-3},
}
COMPRESSIONS = ("none", "int8", "int4", "sign")
SHAPES = {"a.lora_A": (4, 3), "a.lora_B": (5, 4), "b.lora_B": (700,)}


def guideline(**update: object) -> Guideline:
    document = {"pipeline": "mean", "outer_learning_rate": 0.5, "max_norm": 100.0, "max_bytes": 1 << 20, **update}
    documents = {**{name: {} for name in DOCUMENTS}, "architecture": {"trainable_suffix": ".lora_B"}}
    return Guideline.parse(json.dumps({**documents, "update": document}).encode())


def tensors(seed: int, *, suffix: str = "", scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: (scale * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in SHAPES.items()
        if name.endswith(suffix)
    }


def round_of(seed: int, count: int = 4) -> dict[bytes, Tensors]:
    return {bytes([i]) * 20: tensors(seed * 100 + i, suffix=".lora_B", scale=0.1) for i in range(count)}


def schema() -> Schema:
    return schema_of(tensors(0, suffix=".lora_B"))


def travelled(updates: dict[bytes, Tensors], agreed: Guideline) -> dict[bytes, bytes]:
    return {trainer: encode_update(encode(one), schema(), agreed)[0] for trainer, one in updates.items()}


def in_memory(parent: Tensors, rounds: list[dict[bytes, Tensors]], agreed: Guideline) -> bytes:
    """All rounds without ever encoding a checkpoint: the outer step's own state is handed on."""
    model, state = dict(parent), {}
    for updates in rounds:
        arrived = {who: decode_update(data, schema(), agreed) for who, data in travelled(updates, agreed).items()}
        aggregate = parse(agreed.update.pipeline).aggregate(arrived, schema())
        model, state = outer_step(agreed).apply(model, aggregate.tensors, state)
    kept = {STATE_PREFIXES[slot] + name: tensor for slot in state for name, tensor in state[slot].items()}
    return encode({**model, **kept})


# --- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("kind", STEPS)
def test_going_on_from_the_encoded_checkpoint_equals_going_on_in_memory(kind: str, compression: str):
    agreed = guideline(**STEPS[kind], compression=compression)
    rounds = [round_of(1), round_of(2), round_of(3)]
    checkpoint = encode(tensors(0))
    for updates in rounds:
        checkpoint = combine(checkpoint, travelled(updates, agreed), agreed)
    assert checkpoint == in_memory(tensors(0), rounds, agreed)
    # and the state matters: without it the third round goes elsewhere
    parent = combine(
        combine(encode(tensors(0)), travelled(rounds[0], agreed), agreed), travelled(rounds[1], agreed), agreed
    )
    forgetful = combine(encode(model_tensors(decode(parent, max_bytes=1 << 20))), travelled(rounds[2], agreed), agreed)
    assert (forgetful == checkpoint) == (kind == "sgd")


@pytest.mark.parametrize("kind", STEPS)
def test_the_checkpoint_keeps_every_slot_under_its_prefix(kind: str):
    agreed = guideline(**STEPS[kind])
    after = decode(combine(encode(tensors(0)), travelled(round_of(1), agreed), agreed), max_bytes=1 << 20)
    expected = {f"{slot}.{name}" for slot in SLOTS[kind] for name in ("a.lora_B", "b.lora_B")}
    assert set(after) == set(SHAPES) | expected
    assert set(model_tensors(after)) == set(SHAPES)
    assert trainable_names(after, agreed) == ["a.lora_B", "b.lora_B"]
    assert trainable_schema(after, agreed) == schema()
    assert after["a.lora_A"].tobytes() == tensors(0)["a.lora_A"].tobytes()
    assert list(difference(after, tensors(0), agreed)) == ["a.lora_B", "b.lora_B"]


def test_prefixes_are_those_of_checkpoints_already_made():
    assert STATE_PREFIXES == {"velocity": "velocity.", "variance": "variance."}


def test_state_of_a_kind_no_longer_used_is_dropped():
    adam, plain = guideline(**STEPS["adam"]), guideline()
    parent = combine(encode(tensors(0)), travelled(round_of(1), adam), adam)
    updates = travelled(round_of(2), plain)
    bare = encode(model_tensors(decode(parent, max_bytes=1 << 20)))
    assert combine(parent, updates, plain) == combine(bare, updates, plain)


def test_a_suffix_that_names_nothing_is_refused():
    with pytest.raises(ConfigError, match="trainable_suffix"):
        trainable_names({"velocity.x.lora_B": 0, "variance.x.lora_B": 0, "x.lora_A": 0}, guideline())


# --- the wire ---------------------------------------------------------------------------------------------------------


def test_without_compression_bytes_travel_unread():
    assert encode_update(b"anything", schema(), guideline(), tensors(1)) == (b"anything", {})
    assert plain_update(b"anything", schema(), guideline()) == b"anything"


@pytest.mark.parametrize("compression", ["int8", "int4", "sign", "topk"])
def test_the_two_ends_agree_and_the_residual_is_what_was_left_out(compression: str):
    agreed = guideline(compression=compression, pipeline="nnm+mean")
    update = tensors(5, suffix=".lora_B")
    data, residual = encode_update(encode(update), schema(), agreed)
    arrived = decode_update(data, schema(), agreed)
    assert len(data) < encoded_bytes(schema())
    assert decode(plain_update(data, schema(), agreed), max_bytes=1 << 20).keys() == update.keys()
    assert check_update(data, schema(), agreed).keys() == update.keys()
    for name, tensor in update.items():
        if residual:
            np.testing.assert_allclose(arrived[name] + residual[name], tensor, rtol=0, atol=1e-6)
        else:
            np.testing.assert_allclose(arrived[name], tensor, rtol=0, atol=np.abs(tensor).max() / 7)
    assert bool(residual) == (compression in ("sign", "topk"))


def test_the_residual_is_carried_by_the_next_update():
    agreed = guideline(compression="topk", pipeline="nnm+mean")
    update = tensors(5, suffix=".lora_B")
    _, residual = encode_update(encode(update), schema(), agreed)
    with_it, _ = encode_update(encode(update), schema(), agreed, residual)
    without, _ = encode_update(encode(update), schema(), agreed)
    assert with_it != without
    arrived, plain = decode_update(with_it, schema(), agreed), decode_update(without, schema(), agreed)
    assert l2_norm(arrived) > l2_norm(plain)  # what was left out the first time is sent the second time


@pytest.mark.parametrize("compression", ["int8", "int4", "sign", "topk:k=1024,feedback=100"])
def test_a_compressed_update_stays_within_the_norm_bound(compression: str):
    update = tensors(6, suffix=".lora_B")
    bound = l2_norm(update)  # the trainer clipped exactly to the bound
    agreed = guideline(compression=compression, pipeline="nnm+mean", max_norm=bound)
    twice = {name: np.float32(2) * tensor for name, tensor in update.items()}
    for residual in (None, update, twice):
        data, _ = encode_update(encode(update), schema(), agreed, residual)
        arrived = check_update(data, schema(), agreed)
        assert l2_norm(arrived) <= bound
        assert residual is None or l2_norm(arrived) > 0.6 * bound


@pytest.mark.parametrize("bad", [b"", b"noise" * 50], ids=["empty", "noise"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_bytes_that_are_no_update_are_refused(bad: bytes, compression: str):
    with pytest.raises(UpdateRejected):
        check_update(bad, schema(), guideline(compression=compression))


def test_a_bundle_is_no_compressed_update_and_the_other_way_round():
    plain, packed = guideline(), guideline(compression="int8")
    update = encode(tensors(5, suffix=".lora_B"))
    with pytest.raises(UpdateRejected):
        check_update(update, schema(), packed)
    with pytest.raises(UpdateRejected):
        check_update(encode_update(update, schema(), packed)[0], schema(), plain)


def test_what_travels_is_held_to_max_bytes_and_norm():
    update = encode(tensors(5, suffix=".lora_B"))
    data, _ = encode_update(update, schema(), guideline(compression="int8"))
    with pytest.raises(UpdateRejected) as long:
        check_update(data, schema(), guideline(compression="int8", max_bytes=len(data) - 1))
    assert long.value.reason is Reason.TOO_LARGE
    assert check_update(data, schema(), guideline(compression="int8", max_bytes=len(data)))
    with pytest.raises(UpdateRejected) as wide:
        check_update(data, schema(), guideline(compression="int8", max_norm=0.5))
    assert wide.value.reason is Reason.NORM_EXCEEDED


def test_an_update_that_is_not_finite_is_not_compressed():
    update = {name: np.full_like(tensor, np.nan) for name, tensor in tensors(5, suffix=".lora_B").items()}
    with pytest.raises(AggregationError):
        encode_update(encode(update), schema(), guideline(compression="int8"))


# --- guidelines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [*COMPRESSIONS, "topk", "int8:feedback=100"])
def test_guidelines_that_can_be_carried_out(compression: str):
    require_guideline(guideline(compression=compression, pipeline="arc+nnm+trimmed_mean"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compression": "topk", "pipeline": "median"}, "topk updates do not go with median"),
        ({"compression": "topk:k=8", "pipeline": "trimmed_mean"}, "topk updates do not go with trimmed_mean"),
        ({"compression": "zip"}, "'zip'.*int8.*Or none"),
        ({"pipeline": "average"}, "average"),
        ({"pipeline": "bucketing+median"}, "uses bucketing, which a round cannot.*seed"),
        ({"pipeline": "weighted_mean"}, "weighted_mean.*own weights"),
        ({"outer_momentum": 1 - 1e-9}, "momentum"),  # 1 as float32
        ({**STEPS["adam"], "outer_epsilon": 1e-60}, "epsilon"),  # 0 as float32
        ({"outer_kind": "adagrad"}, "outer_kind"),
    ],
)
def test_guidelines_that_cannot_be_carried_out(change: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        require_guideline(guideline(**change))


def test_factors_trained_together_only_go_with_krum():
    both = {**json.loads(guideline(pipeline="median").canonical), "architecture": {"trainable_suffix": ""}}
    genesis = encode({"a.lora_A": np.ones((2, 3), np.float32), "a.lora_B": np.ones((5, 2), np.float32)})
    with pytest.raises(ConfigError, match="Jointly trained LoRA factors"):
        require_guideline(Guideline.parse(json.dumps(both).encode()), genesis)
    both["update"]["pipeline"] = "krum"
    require_guideline(Guideline.parse(json.dumps(both).encode()), genesis)
    require_guideline(guideline(pipeline="median"), genesis)  # B alone


def test_checkpoints_must_have_room_for_the_state():
    genesis = encode(tensors(0))
    names = [("", SHAPES), *((f"{slot}.", {"a.lora_B": (5, 4), "b.lora_B": (700,)}) for slot in SLOTS["adam"])]
    grown = encoded_bytes(
        tuple(sorted((prefix + name, shape) for prefix, found in names for name, shape in found.items()))
    )
    agreed = guideline(**STEPS["adam"], max_bytes=grown)
    require_guideline(agreed, genesis)
    assert len(combine(genesis, travelled(round_of(1), agreed), agreed)) == grown
    with pytest.raises(ConfigError, match=f"{grown} bytes"):
        require_guideline(guideline(**STEPS["adam"], max_bytes=grown - 1), genesis)
    require_guideline(guideline(max_bytes=len(genesis)), genesis)
    with pytest.raises(ConfigError, match="genesis"):
        require_guideline(guideline(max_bytes=len(genesis) - 1), genesis)

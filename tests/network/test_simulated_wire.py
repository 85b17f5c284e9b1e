"""Whole communities under other outer steps and compressions: one model, nobody slashed, and an audit that recomputes it all."""

from __future__ import annotations

import numpy as np
import pytest

from aggregation.bundle import decode, encode, encoded_bytes, schema_of
from aggregation.errors import UpdateRejected
from node.combine import encode_update, trainable_schema
from node.executor import RESIDUAL
from node.protocol.errors import LocalProtocolError
from node.protocol.types import Phase, UpdateStatus
from node.sim.adversary import AdversarialTrainer
from node.sim.clock import run_virtual
from node.sim.community import Community, audit_of
from node.sim.trainer import ToyTrainer

ADAM = {"outer_kind": "adam", "outer_learning_rate": 0.1, "outer_momentum": 0.9, "outer_second_momentum": 0.99}


def play(folder, update, rounds=2, trainers=None):
    async def story():
        community = Community(folder, members=5, rounds=rounds, update=update, trainers=trainers or {})
        await community.start()
        await community.until(lambda: community.is_over(rounds))
        await community.clock.sleep(60)  # rewards are claimed
        members = [node for node in community.nodes if node.name.startswith("member")]
        await community.stop()
        return community, members, await audit_of(community)

    return run_virtual(story())


@pytest.mark.parametrize(
    ("update", "slots"),
    [
        ({"outer_momentum": 0.5, "outer_learning_rate": 0.5}, {"velocity"}),
        ({"outer_kind": "momentum", "outer_momentum": 0.5, "compression": "int8"}, {"velocity"}),
        ({**ADAM, "outer_epsilon": 1e-2, "compression": "int4"}, {"velocity", "variance"}),
        ({"compression": "sign"}, set()),
        ({"compression": "topk:k=1024", "pipeline": "nnm+mean"}, set()),
    ],
    ids=["nesterov", "momentum+int8", "adam+int4", "sign", "topk"],
)
def test_a_community_under_this_guideline_agrees_and_its_audit_finds_nothing(tmp_path, update, slots):
    community, members, report = play(tmp_path, update)
    state = members[0].state
    assert [found.phase for found in state.rounds.values()] == [Phase.FINALIZED, Phase.FINALIZED]
    assert len({node.driver.executor.facts[2].aggregate.model_hash for node in members}) == 1
    assert all(state.member(node.address).slashed == 0 for node in members)
    assert report.findings == []
    assert report.checked["models re-aggregated"] == 2
    model = members[0].store.load_model(state.rounds[2].proposal.model_hash)
    names = {"bias", "weight"}
    assert set(decode(model, max_bytes=1 << 20)) == names | {f"{slot}.{name}" for slot in slots for name in names}
    compressed = "compression" in update
    for node in members:
        sent = node.store.load(2, "update.safetensors")
        schema = trainable_schema(decode(community.genesis, max_bytes=1 << 20), community.guideline)
        if compressed:
            assert len(sent) < encoded_bytes(schema)
            with pytest.raises(UpdateRejected):
                decode(sent, max_bytes=1 << 20)
        else:
            assert len(sent) == encoded_bytes(schema)


def test_compressed_poison_is_voted_harmful_on_what_it_decodes_to(tmp_path):
    trainers = {4: lambda task, name: AdversarialTrainer(ToyTrainer(task, name), "sign_flip", 100.0)}
    _, members, report = play(tmp_path, {"compression": "int8"}, rounds=1, trainers=trainers)
    found = members[0].state.rounds[1]
    verdicts = [found.settled[found.reveal_of(node.address).index].status for node in members]
    assert verdicts == [UpdateStatus.ACCEPTED] * 4 + [UpdateStatus.HARMFUL]
    assert report.findings == []


def test_what_the_compression_left_out_is_kept_on_disk_for_the_next_round(tmp_path):
    _, members, _ = play(tmp_path, {"compression": "sign"})
    executor = members[0].driver.executor
    schema = trainable_schema(decode(members[0].store.load(1, RESIDUAL), max_bytes=1 << 20), executor.guideline)
    assert executor._residual(1, schema) is None  # nothing before the first round
    before, after = executor._residual(2, schema), executor._residual(3, schema)
    assert {name: tensor.tobytes() for name, tensor in before.items()} != {
        name: tensor.tobytes() for name, tensor in after.items()
    }
    assert executor._residual(3, (("other", (1,)),)) is None  # of another model
    members[0].store.save(2, RESIDUAL, b"damaged")
    assert executor._residual(3, schema) is None


def test_the_next_update_carries_what_the_last_one_left_out(tmp_path):
    _, members, _ = play(tmp_path, {"compression": "sign"})
    executor = members[0].driver.executor
    residual = decode(members[0].store.load(1, RESIDUAL), max_bytes=1 << 20)
    schema = schema_of(residual)
    update = encode({name: np.full(shape, 1e-3, np.float32) for name, shape in schema})
    sent = run_virtual(executor._compressed(members[0].state.rounds[2], update))
    assert sent == encode_update(update, schema, executor.guideline, residual)[0]
    assert sent != encode_update(update, schema, executor.guideline)[0]


def test_without_error_feedback_nothing_is_kept(tmp_path):
    _, members, _ = play(tmp_path, {"compression": "int8"}, rounds=1)
    with pytest.raises(LocalProtocolError):
        members[0].store.load(1, RESIDUAL)
    assert members[0].driver.executor._residual(2, (("bias", (1,)),)) is None

"""The toy task: real losses, honest updates gain, harm shows, everything is repeatable."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from aggregation.bundle import Tensors, decode, encode
from node.ports import ScoreJob, TrainJob, TrainResult
from node.protocol.errors import RemoteProtocolError
from node.sim.clock import run_virtual
from node.sim.trainer import MAX_BYTES, ToyTask, ToyTrainer, parse_benchmark

TASK = ToyTask(seed=3)
GENESIS = TASK.genesis()
SLICE = TASK.benchmark("one")


def train(owner: str = "a", *, checkpoint: bytes = GENESIS, seed: int = 1) -> TrainResult:
    return run_virtual(ToyTrainer(TASK, owner).train(TrainJob(1, checkpoint, seed)))


def score(updates: Sequence[bytes], *, checkpoint: bytes = GENESIS, last: bytes | None = None) -> Sequence[int]:
    return run_virtual(ToyTrainer(TASK, "judge").score(ScoreJob(1, checkpoint, last, updates, SLICE)))


def scaled(update: bytes, factor: float) -> bytes:
    tensors: Tensors = decode(update, max_bytes=MAX_BYTES)
    return encode({name: np.float32(factor) * tensor for name, tensor in tensors.items()})


def loss(checkpoint: bytes) -> float:
    return run_virtual(ToyTrainer(TASK, "judge").evaluate(checkpoint, SLICE))["loss"]


def test_training_is_repeatable_and_depends_on_seed_and_owner():
    assert train().update == train().update
    assert len({train().update, train(seed=2).update, train("b").update}) == 3


def test_training_lowers_the_loss():
    result = train()
    assert result.notes["loss_after"] < result.notes["loss_before"]
    assert result.notes["loss_before"] == pytest.approx(np.log(2))
    assert result.samples == 200


def test_an_update_has_the_checkpoints_schema():
    tensors = decode(train().update, max_bytes=MAX_BYTES)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {"bias": (1,), "weight": (16,)}


def test_the_score_is_the_real_gain_at_a_quarter_step():
    update = train().update
    moved = decode(scaled(update, 0.25), max_bytes=MAX_BYTES)
    expected = 10**6 * (loss(GENESIS) - loss(encode(moved)))
    assert score([update])[0] == pytest.approx(expected, abs=2)


def test_honest_gains_harm_loses_nothing_gains_nothing():
    update = train().update
    gain, harm, nothing = score([update, scaled(update, -1), scaled(update, 0)])
    assert gain > 1_000
    assert harm < -1_000
    assert nothing == 0


def test_look_ahead_leaves_little_to_a_replay():
    # Somebody replays the last aggregate. From the old model that looks like progress; from the look-ahead base it does not.
    last = train().update
    naive = score([last])[0]
    ahead = score([last], last=last)[0]
    assert ahead < naive / 2


def test_every_verifier_measures_the_same():
    update = train().update
    jobs = [ToyTrainer(TASK, owner).score(ScoreJob(1, GENESIS, None, [update], SLICE)) for owner in "abc"]
    assert len({tuple(run_virtual(job)) for job in jobs}) == 1


def test_scores_come_in_order():
    updates = [train(owner).update for owner in "abc"]
    assert score(updates) == [score([update])[0] for update in updates]
    assert score([]) == []


def test_evaluation():
    trained = train().update  # the founding model is zero, so the update is the model
    metrics = run_virtual(ToyTrainer(TASK, "a").evaluate(trained, SLICE))
    assert metrics["accuracy"] > 0.75
    assert metrics["loss"] < loss(GENESIS)


def test_a_slice_reads_back_as_drawn():
    assert TASK.benchmark("one") == SLICE != TASK.benchmark("two")
    examples = parse_benchmark(SLICE)
    assert examples.features.shape == (400, 16)
    assert set(examples.labels) == {0.0, 1.0}
    assert json.loads(SLICE.splitlines()[7])["x"] == examples.features[7].tolist()


@pytest.mark.parametrize("data", [b"{", b"3\n", b'{"x":[1]}\n', b'{"x":["a"],"y":0}\n', b"", b'{"x":1,"y":0}\n'])
def test_refuses_other_slices(data: bytes):
    with pytest.raises(RemoteProtocolError):
        parse_benchmark(data)


def test_refuses_ragged_slices():
    with pytest.raises(RemoteProtocolError):
        parse_benchmark(b'{"x":[1],"y":0}\n{"x":[1,2],"y":0}\n')

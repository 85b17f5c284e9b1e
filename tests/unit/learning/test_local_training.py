from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.errors import DataError, TrainingDiverged, TrainingStopped
from learning.evaluation import evaluate, stepped
from learning.local_training import clipped_update, round_window, train
from learning.models.base import trainable
from learning.models.encoder import Encoder
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair

Tensors = dict[str, NDArray[np.float32]]


def norm(update: Tensors) -> float:
    return float(np.sqrt(sum(np.square(a, dtype=np.float64).sum() for a in update.values())))


def equal(left: Tensors, right: Tensors) -> bool:
    return set(left) == set(right) and all(left[n].tobytes() == right[n].tobytes() for n in left)


def test_same_job_gives_the_same_bytes(
    encoder: Encoder, checkpoint: Tensors, spec: LearningSpec, library_pairs: list[Pair]
) -> None:
    first = train(encoder, checkpoint, library_pairs, spec, round=1, seed=9)
    assert equal(first.update, train(encoder, checkpoint, library_pairs, spec, round=1, seed=9).update)
    assert not equal(first.update, train(encoder, checkpoint, library_pairs, spec, round=1, seed=10).update)
    assert not equal(first.update, train(encoder, checkpoint, library_pairs, spec, round=2, seed=9).update)
    assert first.samples == 64
    assert {n: a.shape for n, a in first.update.items()} == {n: a.shape for n, a in trainable(checkpoint).items()}
    assert all(a.dtype == np.float32 for a in first.update.values())


def test_training_lowers_the_loss_on_what_it_saw(
    encoder: Encoder, checkpoint: Tensors, spec: LearningSpec, library_pairs: list[Pair]
) -> None:
    seen = round_window(library_pairs, spec.samples_per_round, 1)
    before = evaluate(encoder, checkpoint, seen)["loss"]
    result = train(encoder, checkpoint, library_pairs, dataclasses.replace(spec, epochs=4), round=1, seed=1)
    assert evaluate(encoder, stepped(checkpoint, result.update, 1.0), seen)["loss"] < before - 0.01


@pytest.mark.parametrize(("optimiser", "rate"), [("adamw", 3e-3), ("sgd", 0.3)])
def test_both_optimisers_learn(
    encoder: Encoder, checkpoint: Tensors, spec: LearningSpec, library_pairs: list[Pair], *, optimiser: str, rate: float
) -> None:
    seen = round_window(library_pairs, spec.samples_per_round, 1)
    before = evaluate(encoder, checkpoint, seen)["loss"]
    chosen = dataclasses.replace(spec, optimiser=optimiser, learning_rate=rate, epochs=2)
    result = train(encoder, checkpoint, library_pairs, chosen, round=1, seed=1)
    assert evaluate(encoder, stepped(checkpoint, result.update, 1.0), seen)["loss"] < before


def test_update_is_clipped_to_the_bound(
    encoder: Encoder, checkpoint: Tensors, spec: LearningSpec, library_pairs: list[Pair]
) -> None:
    free = train(encoder, checkpoint, library_pairs, spec, round=1, seed=1)
    bound = free.norm / 3
    clipped = train(encoder, checkpoint, library_pairs, dataclasses.replace(spec, max_norm=bound), round=1, seed=1)
    assert clipped.norm == free.norm
    assert bound * 0.99999 < norm(clipped.update) <= bound
    name = next(iter(free.update))
    np.testing.assert_allclose(clipped.update[name] * 3, free.update[name], rtol=1e-5)


def test_proximal_term_keeps_the_update_small(
    encoder: Encoder, checkpoint: Tensors, spec: LearningSpec, library_pairs: list[Pair]
) -> None:
    free = train(encoder, checkpoint, library_pairs, spec, round=1, seed=1)
    held = train(encoder, checkpoint, library_pairs, dataclasses.replace(spec, prox_mu=1e4), round=1, seed=1)
    assert norm(held.update) < 0.8 * norm(free.update)


def test_rounds_use_fresh_pairs_and_wrap_around(library_pairs: list[Pair]) -> None:
    pool = library_pairs[:100]
    windows = [round_window(pool, 40, r) for r in (1, 2, 3)]
    assert [len(w) for w in windows] == [40, 40, 40]
    assert not {*windows[0]} & {*windows[1]}
    assert {p for w in windows for p in w} == {*pool}
    assert len(round_window(pool, 1_000, 1)) == 100
    assert round_window(list(reversed(pool)), 40, 2) == windows[1]


def test_progress_is_told_and_stopping_stops(
    encoder: Encoder, checkpoint: Tensors, spec: LearningSpec, library_pairs: list[Pair]
) -> None:
    told: list[tuple[int, int]] = []

    def progress(step: int, steps: int, loss: float) -> None:
        assert loss > 0
        told.append((step, steps))

    train(encoder, checkpoint, library_pairs, spec, round=1, seed=1, progress=progress)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    told.clear()
    with pytest.raises(TrainingStopped, match="step 3"):
        train(
            encoder,
            checkpoint,
            library_pairs,
            spec,
            round=1,
            seed=1,
            progress=progress,
            should_stop=lambda: len(told) == 2,
        )
    assert len(told) == 2
    with pytest.raises(TrainingStopped, match="Preparing"):
        train(encoder, checkpoint, library_pairs, spec, round=1, seed=1, should_stop=lambda: True)


def test_divergence_is_an_error_not_an_update(
    encoder: Encoder, checkpoint: Tensors, spec: LearningSpec, library_pairs: list[Pair]
) -> None:
    wild = {n: a if n.endswith("A") else np.full_like(a, 3e38) for n, a in checkpoint.items()}
    with pytest.raises(TrainingDiverged, match="learning_rate"):
        train(encoder, wild, library_pairs, spec, round=1, seed=1)
    encoder.load(checkpoint)
    next(iter(encoder.parameters().values())).data.fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match="not finite"):
        clipped_update(encoder, checkpoint, 1.0)


def test_a_client_without_data_is_told_so(encoder: Encoder, checkpoint: Tensors, spec: LearningSpec) -> None:
    with pytest.raises(DataError, match="0 training pair"):
        train(encoder, checkpoint, [], spec, round=1, seed=1)


def test_short_last_batch_is_dropped_but_a_small_client_still_trains(
    encoder: Encoder, checkpoint: Tensors, spec: LearningSpec, library_pairs: list[Pair]
) -> None:
    steps: list[int] = []
    train(
        encoder,
        checkpoint,
        library_pairs[:20],
        spec,
        round=1,
        seed=1,
        progress=lambda _step, total, _loss: steps.append(total),
    )
    assert steps == [1]
    assert train(encoder, checkpoint, library_pairs[:3], spec, round=1, seed=1).norm > 0

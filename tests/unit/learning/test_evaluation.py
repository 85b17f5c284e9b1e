from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.errors import DataError, ModelError
from learning.evaluation import WORST_GAIN, evaluate, score_updates, stepped
from learning.local_training import train
from learning.models.encoder import Encoder
from learning.prepared_pairs import prepare_pairs
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair, contrastive_loss, contrastive_rows, to_ppm

Tensors = dict[str, NDArray[np.float32]]
GRID = (0.0, 0.5, 1.0)


def update_of(encoder: Encoder, checkpoint: Tensors, spec: LearningSpec, pairs: list[Pair]) -> Tensors:
    return train(encoder, checkpoint, pairs, spec, round=1, seed=1).update


def test_gain_is_the_loss_difference_at_the_step(
    encoder: Encoder, checkpoint: Tensors, spec: LearningSpec, library_pairs: list[Pair]
) -> None:
    update = update_of(encoder, checkpoint, spec, library_pairs[:64])
    slice_ = library_pairs[:48]
    flipped = {n: -a for n, a in update.items()}
    gains = score_updates(encoder, checkpoint, None, [update, flipped], slice_, eta=0.25, grid=GRID)
    losses = [evaluate(encoder, c, slice_)["loss"] for c in (checkpoint, stepped(checkpoint, update, 0.25))]
    assert gains[0] == to_ppm(losses[0] - losses[1])
    assert gains[0] > 0 > gains[1]


def test_lookahead_moves_the_base_only_where_it_helps(
    encoder: Encoder, checkpoint: Tensors, spec: LearningSpec, library_pairs: list[Pair]
) -> None:
    good = update_of(encoder, checkpoint, spec, library_pairs[:64])
    bad = {n: -a for n, a in good.items()}
    slice_ = prepare_pairs(encoder, library_pairs[:48], "float32")
    plain = score_updates(encoder, checkpoint, None, [good], slice_, eta=0.25, grid=GRID)
    assert score_updates(encoder, checkpoint, bad, [good], slice_, eta=0.25, grid=GRID) == plain
    ahead = score_updates(encoder, checkpoint, good, [good], slice_, eta=0.25, grid=GRID)
    moved = score_updates(encoder, stepped(checkpoint, good, 1.0), None, [good], slice_, eta=0.25, grid=GRID)
    assert ahead == moved != plain
    assert score_updates(encoder, checkpoint, good, [good], slice_, eta=0.25, grid=(0.0,)) == plain


def test_nobody_gains_by_what_everybody_could_train(
    encoder: Encoder, checkpoint: Tensors, spec: LearningSpec, library_pairs: list[Pair]
) -> None:
    public, own = (update_of(encoder, checkpoint, spec, library_pairs[rows]) for rows in (slice(64), slice(80, 112)))
    bad = {n: -a for n, a in public.items()}
    slice_ = prepare_pairs(encoder, library_pairs[:48], "float32")

    def scored(public_update: Tensors | None, last: Tensors | None = None) -> list[int]:
        tried = [public, own]
        return score_updates(encoder, checkpoint, last, tried, slice_, eta=0.25, grid=GRID, public_update=public_update)

    assert scored(public) == scored(None, public) != scored(None)
    assert scored(public)[0] < scored(None)[0]
    assert scored(bad) == scored(None)

    def stepping(*grid: float) -> list[int]:
        return score_updates(
            encoder, checkpoint, None, [own], slice_, eta=0.25, grid=GRID, public_update=public, public_grid=grid
        )

    assert stepping(0.0) == scored(None)[1:]
    assert stepping(*GRID) == scored(public)[1:] != stepping(0.0, 0.25)
    losses = [evaluate(encoder, stepped(checkpoint, own, step), slice_)["loss"] for step in GRID]
    led_to = stepped(checkpoint, own, GRID[losses.index(min(losses))])
    along = score_updates(encoder, led_to, None, [public, own], slice_, eta=0.25, grid=GRID, public_update=public)
    assert scored(public, own) == along


def test_confidence_takes_the_rows_standard_errors_off_the_gain(
    encoder: Encoder,
    checkpoint: Tensors,
    spec: LearningSpec,
    library_pairs: list[Pair],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    update = update_of(encoder, checkpoint, spec, library_pairs[:64])
    flipped = {n: -a for n, a in update.items()}
    broken = {n: np.full_like(a, 1e38) for n, a in update.items()}
    slice_ = prepare_pairs(encoder, library_pairs[:48], "float32")

    def scored(confidence: float) -> list[int]:
        monkeypatch.setattr(encoder, "spec", replace(spec, confidence=confidence))
        return score_updates(encoder, checkpoint, None, [update, flipped, broken], slice_, eta=0.25, grid=GRID)

    plain, barely, sure = scored(0.0), scored(1e-9), scored(1.0)
    assert plain[:2] == pytest.approx(barely[:2], abs=1)
    assert plain[0] > sure[0] > 0 > plain[1] > sure[1]
    assert scored(10.0)[0] < 0
    assert plain[2] == sure[2] == WORST_GAIN


def test_the_rows_losses_average_to_the_loss(encoder: Encoder, checkpoint: Tensors, library_pairs: list[Pair]) -> None:
    prepared = prepare_pairs(encoder, library_pairs[:20], "float32")
    encoder.load(checkpoint)
    queries, codes = (encoder.embed_all(side, "float32").double() for side in (prepared.queries, prepared.codes))
    rows = contrastive_rows(queries, codes, temperature=0.05)
    assert rows.shape == (20,)
    assert float(rows.mean()) == pytest.approx(float(contrastive_loss(queries, codes, temperature=0.05)), rel=1e-12)
    assert float(rows.std()) > 0


def test_scores_do_not_depend_on_the_company_of_other_updates(
    encoder: Encoder, checkpoint: Tensors, spec: LearningSpec, library_pairs: list[Pair]
) -> None:
    update = update_of(encoder, checkpoint, spec, library_pairs[:64])
    half = {n: a / 2 for n, a in update.items()}
    slice_ = library_pairs[:48]
    together = score_updates(encoder, checkpoint, None, [half, update], slice_, eta=0.25, grid=GRID)
    assert together[1:] == score_updates(encoder, checkpoint, None, [update], slice_, eta=0.25, grid=GRID)


def test_evaluation_reads_and_keeps(encoder: Encoder, checkpoint: Tensors, library_pairs: list[Pair]) -> None:
    first = evaluate(encoder, checkpoint, library_pairs)
    assert 1 / len(library_pairs) <= first["mrr"] <= 1
    assert first == evaluate(encoder, checkpoint, prepare_pairs(encoder, library_pairs, "float32"))


def test_odd_updates_and_empty_slices_are_refused(
    encoder: Encoder, checkpoint: Tensors, library_pairs: list[Pair]
) -> None:
    with pytest.raises(ModelError):
        score_updates(encoder, checkpoint, None, [{}], library_pairs[:4], eta=0.25, grid=GRID)
    with pytest.raises(DataError, match="1 pair"):
        evaluate(encoder, checkpoint, library_pairs[:1])


def test_an_update_that_breaks_the_model_gets_the_worst_gain(
    encoder: Encoder, checkpoint: Tensors, library_pairs: list[Pair]
) -> None:
    huge = {n: np.full_like(a, 1e38) for n, a in checkpoint.items() if n.endswith("B")}
    gains = score_updates(encoder, checkpoint, None, [huge], library_pairs[:4], eta=0.25, grid=GRID)
    assert gains == [WORST_GAIN]


def test_a_step_changes_only_the_trained_factors(checkpoint: Tensors) -> None:
    ones = {n: np.ones_like(a) for n, a in checkpoint.items() if n.endswith("B")}
    moved = stepped(checkpoint, ones, 0.5)
    for name, array in checkpoint.items():
        np.testing.assert_array_equal(moved[name], array if name.endswith("A") else array + np.float32(0.5))

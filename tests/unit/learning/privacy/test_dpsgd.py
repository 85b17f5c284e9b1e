"""Private training: gradients equal those of a loop over examples, one example changes a step by at most C, noise has its size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from learning.errors import DataError, SpecError, TrainingStopped
from learning.local_training import _optimiser, train
from learning.models.encoder import Checkpoint, Encoder
from learning.prepared_pairs import PreparedPairs, prepare_pairs
from learning.privacy.accountant import Spending
from learning.privacy.dpsgd import fit_private, per_example_gradients, row_losses
from learning.privacy.noise import norm_of, seeded_source
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair

ALL = np.arange(12)


@pytest.fixture(scope="session")
def private(spec: LearningSpec) -> LearningSpec:
    return replace(
        spec, precision="float32", privacy="example", noise_multiplier=1.0, privacy_clip=0.5, optimiser="sgd",
        learning_rate=0.1, warmup=0.0,
    )  # fmt: skip


@pytest.fixture
def ready(
    tiny_folder: Path, private: LearningSpec, checkpoint: Checkpoint, library_pairs: list[Pair]
) -> tuple[Encoder, PreparedPairs, PreparedPairs]:
    model = Encoder(tiny_folder, private, torch.device("cpu"))
    draw = np.random.default_rng(0)  # B = 0 would hide a missing scale
    moved = {
        n: draw.normal(0, 0.1, a.shape).astype(np.float32) if n.endswith("B") else a for n, a in checkpoint.items()
    }
    model.load(moved)
    return (
        model,
        prepare_pairs(model, library_pairs[:12], "float32"),
        prepare_pairs(model, library_pairs[20:36], "float32"),
    )


def test_per_example_gradients_are_those_of_a_loop_over_examples(
    ready: tuple[Encoder, PreparedPairs, PreparedPairs], private: LearningSpec
) -> None:
    model, pairs, public = ready
    rows, negatives = np.array([3, 0, 7, 11]), np.arange(9)
    found, losses = per_example_gradients(
        model, lambda: row_losses(model, pairs, public, rows, negatives, spec=private)
    )
    for place, row in enumerate(rows):
        model_losses = row_losses(model, pairs, public, np.array([row]), negatives, spec=private)
        expected = torch.autograd.grad(model_losses.sum(), list(model.parameters().values()))
        assert losses[place] == pytest.approx(float(model_losses.detach()[0]), abs=1e-5)
        for (name, parameter), gradient in zip(model.parameters().items(), expected, strict=True):
            assert found[name][place].shape == parameter.shape
            assert torch.allclose(found[name][place], gradient, atol=1e-6, rtol=1e-4), name
            assert gradient.abs().max() > 1e-6
    assert all(parameter.grad is None for parameter in model.parameters().values())


def step(ready: tuple[Encoder, PreparedPairs, PreparedPairs], spec: LearningSpec, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch,
         *, noise: bool) -> dict[str, np.ndarray]:  # fmt: skip
    """Sum of clipped gradients that one step of ``rows`` applies, times its learning rate over the expected batch."""
    model, pairs, public = ready
    sampled = np.where(np.isin(ALL, rows), 0.0, 1.0)
    monkeypatch.setattr("learning.privacy.dpsgd.uniform", lambda count, source: sampled)
    if not noise:
        monkeypatch.setattr("learning.privacy.dpsgd.gaussian", lambda count, source: np.zeros(count))
    before = {name: p.detach().numpy().copy() for name, p in model.parameters().items()}
    adapters = model.adapters()
    state = before | {f"{name}.lora_A": adapter.lora_a.numpy().copy() for name, adapter in adapters.items()}
    spec = replace(spec, batch_size=12, epochs=1)
    found = fit_private(model, state, pairs, public, spec, make_optimiser=_optimiser, source=seeded_source(7))
    assert (found.sample_rate, found.steps) == (1.0, 1)
    after = {name: p.detach().numpy().copy() for name, p in model.parameters().items()}
    model.load(state)
    return {name: (before[name] - after[name]) * 12 / spec.learning_rate for name in before}


def test_one_example_changes_a_step_by_at_most_the_clip(
    ready: tuple[Encoder, PreparedPairs, PreparedPairs], private: LearningSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(private, privacy_clip=0.01)
    whole = step(ready, spec, ALL, monkeypatch, noise=False)
    for left_out in (0, 5, 11):
        less = step(ready, spec, np.delete(ALL, left_out), monkeypatch, noise=False)
        moved = norm_of({name: whole[name] - less[name] for name in whole})
        assert moved == pytest.approx(0.01, rel=0.02)  # every gradient here is longer than that
    assert norm_of(whole) <= 12 * 0.01 * 1.001


def test_without_clipping_and_noise_a_step_is_the_plain_sum(
    ready: tuple[Encoder, PreparedPairs, PreparedPairs], private: LearningSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(private, privacy_clip=1e6)
    found = step(ready, spec, ALL, monkeypatch, noise=False)
    model, pairs, public = ready
    draw = np.random.default_rng(int.from_bytes(seeded_source(7)(16), "little"))
    negatives = draw.choice(16, 12, replace=False)
    losses = row_losses(model, pairs, public, ALL, negatives, spec=private)
    expected = torch.autograd.grad(losses.sum(), list(model.parameters().values()))
    for name, gradient in zip(model.parameters(), expected, strict=True):
        assert np.allclose(found[name], gradient.numpy(), atol=2e-4)


def test_the_noise_of_a_step_has_deviation_sigma_times_c(
    ready: tuple[Encoder, PreparedPairs, PreparedPairs], private: LearningSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(private, noise_multiplier=4.0, privacy_clip=0.5)
    found = step(ready, spec, np.array([], int), monkeypatch, noise=True)  # nobody was drawn: only noise is left
    values = np.concatenate([array.ravel() for array in found.values()])
    assert len(values) > 500
    assert values.std() == pytest.approx(2.0, rel=0.12)


def test_training_by_the_guideline_is_private_and_says_what_it_spent(
    encoder: Encoder, checkpoint: Checkpoint, library_pairs: list[Pair], private: LearningSpec
) -> None:
    public = library_pairs[100:130]
    spec = replace(private, epochs=2, batch_size=16)
    encoder.spec = spec
    arguments = (encoder, checkpoint, library_pairs[:64], spec)
    one, same = (train(*arguments, round=3, seed=1, public=public, source=seeded_source(2)) for _ in range(2))
    other = train(*arguments, round=3, seed=1, public=public)
    assert one.spending == Spending(3, "example", 1.0, 0.25, 8)
    assert all(np.array_equal(one.update[name], same.update[name]) for name in one.update)
    assert any(not np.array_equal(one.update[name], other.update[name]) for name in one.update)
    with pytest.raises(DataError, match="at least two"):
        train(*arguments, round=3, seed=1)
    with pytest.raises(TrainingStopped):
        train(*arguments, round=3, seed=1, public=public, should_stop=lambda: True)


def test_a_clients_noise_goes_on_the_whole_update(
    encoder: Encoder, checkpoint: Checkpoint, library_pairs: list[Pair], spec: LearningSpec
) -> None:
    noisy = replace(spec, privacy="client", noise_multiplier=2.0, privacy_clip=0.01, max_norm=5.0)
    plain = train(encoder, checkpoint, library_pairs[:64], spec, round=1, seed=1)
    found = train(encoder, checkpoint, library_pairs[:64], noisy, round=1, seed=1, source=seeded_source(1))
    assert plain.spending is None
    assert found.spending == Spending(1, "client", 2.0, 1.0, 1)
    size = sum(array.size for array in found.update.values())
    assert norm_of(found.update) == pytest.approx(0.02 * size**0.5, rel=0.1)
    assert found.norm == plain.norm


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"privacy": "group"}, "privacy"),
        ({"privacy": "client"}, "noise_multiplier"),
        ({"noise_multiplier": 1.0}, "noise_multiplier"),
        ({"privacy": "example", "noise_multiplier": 1.0, "prox_mu": 0.1}, "prox_mu"),
        ({"privacy_delta": 0.5}, "privacy_delta"),
        ({"privacy_clip": 0.0}, "privacy_clip"),
    ],
)
def test_settings_that_promise_nothing_are_refused(spec: LearningSpec, wrong: dict[str, object], named: str) -> None:
    with pytest.raises(SpecError, match=named):
        LearningSpec.from_mapping(spec.to_mapping() | wrong)

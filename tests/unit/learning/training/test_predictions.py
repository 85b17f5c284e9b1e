"""What a model has learned by heart it also says, in the form that the task scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from learning.errors import DataError
from learning.models.adapters import Adapter
from learning.tasks.encoding import Kind
from learning.training.learner import TransformerLearner
from learning.training.settings import Settings

Make = Callable[..., TransformerLearner]
EVERYBODY = list(range(8))
FULL = Adapter(kind="full")
BY_HEART = Settings(learning_rate=3e-3, batch=8, precision="float32", evaluation_batch=3, warmup=0.05)


@pytest.mark.parametrize(
    ("family", "kind", "metric", "least"),
    [
        ("roberta", "classification", "accuracy", 1.0),
        ("bert", "siamese", "f1", 1.0),
        ("bert", "retrieval", "mrr", 1.0),
        ("t5", "seq2seq", "bleu", 95.0),
        ("llama", "causal", "bleu", 95.0),
        ("llama", "completion", "accuracy", 0.85),
    ],
)
def test_learned_by_heart(make: Make, family: str, kind: Kind, metric: str, least: float) -> None:
    settings = replace(BY_HEART, learning_rate=1e-2 if family == "t5" else 3e-3)
    learner = make(family, kind, adapter=FULL, settings=settings)
    trained = learner.train(learner.initial(0), EVERYBODY, seed=0, epochs=80)
    assert trained.loss < 0.6
    assert learner.evaluate(trained.state, "test")[metric] >= least


def test_guesses_of_completion_are_the_models_own(make: Make) -> None:
    learner = make("gpt2", "completion", adapter=FULL)
    model: Any = transformers.GPT2LMHeadModel.from_pretrained(learner.folder).eval()
    learner.load(learner.initial(0))
    prepared = learner.prepared("train")
    found = learner._predictor().next_ids(prepared)
    ids = prepared.lists["input_ids"]
    for row, guess in enumerate(found):
        own = torch.from_numpy(ids.values[ids.starts[row] : ids.starts[row + 1]].astype(np.int64))[None]
        with torch.no_grad():
            expected = model(input_ids=own).logits[0].argmax(-1).tolist()
        assert guess == [-1, *expected[:-1]]


@pytest.mark.parametrize(("family", "kind"), [("llama", "causal"), ("t5", "seq2seq")])
def test_generation_does_not_depend_on_the_company_of_other_rows(make: Make, family: str, kind: Kind) -> None:
    learner = make(family, kind, adapter=FULL, settings=BY_HEART)
    state = learner.train(learner.initial(0), EVERYBODY, seed=0, epochs=40).state
    one = Settings(precision="float32", evaluation_batch=1)
    alone = make(family, kind, adapter=FULL, settings=one)
    assert learner.predictions(state, "test") == alone.predictions(state, "test")
    beams = make(family, kind, adapter=FULL, settings=Settings(precision="float32", beams=3))
    assert all(isinstance(text, str) for text in beams.predictions(state, "test"))


def test_a_pairs_loss_does_not_depend_on_who_else_is_asked_for(make: Make) -> None:
    learner = make("bert", "retrieval", settings=Settings(precision="float32", candidates=4))
    state = learner.initial(0)
    together = learner.losses(state, EVERYBODY)
    assert learner.losses(state, [5, 2]) == pytest.approx(together[[5, 2]], rel=1e-5)
    assert np.isfinite(together).all()
    order = np.random.Generator(np.random.PCG64(0)).permutation(8)[:4]
    queries, codes = learner._predictor().embeddings(learner.prepared("train"), np.arange(8))
    scores = (queries.double() @ codes.double().T / 0.05).numpy()
    for pair in EVERYBODY:
        company = [pair, *(c for c in order if c != pair)]
        row, column = scores[pair, company], scores[company, pair]
        expected = (np.log(np.exp(row).sum()) - row[0] + np.log(np.exp(column).sum()) - column[0]) / 2
        assert together[pair] == pytest.approx(expected, rel=1e-6)


def test_losses_of_positions_outside_are_refused(make: Make) -> None:
    learner = make("bert", "classification")
    for indices in ([], [-1], [4]):
        with pytest.raises(DataError):
            learner.losses(learner.initial(0), indices, "valid")

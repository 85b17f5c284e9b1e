"""Steps do what they should: equal to the stock classes, whatever the pieces, with FedProx, stopped, resumed, out of memory, diverged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from learning.errors import TrainingDiverged, TrainingStopped
from learning.models.adapters import Adapter
from learning.tasks.code_search import contrastive_loss
from learning.tasks.encoding import IGNORED, Kind
from learning.training.errors import Diverged, OutOfMemory
from learning.training.gradients import Gradients
from learning.training.learner import TransformerLearner
from learning.training.loop import rate_at
from learning.training.settings import Settings

Make = Callable[..., TransformerLearner]
EVERYBODY = list(range(8))
FULL = Adapter(kind="full")


def same(left: Any, right: Any) -> bool:
    return list(left) == list(right) and all(left[n].tobytes() == right[n].tobytes() for n in left)


def distance(left: Any, right: Any) -> float:
    return float(np.sqrt(sum(np.square(left[n] - right[n]).sum() for n in left)))


@pytest.mark.parametrize(
    ("family", "kind", "stock"),
    [
        ("t5", "seq2seq", "T5ForConditionalGeneration"),
        ("gpt2", "causal", "GPT2LMHeadModel"),
        ("llama", "completion", "LlamaForCausalLM"),
    ],
)
def test_losses_are_those_of_the_stock_classes(make: Make, family: str, kind: Kind, stock: str) -> None:
    learner = make(family, kind, adapter=FULL)
    model = getattr(transformers, stock).from_pretrained(learner.folder).eval()
    found = learner.losses(learner.initial(0), EVERYBODY)
    prepared = learner.prepared("train")
    for example in EVERYBODY:
        rows = prepared.rows([example])
        assert len(rows) == 1
        ids, mask = prepared.lists["input_ids"].padded(rows, 1, 1)
        labels, _ = prepared.lists["labels"].padded(rows, IGNORED, 1)
        with torch.no_grad():
            loss = model(
                input_ids=torch.from_numpy(ids),
                attention_mask=torch.from_numpy(mask.astype(np.int64)),
                labels=torch.from_numpy(labels),
            ).loss
        assert found[example] == pytest.approx(float(loss), rel=1e-4)


def test_a_decoders_vector_ignores_padding(make: Make) -> None:
    learner = make("llama", "classification", settings=Settings(evaluation_batch=8, precision="float32"))
    alone = make("llama", "classification", settings=Settings(evaluation_batch=1, precision="float32", pad_to=1))
    state = learner.initial(0)
    assert learner.losses(state, EVERYBODY) == pytest.approx(alone.losses(state, EVERYBODY), rel=1e-4)


def settings(**more: Any) -> Settings:
    return Settings(**{"learning_rate": 1e-3, "batch": 8, "precision": "float32", "check_every": 2, **more})


@pytest.mark.parametrize(("family", "kind"), [("bert", "classification"), ("bert", "retrieval"), ("gpt2", "causal")])
def test_pieces_of_a_batch_give_the_same_step(make: Make, family: str, kind: Kind) -> None:
    whole = make(family, kind, settings=settings())
    start = whole.initial(0)
    expected = whole.train(start, EVERYBODY, seed=0, epochs=3)
    moved = distance(expected.state, start)
    for micro in (1, 3):
        found = make(family, kind, settings=settings(micro_batch=micro)).train(start, EVERYBODY, seed=0, epochs=3)
        assert found.steps == 3
        assert found.loss == pytest.approx(expected.loss, rel=1e-3)
        assert distance(found.state, expected.state) < 0.02 * moved


def test_pieces_of_a_contrastive_batch_see_the_same_dropout(make: Make) -> None:
    learner = make("bert", "retrieval", settings=settings(dropout=True))
    parameters = learner.network.trained()
    with torch.no_grad():
        for p in parameters.values():
            p.normal_(std=0.1)
    prepared = learner.prepared("train")
    gradients = Gradients(
        learner.network,
        learner.collate,
        prepared,
        learner.device,
        "float32",
        0.05,
        3,
        print,
        learner.network.term_losses,
    )
    torch.manual_seed(0)
    loss = gradients.add(np.arange(8))
    found = {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}
    after = torch.rand(1)
    learner.network.zero_grad()
    torch.manual_seed(0)
    order = np.argsort(gradients.lengths, kind="stable")
    batches = [learner.collate(prepared, order[i : i + 3]).tensors for i in (0, 3, 6)]
    sides = [(learner.network.embed(b, "query"), learner.network.embed(b, "code")) for b in batches]
    expected = contrastive_loss(torch.cat([q for q, _ in sides]), torch.cat([c for _, c in sides]), temperature=0.05)
    expected.backward()
    assert float(loss) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert torch.equal(after, torch.rand(1))
    for name, p in parameters.items():
        torch.testing.assert_close(found[name], p.grad, rtol=1e-3, atol=1e-5)


class Short:
    """A network's losses that run out of memory where more than ``rows`` rows come at once."""

    def __init__(self, learner: TransformerLearner, rows: int, error: Callable[[], BaseException]) -> None:
        self.plain, self.rows, self.error, self.seen = learner.network.term_losses, rows, error, [0]

    def __call__(self, batch: dict[str, Tensor]) -> Tensor:
        count = len(batch["input_ids"])
        if count > self.rows:
            raise self.error()
        self.seen.append(count)
        return self.plain(batch)


@pytest.mark.parametrize(
    "error",
    [
        lambda: torch.OutOfMemoryError("CUDA out of memory."),
        lambda: RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
        ),
    ],
)
def test_out_of_memory_halves_the_piece_and_not_the_batch(make: Make, error: Any) -> None:
    said: list[str] = []
    learner = make("bert", "classification", settings=settings(), say=said.append)
    start = learner.initial(0)
    expected = learner.train(start, EVERYBODY, seed=0, epochs=2)
    learner._losses = Short(learner, 2, error)
    found = learner.train(start, EVERYBODY, seed=0, epochs=2)
    assert max(learner._losses.seen) == 2
    assert [("with 8 rows" in s, "with 4 rows" in s) for s in said] == [(True, False), (False, True)]
    assert found.steps == expected.steps
    assert distance(found.state, expected.state) < 0.02 * distance(expected.state, start)


def test_a_row_that_does_not_fit_alone_is_an_error(make: Make) -> None:
    learner = make("bert", "classification", settings=settings(), say=lambda _: None)
    learner._losses = Short(learner, 0, MemoryError)
    with pytest.raises(OutOfMemory, match="does not fit"):
        learner.train(learner.initial(0), EVERYBODY, seed=0)


def test_other_errors_pass(make: Make) -> None:
    learner = make("bert", "classification", settings=settings())
    learner._losses = Short(learner, 0, lambda: RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        learner.train(learner.initial(0), EVERYBODY, seed=0)


def test_a_loss_that_is_not_finite_stops_with_the_last_good_state(make: Make) -> None:
    learner = make("bert", "classification", adapter=FULL, settings=settings(check_every=2))
    start = learner.initial(0)
    before = {name: array.copy() for name, array in start.items()}
    plain, calls = learner.network.term_losses, [0]

    def broken(batch: Any) -> Tensor:
        calls[0] += 1
        return plain(batch) * (float("nan") if calls[0] == 6 else 1.0)

    learner._losses = broken
    with pytest.raises(Diverged, match="between steps 5 and 6 of 10") as caught:
        learner.train(start, EVERYBODY, seed=0, epochs=10)
    assert isinstance(caught.value, TrainingDiverged)
    assert caught.value.step == 4
    assert same(start, before)
    learner._losses = plain
    assert all(np.isfinite(a).all() for a in caught.value.state.values())
    assert not same(caught.value.state, start)
    assert np.isfinite(learner.losses(caught.value.state, EVERYBODY)).all()


def test_a_huge_learning_rate_is_noticed(make: Make) -> None:
    learner = make("bert", "classification", adapter=FULL, settings=settings(learning_rate=1e38, clip=0.0))
    with pytest.raises(Diverged) as caught:
        learner.train(learner.initial(0), EVERYBODY, seed=0, epochs=4)
    assert caught.value.step == 0
    assert same(caught.value.state, learner.initial(0))


@pytest.mark.parametrize("every", [0, 2])
@pytest.mark.parametrize(
    ("family", "kind"), [("bert", "classification"), ("llama", "completion"), ("bert", "retrieval")]
)
def test_a_stopped_training_goes_on_where_it_was(
    make: Make, tmp_path: Path, every: int, family: str, kind: Kind
) -> None:
    chosen = settings(dropout=True, batch=3)
    whole = make(family, kind, settings=chosen)
    start = whole.initial(0)
    expected = whole.train(start, EVERYBODY, seed=5, epochs=3, prox_mu=0.1)
    asked = [0]

    def stop() -> bool:
        asked[0] += 1
        return asked[0] == 5 and not every

    first = make(family, kind, settings=chosen, checkpoints=tmp_path, checkpoint_every=every, should_stop=stop)
    if every:
        plain, limit = first.network.term_losses, [0]
        original = first.network.embed if kind == "retrieval" else plain

        def killed(*arguments: Any) -> Tensor:
            limit[0] += 1
            if limit[0] > (10 if kind == "retrieval" else 5):
                raise KeyboardInterrupt
            return original(*arguments)

        if kind == "retrieval":
            first.network.embed = killed  # type: ignore[method-assign]
        else:
            first._losses = killed
    with pytest.raises(KeyboardInterrupt if every else TrainingStopped):
        first.train(start, EVERYBODY, seed=5, epochs=3, prox_mu=0.1)
    (folder,) = tmp_path.iterdir()
    assert sorted(p.suffix for p in folder.iterdir()) == [".json", ".safetensors"]
    steps: list[int] = []
    second = make(family, kind, settings=chosen, checkpoints=tmp_path, should_stop=lambda: steps.append(1) is not None)
    found = second.train(start, EVERYBODY, seed=5, epochs=3, prox_mu=0.1)
    assert same(found.state, expected.state)
    assert found.loss == expected.loss
    assert len(steps) == expected.steps - 4
    assert not any(tmp_path.iterdir())


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_not_used(make: Make, tmp_path: Path) -> None:
    asked = [0]

    def stop() -> bool:
        asked[0] += 1
        return asked[0] == 3

    learner = make("bert", "classification", settings=settings(batch=4), checkpoints=tmp_path, should_stop=stop)
    start = learner.initial(0)
    with pytest.raises(TrainingStopped):
        learner.train(start, EVERYBODY, seed=0, epochs=4)
    expected = make("bert", "classification", settings=settings(batch=4)).train(start, EVERYBODY, seed=0, epochs=4)
    other = learner.train(start, EVERYBODY, seed=1, epochs=4)
    assert other.steps == 8
    (folder,) = tmp_path.iterdir()
    (tensors,) = folder.glob("*.safetensors")
    body = bytearray(tensors.read_bytes())
    body[-1] ^= 1
    tensors.write_bytes(bytes(body))
    before = asked[0]
    assert same(learner.train(start, EVERYBODY, seed=0, epochs=4).state, expected.state)
    assert asked[0] - before == 8


def test_the_proximal_term_holds_a_client_near_its_start(make: Make) -> None:
    learner = make("bert", "classification", adapter=FULL, settings=settings(clip=0.0))
    start = learner.initial(0)
    free = learner.train(start, EVERYBODY, seed=0, epochs=20)
    held = learner.train(start, EVERYBODY, seed=0, epochs=20, prox_mu=10.0)
    assert distance(held.state, start) < 0.7 * distance(free.state, start)
    first, proximal = (learner.train(start, EVERYBODY, seed=0, epochs=1, prox_mu=mu) for mu in (0.0, 10.0))
    assert same(first.state, proximal.state)  # at the start the term's gradient is zero


def test_the_rate_rises_and_falls() -> None:
    rates = [rate_at(step, 10, Settings(warmup=0.2)) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[-1] == pytest.approx(1 / 8)
    assert rate_at(0, 1, Settings()) == 1.0

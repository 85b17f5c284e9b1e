"""The benchmark compares like with like: the peer begins at our loss, trains what we train, and operations are counted right."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.training_flops import attention_flops, linear_flops, matmul_rate, step_flops
from benchmarks.training_peer import PEERS, train_peer
from benchmarks.training_shaped import SHAPED, shaped_rows
from learning.models.adapters import Adapter
from learning.tasks.encoding import Kind
from learning.training.learner import TransformerLearner

Make = Callable[..., TransformerLearner]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the Trainer's, about settings of its own
        yield


@pytest.mark.parametrize(
    ("family", "kind", "adapter"),
    [
        ("llama", "completion", "ffa"),
        ("t5", "seq2seq", "full"),
        ("bert", "classification", "ffa"),
        ("roberta", "classification", "full"),
    ],
)
def test_the_peer_has_our_weights_rows_and_parameters(make: Make, family: str, kind: Kind, adapter: Any) -> None:
    learner = make(family, kind, adapter=Adapter(kind=adapter))
    start = learner.initial(0)
    rows = learner.prepared("train").rows(list(range(8)))
    peer = train_peer(learner, start, rows, PEERS["trainer grouped"], CPU)
    items = [peer.trainer.train_dataset[i] for i in range(8)]
    assert [len(i["input_ids"]) for i in items] == learner.prepared("train").lists["input_ids"].lengths[rows].tolist()
    model: Any = peer.trainer.model
    heads = ("classifier", "pooler")  # stock heads are not ours; all else is the same
    trained = sum(p.numel() for n, p in model.named_parameters() if p.requires_grad and not any(h in n for h in heads))
    assert trained == sum(p.numel() for n, p in learner.network.trained().items() if not n.startswith("head."))
    if learner.network.head is None:
        batch = peer.trainer.data_collator(items)
        with torch.no_grad():
            loss = float(model.eval()(**batch).loss)
        terms = learner.collate.terms(learner.prepared("train"), rows)
        expected = np.average(learner.losses(start, list(range(8))), weights=terms)
        assert loss == pytest.approx(expected, rel=1e-3)
    peer.run()
    assert np.isfinite(peer.loss())


def test_operations_of_a_linear_layer() -> None:
    body = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 7))
    body[0].requires_grad_(False)
    assert linear_flops(body) == (2 * 15 + 2 * 35, 2 * 15 + 4 * 35)
    assert attention_flops(2, 8, 10, causal=False) == 2 * (2 * 2 * 10 * 8)
    assert attention_flops(2, 8, 10, causal=True) == attention_flops(2, 8, 10, causal=False) // 2

    class Config:
        num_hidden_layers, hidden_size, vocab_size = 2, 8, 100

    each = 2 * 15 + 2 * 35 + 2 * 15 + 4 * 35
    assert step_flops(body, Config(), [10, 4], causal=False, head_terms=3) == (
        14 * each
        + 3 * (10 * attention_flops(2, 8, 10, causal=False) + 4 * attention_flops(2, 8, 4, causal=False))
        + 3 * 2 * 8 * 100 * 2
    )
    assert matmul_rate(CPU, torch.float32, 64, 0.01) > 0


def test_the_large_shapes_code_runs_at_toy_size() -> None:
    (row,) = shaped_rows(SHAPED["llama-toy-shaped"], CPU, repetitions=1, clock="cpu")
    assert row["loss"] == pytest.approx(row["peer_loss"], rel=0.02)
    assert row["loss"] == pytest.approx(np.log(320), rel=0.05)
    assert row["ratio"] > 0
    assert 0 < row["percent_of_matmul_rate"] < 100

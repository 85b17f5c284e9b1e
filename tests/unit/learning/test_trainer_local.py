"""The local trainer with a tiny real model: a steward's public update, and scores along it that every node computes alike."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aggregation.bundle import decode, encode
from learning.evaluation import score_updates
from learning.local_training import train
from learning.models.encoder import Encoder, genesis
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair, encode_pairs
from node.adapters.trainer_local import LocalTrainer, TrainerSettings
from node.ports import ScoreJob, TrainJob
from node.protocol.errors import TrainingError

MAX_BYTES = 1 << 20


@pytest.fixture
def nodes(tiny_folder: Path, spec: LearningSpec, tmp_path: Path) -> Iterator[list[LocalTrainer]]:
    learning = replace(spec, confidence=1.0, lookahead_public=spec.lookahead).to_mapping()
    settings = TrainerSettings(learning, (), "cpu", 1, tiny_folder, tmp_path, MAX_BYTES)
    made = [LocalTrainer(settings) for _ in range(2)]
    yield made
    for node in made:
        node.close()


def test_a_public_update_is_the_same_bytes_everywhere_and_scores_along_it_the_same_numbers(
    nodes: list[LocalTrainer], tiny_folder: Path, spec: LearningSpec, library_pairs: list[Pair], encoder: Encoder
) -> None:
    parent = genesis(spec, 0, tiny_folder)
    checkpoint = encode(parent)
    public, own, slice_ = library_pairs[:96], library_pairs[96:128], library_pairs[128:160]
    job = TrainJob(1, checkpoint, 1, benchmark=encode_pairs(public))
    results = [asyncio.run(node.train(job)) for node in nodes]
    assert results[0].update == results[1].update
    assert results[0].samples == len(public) > spec.samples_per_round  # all rows, not a round's window
    expected = train(encoder, parent, public, replace(spec, samples_per_round=96), round=1, seed=1)
    assert results[0].update == encode(expected.update)

    update = encode(train(encoder, parent, own, spec, round=1, seed=2).update)
    scoring = ScoreJob(1, checkpoint, None, [results[0].update, update], encode_pairs(slice_))
    plain, other = (asyncio.run(node.score(scoring)) for node in nodes)
    assert plain == other
    along, again = (asyncio.run(node.score(replace(scoring, public_update=results[0].update))) for node in nodes)
    assert along == again != plain
    assert along[0] < plain[0]
    encoder.spec = replace(spec, confidence=1.0)
    direct = score_updates(
        encoder,
        parent,
        None,
        [decode(data, max_bytes=MAX_BYTES) for data in scoring.updates],
        slice_,
        eta=spec.eta,
        grid=spec.lookahead,
        public_update=decode(results[0].update, max_bytes=MAX_BYTES),
    )
    assert direct == along


def test_a_node_without_data_can_train_on_a_benchmark_only(
    nodes: list[LocalTrainer], tiny_folder: Path, spec: LearningSpec
) -> None:
    checkpoint = encode(genesis(spec, 0, tiny_folder))
    with pytest.raises(TrainingError, match="0 training pair"):
        asyncio.run(nodes[0].train(TrainJob(1, checkpoint, 1)))
    one = encode_pairs([Pair("q", "c", "r", "p", "n")])
    with pytest.raises(TrainingError, match="1 training pair"):
        asyncio.run(nodes[0].train(TrainJob(1, checkpoint, 1, benchmark=one)))
    with pytest.raises(TrainingError, match="not JSON"):
        asyncio.run(nodes[0].train(TrainJob(1, checkpoint, 1, benchmark=b"{\n")))

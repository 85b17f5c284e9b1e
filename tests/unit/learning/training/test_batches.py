"""Flat arrays and batches agree with the task's own encoding, and batches cover an epoch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from learning.errors import DataError
from learning.tasks.encoding import IGNORED, Kind, Limits, TransformersTokenizer, collate
from learning.training.batches import Collator, plan
from learning.training.prepare import flatten, prepare

ROWS = np.array([5, 0, 3])


@pytest.fixture(scope="module")
def tokenizer(family_folders: dict[str, Path]) -> Any:
    return AutoTokenizer.from_pretrained(family_folders["bert"])


@pytest.mark.parametrize("kind", ["classification", "siamese", "retrieval", "seq2seq", "causal", "completion"])
def test_padding_is_that_of_the_tasks_own_collation(tokenizer: Any, kind: Kind, tasks: Any) -> None:
    data = tasks(kind)
    rows = data.task.encode(data.examples("train"), TransformersTokenizer(tokenizer), kind, Limits(40, 12))
    expected = collate([rows[i] for i in ROWS], pad=1, multiple_of=8)
    prepared = flatten(rows, len(data.examples("train")))
    for name, ragged in prepared.lists.items():
        fill = {"labels": IGNORED, "word_ids": -1, "token_type_ids": 0}.get(name, 1)
        array, mask = ragged.padded(ROWS, fill, 8)
        assert np.array_equal(array, expected[name])
        if name.endswith("_ids") and name not in ("word_ids", "token_type_ids"):
            wanted = "attention_mask" if name == "input_ids" else f"{name[:-4]}_mask"
            assert np.array_equal(mask, expected[wanted].astype(bool))
    left, _ = next(iter(prepared.lists.values())).padded(ROWS, 1, 8, left=True)
    assert np.array_equal(
        left, collate([rows[i] for i in ROWS], pad=1, multiple_of=8, left=True)[next(iter(prepared.lists))]
    )


def test_predicted_positions_are_those_before_the_labels(tokenizer: Any, tasks: Any) -> None:
    data = tasks("causal")
    rows = data.task.encode(data.examples("train"), TransformersTokenizer(tokenizer), "causal", Limits(40, 12))
    prepared = flatten(rows, 8)
    maker = Collator("causal", 1, 8, torch.device("cpu"))
    batch = maker(prepared, ROWS)
    width = batch.tensors["input_ids"].shape[1]
    found = [
        (int(ROWS[p // width]), int(p % width), int(t))
        for p, t in zip(batch.tensors["positions"].tolist(), batch.tensors["targets"].tolist(), strict=True)
    ]
    expected = [
        (int(r), place - 1, label) for r in ROWS for place, label in enumerate(rows[r]["labels"]) if label != IGNORED
    ]
    assert found == expected
    assert batch.terms == len(expected) == maker.terms(prepared, ROWS).sum()
    assert np.array_equal(np.bincount(batch.owner), maker.terms(prepared, ROWS))


def test_encoded_examples_are_kept_and_read_again(tokenizer: Any, tasks: Any, tmp_path: Path) -> None:
    data = tasks("causal")
    examples = data.examples("train")
    first = prepare(data.task, examples, tokenizer, "causal", Limits(40, 12), tmp_path)
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns

    class Unused:
        def __getattr__(self, name: str) -> Any:
            if name in ("backend_tokenizer", *(f"{n}_token_id" for n in ("bos", "eos", "cls", "sep", "pad"))):
                return getattr(tokenizer, name)
            raise AssertionError(name)

    again = prepare(data.task, examples, Unused(), "causal", Limits(40, 12), tmp_path)
    assert path.stat().st_mtime_ns == written
    assert np.array_equal(first.rows_of, again.rows_of)
    for name in first.lists:
        assert np.array_equal(first.lists[name].values, again.lists[name].values)
        assert np.array_equal(first.lists[name].starts, again.lists[name].starts)
    changed = [dataclasses.replace(examples[0], summary="other words"), *examples[1:]]
    prepare(data.task, changed, tokenizer, "causal", Limits(40, 12), tmp_path)
    prepare(data.task, examples, tokenizer, "causal", Limits(40, 11), tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_damaged_file_is_made_again(tokenizer: Any, tasks: Any, tmp_path: Path) -> None:
    data = tasks("classification")
    prepare(data.task, data.examples("train"), tokenizer, "classification", Limits(40), tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    prepare(data.task, data.examples("train"), tokenizer, "classification", Limits(40), tmp_path)
    assert path.read_bytes() == whole


def test_no_examples_are_refused(tokenizer: Any, tasks: Any) -> None:
    with pytest.raises(DataError, match="no examples"):
        prepare(tasks("causal").task, [], tokenizer, "causal")


@pytest.mark.parametrize("bucket", [0, 3])
def test_an_epoch_sees_every_row_once(bucket: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 200)
    rows = np.arange(50, 150)
    batches = plan(lengths, rows, batch=8, epochs=2, bucket=bucket, seed=1)
    assert len(batches) == 26
    for half in (batches[:13], batches[13:]):
        assert sorted(np.concatenate(half).tolist()) == rows.tolist()
    again = plan(lengths, rows, batch=8, epochs=2, bucket=bucket, seed=1)
    other = plan(lengths, rows, batch=8, epochs=2, bucket=bucket, seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(batches, other, strict=True))
    assert len(plan(lengths, rows, batch=8, epochs=0.5, bucket=bucket, seed=1)) == 6
    assert len(plan(lengths, rows, batch=8, epochs=0.001, bucket=bucket, seed=1)) == 1


def test_buckets_save_padding() -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 400)
    waste = {}
    for bucket in (0, 16):
        batches = plan(lengths, np.arange(400), batch=16, epochs=1, bucket=bucket, seed=0)
        waste[bucket] = sum(len(b) * lengths[b].max() for b in batches) / lengths.sum()
    assert waste[0] > 1.6
    assert waste[16] < 1.1


def test_small_rests_are_dropped_where_negatives_are_needed() -> None:
    lengths = np.ones(20, np.int64)
    assert [len(b) for b in plan(lengths, np.arange(10), batch=8, epochs=1, bucket=0, seed=0, least=4)] == [8]
    assert [len(b) for b in plan(lengths, np.arange(3), batch=8, epochs=1, bucket=0, seed=0, least=4)] == [3]

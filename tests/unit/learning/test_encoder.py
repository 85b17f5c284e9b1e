from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from learning.errors import ModelError
from learning.models.encoder import Encoder, base_model_hash, genesis, trainable
from learning.models.lora import frozen_factor
from learning.models.tiny import write_tiny_model
from learning.spec import LearningSpec

TEXTS = [
    "return the value of a list",
    "def func(arg):\n    return arg + 1",
    "x",
    "read a file and return its text " * 9,
]
Tensors = dict[str, NDArray[np.float32]]


def test_frozen_factor_is_the_same_everywhere() -> None:
    factor = frozen_factor(7, "layer.05.attention.query", 16, 384)
    assert (
        hashlib.sha256(factor.tobytes()).hexdigest()
        == "4fe499b54002e8077fc3a5fbdffc7429ac3d6a435d41e5dfffd27462bde50451"
    )
    assert factor.dtype == np.float32
    assert np.linalg.norm(factor, axis=1) == pytest.approx(np.ones(16), abs=0.1)
    assert not np.array_equal(factor, frozen_factor(8, "layer.05.attention.query", 16, 384))
    assert not np.array_equal(factor, frozen_factor(7, "layer.05.attention.key", 16, 384))


def test_genesis_is_the_base_model(encoder: Encoder, checkpoint: Tensors, tiny_folder: Path) -> None:
    encoder.load(checkpoint)
    ours = encoder.embed_all(encoder.prepare(TEXTS, 32, "float32"), "float32")
    model, tokenizer = (
        AutoModel.from_pretrained(tiny_folder, add_pooling_layer=False),
        AutoTokenizer.from_pretrained(tiny_folder),
    )
    batch = tokenizer(TEXTS, truncation=True, max_length=32, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model.eval()(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    expected = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_frozen_layers_below_give_the_same_embedding_as_adapting_all(
    tiny_folder: Path, spec: LearningSpec, checkpoint: Tensors
) -> None:
    everything = dataclasses.replace(spec, lora_layers=2)
    full, top = (Encoder(tiny_folder, s, torch.device("cpu")) for s in (everything, spec))
    rng = np.random.default_rng(0)
    filled = {n: a if n.endswith("A") else rng.normal(size=a.shape).astype(np.float32) for n, a in checkpoint.items()}
    top.load(filled)
    full.load(genesis(everything, 0, tiny_folder) | filled)
    left, right = (e.embed_all(e.prepare(TEXTS, 32, "float32"), "float32") for e in (top, full))
    torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)


def test_embedding_does_not_depend_on_the_company_of_other_texts(encoder: Encoder, checkpoint: Tensors) -> None:
    encoder.load(checkpoint)
    prepared = encoder.prepare(TEXTS, 32, "float32")
    alone = encoder.embed_all(encoder.prepare([TEXTS[2]], 32, "float32"), "float32")
    torch.testing.assert_close(encoder.embed_all(prepared, "float32")[2:3], alone, atol=1e-5, rtol=1e-5)
    chosen = encoder.embed(prepared, np.array([3, 2]))
    torch.testing.assert_close(chosen[1:].detach(), alone, atol=1e-5, rtol=1e-5)


def test_checkpoint_schema(checkpoint: Tensors) -> None:
    assert list(checkpoint) == sorted(checkpoint)
    assert len(checkpoint) == 12
    assert checkpoint["layer.01.attention.query.lora_A"].shape == (4, 32)
    assert checkpoint["layer.01.feed_forward.intermediate.lora_B"].shape == (64, 4)
    assert checkpoint["layer.01.feed_forward.output.lora_A"].shape == (4, 64)
    assert set(trainable(checkpoint)) == {n for n in checkpoint if n.endswith("lora_B")}
    assert not any(array.any() for array in trainable(checkpoint).values())


def test_only_b_is_trained(encoder: Encoder, checkpoint: Tensors) -> None:
    encoder.load(checkpoint)
    prepared = encoder.prepare(TEXTS, 32, "float32")
    encoder.embed(prepared, np.arange(4)).square().sum().backward()
    assert set(encoder.parameters()) == set(trainable(checkpoint))
    assert all(p.grad is not None for p in encoder.parameters().values())


def test_wrong_checkpoints_are_refused(encoder: Encoder, checkpoint: Tensors) -> None:
    name = "layer.01.attention.query.lora_B"
    for bad in (
        {k: v for k, v in checkpoint.items() if k != name},
        checkpoint | {"extra": np.zeros(1, np.float32)},
        checkpoint | {name: np.zeros((32, 5), np.float32)},
        checkpoint | {name: np.zeros((32, 4), np.float64)},
        checkpoint | {name: np.full((32, 4), np.nan, np.float32)},
    ):
        with pytest.raises(ModelError):
            encoder.load(bad)


def test_hash_covers_weights_and_tokenizer(tiny_folder: Path, tmp_path: Path, spec: LearningSpec) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_folder, copy)
    assert base_model_hash(copy) == spec.base_hash
    (copy / "README.md").write_text("not hashed")
    assert base_model_hash(copy) == spec.base_hash
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert base_model_hash(copy) != spec.base_hash
    with pytest.raises(ModelError, match="guideline asks for"):
        Encoder(copy, spec, torch.device("cpu"))


def test_unusable_folders_are_explained(tmp_path: Path, tiny_folder: Path, spec: LearningSpec) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        base_model_hash(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="safetensors"):
        base_model_hash(tmp_path)
    other = tmp_path / "other"
    shutil.copytree(tiny_folder, other)
    (other / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ModelError, match="gpt2"):
        genesis(spec, 0, other)
    (other / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json"):
        genesis(spec, 0, other)
    with pytest.raises(ModelError, match="adapts 3 layers"):
        genesis(dataclasses.replace(spec, lora_layers=3), 0, tiny_folder)


def test_tiny_models_are_reproducible_and_leave_the_global_generator_alone(tmp_path: Path, spec: LearningSpec) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    again = write_tiny_model(tmp_path / "again")
    assert torch.equal(torch.rand(1), expected)
    assert base_model_hash(again) == spec.base_hash
    assert base_model_hash(write_tiny_model(tmp_path / "other", seed=1)) != spec.base_hash

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import PeftModel
from safetensors.numpy import load_file
from transformers import AutoModel, AutoTokenizer

from learning.errors import ModelError
from learning.models.encoder import Encoder
from learning.models.export import export_merged, export_peft, merge
from learning.models.tiny import write_tiny_model
from learning.spec import LearningSpec


# peft 0.21 still asks transformers 5 by the old name
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_peft_loads_the_export_and_gives_the_same_embeddings(
    encoder: Encoder, checkpoint: dict[str, NDArray[np.float32]], spec: LearningSpec, tiny_folder: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    filled = {n: a if n.endswith("A") else rng.normal(size=a.shape).astype(np.float32) for n, a in checkpoint.items()}
    texts = ["return the first item", "def func(arg): return arg[0]"]
    encoder.load(filled)
    ours = encoder.embed_all(encoder.prepare(texts, 32, "float32"), "float32")

    adapter = export_peft(filled, spec, tiny_folder, tmp_path / "adapter")
    model = PeftModel.from_pretrained(AutoModel.from_pretrained(tiny_folder, add_pooling_layer=False), adapter).eval()
    batch = AutoTokenizer.from_pretrained(tiny_folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    theirs = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    encoder.load(checkpoint)
    assert not torch.allclose(ours, encoder.embed_all(encoder.prepare(texts, 32, "float32"), "float32"), atol=1e-3)


def filled(checkpoint: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(3)
    return {n: a if n.endswith("A") else rng.normal(size=a.shape).astype(np.float32) for n, a in checkpoint.items()}


def test_transformers_loads_the_merged_model_and_gives_the_same_embeddings(
    encoder: Encoder, checkpoint: dict[str, NDArray[np.float32]], spec: LearningSpec, tiny_folder: Path, tmp_path: Path
) -> None:
    encoder.load(filled(checkpoint))
    texts = ["return the first item", "def func(arg): return arg[0]"]
    ours = encoder.embed_all(encoder.prepare(texts, 32, "float32"), "float32")
    folder = export_merged(filled(checkpoint), spec, tiny_folder, tmp_path / "merged")
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    theirs = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_same_checkpoint_gives_the_same_files(
    checkpoint: dict[str, NDArray[np.float32]], spec: LearningSpec, tiny_folder: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        export_merged(filled(checkpoint), spec, tiny_folder, tmp_path / name)
        export_peft(filled(checkpoint), spec, tiny_folder, tmp_path / name / "adapter")
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
    assert "peft_version" not in (tmp_path / "one" / "adapter" / "adapter_config.json").read_text("utf-8")


def test_an_untrained_checkpoint_leaves_the_base_model_as_it_is(
    checkpoint: dict[str, NDArray[np.float32]], spec: LearningSpec, tiny_folder: Path, tmp_path: Path
) -> None:
    export_merged(checkpoint, spec, tiny_folder, tmp_path / "merged")
    before, after = load_file(tiny_folder / "model.safetensors"), load_file(tmp_path / "merged" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        np.testing.assert_array_equal(tensor, after[name])


def test_merging_is_the_sum_over_the_rank() -> None:
    rng = np.random.default_rng(1)
    low, high = rng.normal(size=(3, 5)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    weight = rng.normal(size=(4, 5)).astype(np.float16)
    merged = merge(weight, {"m.lora_A": low, "m.lora_B": high}, "m", 0.5)
    assert merged.dtype == np.float16
    np.testing.assert_allclose(merged, weight + 0.5 * (high.astype(np.float64) @ low), rtol=1e-3)


def test_another_base_model_is_not_merged(
    checkpoint: dict[str, NDArray[np.float32]], spec: LearningSpec, tiny_folder: Path, tmp_path: Path
) -> None:
    write_tiny_model(tmp_path / "other", seed=5)
    with pytest.raises(ModelError, match="asks for"):
        export_merged(checkpoint, spec, tmp_path / "other", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_foreign_checkpoint_is_refused(spec: LearningSpec, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="guideline"):
        export_peft({"a": np.zeros(1, np.float32)}, spec, tiny_folder, tmp_path / "adapter")

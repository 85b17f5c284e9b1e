from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import AutoModel, AutoTokenizer

from learning.errors import ModelError
from learning.models.encoder import Encoder
from learning.models.export import export_peft
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


def test_foreign_checkpoint_is_refused(spec: LearningSpec, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="guideline"):
        export_peft({"a": np.zeros(1, np.float32)}, spec, tiny_folder, tmp_path / "adapter")

"""Writes a checkpoint as a standard PEFT adapter folder that anyone can load on top of the base model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from peft import LoraConfig, TaskType
from safetensors.numpy import save_file

from learning.errors import ModelError
from learning.models.base import Checkpoint, adapted_modules, read_config
from learning.spec import LearningSpec


def export_peft(checkpoint: Checkpoint, spec: LearningSpec, base: Path, folder: Path) -> Path:
    """A folder for ``peft.PeftModel.from_pretrained(AutoModel.from_pretrained(base), folder)``.

    Args:
        checkpoint: the community's model.
        spec: the guideline it was trained under.
        base: folder of the base model; only its ``config.json`` is read.
        folder: created if needed; receives ``adapter_config.json`` and ``adapter_model.safetensors``.

    Raises:
        ModelError: the checkpoint is not one of this guideline.
    """
    modules = adapted_modules(spec, int(read_config(base)["num_hidden_layers"]))
    if set(checkpoint) != {f"{name}.lora_{factor}" for name in modules for factor in "AB"}:
        raise ModelError(
            "The checkpoint's tensors are not the guideline's.", hint="Export with the round's own guideline."
        )
    folder.mkdir(parents=True, exist_ok=True)
    config = LoraConfig(
        r=spec.lora_rank,
        lora_alpha=spec.lora_alpha,
        target_modules=[f"encoder.layer.{path}" for path in modules.values()],
        task_type=TaskType.FEATURE_EXTRACTION,
        inference_mode=True,
        base_model_name_or_path=spec.model,
    )
    config.save_pretrained(folder)
    tensors = {
        f"base_model.model.encoder.layer.{path}.lora_{factor}.weight": np.ascontiguousarray(
            checkpoint[f"{name}.lora_{factor}"]
        )
        for name, path in modules.items()
        for factor in "AB"
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder

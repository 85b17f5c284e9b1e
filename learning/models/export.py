"""Writes a checkpoint as folders that standard tools load: a PEFT adapter, or the whole model with the adapter merged in.

Both are functions of checkpoint and base model alone, byte for byte on every machine, so that anybody can check a folder by making it
again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peft import LoraConfig, TaskType
from safetensors import safe_open
from safetensors.numpy import save_file

from learning.errors import ModelError
from learning.models.base import Checkpoint, adapted_modules, base_model_hash, read_config
from learning.spec import LearningSpec

_COPIED = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "model.safetensors.index.json",
)
"""Files of a base model that a merged model takes over as they are."""
_VOLATILE = ("peft_version",)
"""Keys of an adapter's configuration that say by what it was written, not what it is."""


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
    modules = _modules(checkpoint, spec, base)
    folder.mkdir(parents=True, exist_ok=True)
    config = LoraConfig(
        r=spec.lora_rank,
        lora_alpha=spec.lora_alpha,
        target_modules=sorted(f"encoder.layer.{path}" for path in modules.values()),
        task_type=TaskType.FEATURE_EXTRACTION,
        inference_mode=True,
        base_model_name_or_path=spec.model,
    )
    config.save_pretrained(folder)
    _stable_config(folder / "adapter_config.json")
    tensors = {
        f"base_model.model.encoder.layer.{path}.lora_{factor}.weight": np.ascontiguousarray(
            checkpoint[f"{name}.lora_{factor}"]
        )
        for name, path in modules.items()
        for factor in "AB"
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def export_merged(checkpoint: Checkpoint, spec: LearningSpec, base: Path, folder: Path) -> Path:
    """A folder for ``AutoModel.from_pretrained(folder)`` and ``AutoTokenizer.from_pretrained(folder)``: W + alpha/r·B·A in place of W.

    B·A is summed over the rank one term after the other in float64, then rounded once to the weight's own type.

    Args:
        checkpoint: the community's model.
        spec: the guideline it was trained under; it names the base model by hash.
        base: folder of the base model, read one weights file at a time.
        folder: created if needed; receives weights, configuration and tokenizer.

    Raises:
        ModelError: the checkpoint is not one of this guideline, or the folder holds another base model.
    """
    found = base_model_hash(base)
    if found != spec.base_hash:
        raise ModelError(
            f"The base model in {base} has hash {found}, the guideline asks for {spec.base_hash}.",
            hint="Set the node's model folder (learning.base_model) to the model that the guideline names.",
        )
    modules = {f"encoder.layer.{path}.weight": name for name, path in _modules(checkpoint, spec, base).items()}
    folder.mkdir(parents=True, exist_ok=True)
    merged: set[str] = set()
    for path in sorted(base.glob("model*.safetensors")):
        with safe_open(path, framework="np") as weights:
            tensors = {key: weights.get_tensor(key) for key in weights.keys()}  # noqa: SIM118 - it is no mapping
        for key, weight in tensors.items():
            name = next((name for suffix, name in modules.items() if key == suffix or key.endswith(f".{suffix}")), None)
            if name is not None:
                tensors[key] = merge(weight, checkpoint, name, spec.lora_alpha / spec.lora_rank)
                merged.add(name)
        save_file(tensors, folder / path.name, metadata={"format": "pt"})
    if missing := sorted(set(modules.values()) - merged):
        raise ModelError(f"The base model's weights have no layer for {missing[0]}.")
    for copied in _COPIED:
        if (base / copied).is_file():
            shutil.copyfile(base / copied, folder / copied)
    return folder


def merge(weight: NDArray[Any], checkpoint: Checkpoint, name: str, scale: float) -> NDArray[Any]:
    """W + scale·B·A of one layer, (out, in), in W's type."""
    low, high = checkpoint[f"{name}.lora_A"].astype(np.float64), checkpoint[f"{name}.lora_B"].astype(np.float64)
    product = np.zeros(weight.shape, np.float64)
    for row, column in zip(low, high.T, strict=True):
        product += np.multiply.outer(column, row)
    return (weight.astype(np.float64) + scale * product).astype(weight.dtype)


def _modules(checkpoint: Checkpoint, spec: LearningSpec, base: Path) -> Mapping[str, str]:
    modules = adapted_modules(spec, int(read_config(base)["num_hidden_layers"]))
    if set(checkpoint) != {f"{name}.lora_{factor}" for name in modules for factor in "AB"}:
        raise ModelError(
            "The checkpoint's tensors are not the guideline's.", hint="Export with the round's own guideline."
        )
    return modules


def _stable_config(path: Path) -> None:
    """The adapter's configuration in one order of keys, without what differs from one version of PEFT to the next."""
    config = {key: value for key, value in json.loads(path.read_text("utf-8")).items() if key not in _VOLATILE}
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")

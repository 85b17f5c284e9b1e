"""The base model's identity and the community's first checkpoint, without torch.

A checkpoint is a flat mapping of float32 arrays: for each adapted linear layer ``….lora_A`` (frozen, drawn at genesis) and ``….lora_B``
(trained, zero at genesis). Names sort in layer order, e.g. ``layer.05.attention.query.lora_B``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.errors import ModelError
from learning.models.lora import frozen_factor
from learning.spec import LearningSpec

Checkpoint = Mapping[str, NDArray[np.float32]]
_MODULES = {
    "query": ("attention.query", "attention.self.query"),
    "key": ("attention.key", "attention.self.key"),
    "value": ("attention.value", "attention.self.value"),
    "attention_output": ("attention.output", "attention.output.dense"),
    "intermediate": ("feed_forward.intermediate", "intermediate.dense"),
    "output": ("feed_forward.output", "output.dense"),
}
_HASHED = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
FAMILIES = {"bert", "roberta", "xlm-roberta", "camembert"}


def base_model_hash(folder: Path) -> str:
    """SHA-256 (hex) over the weights and tokenizer files of a model folder: each file's name and SHA-256, in order of name.

    Raises:
        ModelError: no such folder, or no ``model*.safetensors`` in it.
    """
    if not folder.is_dir():
        raise ModelError(f"The model folder {folder} does not exist.", hint="Set the folder of the base model.")
    weights = sorted(folder.glob("model*.safetensors"))
    if not weights:
        raise ModelError(
            f"The model folder {folder} holds no model*.safetensors.",
            why="Pickled weights (pytorch_model.bin) can run code and are not read.",
            hint="Convert the model to safetensors.",
        )
    files = sorted([*weights, *(folder / n for n in _HASHED if (folder / n).is_file())], key=lambda p: p.name)
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").digest()
        total.update(path.name.encode() + b"\0" + digest)
    return total.hexdigest()


def adapted_modules(spec: LearningSpec, layers: int) -> dict[str, str]:
    """Canonical name → module path below ``encoder.layer`` of every adapted linear layer of a model with ``layers`` layers.

    Raises:
        ModelError: the spec adapts more layers than there are.
    """
    if spec.lora_layers > layers:
        raise ModelError(f"The guideline adapts {spec.lora_layers} layers, but the base model has {layers}.")
    found = {}
    for layer in range(layers - spec.lora_layers, layers):
        for target in spec.lora_targets:
            canonical, path = _MODULES[target]
            found[f"layer.{layer:02d}.{canonical}"] = f"{layer}.{path}"
    return dict(sorted(found.items()))


def genesis(spec: LearningSpec, seed: int, folder: Path) -> dict[str, NDArray[np.float32]]:
    """The community's first checkpoint: every A drawn from ``seed`` (`frozen_factor`), every B zero. Equal on every machine.

    Args:
        spec: which layers and rank.
        seed: published with the community, e.g. from the genesis block.
        folder: base model; only its ``config.json`` is read.
    """
    config = read_config(folder)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    checkpoint = {}
    for name in adapted_modules(spec, config["num_hidden_layers"]):
        columns = inner if name.endswith("feed_forward.output") else hidden
        rows = inner if name.endswith("feed_forward.intermediate") else hidden
        checkpoint[f"{name}.lora_A"] = frozen_factor(seed, name, spec.lora_rank, columns)
        checkpoint[f"{name}.lora_B"] = np.zeros((rows, spec.lora_rank), np.float32)
    return dict(sorted(checkpoint.items()))


def trainable(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    """The tensors an update has: the B factors, by name."""
    return {name: checkpoint[name] for name in sorted(checkpoint) if name.endswith(".lora_B")}


def read_config(folder: Path) -> dict[str, Any]:
    """A model folder's ``config.json``.

    Raises:
        ModelError: unreadable, or of a family that the encoder does not know.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The model folder {folder} has no readable config.json.", why=str(error)) from error
    if config.get("model_type") not in FAMILIES:
        raise ModelError(
            f"The model folder {folder} holds a model of type {config.get('model_type')!r}.",
            hint=f"This encoder reads {', '.join(sorted(FAMILIES))}.",
        )
    return dict(config)

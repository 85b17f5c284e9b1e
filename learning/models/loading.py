"""Finds, checks and loads a Transformers model folder: by hash, offline first, safetensors only, never with code from the folder.

A body that is not trained itself (LoRA) can be memory-mapped from one file per machine: every process that loads it shares the pages.
The file lies in a cache folder and is named by the model's hash, its class and its number format.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoTokenizer
from transformers.initialization import no_init_weights
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging as transformers_logging

from learning.errors import ModelError
from learning.models.base import base_model_hash
from learning.models.families import Family, class_for, family_of, read_any_config
from learning.models.installed import find_base_model
from learning.tasks.encoding import Kind

_HUB = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}(@[\w./-]{1,64})?")
_FILES = ["*.safetensors", "*.json", "*.txt", "*.model"]
_CACHE_VERSION = 1


def find_model(model: str | Path, *, online: bool = False, expected: str | None = None) -> Path:
    """Folder of a model: a folder's path, the name of a packaged model, or a hub id ``owner/name[@revision]``.

    Args:
        model: what to find.
        online: allow a hub id to be downloaded; without it only the hub's local cache is looked at.
        expected: `learning.models.base.base_model_hash` that the folder must have.

    Raises:
        ModelError: not found, not downloadable, or of another hash.
    """
    folder = _find(model, online=online)
    if expected is not None and (found := base_model_hash(folder)) != expected:
        raise ModelError(
            f"The model in {folder} has hash {found}, {expected} was expected.",
            why="Another version of the model or of its tokenizer.",
        )
    return folder


def _find(model: str | Path, *, online: bool) -> Path:
    if isinstance(model, Path) or Path(model).is_dir():
        if not Path(model).is_dir():
            raise ModelError(f"The model folder {model} does not exist.")
        return Path(model)
    if _HUB.fullmatch(model) is None:
        return find_base_model(model)
    name, _, revision = model.partition("@")
    try:
        found = snapshot_download(name, revision=revision or None, allow_patterns=_FILES, local_files_only=not online)
    except (OSError, ValueError) as error:
        hint = "" if online else "Give a local folder, or allow the download (--online)."
        raise ModelError(f"The model {model} could not be had.", why=str(error)[:200], hint=hint) from error
    return Path(found)


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer.

    Raises:
        ModelError: it has none that can be read.
    """
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The model folder {folder} has no readable tokenizer.", why=str(error)[:200]) from error


def check_fit(tokenizer: Any, config: Mapping[str, Any], family: Family, tokenizer_from: str, model_from: str) -> None:
    """Refuse a tokenizer whose ids the model does not know, or whose padding or start it takes for something else.

    Raises:
        ModelError: naming both.
    """
    size = int(config.get("vocab_size", 0))
    most = max(tokenizer.get_vocab().values(), default=-1)
    pair = f"the tokenizer of {tokenizer_from} and the model of {model_from}"
    if most >= size:
        raise ModelError(
            f"{pair[0].upper()}{pair[1:]} do not fit: the tokenizer has ids up to {most}, the model knows {size}.",
            hint="Take both from one folder.",
        )
    pad, meant = tokenizer.pad_token_id, config.get("pad_token_id")
    if family.bidirectional and pad != meant:
        raise ModelError(
            f"{pair[0].upper()}{pair[1:]} do not fit: padding is id {pad} to the tokenizer and {meant} to the model.",
            why="The model would take padding for text, or text for padding.",
            hint="Take both from one folder.",
        )
    start = config.get("decoder_start_token_id")
    if "seq2seq" in family.classes and not (isinstance(start, int) and 0 <= start < size):
        raise ModelError(f"The model of {model_from} names no decoder_start_token_id; its decoder cannot begin.")


def load_body(
    folder: Path,
    kind: Kind,
    *,
    frozen_type: torch.dtype = torch.float32,
    shared: Path | None = None,
    four_bit: torch.device | None = None,
) -> nn.Module:
    """The Transformers model of a folder that serves ``kind``, on the CPU, in evaluation mode.

    Args:
        folder: the model.
        kind: what it is for (`learning.models.families`).
        frozen_type: number format of the weights of linear layers; anything but float32 only for models that stay frozen.
        shared: cache folder; if given the weights are memory-mapped from there and shared between processes.
        four_bit: load onto this CUDA device with 4-bit weights (NF4, by bitsandbytes) instead; the caller has looked that it is there.

    Raises:
        ModelError: unreadable, pickled, of an unknown family, or without some of the weights.
        SpecError: the family has no such kind.
    """
    family = family_of(read_any_config(folder), f"The model in {folder}")
    name = class_for(family, kind)
    model_class = getattr(transformers, name)
    extra: dict[str, Any] = {"add_pooling_layer": False} if name in ("BertModel", "RobertaModel") else {}
    if four_bit is not None:
        packed = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        return _pretrained(model_class, folder, {**extra, "quantization_config": packed, "device_map": {"": four_bit}})
    if shared is None:
        return lowered(_pretrained(model_class, folder, extra), frozen_type)
    label = str(frozen_type).removeprefix("torch.")
    path = shared / f"{base_model_hash(folder)[:32]}-{name}-{label}-{_CACHE_VERSION}.safetensors"
    if not path.is_file():
        _write_shared(lowered(_pretrained(model_class, folder, extra), frozen_type), path)
    return _mapped(model_class, folder, extra, path)


def lowered(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Weights and biases of linear layers in ``dtype``, what autocast would cast at every use; the rest stays. Tied embeddings stay."""
    if dtype == torch.float32:
        return model
    tied = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    for module in model.modules():
        if isinstance(module, nn.Linear | Conv1D) and id(module.weight) not in tied:
            module.to(dtype)
    return model


def _pretrained(model_class: Any, folder: Path, extra: Mapping[str, Any]) -> nn.Module:
    if not any(folder.glob("model*.safetensors")):
        raise ModelError(
            f"The model folder {folder} holds no model*.safetensors.",
            why="Pickled weights (pytorch_model.bin) can run code and are not read.",
            hint="Convert the model to safetensors.",
        )
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        model, info = model_class.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
            **extra,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"The model in {folder} could not be loaded.", why=str(error)[:300]) from error
    if missing := sorted(info["missing_keys"]):
        raise ModelError(
            f"The model in {folder} lacks {len(missing)} tensor(s) of {model_class.__name__}, e.g. {missing[0]}.",
            why="They would be random.",
            hint="Take a model of the right architecture.",
        )
    return model.eval()


def _write_shared(model: nn.Module, path: Path) -> None:
    tensors = {name: p.detach().contiguous() for name, p in model.named_parameters()}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    try:
        save_file(tensors, temporary)
        os.replace(temporary, path)  # noqa: PTH105 - atomic
    finally:
        Path(temporary).unlink(missing_ok=True)


def _mapped(model_class: Any, folder: Path, extra: Mapping[str, Any], path: Path) -> nn.Module:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"The shared weights {path} are damaged.", hint="Delete the file; it is made again."
        ) from error
    config = model_class.config_class.from_pretrained(folder, local_files_only=True, attn_implementation="sdpa")
    config._attn_implementation = "sdpa"  # noqa: SLF001 - Transformers has no public setter before the model exists
    with no_init_weights():
        model: nn.Module = model_class(config, **extra)
    known = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    if not set(tensors) <= known:  # fewer is right: tied weights stand in the file once
        raise ModelError(f"The shared weights {path} do not fit the model.", hint="Delete the file; it is made again.")
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()  # type: ignore[operator]
    return model.eval()

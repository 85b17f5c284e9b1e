"""A BERT-family text encoder whose top layers carry FFA-LoRA, with the frozen part computed once per text.

The layers below the lowest adapted one never change. So each text is run through them once (`Encoder.prepare`) and every training
step, scoring and evaluation starts from the cached activations: the same floats go into the same layers, only less often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from learning.device import precision_context
from learning.errors import ModelError, TrainingStopped
from learning.models.base import Checkpoint, adapted_modules, base_model_hash, genesis, read_config, trainable
from learning.models.lora import LoraLinear
from learning.spec import LearningSpec

__all__ = ["Checkpoint", "Encoder", "Prepared", "base_model_hash", "genesis", "trainable"]
_FORWARD_BATCH = 64


@dataclass(frozen=True, slots=True)
class Prepared:
    """Texts after the frozen layers: activations of all texts end to end, (tokens, hidden) float32, and where each begins."""

    hidden: Tensor
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)


class Encoder:
    """Base model plus LoRA on one device. Use one instance per process; it is not safe for concurrent calls.

    Args:
        folder: local Transformers folder (safetensors weights).
        spec: the guideline's learning part.
        device: where to compute.

    Raises:
        ModelError: a missing or unreadable folder, a hash other than the guideline's, or another model family.
    """

    def __init__(self, folder: Path, spec: LearningSpec, device: torch.device) -> None:
        found = base_model_hash(folder)
        if found != spec.base_hash:
            raise ModelError(
                f"The base model in {folder} has hash {found}, the guideline asks for {spec.base_hash}.",
                why="Another version of the model or of its tokenizer.",
                hint="Fetch the model that the guideline names.",
            )
        config = read_config(folder)
        self._width = int(config["hidden_size"])
        self.spec = spec
        self.device = device
        self.folder = folder
        model, self._tokenizer = _load(folder)
        self._pad = int(self._tokenizer.pad_token_id)
        self._embeddings: nn.Module = model.embeddings
        self._layers: nn.ModuleList = model.encoder.layer
        self._lowest = len(self._layers) - spec.lora_layers
        model.to(device).requires_grad_(False).eval()  # eval: dropout off, also in training, for determinism
        self._adapters = self._attach(adapted_modules(spec, int(config["num_hidden_layers"])))

    def _attach(self, modules: Mapping[str, str]) -> dict[str, LoraLinear]:
        adapters = {}
        for name, path in modules.items():
            parent_path, _, attribute = path.rpartition(".")
            parent = self._layers.get_submodule(parent_path)
            adapter = LoraLinear(
                getattr(parent, attribute), self.spec.lora_rank, self.spec.lora_alpha / self.spec.lora_rank
            )
            setattr(parent, attribute, adapter)
            adapters[name] = adapter
        return adapters

    def parameters(self) -> dict[str, nn.Parameter]:
        """Trained parameters by checkpoint name."""
        return {f"{name}.lora_B": adapter.lora_b for name, adapter in self._adapters.items()}

    def adapters(self) -> Mapping[str, LoraLinear]:
        """Adapted layers by canonical name."""
        return self._adapters

    def load(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint's factors into the model.

        Raises:
            ModelError: names or shapes other than the guideline's, or a value that is not finite.
        """
        expected = {f"{name}.lora_{factor}" for name in self._adapters for factor in "AB"}
        if set(checkpoint) != expected:
            odd = sorted(expected ^ set(checkpoint))
            raise ModelError(f"The checkpoint's tensors are not the guideline's; first difference: {odd[0]}.")
        for name, adapter in self._adapters.items():
            for target, array in (
                (adapter.lora_a, checkpoint[f"{name}.lora_A"]),
                (adapter.lora_b, checkpoint[f"{name}.lora_B"]),
            ):
                if array.shape != tuple(target.shape) or array.dtype != np.float32 or not np.isfinite(array).all():
                    raise ModelError(
                        f"The checkpoint's tensor {name} has a wrong shape, type, or a value that is not finite."
                    )
                with torch.no_grad():
                    target.copy_(torch.tensor(array))

    def prepare(
        self,
        texts: Sequence[str],
        max_tokens: int,
        precision: str,
        should_stop: Callable[[], bool] | None = None,
    ) -> Prepared:
        """Tokenise and run the frozen layers, longest texts first so that little padding is computed.

        Args:
            texts: one or more texts.
            max_tokens: tokens kept of each, special tokens included.
            precision: ``bf16`` or ``float32``.
            should_stop: asked before each batch of 64 texts.

        Raises:
            TrainingStopped: ``should_stop`` said yes.
        """
        encoded = self._tokenizer(list(texts), truncation=True, max_length=max_tokens, return_attention_mask=False)
        tokens = [torch.tensor(ids) for ids in encoded["input_ids"]]
        lengths = np.array([len(ids) for ids in tokens], np.int64)
        starts = np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.int64)
        hidden = torch.empty(int(lengths.sum()), self._width, device=self.device)
        with torch.no_grad(), precision_context(self.device, precision):
            for rows in _by_length(lengths):
                if should_stop is not None and should_stop():
                    raise TrainingStopped("Preparing the texts was stopped, as asked.")
                ids = nn.utils.rnn.pad_sequence([tokens[i] for i in rows], batch_first=True, padding_value=self._pad)
                mask = _mask(lengths[rows], self.device)
                states = self._embeddings(input_ids=ids.to(self.device))
                for layer in self._layers[: self._lowest]:
                    states = _apply(layer, states, mask)
                hidden[_flat(starts[rows], lengths[rows], self.device)] = states[mask].float()
        return Prepared(hidden, starts, lengths)

    def embed(self, prepared: Prepared, rows: NDArray[np.int64]) -> Tensor:
        """Unit embeddings (len(rows), hidden) float32 of some prepared texts: adapted layers, mean over tokens, L2 norm.

        Differentiable in the LoRA parameters; call it inside `precision_context` to choose the precision.
        """
        lengths = prepared.lengths[rows]
        mask = _mask(lengths, self.device)
        states = prepared.hidden.new_zeros(*mask.shape, self._width)
        states[mask] = prepared.hidden[_flat(prepared.starts[rows], lengths, self.device)]
        for layer in self._layers[self._lowest :]:
            states = _apply(layer, states, mask)
        weight = mask.unsqueeze(-1).float()
        mean = (states.float() * weight).sum(1) / weight.sum(1)
        return nn.functional.normalize(mean, dim=-1)

    def embed_all(self, prepared: Prepared, precision: str) -> Tensor:
        """Unit embeddings of all prepared texts in their order, without gradients."""
        result = torch.empty(len(prepared), self._width, device=self.device)
        with torch.no_grad(), precision_context(self.device, precision):
            for rows in _by_length(prepared.lengths):
                result[torch.from_numpy(rows).to(self.device)] = self.embed(prepared, rows)
        return result


def _by_length(lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(-lengths, kind="stable")
    return [order[begin : begin + _FORWARD_BATCH] for begin in range(0, len(order), _FORWARD_BATCH)]


def _mask(lengths: NDArray[np.int64], device: torch.device) -> Tensor:
    """True where a token is, (rows, longest)."""
    columns = torch.arange(int(lengths.max()))
    return (columns < torch.from_numpy(lengths).unsqueeze(1)).to(device)


def _flat(starts: NDArray[np.int64], lengths: NDArray[np.int64], device: torch.device) -> Tensor:
    """Positions of these texts' tokens in the end-to-end buffer, in order."""
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return torch.from_numpy(np.repeat(starts, lengths) + within).to(device)


def _apply(layer: nn.Module, states: Tensor, mask: Tensor) -> Tensor:
    output = layer(states, attention_mask=mask[:, None, None, :])
    return output[0] if isinstance(output, tuple) else output


def _load(folder: Path) -> tuple[Any, Any]:
    transformers_logging.disable_progress_bar()  # the node has its own display, and errors come as exceptions
    transformers_logging.set_verbosity_error()  # silences the report that the base model's unused pooler was not read
    try:
        model = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            attn_implementation="sdpa",
            add_pooling_layer=False,
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"The base model in {folder} could not be loaded.", why=str(error)[:300]) from error
    return model, tokenizer

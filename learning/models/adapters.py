"""What of a model is trained: all of it, LoRA (PEFT), LoRA with a frozen first factor (the house default), or LoRA on 4-bit weights.

The house default is ``ffa``: averages and medians of B are those of the products B·A (`learning.models.lora` says why). There A is drawn by
`frozen_factor` from the adapter's seed and the layer's name, so everybody has the same one and only B travels. Names of tensors are
those of the module with ``.lora_A`` and ``.lora_B``.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from learning.errors import ModelError, SpecError
from learning.models.families import Family
from learning.models.lora import frozen_factor

AdapterKind = Literal["full", "ffa", "lora", "qlora"]
_PEFT = ".default.weight"


@dataclass(frozen=True, slots=True)
class Adapter:
    """How a model is adapted.

    Attributes:
        kind: ``full``, ``ffa`` (B trained, A frozen), ``lora`` (both, by PEFT) or ``qlora`` (the same on 4-bit weights).
        rank: r.
        alpha: the product is scaled by alpha/r.
        targets: ends of the names of adapted layers; None: the family's.
        seed: of the frozen A; part of the model, the same for everybody.
    """

    kind: AdapterKind = "ffa"
    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Sane sizes.

        Raises:
            SpecError: a rank below 1 or an alpha that is not positive.
        """
        if self.rank < 1 or not 0 < self.alpha < math.inf:
            raise SpecError(f"A LoRA rank of {self.rank} and alpha of {self.alpha} make no sense.")
        if self.kind not in ("full", "ffa", "lora", "qlora"):
            raise SpecError(f"{self.kind!r} is no way of adapting a model.", hint="Use full, ffa, lora or qlora.")


class FrozenFactorLinear(nn.Module):
    """y = base(x) + (alpha/r)·B·(A·x) for inputs (…, in); only B (out, r) is trained, A (r, in) is a buffer.

    The product is added by one `addmm`, which saves two passes over the output that a sum of three terms would take.
    """

    lora_a: Tensor

    def __init__(self, base: nn.Module, first: NDArray[np.float32], outputs: int, scale: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = scale
        self.register_buffer("lora_a", torch.from_numpy(first.copy()), persistent=False)
        self.lora_b = nn.Parameter(torch.zeros(outputs, len(first)))

    @property
    def weight(self) -> Tensor:
        """The base layer's weight: T5 looks at its number format."""
        weight = self.base.weight
        assert isinstance(weight, Tensor)
        return weight

    def forward(self, inputs: Tensor) -> Tensor:
        """See the class."""
        plain: Tensor = self.base(inputs)
        low = nn.functional.linear(inputs, self.lora_a).flatten(0, -2)
        return torch.addmm(plain.flatten(0, -2), low, self.lora_b.T, alpha=self.scale).view_as(plain)


def attach(body: nn.Module, family: Family, adapter: Adapter) -> list[str]:
    """Freeze ``body`` and put LoRA into it, or leave everything to be trained (``full``). Returns the names of adapted layers, sorted.

    Raises:
        ModelError: no layer has a target's name, or 4-bit weights are asked for where bitsandbytes is not installed.
    """
    if adapter.kind == "full":
        body.requires_grad_(True)
        return []
    body.requires_grad_(False)
    layers = adapted_layers(body, family, adapter)
    if adapter.kind == "ffa":
        for name in layers:
            _put(body, name, adapter)
        return layers
    if adapter.kind == "qlora":
        require_bitsandbytes()
    turned = isinstance(body.get_submodule(layers[0]), Conv1D)  # GPT-2 keeps its weights transposed
    settings = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        target_modules=layers,
        lora_dropout=0.0,
        bias="none",
        fan_in_fan_out=turned,
    )
    inject_adapter_in_model(settings, body)
    return layers


def adapted_layers(body: nn.Module, family: Family, adapter: Adapter) -> list[str]:
    """Names of the linear layers that an adapter's targets name, sorted.

    Raises:
        ModelError: there is none.
    """
    targets = adapter.targets or family.targets
    found = sorted(
        name
        for name, module in body.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and any(f".{name}".endswith(f".{t}") for t in targets)
    )
    if not found:
        raise ModelError(
            f"No linear layer of the {family.name} model is called {' or '.join(targets)}.",
            hint="Set the adapter's targets.",
        )
    return found


def require_bitsandbytes() -> None:
    """Refuse QLoRA where its kernels are missing.

    Raises:
        ModelError: bitsandbytes is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            "QLoRA needs the package bitsandbytes, which is not installed.",
            why="It holds the 4-bit kernels; they want a CUDA device.",
            hint="Install bitsandbytes, or use the adapter ffa or lora.",
        )


def tensor_name(parameter: str) -> str:
    """Name of a parameter in a state: PEFT's ``….lora_A.default.weight`` is ``….lora_A``, our ``….lora_b`` is ``….lora_B``."""
    if parameter.endswith(".lora_b"):
        return parameter[:-1] + "B"
    return parameter.removesuffix(_PEFT) if ".lora_" in parameter else parameter


def first_value(name: str, parameter: Tensor, seed: int) -> NDArray[np.float32] | None:
    """What a LoRA factor begins at: A by `frozen_factor`, B zero. None for other tensors."""
    if name.endswith(".lora_A"):
        return frozen_factor(seed, name, parameter.shape[0], parameter.shape[1])
    if name.endswith(".lora_B"):
        return np.zeros(tuple(parameter.shape), np.float32)
    return None


def _put(body: nn.Module, name: str, adapter: Adapter) -> None:
    parent_name, _, attribute = name.rpartition(".")
    parent = body.get_submodule(parent_name)
    base = getattr(parent, attribute)
    assert isinstance(base, nn.Linear | Conv1D)
    outputs, inputs = base.weight.shape if isinstance(base, nn.Linear) else base.weight.shape[::-1]
    first = frozen_factor(adapter.seed, name, adapter.rank, inputs)
    setattr(parent, attribute, FrozenFactorLinear(base, first, outputs, adapter.alpha / adapter.rank))

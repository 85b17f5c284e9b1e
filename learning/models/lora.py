"""LoRA with a frozen first factor (FFA-LoRA): y = W·x + (alpha/r)·B·(A·x), where only B is trained and averaged.

With A common and frozen the update is linear in B, so the mean, the median or any coordinate-wise rule over clients' B is the same
rule over their products B·A. With both factors trained it is not: averages of factors are off by 50–90 % and an attacker inside every
coordinate's range can flip the product (Sun et al. 2024, arXiv 2403.12313).
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_BITS = 23


def frozen_factor(seed: int, name: str, rank: int, columns: int) -> NDArray[np.float32]:
    """A of shape (rank, columns): uniform in ±√(3/columns), so that each row has expected norm 1. Equal on every machine.

    The SHAKE-256 stream of ``"commonweight/lora_A/1" ‖ seed ‖ name`` gives 24-bit integers k; the entry is (k − 2²³ + ½)·2⁻²³ times the
    bound, in float64, rounded once to float32. No library's random generator is involved.
    """
    stream = hashlib.shake_256(f"commonweight/lora_A/1\0{seed}\0{name}".encode()).digest(rank * columns * 4)
    integers = np.frombuffer(stream, dtype="<u4") >> 8
    unit = (integers.astype(np.float64) - (2**_BITS - 0.5)) * 2.0**-_BITS
    return (unit * math.sqrt(3.0 / columns)).astype(np.float32).reshape(rank, columns)


class LoraLinear(nn.Module):
    """A frozen linear layer with a low-rank term of which only ``lora_b`` is trained.

    Args:
        base: the layer to adapt, (out, in); its parameters are frozen.
        rank: r.
        scale: alpha/r.
    """

    lora_a: Tensor

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = scale
        device = base.weight.device
        self.register_buffer("lora_a", torch.zeros(rank, base.in_features, device=device))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank, device=device))

    def forward(self, inputs: Tensor) -> Tensor:
        """W·x + b + scale·B·A·x for inputs of shape (…, in)."""
        low = nn.functional.linear(inputs, self.lora_a)
        return self.base(inputs) + nn.functional.linear(low, self.lora_b) * self.scale

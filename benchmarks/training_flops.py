"""Arithmetic of a training step by counting matrix products, and the matrix rate a device reaches. For percentages of that rate only."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


def linear_flops(body: nn.Module, *, skip: Sequence[str] = ("lm_head",)) -> tuple[int, int]:
    """(forward, backward) operations for one token in all linear layers: 2·in·out each, for a trained weight as much again.

    Backward is 2·in·out for the gradient by inputs, and 2·in·out more where the weight is trained. ``skip``: layers not counted here.
    """
    forward = backward = 0
    for name, module in body.named_modules():
        if not isinstance(module, nn.Linear | Conv1D) or any(s in name for s in skip):
            continue
        cost = 2 * module.weight.numel()
        forward += cost
        backward += cost * (2 if module.weight.requires_grad else 1)
    return forward, backward


def attention_flops(layers: int, width: int, length: int, *, causal: bool) -> int:
    """Forward operations for one token of a text of ``length`` tokens in all attentions: QKᵀ and PV, half of it where causal."""
    full = 4 * layers * width * length
    return full // 2 if causal else full


def step_flops(body: nn.Module, config: object, lengths: Sequence[int], *, causal: bool, head_terms: int) -> float:
    """Useful operations of forward and backward for texts of these lengths; padding and recomputation are not counted.

    Args:
        body: model; which weights are trained decides the backward.
        config: its Transformers configuration.
        lengths: real tokens of each text.
        causal: attention sees only what is before.
        head_terms: positions whose vocabulary logits are needed.
    """
    forward, backward = linear_flops(body)
    layers, width = int(getattr(config, "num_hidden_layers", 0)), int(getattr(config, "hidden_size", 0))
    total = 0.0
    for length in lengths:
        attention = attention_flops(layers, width, length, causal=causal)
        total += length * (forward + backward + 3 * attention)
    vocabulary = int(getattr(config, "vocab_size", 0))
    return total + head_terms * 2 * width * vocabulary * 2


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int = 1024, seconds: float = 0.5) -> float:
    """Operations per second of a square matrix product, the best of several medians: what the device can reach."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in "ab")
    times = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 5:
        times.append(_timed(left, right, device))
    return 2 * size**3 / statistics.median(sorted(times)[: max(3, len(times) // 2)])


def _timed(left: Tensor, right: Tensor, device: torch.device) -> float:
    synchronise(device)
    began = time.perf_counter()
    left @ right
    synchronise(device)
    return time.perf_counter() - began


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""Which number format pays on a device."""

from __future__ import annotations

import torch

from learning.device import supports_bf16
from learning.training.settings import Precision


def choose_precision(device: torch.device, wish: Precision) -> str:
    """``bf16`` or ``float32``.

    ``auto`` is bf16 on GPUs that have it and on CPUs with native bf16 arithmetic (AVX512-BF16 or AMX); elsewhere bf16 is emulated and
    slower. A wish for bf16 that the device cannot fulfil gives float32.
    """
    if wish == "auto":
        return "bf16" if native_bf16(device) else "float32"
    return "bf16" if wish == "bf16" and supports_bf16(device) else "float32"


def native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 matrices in hardware."""
    if device.type != "cpu":
        return supports_bf16(device)
    looks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(look() for look in looks if look is not None)


def frozen_type(precision: str) -> torch.dtype:
    """Format in which weights that are never trained are held: what autocast would cast them to at each use."""
    return torch.bfloat16 if precision == "bf16" else torch.float32

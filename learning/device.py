"""Which device a node computes on, and in which precision."""

from __future__ import annotations

import contextlib
import re
from contextlib import AbstractContextManager

import torch

from learning.errors import DeviceError


def choose_device(wish: str = "auto") -> torch.device:
    """The device for ``auto`` (an accelerator if there is one), ``cpu``, or e.g. ``cuda:0``.

    Raises:
        DeviceError: not a device name, or no such device here.
    """
    if wish == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if wish == "cpu":
        return torch.device("cpu")
    match = re.fullmatch(r"cuda(?::(\d{1,3}))?", wish)
    if match is None:
        raise DeviceError(f"{wish!r} is not a device.", hint='Use "auto", "cpu" or "cuda:0".')
    index = int(match[1] or 0)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= count:
        raise DeviceError(
            f"The device {wish} was asked for, but this machine shows {count} CUDA device(s).",
            why="No driver, a CPU-only build of torch, or a wrong number.",
            hint='Use device = "auto" to take whatever is there.',
        )
    return torch.device("cuda", index)


def supports_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is worth using: any CPU that torch runs on emulates it, GPUs from compute capability 8.0 on."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return True


def precision_context(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Autocast to bfloat16 for ``bf16`` where the device supports it; otherwise nothing (float32)."""
    if precision == "bf16" and supports_bf16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def single_threaded() -> None:
    """One torch thread for this process: several nodes on one machine otherwise spin against each other."""
    torch.set_num_threads(1)

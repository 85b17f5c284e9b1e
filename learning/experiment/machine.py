"""What a number was measured on: processor and versions, no names of machines or people."""

from __future__ import annotations

import platform
import sys
from functools import lru_cache
from importlib import metadata
from pathlib import Path

_PACKAGES = ("numpy", "torch", "transformers", "peft")


@lru_cache(maxsize=1)
def machine() -> dict[str, str | int]:
    """Processor, its cores, the system; the accelerator where torch is loaded and has one."""
    facts: dict[str, str | int] = {"cpu": platform.processor(), "cores": 0, "system": platform.system()}
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        lines = cpu.read_text(encoding="utf-8").splitlines()
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        facts |= {"cpu": models[0] if models else facts["cpu"], "cores": len(models)}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name(0)
    return facts


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Python's and the packages' that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found

"""Checkpoints of an interrupted training: a safetensors file and a JSON file that names it, each replaced atomically.

The JSON holds the SHA-256 of the tensors and a key of everything that the training depends on. What does not match is not used: a training
with other data, settings or start begins at its first step.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

_POINTER = "progress.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stood: steps taken and every tensor needed to go on."""

    step: int
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Keeper:
    """Checkpoints of one training in a folder of its own.

    Attributes:
        folder: created on the first write.
        key: identity of the training (`training_key`).
        every: steps between two checkpoints; 0: only when asked to stop.
    """

    folder: Path
    key: str
    every: int = 0

    def write(self, progress: Progress) -> None:
        """Keep this instead of what was kept before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        body = save({name: t.detach().cpu().contiguous() for name, t in progress.tensors.items()})
        digest = hashlib.sha256(body).hexdigest()
        name = f"{digest[:32]}.safetensors"
        _replace(self.folder / name, body)
        pointer = {"key": self.key, "step": progress.step, "file": name, "sha256": digest}
        _replace(self.folder / _POINTER, json.dumps(pointer, sort_keys=True).encode())
        for old in self.folder.glob("*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def read(self) -> Progress | None:
        """What was kept of this very training; None if nothing was, or it is damaged."""
        try:
            pointer = json.loads((self.folder / _POINTER).read_text(encoding="utf-8"))
            if pointer["key"] != self.key:
                return None
            body = (self.folder / str(pointer["file"])).read_bytes()
            if hashlib.sha256(body).hexdigest() != pointer["sha256"]:
                return None
            return Progress(int(pointer["step"]), load(body))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None

    def clear(self) -> None:
        """Forget: the training is over."""
        (self.folder / _POINTER).unlink(missing_ok=True)
        for path in self.folder.glob("*.safetensors"):
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def random_state(device: torch.device) -> dict[str, Tensor]:
    """torch's random generators, as tensors."""
    found = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        found["random.device"] = torch.cuda.get_rng_state(device)
    return found


def set_random_state(tensors: Mapping[str, Tensor], device: torch.device) -> None:
    """Undo `random_state`."""
    torch.set_rng_state(tensors["random.cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.device"], device)


def _replace(path: Path, body: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - atomic
    finally:
        Path(temporary).unlink(missing_ok=True)

"""One training on several processes, one device each: what they compute is what one process computes, up to rounding.

Two ways. *Replicated*: every process holds the model and takes every world-th piece of each batch; gradients are summed in one message
before each step (`Place.reduce`). That is data parallelism without a wrapper, so it serves every kind and adapter, retrieval's coupled
loss included. *Sharded*: `shard` splits the parameters over the processes with FSDP2 (`fully_shard`) for models that one device cannot
hold; layers are gathered when they are used. Start processes with ``torchrun``; `start` reads its variables.

```
with start("cpu") as place:                                  # torchrun --nproc-per-node 2 train.py
    learner = TransformerLearner(data, folder, device=place.device, share=place.share, reduce=place.reduce)
    trained = learner.train(learner.initial(0), indices, seed=0)     # equal in every process
```
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from learning.errors import DeviceError


@dataclass(frozen=True, slots=True)
class Place:
    """This process among the others.

    Attributes:
        rank: its number.
        world: how many there are.
        device: its own.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def share(self) -> tuple[int, int]:
        """For `TransformerLearner`."""
        return self.rank, self.world

    def reduce(self, tensors: Sequence[Tensor]) -> None:
        """Sum tensors over all processes, in place, as one message for each number format."""
        for dtype in sorted({t.dtype for t in tensors}, key=str):
            chosen = [t for t in tensors if t.dtype == dtype]
            flat = torch.cat([t.reshape(-1) for t in chosen])
            dist.all_reduce(flat)
            for tensor, part in zip(chosen, flat.split([t.numel() for t in chosen]), strict=True):
                tensor.copy_(part.view_as(tensor))


@contextmanager
def start(device: str) -> Iterator[Place]:
    """Join the processes that ``torchrun`` started: gloo on CPUs, NCCL on GPUs. Leaves them at the end.

    Args:
        device: ``cpu`` or ``cuda`` (each process then takes the GPU of its local rank).

    Raises:
        DeviceError: not started by torchrun, or no GPU for this process.
    """
    missing = [n for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if n not in os.environ]
    if missing:
        raise DeviceError(
            f"This process knows nothing of others: {missing[0]} is not set.", hint="Start it with torchrun."
        )
    rank, world, local = (int(os.environ[n]) for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if device == "cuda" and local >= torch.cuda.device_count():
        raise DeviceError(
            f"Process {local} of this machine has no GPU: there are {torch.cuda.device_count()}.",
            hint="Start no more processes than GPUs.",
        )
    dist.init_process_group("nccl" if device == "cuda" else "gloo", rank=rank, world_size=world)
    try:
        yield Place(rank, world, torch.device("cuda", local) if device == "cuda" else torch.device("cpu"))
    finally:
        dist.destroy_process_group()


def shard(model: nn.Module, layers: Sequence[nn.Module], place: Place) -> nn.Module:
    """Split a model's parameters over the processes (FSDP2): each of ``layers`` is gathered by itself, then the rest.

    Its forward then takes each process's own rows, and its backward averages gradients over processes.
    """
    mesh = init_device_mesh(place.device.type, (place.world,))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def gathered(parameters: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    """Whole tensors of a sharded model as arrays, in order of name; every process has to call it."""
    found = {}
    for name, p in sorted(parameters.items()):
        whole = p.full_tensor() if isinstance(p, DTensor) else p
        found[name] = np.array(whole.detach().float().cpu().numpy(), np.float32)
    return found

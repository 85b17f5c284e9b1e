"""The gradient of one optimiser step, in as many pieces as memory asks for.

The step's loss is the mean over all terms of the batch; a piece contributes its sum of losses over that number. So the step is the same
however the batch is cut, up to rounding. Retrieval's loss couples all rows: there the vectors are computed piece by piece without
gradients, the loss and its gradient by vector on all of them, and then each piece again with that gradient (Gao et al. 2021,
arXiv 2101.06983).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from learning.device import precision_context
from learning.models.network import Network
from learning.tasks.code_search import contrastive_loss
from learning.training.batches import Batch, Collator
from learning.training.errors import OutOfMemory, is_out_of_memory
from learning.training.prepare import Ints, Prepared

Say = Callable[[str], None]
TermLosses = Callable[[dict[str, Tensor]], Tensor]


@dataclass
class Gradients:
    """Adds a batch's gradient to the network's parameters.

    Attributes:
        network: what is trained.
        collate: makes batches.
        prepared: the split.
        device: where.
        precision: ``bf16`` or ``float32``.
        temperature: of retrieval's loss.
        micro: rows at once, now; halved where memory runs out.
        say: gets a sentence when that happens.
        losses: the network's term losses, or something in their place.
        share: ``(rank, world)``: with several processes each computes every world-th piece.
    """

    network: Network
    collate: Collator
    prepared: Prepared
    device: torch.device
    precision: str
    temperature: float
    micro: int
    say: Say
    losses: TermLosses
    share: tuple[int, int] = (0, 1)
    lengths: Ints = field(init=False)

    def __post_init__(self) -> None:
        """Lengths are needed at every step."""
        self.lengths = self.prepared.length()

    def add(self, rows: Ints) -> Tensor:
        """Backward of the mean loss over ``rows``; returns that loss (this process's share of it), on the device.

        Raises:
            OutOfMemory: one row alone does not fit.
        """
        while True:
            try:
                return self._contrastive(rows) if self.network.kind == "retrieval" else self._terms(rows)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.micro == 1:
                    raise OutOfMemory(
                        f"One row of {int(self.lengths[rows].max())} tokens does not fit into the memory of {self.device}.",
                        hint="Lower the token limits, adapt fewer layers, or take a smaller model.",
                    ) from error
            self.network.zero_grad(set_to_none=True)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            before, self.micro = self.micro, -(-min(self.micro, len(rows)) // 2)
            self.say(
                f"Memory ran out with {min(before, len(rows))} rows at once; going on with {self.micro}. "
                f"Batches stay as they are."
            )

    def _autocast(self) -> AbstractContextManager[object]:
        return precision_context(self.device, self.precision)

    def _pieces(self, rows: Ints, rank: int) -> list[Ints]:
        """Process ``rank``'s part of a batch in pieces. The part does not depend on how much memory a process has."""
        world = self.share[1]
        if len(rows) <= self.micro and world == 1:
            return [rows]
        part = rows[np.argsort(self.lengths[rows], kind="stable")][rank::world]
        return [part[i : i + self.micro] for i in range(0, len(part), self.micro)]

    def _terms(self, rows: Ints) -> Tensor:
        total = max(1, int(self.collate.terms(self.prepared, rows).sum()))
        loss = torch.zeros((), device=self.device)
        for piece in self._pieces(rows, self.share[0]):
            batch = self.collate(self.prepared, piece)
            with self._autocast():
                part = self.losses(batch.tensors).sum() / total
            part.backward()
            loss += part.detach()
        return loss

    def _contrastive(self, rows: Ints) -> Tensor:
        if self.share[1] > 1 or len(rows) > self.micro:
            return self._cached(rows)
        queries, codes = self._embed(self.collate(self.prepared, rows))
        loss = contrastive_loss(queries, codes, temperature=self.temperature)
        loss.backward()
        return loss.detach()

    def _embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with self._autocast():
            return self.network.embed(batch.tensors, "query"), self.network.embed(batch.tensors, "code")

    def _cached(self, rows: Ints) -> Tensor:
        """Every process computes all vectors, and the gradients of its own pieces."""
        rank, world = self.share
        pieces = [(owner, piece) for owner in range(world) for piece in self._pieces(rows, owner)]
        found: list[tuple[Tensor, Tensor]] = []
        states = []
        for _, piece in pieces:
            states.append(_generators(self.device))
            with torch.no_grad():
                found.append(self._embed(self.collate(self.prepared, piece)))
        queries = torch.cat([q for q, _ in found]).requires_grad_()
        codes = torch.cat([c for _, c in found]).requires_grad_()
        loss = contrastive_loss(queries, codes, temperature=self.temperature)
        loss.backward()
        assert queries.grad is not None
        assert codes.grad is not None
        after = _generators(self.device)
        begin = 0
        for number, (owner, piece) in enumerate(pieces):
            place = slice(begin, begin + len(piece))
            begin += len(piece)
            if owner != rank:
                continue
            _set_generators(states[number], self.device)  # the same dropout as in the first pass
            batch = self.collate(self.prepared, piece)
            torch.autograd.backward(self._embed(batch), (queries.grad[place], codes.grad[place]))
        _set_generators(after, self.device)
        return loss.detach() / world


def _generators(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_generators(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)

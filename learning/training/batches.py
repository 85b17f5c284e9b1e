"""Which rows make a batch, and a batch as tensors on the device.

Batches are length-bucketed: rows are shuffled, every ``bucket`` batches' worth of them is sorted by length and cut, and the batches
are shuffled again. Much less padding is computed, and each epoch still sees every row once in a random order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learning.tasks.encoding import IGNORED, Kind
from learning.training.prepare import Ints, Prepared

_SIDES = {"retrieval": ("query", "code"), "siamese": ("first", "second")}


def plan(lengths: Ints, rows: Ints, *, batch: int, epochs: float, bucket: int, seed: int, least: int = 1) -> list[Ints]:
    """Batches of row numbers for ``epochs`` passes over ``rows``; the same arguments give the same batches.

    Args:
        lengths: tokens of every row of the split.
        rows: rows trained on.
        batch: rows of a batch; an epoch's last one may be smaller.
        epochs: passes; of a part of one the nearest number of batches, at least one batch in all.
        bucket: batches sorted by length together; 0: none.
        seed: of the order.
        least: smallest batch that is kept, unless it is the only one of an epoch.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    per_epoch = max(1, len(_cut(np.arange(len(rows)), batch, least)))
    steps = max(1, round(epochs * per_epoch))
    batches: list[Ints] = []
    for _ in range(math.ceil(steps / per_epoch)):
        order = rows[generator.permutation(len(rows))]
        if bucket:
            pools = [order[i : i + bucket * batch] for i in range(0, len(order), bucket * batch)]
            order = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
        cuts = _cut(order, batch, least)
        batches += [cuts[i] for i in generator.permutation(len(cuts))] if bucket else cuts
    return batches[:steps]


def _cut(order: Ints, batch: int, least: int) -> list[Ints]:
    cuts = [order[i : i + batch] for i in range(0, len(order), batch)]
    return [cut for cut in cuts if len(cut) >= min(least, len(order))]


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch on the device.

    Attributes:
        tensors: what `learning.models.network.Network` takes.
        rows: row numbers in the prepared split, (n,).
        owner: for each term the place of its row in ``rows``, on the host.
    """

    tensors: dict[str, Tensor]
    rows: Ints
    owner: Ints

    @property
    def terms(self) -> int:
        """Number of terms, what the loss is a mean over."""
        return len(self.owner)


@dataclass(frozen=True, slots=True)
class Collator:
    """Makes batches of one kind for one model.

    Attributes:
        kind: encoding.
        pad: padding id.
        multiple: lengths are multiples of this.
        device: where tensors go.
        start: the decoder's first id (seq2seq), else ignored.
    """

    kind: Kind
    pad: int
    multiple: int
    device: torch.device
    start: int = 0

    def __call__(self, prepared: Prepared, rows: Ints) -> Batch:
        """Rows as one padded batch."""
        if self.kind in _SIDES:
            host = self._sides(prepared, rows)
            owner = np.arange(len(rows))
        elif self.kind == "classification":
            host = self._tokens(prepared, rows, "input_ids", "attention_mask")
            if "token_type_ids" in prepared.lists:
                host["token_type_ids"] = prepared.lists["token_type_ids"].padded(rows, 0, self.multiple)[0]
            owner = np.arange(len(rows))
        elif self.kind == "seq2seq":
            host, owner = self._seq2seq(prepared, rows)
        else:
            host, owner = self._decoder(prepared, rows)
        if "labels" in prepared.numbers:
            host["targets"] = prepared.numbers["labels"][rows]
        return Batch({name: self._move(array) for name, array in host.items()}, rows, owner)

    def terms(self, prepared: Prepared, rows: Ints) -> Ints:
        """Terms of each row, without making a batch."""
        if "labels" not in prepared.lists:
            return np.ones(len(rows), np.int64)
        labels = prepared.lists["labels"]
        counted = (labels.values != IGNORED).astype(np.int64)
        if self.kind != "seq2seq":
            counted[labels.starts[:-1][labels.lengths > 0]] = 0  # nothing stands before the first
        sums = np.concatenate(([0], np.cumsum(counted)))
        return np.asarray(sums[labels.starts[rows + 1]] - sums[labels.starts[rows]], np.int64)

    def _sides(self, prepared: Prepared, rows: Ints) -> dict[str, NDArray[Any]]:
        host: dict[str, NDArray[Any]] = {}
        for side in _SIDES[self.kind]:
            host |= self._tokens(prepared, rows, f"{side}_ids", f"{side}_mask")
        return host

    def _tokens(self, prepared: Prepared, rows: Ints, name: str, mask_name: str) -> dict[str, NDArray[Any]]:
        ids, mask = prepared.lists[name].padded(rows, self.pad, self.multiple)
        return {name: ids} if mask.all() else {name: ids, mask_name: mask}

    def _decoder(self, prepared: Prepared, rows: Ints) -> tuple[dict[str, NDArray[Any]], Ints]:
        ids, _ = prepared.lists["input_ids"].padded(rows, self.pad, self.multiple)
        labels, _ = prepared.lists["labels"].padded(rows, IGNORED, self.multiple)
        return self._predicted({"input_ids": ids}, labels[:, 1:], ids.shape[1])

    def _seq2seq(self, prepared: Prepared, rows: Ints) -> tuple[dict[str, NDArray[Any]], Ints]:
        host = self._tokens(prepared, rows, "input_ids", "attention_mask")
        labels, _ = prepared.lists["labels"].padded(rows, IGNORED, self.multiple)
        decoder = np.where(labels == IGNORED, self.pad, labels)
        host["decoder_ids"] = np.concatenate([np.full((len(rows), 1), self.start), decoder[:, :-1]], axis=1)
        return self._predicted(host, labels, labels.shape[1])

    @staticmethod
    def _predicted(
        host: dict[str, NDArray[Any]], labels: NDArray[np.int64], width: int
    ) -> tuple[dict[str, NDArray[Any]], Ints]:
        """Positions (in rows of ``width`` states end to end) that predict a label, and the labels."""
        row, column = np.nonzero(labels != IGNORED)
        host["positions"] = row * width + column
        host["targets"] = labels[row, column]
        return host, row.astype(np.int64)

    def _move(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)

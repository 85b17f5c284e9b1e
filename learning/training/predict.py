"""Predictions as `TaskData.evaluate` wants them, and losses of single examples. No gradients; results in the examples' order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import GenerationConfig

from learning.device import precision_context
from learning.models.network import Network
from learning.tasks.code_search import contrastive_rows
from learning.tasks.encoding import IGNORED, TransformersTokenizer
from learning.training.batches import Batch, Collator
from learning.training.prepare import Ints, Prepared, Ragged

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predictor:
    """A network with what it needs to predict.

    Attributes:
        network: the model, holding the state that is measured.
        collate: makes batches.
        tokenizer: decodes generated ids.
        device: where.
        precision: ``bf16`` or ``float32``.
        rows: rows at once.
        new_tokens: most tokens generated.
        beams: of generation.
        temperature: of retrieval's loss.
    """

    network: Network
    collate: Collator
    tokenizer: TransformersTokenizer
    device: torch.device
    precision: str
    rows: int
    new_tokens: int
    beams: int
    temperature: float

    def labels(self, prepared: Prepared) -> list[int]:
        """The likelier class of each row."""
        result = np.zeros(len(prepared), np.int64)
        for batch in self._batches(prepared, np.arange(len(prepared))):
            result[batch.rows] = self._run(batch).argmax(1).cpu().numpy()
        return [int(label) for label in result]

    def similarities(self, prepared: Prepared) -> Floats:
        """Cosine of every query with every function, (rows, rows) float64."""
        queries, codes = self.embeddings(prepared, np.arange(len(prepared)))
        return np.asarray((queries.double() @ codes.double().T).cpu().numpy(), np.float64)

    def embeddings(self, prepared: Prepared, rows: Ints) -> tuple[Tensor, Tensor]:
        """Unit vectors of queries and functions of some rows, float32 on the device, in the order of ``rows``."""
        sides = []
        for side in ("query", "code"):
            lengths = prepared.lists[f"{side}_ids"].lengths[rows]
            found: Tensor | None = None
            for places in self._cuts(lengths):
                batch = self.collate(prepared, rows[places])
                with torch.no_grad(), precision_context(self.device, self.precision):
                    vectors = self.network.embed(batch.tensors, side)
                if found is None:
                    found = vectors.new_empty(len(rows), vectors.shape[1])
                found[torch.from_numpy(places).to(self.device)] = vectors
            assert found is not None
            sides.append(found)
        return sides[0], sides[1]

    def texts(self, prepared: Prepared) -> list[str]:
        """What the model generates for each row: greedy or by beams, with a key-value cache; of decoders the first line."""
        prompts = self._prompts(prepared)
        result = [""] * len(prepared)
        left = self.network.family.generation_side == "left"
        body: Any = self.network.body
        settings = GenerationConfig(
            max_new_tokens=self.new_tokens,
            num_beams=self.beams,
            do_sample=False,
            use_cache=True,
            pad_token_id=self.collate.pad,
            eos_token_id=self.tokenizer.end,
            decoder_start_token_id=self.collate.start if self.network.kind == "seq2seq" else None,
        )
        for places in self._cuts(prompts.lengths):
            ids, mask = prompts.padded(places, self.collate.pad, 1, left=left)
            with torch.no_grad(), precision_context(self.device, self.precision):
                found = body.generate(
                    input_ids=torch.from_numpy(ids).to(self.device),
                    attention_mask=torch.from_numpy(mask.astype(np.int64)).to(self.device),
                    generation_config=settings,
                )
            start = ids.shape[1] if self.network.kind == "causal" else 0
            for place, line in zip(places, found[:, start:].tolist(), strict=True):
                text = self.tokenizer.text(line).strip()
                result[int(place)] = text.split("\n")[0].strip() if self.network.kind == "causal" else text
        return result

    def next_ids(self, prepared: Prepared) -> list[list[int]]:
        """For each row the likeliest id at each position given the true ones before it; −1 at the first."""
        result: list[list[int]] = [[]] * len(prepared)
        for batch in self._batches(prepared, np.arange(len(prepared))):
            guesses = self._run(batch).argmax(1).cpu().numpy()
            for place, row in enumerate(batch.rows):
                result[int(row)] = [-1, *guesses[batch.owner == place].tolist()]
        return result

    def losses(self, prepared: Prepared, examples: Ints) -> Floats:
        """Mean loss over the terms of each of some examples, nats; not for retrieval."""
        rows = prepared.rows(examples)
        sums, counts = np.zeros(len(prepared)), np.zeros(len(prepared))
        for batch in self._batches(prepared, np.unique(rows)):
            with torch.no_grad(), precision_context(self.device, self.precision):
                values = self.network.term_losses(batch.tensors).double().cpu().numpy()
            sums[batch.rows] = np.bincount(batch.owner, values, len(batch.rows))
            counts[batch.rows] = np.bincount(batch.owner, minlength=len(batch.rows))
        owners = prepared.numbers["example"]
        total = np.bincount(owners, sums, prepared.examples)
        terms = np.bincount(owners, counts, prepared.examples)
        return np.asarray(total[examples] / np.maximum(1, terms[examples]), np.float64)

    def contrastive(self, prepared: Prepared, examples: Ints, candidates: Ints) -> Floats:
        """Loss of each of some pairs among fixed others: it does not depend on which other examples are asked for.

        For pair i: the mean over both directions of −log softmax of its own similarity among those with the ``candidates`` other than i.
        """
        everybody = np.union1d(examples, candidates)
        queries, codes = (side.double() for side in self.embeddings(prepared, everybody))
        place = {int(e): i for i, e in enumerate(everybody)}
        result = np.zeros(len(examples))
        for number, example in enumerate(examples):
            company = [int(example), *(int(c) for c in candidates if c != example)]
            chosen = torch.tensor([place[e] for e in company], device=self.device)
            rows = contrastive_rows(queries[chosen], codes[chosen], temperature=self.temperature)
            result[number] = float(rows[0])
        return result

    def _prompts(self, prepared: Prepared) -> Ragged:
        """What is given to generate from: all ids (seq2seq), or those before the first label (causal)."""
        ids = prepared.lists["input_ids"]
        if self.network.kind == "seq2seq":
            return ids
        labels = prepared.lists["labels"]
        place = np.arange(len(labels.values)) - np.repeat(labels.starts[:-1], labels.lengths)
        answer = labels.values != IGNORED
        lengths = ids.lengths.copy()
        rows = np.repeat(np.arange(len(prepared)), labels.lengths)
        np.minimum.at(lengths, rows[answer], place[answer])
        starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        kept = place < np.repeat(lengths, ids.lengths)
        return Ragged(ids.values[kept], starts)

    def _run(self, batch: Batch) -> Tensor:
        with torch.no_grad(), precision_context(self.device, self.precision):
            return self.network.logits(batch.tensors).float()

    def _batches(self, prepared: Prepared, rows: Ints) -> Iterator[Batch]:
        for places in self._cuts(prepared.length()[rows]):
            yield self.collate(prepared, rows[places])

    def _cuts(self, lengths: Ints) -> Iterator[Ints]:
        order = np.argsort(-lengths, kind="stable")
        for begin in range(0, len(order), self.rows):
            yield order[begin : begin + self.rows]


def as_predictions(network: Network, predictor: Predictor, prepared: Prepared) -> Sequence[Any] | Floats:
    """Predictions of the network's kind, for every kind but completion."""
    if network.kind == "retrieval":
        return predictor.similarities(prepared)
    if network.kind in ("seq2seq", "causal"):
        return predictor.texts(prepared)
    return predictor.labels(prepared)

"""Code search as a `learning.learner.Learner`: the demo's encoder with LoRA's B factors, its frozen layers computed once for each text.

Contrastive training in a batch (`learning.local_training.fit`); the task's MRR, every function of a split being a candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learning.device import choose_device, single_threaded
from learning.errors import DataError, TrainingDiverged
from learning.experiment.search_options import Options
from learning.learner import State, Trained
from learning.local_training import fit
from learning.models.encoder import Encoder, Prepared, base_model_hash, genesis
from learning.models.installed import find_base_model
from learning.prepared_pairs import PreparedPairs, prepare_pairs
from learning.sources.pool import Split
from learning.spec import LearningSpec
from learning.tasks.base import TaskData
from learning.tasks.code_search import contrastive_loss, contrastive_rows


class SearchLearner:
    """See the module's head.

    Args:
        data: of code search.
        options: model and training.
        seed: of the frozen A factors, which all clients share.

    Raises:
        ModelError: the base model is not on this machine.
        DeviceError: no such device.
    """

    def __init__(self, data: TaskData[Any], options: Options, seed: int) -> None:
        single_threaded()
        self.data = data
        folder = find_base_model(options.model, Path(options.folder) if options.folder else None)
        self._spec = LearningSpec(
            base_hash=base_model_hash(folder),
            model=options.model,
            lora_rank=options.lora_rank,
            lora_alpha=2.0 * options.lora_rank,
            lora_layers=options.lora_layers,
            query_tokens=options.query_tokens,
            code_tokens=options.code_tokens,
            temperature=options.temperature,
            optimiser=options.optimiser,
            learning_rate=options.learning_rate,
            batch_size=options.batch_size,
            precision=options.precision,
            scoring_precision=options.precision,
        )
        self._model = Encoder(folder, self._spec, choose_device(options.device))
        self._genesis = genesis(self._spec, seed, folder)
        self._prepared: dict[Split, PreparedPairs] = {}

    def initial(self, seed: int) -> State:  # noqa: ARG002 - B starts at zero; the seed drew A
        """The B factors, zero."""
        return {name: array for name, array in self._genesis.items() if name.endswith(".lora_B")}

    def train(
        self, start: State, indices: Sequence[int], *, seed: int, epochs: float = 1.0, prox_mu: float = 0.0
    ) -> Trained:
        """See `learning.learner.Learner.train`: whole passes, then a last one over a random part; less than half a batch is dropped."""
        rows = np.asarray(indices, np.int64)
        if len(rows) < 2:
            raise DataError(f"This client has {len(rows)} training pair(s); contrast needs at least two.")
        began = perf_counter()
        whole, part = divmod(max(2, round(epochs * len(rows))), len(rows))
        some = np.random.Generator(np.random.PCG64(seed)).permutation(rows)[:part]
        stretches = [(rows, whole)] if whole else []
        if part >= (max(2, self._spec.batch_size // 2) if whole else 2):
            stretches.append((some, 1))
        state, losses = start, []
        for chosen, passes in stretches:
            spec = LearningSpec.from_mapping({**self._spec.to_mapping(), "epochs": passes, "prox_mu": prox_mu})
            losses += fit(
                self._model, {**self._genesis, **state}, _joined(self._pairs("train"), chosen), spec, seed=seed
            )
            state = {name: p.detach().cpu().numpy().copy() for name, p in sorted(self._model.parameters().items())}
        if not all(np.isfinite(array).all() for array in state.values()):
            raise TrainingDiverged("The trained factors are not finite.", hint="Lower the model's learning_rate.")
        tail = losses[-max(1, len(losses) // 4) :]
        return Trained(state, len(rows if whole else some), len(losses), sum(tail) / len(tail), perf_counter() - began)

    def evaluate(self, state: State, split: Split) -> Mapping[str, float]:
        """The task's metric, and ``loss``, the mean contrastive loss in nats over the whole split."""
        queries, codes = self._embedded(state, split)
        similarities: Any = (queries @ codes.T).cpu().numpy()
        loss = contrastive_loss(queries.double(), codes.double(), temperature=self._spec.temperature)
        return {**self.data.task.evaluate(self.data.examples(split), similarities), "loss": float(loss)}

    def losses(self, state: State, indices: Sequence[int], split: Split = "train") -> NDArray[np.float64]:
        """Each example's share of the contrastive loss among ``indices``, nats."""
        queries, codes = self._embedded(state, split)
        rows = torch.as_tensor(list(indices), device=queries.device)
        found = contrastive_rows(queries[rows].double(), codes[rows].double(), temperature=self._spec.temperature)
        return np.asarray(found.cpu().numpy(), np.float64)

    def _pairs(self, split: Split) -> PreparedPairs:
        if split not in self._prepared:
            self._prepared[split] = prepare_pairs(self._model, self.data.examples(split), self._spec.precision)
        return self._prepared[split]

    def _embedded(self, state: State, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
        pairs = self._pairs(split)
        self._model.load({**self._genesis, **state})
        precision = self._spec.precision
        return self._model.embed_all(pairs.queries, precision), self._model.embed_all(pairs.codes, precision)


def _joined(pairs: PreparedPairs, rows: NDArray[np.int64]) -> PreparedPairs:
    return PreparedPairs(_some(pairs.queries, rows), _some(pairs.codes, rows))


def _some(prepared: Prepared, rows: NDArray[np.int64]) -> Prepared:
    """These texts, sharing the activations."""
    return Prepared(prepared.hidden, prepared.starts[rows], prepared.lengths[rows])

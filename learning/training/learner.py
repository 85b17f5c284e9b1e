"""A Transformers model of any family on any task, as the `Learner` that experiments federate."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.utils import logging as transformers_logging

from learning.device import choose_device
from learning.errors import DataError, ModelError, SpecError
from learning.learner import State, Trained
from learning.models.adapters import Adapter, attach, first_value, require_bitsandbytes
from learning.models.families import family_of, longest, read_any_config
from learning.models.loading import check_fit, find_model, load_body, load_tokenizer
from learning.models.lora import frozen_factor
from learning.models.network import Network
from learning.sources.pool import Split
from learning.tasks.base import TaskData
from learning.tasks.completion import Completion
from learning.tasks.encoding import Kind, Limits, TransformersTokenizer
from learning.training.batches import Collator, plan
from learning.training.gradients import Gradients, TermLosses
from learning.training.keeper import Keeper
from learning.training.loop import Fitted, Loop, Reduce, state_of
from learning.training.precision import choose_precision, frozen_type
from learning.training.predict import Predictor, as_predictions
from learning.training.prepare import Ints, Prepared, prepare
from learning.training.settings import Settings

_LOG = logging.getLogger(__name__)
_RATES = {"full": 5e-5, "ffa": 1e-3, "lora": 1e-3, "qlora": 1e-3}


class TransformerLearner:
    """See `learning.learner.Learner`. Not safe for concurrent calls.

    Args:
        data: a task with its examples.
        model: a folder, a packaged model's name, or a hub id (`learning.models.loading.find_model`).
        kind: encoding; None: the task's first that the family offers.
        adapter: what is trained.
        settings: how.
        limits: tokens kept; None: the task's.
        device: where, or a wish (`learning.device.choose_device`).
        cache: folder for tokenised examples and shared weights; None: neither.
        checkpoints: folder for interrupted trainings; None: they begin anew.
        checkpoint_every: steps between checkpoints; 0: only when ``should_stop`` says so.
        should_stop: asked before every step.
        say: gets a sentence when something is done otherwise than asked (memory); None: the log.
        online: allow a hub id to be downloaded.
        expected: hash that the model folder must have.
        share: ``(rank, world)`` of this process, with ``reduce`` (`learning.training.distributed`).
        reduce: sums tensors over processes in place.

    Raises:
        ModelError: model and tokenizer cannot be read or do not fit each other or the limits.
        SpecError: a kind that family or task does not offer.
    """

    def __init__(
        self,
        data: TaskData[Any],
        model: str | Path,
        *,
        kind: Kind | None = None,
        adapter: Adapter | None = None,
        settings: Settings | None = None,
        limits: Limits | None = None,
        device: torch.device | str = "auto",
        cache: Path | None = None,
        checkpoints: Path | None = None,
        checkpoint_every: int = 0,
        should_stop: Callable[[], bool] | None = None,
        say: Callable[[str], None] | None = None,
        online: bool = False,
        expected: str | None = None,
        share: tuple[int, int] = (0, 1),
        reduce: Reduce | None = None,
    ) -> None:
        self.data, self.adapter, self.settings = data, adapter or Adapter(), settings or Settings()
        self.device = device if isinstance(device, torch.device) else choose_device(device)
        self.precision = choose_precision(self.device, self.settings.precision)
        self.limits = limits or data.task.limits
        self.folder = find_model(model, online=online, expected=expected)
        self._cache, self._checkpoints, self._checkpoint_every = cache, checkpoints, checkpoint_every
        self._should_stop, self._share, self._reduce = should_stop, share, reduce
        self._say = say or _LOG.warning
        self._prepared: dict[Split, Prepared] = {}
        transformers_logging.set_verbosity_error()
        self._open_model(kind)
        self._losses: TermLosses = self.network.term_losses

    def _open_model(self, kind: Kind | None) -> None:
        config = read_any_config(self.folder)
        family = family_of(config, f"The model in {self.folder}")
        self.kind = kind or _common_kind(self.data, family.name, tuple(family.classes))
        if self.kind not in self.data.task.kinds:
            offers = ", ".join(self.data.task.kinds)
            raise SpecError(f"{self.data.task.name} cannot be encoded for {self.kind!r}.", hint=f"It offers {offers}.")
        self.tokenizer = load_tokenizer(self.folder)
        check_fit(self.tokenizer, config, family, str(self.folder), str(self.folder))
        needed = self.limits.source + (self.limits.target if self.kind == "causal" else 0)
        most = longest(family, config)
        if most is not None and max(needed, self.limits.target) > most:
            raise ModelError(
                f"Inputs of up to {needed} tokens were asked for, the model in {self.folder} takes {most}.",
                hint="Lower the token limits.",
            )
        frozen, packed = self.adapter.kind != "full", self.adapter.kind == "qlora"
        if packed:
            require_bitsandbytes()
        body = load_body(
            self.folder,
            self.kind,
            frozen_type=frozen_type(self.precision) if frozen else torch.float32,
            shared=self._cache / "weights" if frozen and self._cache is not None else None,
            four_bit=self.device if packed else None,
        )
        self.layers = attach(body, family, self.adapter)
        self.network = Network(body, family, self.kind).to(self.device)
        self.network.train(self.settings.dropout)
        self._parameters = self.network.trained()
        self._base = state_of(self._parameters) if not frozen else {}
        self._names = TransformersTokenizer(self.tokenizer)
        start = config.get("decoder_start_token_id") or 0
        self.collate = Collator(self.kind, self._names.pad, self.settings.pad_to, self.device, int(start))

    # --- the interface ----------------------------------------------------------------------------------------------

    def initial(self, seed: int) -> State:
        """Pretrained tensors, B zero, and A (where it is trained) and the head drawn from ``seed`` by SHAKE-256. See `Learner.initial`."""
        state: dict[str, NDArray[np.float32]] = {}
        for name, p in self._parameters.items():
            value = first_value(name, p, seed)
            if value is None and name.startswith("head."):
                value = np.zeros(tuple(p.shape), np.float32)
                if p.ndim == 2:
                    value = frozen_factor(seed, name, p.shape[0], p.shape[1])
            state[name] = self._base[name].copy() if value is None else value
        return state

    def train(
        self, start: State, indices: Sequence[int], *, seed: int, epochs: float = 1.0, prox_mu: float = 0.0
    ) -> Trained:
        """See `Learner.train`. A loss that is not finite raises `learning.training.errors.Diverged`, which carries the last good state."""
        prepared = self.prepared("train")
        examples = self._checked(indices, prepared, "train")
        if self.kind == "retrieval" and len(set(indices)) < 2:
            raise DataError("This client has one training pair; at least two are needed.", hint="Give it more data.")
        if not 0 < epochs < 1e6 or not 0 <= prox_mu < 1e9:
            raise SpecError(f"{epochs} epochs with a proximal weight of {prox_mu} make no training.")
        self.load(start)
        settings = self.settings
        batches = plan(
            prepared.length(),
            prepared.rows(examples),
            batch=settings.batch,
            epochs=epochs,
            bucket=settings.bucket,
            seed=seed,
            least=max(2, settings.batch // 2) if self.kind == "retrieval" else 1,
        )
        began = perf_counter()
        try:
            fitted = self._fit(prepared, batches, start, seed, prox_mu)
        finally:
            self.network.zero_grad(set_to_none=True)
        seconds = perf_counter() - began
        tail = fitted.losses[-max(1, len(fitted.losses) // 4) :]
        seen = np.unique(prepared.numbers["example"][np.concatenate(batches)])
        return Trained(fitted.state, len(seen), len(batches), float(tail.mean()), seconds)

    def evaluate(self, state: State, split: Split) -> Mapping[str, float]:
        """See `Learner.evaluate`."""
        return self.data.evaluate(split, self.predictions(state, split))

    def losses(self, state: State, indices: Sequence[int], split: Split = "train") -> NDArray[np.float64]:
        """See `Learner.losses`. Of a pair in retrieval: among its own function and ``settings.candidates`` fixed others of the split."""
        prepared = self.prepared(split)
        examples = self._checked(indices, prepared, split)
        self.load(state)
        predictor = self._predictor()
        self.network.eval()
        try:
            if self.kind != "retrieval":
                return predictor.losses(prepared, examples)
            order = np.random.Generator(np.random.PCG64(0)).permutation(prepared.examples)
            return predictor.contrastive(prepared, examples, order[: self.settings.candidates].astype(np.int64))
        finally:
            self.network.train(self.settings.dropout)

    # --- beyond the interface ---------------------------------------------------------------------------------------

    def predictions(self, state: State, split: Split) -> Any:
        """What `TaskData.evaluate` takes: labels, similarities, texts, or the tokens of each program."""
        prepared = self.prepared(split)
        self.load(state)
        self.network.eval()
        try:
            predictor = self._predictor()
            if self.kind != "completion":
                return as_predictions(self.network, predictor, prepared)
            task = self.data.task
            assert isinstance(task, Completion)
            ids, words = prepared.lists["input_ids"], prepared.lists["word_ids"]
            owners = prepared.numbers["example"]
            rows = [
                {
                    "input_ids": ids.values[a:b].tolist(),
                    "word_ids": words.values[a:b].tolist(),
                    "example": int(owners[i]),
                }
                for i, (a, b) in enumerate(zip(ids.starts[:-1], ids.starts[1:], strict=True))
            ]
            return task.words(self.data.examples(split), rows, predictor.next_ids(prepared), self._names)
        finally:
            self.network.train(self.settings.dropout)

    def prepared(self, split: Split) -> Prepared:
        """A split's examples as token ids; encoded at the first call.

        Raises:
            DataError: the split is missing or empty.
        """
        if split not in self._prepared:
            cache = self._cache / "tokens" if self._cache is not None else None
            examples = self.data.examples(split)
            self._prepared[split] = prepare(self.data.task, examples, self.tokenizer, self.kind, self.limits, cache)
        return self._prepared[split]

    def load(self, state: State) -> None:
        """Put a state into the model.

        Raises:
            ModelError: other names or shapes than the model's, or a value that is not finite.
        """
        if set(state) != set(self._parameters):
            odd = sorted(set(state) ^ set(self._parameters))
            raise ModelError(f"The state's tensors are not those of the model; first difference: {odd[0]}.")
        with torch.no_grad():
            for name, p in self._parameters.items():
                array = state[name]
                if array.shape != tuple(p.shape) or array.dtype != np.float32 or not np.isfinite(array).all():
                    raise ModelError(f"The state's tensor {name} has a wrong shape or type, or is not finite.")
                p.copy_(torch.from_numpy(np.ascontiguousarray(array)))

    def _fit(self, prepared: Prepared, batches: list[Ints], start: State, seed: int, prox_mu: float) -> Fitted:
        gradients = Gradients(
            network=self.network,
            collate=self.collate,
            prepared=prepared,
            device=self.device,
            precision=self.precision,
            temperature=self.settings.temperature,
            micro=self.settings.micro_batch or self.settings.batch,
            say=self._say,
            losses=self._losses,
            share=self._share,
        )
        keeper = None
        if self._checkpoints is not None:
            key = self._training_key(prepared, batches, start, seed, prox_mu)
            keeper = Keeper(self._checkpoints / key[:32], key, self._checkpoint_every)
        loop = Loop(
            parameters=self._parameters,
            gradients=gradients,
            settings=self.settings,
            rate=self.settings.learning_rate or _RATES[self.adapter.kind],
            device=self.device,
            keeper=keeper,
            should_stop=self._should_stop,
            reduce=self._reduce,
        )
        return loop.run(batches, seed=seed, prox_mu=prox_mu)

    def _training_key(self, prepared: Prepared, batches: list[Ints], start: State, seed: int, prox_mu: float) -> str:
        """SHA-256 of everything that a training depends on."""
        facts = [
            asdict(self.settings),
            asdict(self.adapter),
            self.kind,
            self.precision,
            str(self.folder),
            seed,
            prox_mu,
        ]
        digest = hashlib.sha256(json.dumps(facts).encode())
        for name in sorted(prepared.lists):
            digest.update(prepared.lists[name].values.tobytes())
        for batch in batches:
            digest.update(batch.tobytes() + b"|")
        for name in sorted(start):
            digest.update(name.encode() + start[name].tobytes())
        return digest.hexdigest()

    def _predictor(self) -> Predictor:
        return Predictor(
            network=self.network,
            collate=self.collate,
            tokenizer=self._names,
            device=self.device,
            precision=self.precision,
            rows=self.settings.evaluation_batch,
            new_tokens=self.limits.target,
            beams=self.settings.beams,
            temperature=self.settings.temperature,
        )

    def _checked(self, indices: Sequence[int], prepared: Prepared, split: Split) -> Ints:
        examples = np.asarray(list(indices), np.int64)
        if not len(examples):
            raise DataError("This client has no training examples." if split == "train" else "No examples were named.")
        if examples.min() < 0 or examples.max() >= prepared.examples:
            raise DataError(f"Positions must lie between 0 and {prepared.examples - 1}, the size of {split}.")
        return examples


def _common_kind(data: TaskData[Any], family: str, offered: tuple[Kind, ...]) -> Kind:
    found = next((k for k in data.task.kinds if k in offered), None)
    if found is None:
        raise SpecError(
            f"A {family} model cannot do {data.task.name}: it offers {', '.join(offered)}, the task {', '.join(data.task.kinds)}."
        )
    return found

"""What an algorithm sees of a model: tensors in, tensors out. The one interface between experiments and models.

`learning.experiment` federates anything that has these four methods: a hashed linear model, a Transformers model, all of it or its LoRA
factors. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from learning.sources.pool import Split

State = Mapping[str, NDArray[np.float32]]
"""The trainable tensors by name; names sort the same on every machine."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What one local training gives.

    Attributes:
        state: trainable tensors afterwards.
        samples: distinct examples trained on (FedAvg's weight).
        steps: optimiser steps taken.
        loss: mean training loss of the last quarter of steps, nats.
        seconds: wall seconds of the loop, preparation of data not included.
    """

    state: State
    samples: int
    steps: int
    loss: float
    seconds: float


class Learner(Protocol):
    """A model with a task's data prepared for it. Nothing lasts between calls: each begins at the state it is given."""

    def initial(self, seed: int) -> State:
        """The trainable tensors everybody starts from; equal for equal seeds."""

    def train(
        self, start: State, indices: Sequence[int], *, seed: int, epochs: float = 1.0, prox_mu: float = 0.0
    ) -> Trained:
        """Local training on examples ``indices`` of the split ``train``, beginning at ``start``.

        Args:
            start: the global model.
            indices: positions in the training split.
            seed: order of batches and dropout; same arguments and machine: same bytes.
            epochs: passes over the examples; a part of one is allowed.
            prox_mu: FedProx's μ/2·‖w − w_start‖² (Li et al. 2020); 0: none.

        Raises:
            DataError: too few examples.
            TrainingDiverged: loss or state not finite; ``start`` is untouched.
        """

    def evaluate(self, state: State, split: Split) -> Mapping[str, float]:
        """The task's metrics on a split (``valid`` or ``test``)."""

    def losses(self, state: State, indices: Sequence[int], split: Split = "train") -> NDArray[np.float64]:
        """Loss of each example in nats, without training: for the verifier's score and for privacy audits."""

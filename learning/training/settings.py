"""How a model is trained: every number that changes a result or its speed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from learning.errors import SpecError

Precision = Literal["auto", "bf16", "float32"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of training and evaluation.

    Attributes:
        learning_rate: peak of the schedule (linear warm-up, then linear to zero); None: 5e-5 for full training, 1e-3 for adapters.
        batch: examples of an optimiser step (rows where a task makes several of an example).
        micro_batch: rows computed at once, None: all of a batch. Fewer take less memory and give the same step.
        weight_decay: of matrices; vectors (biases, norms) are not decayed.
        betas: AdamW's.
        warmup: share of steps.
        clip: largest gradient norm, 0: none.
        temperature: of the contrastive loss of retrieval.
        precision: ``auto`` takes bf16 where the machine computes it natively (`learning.training.precision`).
        dropout: use the model's dropout; off by default, so that a step does not depend on how a batch is cut up.
        bucket: batches whose examples are sorted by length together; 0: none.
        pad_to: lengths are rounded up to a multiple of this.
        check_every: steps between looks at the losses; a state is kept at each as the last good one.
        evaluation_batch: rows at once without gradients.
        beams: of generation; 1: greedy.
        candidates: functions among which retrieval's per-example loss is taken.
    """

    learning_rate: float | None = None
    batch: int = 32
    micro_batch: int | None = None
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    warmup: float = 0.1
    clip: float = 1.0
    temperature: float = 0.05
    precision: Precision = "auto"
    dropout: bool = False
    bucket: int = 32
    pad_to: int = 8
    check_every: int = 16
    evaluation_batch: int = 64
    beams: int = 1
    candidates: int = 256

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SpecError: a number out of range, named.
        """
        rate = self.learning_rate
        rules = {
            "learning_rate": rate is None or 0 < rate < math.inf,
            "batch": self.batch >= 1,
            "micro_batch": self.micro_batch is None or self.micro_batch >= 1,
            "weight_decay": 0 <= self.weight_decay < math.inf,
            "betas": all(0 <= b < 1 for b in self.betas),
            "warmup": 0 <= self.warmup <= 1,
            "clip": 0 <= self.clip < math.inf,
            "temperature": 0 < self.temperature < math.inf,
            "precision": self.precision in ("auto", "bf16", "float32"),
            "bucket": self.bucket >= 0,
            "pad_to": self.pad_to >= 1,
            "check_every": self.check_every >= 1,
            "evaluation_batch": self.evaluation_batch >= 1,
            "beams": self.beams >= 1,
            "candidates": self.candidates >= 2,
        }
        for name, holds in rules.items():
            if not holds:
                raise SpecError(f"The training setting {name} = {getattr(self, name)!r} is out of range.")

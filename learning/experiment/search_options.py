"""Settings of the search learner, apart from it: reading an experiment file loads no torch."""

from __future__ import annotations

from dataclasses import dataclass

from learning.errors import SpecError


@dataclass(frozen=True, slots=True)
class Options:
    """What `learning.spec.LearningSpec` needs beside the base model; the same words.

    ``model`` is a name that `learning.models.installed` finds, or ``folder`` the place of a BERT-family model.
    """

    model: str = "all-MiniLM-L6-v2"
    folder: str = ""
    lora_rank: int = 16
    lora_layers: int = 1
    query_tokens: int = 24
    code_tokens: int = 64
    temperature: float = 0.05
    optimiser: str = "sgd"
    learning_rate: float = 0.15
    batch_size: int = 64
    precision: str = "bf16"
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Check what needs no model.

        Raises:
            SpecError: the first setting that is wrong, by name.
        """
        from learning.spec import LearningSpec  # noqa: PLC0415 - checks the rest

        LearningSpec(
            base_hash="0" * 64,
            model=self.model,
            lora_rank=self.lora_rank,
            lora_alpha=2.0 * self.lora_rank,
            lora_layers=self.lora_layers,
            query_tokens=self.query_tokens,
            code_tokens=self.code_tokens,
            temperature=self.temperature,
            optimiser=self.optimiser,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            precision=self.precision,
            scoring_precision=self.precision,
        )
        if self.device != "cpu" and not self.device.startswith(("auto", "cuda")):
            raise SpecError(f"The search model's device cannot be {self.device!r}.", hint="auto, cpu or cuda:0.")

"""Settings of Transformers models, apart from them: reading an experiment file loads no torch."""

from __future__ import annotations

from dataclasses import dataclass

from learning.errors import SpecError


@dataclass(frozen=True, slots=True)
class Options:
    """What is handed to `learning.training.learner.TransformerLearner`; 0 and empty mean its own default.

    Attributes:
        model: a folder, a packaged model's name, or a hub id in the local cache.
        expected: hash that the model folder must have (`learning.models.base.base_model_hash`); empty: any.
        encoding: kind of rows (`learning.tasks.encoding`).
        adapter: ``full``, ``ffa``, ``lora`` or ``qlora``.
        rank: of the adapter.
        alpha: likewise.
        learning_rate: peak step.
        batch: examples a step.
        micro_batch: rows computed at once.
        source_tokens: tokens kept of code.
        target_tokens: of a summary or query.
        beams: of generation.
        precision: ``auto``, ``bf16`` or ``float32``.
        device: ``auto``, ``cpu`` or ``cuda:0``.
        online: let a hub id be downloaded.
    """

    model: str
    expected: str = ""
    encoding: str = ""
    adapter: str = "full"
    rank: int = 8
    alpha: float = 16.0
    learning_rate: float = 0.0
    batch: int = 32
    micro_batch: int = 0
    source_tokens: int = 0
    target_tokens: int = 0
    beams: int = 1
    precision: str = "auto"
    device: str = "auto"
    online: bool = False

    def __post_init__(self) -> None:
        """Check what needs no model.

        Raises:
            SpecError: the first setting that is wrong, by name.
        """
        kinds = ("", "classification", "siamese", "retrieval", "seq2seq", "causal", "completion")
        checks = (
            (bool(self.model), "model", "not empty"),
            (self.encoding in kinds, "encoding", f"one of {', '.join(kinds[1:])}"),
            (self.adapter in {"full", "ffa", "lora", "qlora"}, "adapter", "full, ffa, lora or qlora"),
            (self.rank >= 1, "rank", "at least 1"),
            (self.alpha > 0, "alpha", "above 0"),
            (self.learning_rate >= 0, "learning_rate", "0 or above"),
            (self.batch >= 1 and self.micro_batch >= 0, "batch", "at least 1"),
            (self.source_tokens == 0 or self.source_tokens >= 4, "source_tokens", "0, or at least 4"),
            (self.target_tokens == 0 or self.target_tokens >= 4, "target_tokens", "0, or at least 4"),
            (self.beams >= 1, "beams", "at least 1"),
            (self.precision in {"auto", "bf16", "float32"}, "precision", "auto, bf16 or float32"),
        )
        for holds, name, expected in checks:
            if not holds:
                raise SpecError(f"The Transformers model's {name} must be {expected}, not {getattr(self, name)!r}.")


@dataclass(frozen=True, slots=True)
class TinyOptions:
    """A random model written on the spot (`learning.models.tiny_families`) and how it is trained, all of it.

    Attributes:
        family: ``roberta``, ``bert``, ``gpt2``, ``t5`` or ``llama``.
        layers: transformer layers.
        hidden: width.
        vocabulary: most tokens of its BPE tokenizer.
        positions: most tokens of an input.
        learning_rate: see `Options`; so for those that follow.
    """

    family: str
    layers: int = 2
    hidden: int = 128
    vocabulary: int = 2048
    positions: int = 128
    learning_rate: float = 1e-3
    batch: int = 32
    source_tokens: int = 64
    target_tokens: int = 32

    def __post_init__(self) -> None:
        """Check what needs no model.

        Raises:
            SpecError: the first setting that is wrong, by name.
        """
        families = ("roberta", "bert", "gpt2", "t5", "llama")
        checks = (
            (self.family in families, "family", f"one of {', '.join(families)}"),
            (1 <= self.layers <= 24, "layers", "1 to 24"),
            (16 <= self.hidden <= 2048 and self.hidden % 16 == 0, "hidden", "a multiple of 16 up to 2048"),
            (self.vocabulary >= 300, "vocabulary", "at least 300"),
            (self.learning_rate > 0, "learning_rate", "above 0"),
            (self.batch >= 1, "batch", "at least 1"),
            (4 <= self.source_tokens <= self.positions, "source_tokens", "4 to positions"),
            (4 <= self.target_tokens <= self.positions, "target_tokens", "4 to positions"),
        )
        for holds, name, expected in checks:
            if not holds:
                raise SpecError(f"The tiny model's {name} must be {expected}, not {getattr(self, name)!r}.")

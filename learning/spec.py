"""The part of the developer guideline that learning needs, as one checked, immutable value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

from learning.errors import SpecError

TARGETS = ("query", "key", "value", "attention_output", "intermediate", "output")
TASKS = ("code_search",)
PRIVACY = ("none", "client", "example")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class LearningSpec:
    """What every trainer and verifier of a community does alike. The defaults are those measured for the demo.

    Attributes:
        task: only ``code_search`` so far.
        model: id of the base model; which folder holds it is each operator's own setting.
        base_hash: `learning.models.encoder.base_model_hash` of that folder, 64 hex digits.
        lora_rank: r of B·A.
        lora_alpha: the product is scaled by alpha/r.
        lora_targets: linear layers adapted in each adapted layer, out of `TARGETS`.
        lora_layers: how many of the topmost transformer layers are adapted; all below stay frozen and their output is cached.
        query_tokens: tokens kept of a query, special tokens included.
        code_tokens: tokens kept of a function.
        temperature: of the contrastive loss in training and scoring.
        optimiser: ``sgd`` (momentum 0.9) or ``adamw``, fresh in every round. AdamW's steps do not shrink with the gradient, so
            its updates turn to noise one round earlier than SGD's.
        learning_rate: peak step; falls linearly to zero over the round.
        warmup: share of steps over which the step rises from zero.
        batch_size: pairs a step; each is the others' negative.
        samples_per_round: fresh pairs a client uses in one round.
        epochs: passes over them.
        weight_decay: decay of B (decoupled in AdamW).
        prox_mu: FedProx pull μ/2·‖B − B_old‖² (Li et al. 2020); 0 is FedAvg.
        max_norm: L2 bound of an update; the trainer clips to it, peers reject above it.
        privacy: whom noise protects: ``none``; ``client``: all of a client's data (noise on the update); ``example``: each of its rows
            (DP-SGD). docs/privacy.md.
        noise_multiplier: σ, deviation of the noise over ``privacy_clip``; above 0 where ``privacy`` is not ``none``.
        privacy_clip: C, L2 bound of what is protected before noise: the update, or one row's gradient.
        privacy_delta: δ for which ε is reported.
        eta: step at which a verifier tries an update.
        confidence: standard errors over the rows of the slice that are taken off a gain (`incentives.scoring.confident_gain`).
        lookahead: multiples of the last aggregate tried as scoring base.
        lookahead_public: multiples of the steward's public update tried after those; ``[0.0]`` does without (docs/adr/0018).
        precision: ``bf16`` (autocast) or ``float32``, for training.
        scoring_precision: the same for evaluating and scoring.
    """

    base_hash: str
    task: str = "code_search"
    model: str = "all-MiniLM-L6-v2"
    lora_rank: int = 16
    lora_alpha: float = 32.0
    lora_targets: tuple[str, ...] = ("query", "key", "value", "attention_output", "intermediate", "output")
    lora_layers: int = 3
    query_tokens: int = 24
    code_tokens: int = 64
    temperature: float = 0.05
    optimiser: str = "sgd"
    learning_rate: float = 0.15
    warmup: float = 0.1
    batch_size: int = 64
    samples_per_round: int = 256
    epochs: int = 1
    weight_decay: float = 0.0
    prox_mu: float = 0.0
    max_norm: float = 5.0
    privacy: str = "none"
    noise_multiplier: float = 0.0
    privacy_clip: float = 1.0
    privacy_delta: float = 1e-5
    eta: float = 0.25
    confidence: float = 0.0
    lookahead: tuple[float, ...] = (0.0, 0.5, 1.0)
    lookahead_public: tuple[float, ...] = (0.0,)
    precision: str = "bf16"
    scoring_precision: str = "bf16"

    def __post_init__(self) -> None:
        """Check every range.

        Raises:
            SpecError: the first setting that is wrong, by name.
        """
        _require(_HASH.fullmatch(self.base_hash) is not None, "base_hash", "64 lower-case hex digits")
        _require(self.task in TASKS, "task", f"one of {', '.join(TASKS)}")
        _require(bool(self.model), "model", "not empty")
        for name, least, most in _INTEGERS:
            _require(least <= getattr(self, name) <= most, name, f"an integer from {least} to {most}")
        for name, above, upto in _REALS:
            value = getattr(self, name)
            _require(math.isfinite(value) and above <= value <= upto, name, f"a number from {above} to {upto}")
        targets = self.lora_targets
        _require(bool(targets) and len(set(targets)) == len(targets), "lora_targets", "distinct and not empty")
        _require(set(targets) <= set(TARGETS), "lora_targets", f"out of {', '.join(TARGETS)}")
        for name in ("lookahead", "lookahead_public"):
            grid = getattr(self, name)
            _require(bool(grid) and grid[0] == 0 and len(grid) <= 8, name, "1 to 8 numbers, the first 0")
            _require(all(0 <= a < b <= 2 for a, b in pairwise(grid)), name, "ascending, at most 2")
        _require(self.optimiser in {"adamw", "sgd"}, "optimiser", "adamw or sgd")
        _require(self.privacy in PRIVACY, "privacy", f"one of {', '.join(PRIVACY)}")
        noisy = self.noise_multiplier > 0
        _require(noisy == (self.privacy != "none"), "noise_multiplier", "above 0 with privacy, and 0 without")
        _require(self.privacy != "example" or self.prox_mu == 0, "prox_mu", "0 with privacy of examples")
        for name in ("precision", "scoring_precision"):
            _require(getattr(self, name) in {"bf16", "float32"}, name, "bf16 or float32")

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> LearningSpec:
        """A spec from parsed TOML or JSON.

        Raises:
            SpecError: an unknown key, a value of the wrong type, or one out of range; the message names it.
        """
        known = {field.name: field.type for field in fields(cls)}
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise SpecError(
                f"The guideline's learning part has unknown settings: {', '.join(unknown)}.",
                why="It may be of a newer version, or mistyped.",
                hint=f"Known settings: {', '.join(known)}.",
            )
        if "base_hash" not in settings:
            raise SpecError("The guideline's learning part lacks base_hash.", hint="It names the base model exactly.")
        return cls(**{name: _convert(name, str(known[name]), value) for name, value in settings.items()})

    def to_mapping(self) -> dict[str, Any]:
        """The same settings as plain JSON values; `from_mapping` gives an equal spec back."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


_INTEGERS = (
    ("lora_rank", 1, 1024),
    ("lora_layers", 1, 1024),
    ("query_tokens", 4, 8192),
    ("code_tokens", 4, 8192),
    ("batch_size", 2, 65_536),
    ("samples_per_round", 2, 10_000_000),
    ("epochs", 1, 1000),
)
_REALS = (
    ("lora_alpha", 1e-6, 1e6),
    ("temperature", 1e-4, 100.0),
    ("learning_rate", 1e-9, 10.0),
    ("warmup", 0.0, 1.0),
    ("weight_decay", 0.0, 1.0),
    ("prox_mu", 0.0, 1e6),
    ("max_norm", 1e-9, 1e9),
    ("noise_multiplier", 0.0, 1e6),
    ("privacy_clip", 1e-9, 1e9),
    ("privacy_delta", 1e-30, 0.1),
    ("eta", 1e-6, 10.0),
    ("confidence", 0.0, 10.0),
)


def _require(holds: bool, name: str, expected: str) -> None:  # noqa: FBT001 - the condition is the subject
    if not holds:
        raise SpecError(f"The learning setting {name} must be {expected}.")


def _convert(name: str, kind: str, value: object) -> Any:
    def number(item: object) -> float:
        if isinstance(item, bool) or not isinstance(item, (int, float)):
            raise SpecError(f"The learning setting {name} must be a number, not {item!r}.")
        return float(item)

    def text(item: object) -> str:
        if not isinstance(item, str):
            raise SpecError(f"The learning setting {name} must be text, not {item!r}.")
        return item

    if kind == "int":
        if isinstance(value, bool) or not isinstance(value, int):
            raise SpecError(f"The learning setting {name} must be an integer, not {value!r}.")
        return value
    if kind == "float":
        return number(value)
    if kind == "str":
        return text(value)
    if not isinstance(value, (list, tuple)):
        raise SpecError(f"The learning setting {name} must be a list, not {value!r}.")
    return tuple(map(number if "float" in kind else text, value))

from __future__ import annotations

from typing import Any

import pytest

from learning.errors import SpecError
from learning.spec import LearningSpec

HASH = "0" * 64


def test_mapping_round_trip_gives_an_equal_spec() -> None:
    spec = LearningSpec(base_hash=HASH, lora_targets=("query", "value"), lookahead=(0.0, 1.0), epochs=3)
    assert LearningSpec.from_mapping(spec.to_mapping()) == spec


def test_integers_are_accepted_where_numbers_are_asked_for() -> None:
    spec = LearningSpec.from_mapping({"base_hash": HASH, "lora_alpha": 16, "lookahead": [0, 1]})
    assert spec.lora_alpha == 16.0
    assert spec.lookahead == (0.0, 1.0)


def test_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(SpecError, match=r"learning_rat\b"):
        LearningSpec.from_mapping({"base_hash": HASH, "learning_rat": 0.1})


def test_base_hash_is_required() -> None:
    with pytest.raises(SpecError, match="base_hash"):
        LearningSpec.from_mapping({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_hash", "A" * 64),
        ("task", "poetry"),
        ("model", ""),
        ("model", 3),
        ("lora_rank", 0),
        ("lora_rank", 2.0),
        ("lora_rank", True),
        ("lora_targets", []),
        ("lora_targets", ["query", "query"]),
        ("lora_targets", ["pooler"]),
        ("lora_targets", "query"),
        ("learning_rate", 0.0 - 1.0),
        ("learning_rate", float("nan")),
        ("temperature", float("inf")),
        ("max_norm", "big"),
        ("batch_size", 1),
        ("confidence", -0.1),
        ("lookahead", []),
        ("lookahead", [0.5]),
        ("lookahead", [0.0, 1.0, 0.5]),
        ("lookahead_public", [0.5]),
        ("lookahead_public", [0.0, 3.0]),
        ("optimiser", "lion"),
        ("precision", "fp8"),
        ("scoring_precision", "int8"),
    ],
)
def test_wrong_values_are_refused_and_named(name: str, value: Any) -> None:
    with pytest.raises(SpecError, match=name):
        LearningSpec.from_mapping({"base_hash": HASH, name: value})

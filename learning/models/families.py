"""One entry per model family: which Transformers class serves which kind of encoding, what LoRA adapts, how texts become vectors.

| family | model types | kinds |
|---|---|---|
| roberta | CodeBERT, GraphCodeBERT, UniXcoder, RoBERTa | classification, siamese, retrieval |
| bert | BERT, MiniLM | classification, siamese, retrieval |
| gpt2 | GPT-2, CodeGPT | all but seq2seq |
| t5 | T5, CodeT5 | classification, siamese, retrieval (its encoder), seq2seq |
| llama | Llama, CodeLlama, SmolLM2 | all but seq2seq |

A new family is one entry in `FAMILIES`. Nothing here loads torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from learning.errors import ModelError, SpecError
from learning.tasks.encoding import Kind

Pooling = Literal["first", "mean", "last"]
VECTOR_KINDS: tuple[Kind, ...] = ("classification", "siamese", "retrieval")
DECODER_KINDS: tuple[Kind, ...] = ("causal", "completion")


@dataclass(frozen=True, slots=True)
class Family:
    """What differs between families.

    Attributes:
        name: identifier.
        types: values of ``model_type`` in a folder's ``config.json``.
        classes: Transformers class by kind. Vector kinds get the body alone; pooling and head are `learning.models.network`'s.
        targets: last parts of the names of the linear layers that LoRA adapts.
        pooling: a text's vector from its token states: of the first token, their mean, or of the last token.
        retrieval_pooling: the same for retrieval.
        bidirectional: tokens see what follows them, so padding has to be masked.
        generation_side: where prompts are padded for generation.
        positions: config field with the most positions; empty: unlimited.
        reserved: positions the family does not use (RoBERTa counts from its padding id).
        types_ids: the body takes ``token_type_ids``.
    """

    name: str
    types: tuple[str, ...]
    classes: Mapping[Kind, str]
    targets: tuple[str, ...]
    pooling: Pooling
    retrieval_pooling: Pooling
    bidirectional: bool
    generation_side: Literal["left", "right"]
    positions: str
    reserved: int = 0
    types_ids: bool = False


def _vectors(body: str) -> dict[Kind, str]:
    return dict.fromkeys(VECTOR_KINDS, body)


def _encoder(name: str, types: tuple[str, ...], body: str, reserved: int, *, types_ids: bool) -> Family:
    return Family(
        name=name,
        types=types,
        classes=_vectors(body),
        targets=(
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
            "intermediate.dense",
            "output.dense",
        ),
        pooling="first",
        retrieval_pooling="mean",
        bidirectional=True,
        generation_side="right",
        positions="max_position_embeddings",
        reserved=reserved,
        types_ids=types_ids,
    )


def _decoder(name: str, types: tuple[str, ...], body: str, language: str, targets: tuple[str, ...]) -> Family:
    return Family(
        name=name,
        types=types,
        classes={**_vectors(body), **dict.fromkeys(DECODER_KINDS, language)},
        targets=targets,
        pooling="last",
        retrieval_pooling="mean",
        bidirectional=False,
        generation_side="left",
        positions="max_position_embeddings",
    )


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        _encoder("roberta", ("roberta", "camembert", "xlm-roberta"), "RobertaModel", 2, types_ids=False),
        _encoder("bert", ("bert",), "BertModel", 0, types_ids=True),
        _decoder(
            "gpt2", ("gpt2",), "GPT2Model", "GPT2LMHeadModel", ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
        ),
        _decoder(
            "llama",
            ("llama",),
            "LlamaModel",
            "LlamaForCausalLM",
            ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        ),
        Family(
            name="t5",
            types=("t5",),
            classes={**_vectors("T5EncoderModel"), "seq2seq": "T5ForConditionalGeneration"},
            targets=(
                "SelfAttention.q",
                "SelfAttention.k",
                "SelfAttention.v",
                "SelfAttention.o",
                "EncDecAttention.q",
                "EncDecAttention.k",
                "EncDecAttention.v",
                "EncDecAttention.o",
                "DenseReluDense.wi",
                "DenseReluDense.wi_0",
                "DenseReluDense.wi_1",
                "DenseReluDense.wo",
            ),
            pooling="mean",
            retrieval_pooling="mean",
            bidirectional=True,
            generation_side="right",
            positions="",
        ),
    )
}


def family_of(config: Mapping[str, Any], where: str = "The model") -> Family:
    """The family of a model by its ``config.json``.

    Raises:
        ModelError: none is known.
    """
    found = next((f for f in FAMILIES.values() if config.get("model_type") in f.types), None)
    if found is None:
        known = ", ".join(t for f in FAMILIES.values() for t in f.types)
        raise ModelError(
            f"{where} is of type {config.get('model_type')!r}.",
            hint=f"Known types: {known}. Another family is one entry in learning/models/families.py.",
        )
    return found


def class_for(family: Family, kind: Kind) -> str:
    """Name of the Transformers class that serves ``kind``.

    Raises:
        SpecError: the family cannot do that.
    """
    if kind not in family.classes:
        raise SpecError(
            f"A {family.name} model cannot be used for {kind!r}.", hint=f"It offers {', '.join(family.classes)}."
        )
    return family.classes[kind]


def read_any_config(folder: Path) -> dict[str, Any]:
    """A model folder's ``config.json``, of whatever family.

    Raises:
        ModelError: missing or unreadable.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The model folder {folder} has no readable config.json.", why=str(error)[:200]) from error
    if not isinstance(config, dict):
        raise ModelError(f"The config.json in {folder} is not an object.")
    return config


def longest(family: Family, config: Mapping[str, Any]) -> int | None:
    """Most tokens the model takes; None: no limit of its own."""
    most = config.get(family.positions) if family.positions else None
    if most is None and family.positions:
        most = config.get("n_positions")
    return None if most is None else int(most) - family.reserved

"""Writes tiny random models of every family with a byte-level BPE tokenizer made on the spot, for tests and experiments on a CPU.

The tokenizer is trained on this package's own Python files or on texts given; the same texts give the same tokenizer. The weights are
random: what such a model knows it learned in the experiment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from learning.errors import SpecError

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")  # RoBERTa's order; CodeT5's tokenizer has the same names
_KEPT = ("<EOL>", "<STR_LIT>", "<NUM_LIT>")  # marks of completion's programs, one id each
FAMILY_NAMES = ("roberta", "bert", "gpt2", "t5", "llama")


def write_tiny_family(
    folder: Path,
    family: str,
    *,
    seed: int = 0,
    layers: int = 2,
    hidden: int = 32,
    vocabulary: int = 512,
    positions: int = 128,
    texts: Iterable[str] | None = None,
    initializer_range: float = 0.1,
) -> Path:
    """A random model of ``family`` with ``layers`` layers, width ``hidden``, and a BPE tokenizer of at most ``vocabulary`` entries.

    Args:
        folder: created if needed.
        family: one of `FAMILY_NAMES`.
        seed: of the weights; torch's global generator is left as it was.
        layers: transformer layers (T5: in encoder and decoder each).
        hidden: width, a multiple of the number of heads (`heads`).
        vocabulary: most tokens; at least 300 (256 bytes and the marks).
        positions: most tokens of an input.
        texts: what the tokenizer is trained on; None: the source files of the package ``learning``.
        initializer_range: standard deviation of the weights; the usual 0.02 makes all texts look alike at small widths.

    Returns:
        ``folder``.

    Raises:
        SpecError: an unknown family, or sizes that do not fit together.
    """
    if family not in FAMILY_NAMES:
        raise SpecError(f"There is no tiny {family!r} model.", hint=f"There are {', '.join(FAMILY_NAMES)}.")
    if vocabulary < 300 or hidden % heads(hidden):
        raise SpecError(f"A vocabulary of {vocabulary} or a width of {hidden} is too small or not divisible.")
    folder.mkdir(parents=True, exist_ok=True)
    transformers.utils.logging.disable_progress_bar()
    tokenizer = train_tokenizer(texts if texts is not None else own_sources(), vocabulary)
    tokenizer.save_pretrained(folder)
    name, fields = _config(family, tokenizer, layers, hidden, positions, initializer_range)
    config = getattr(transformers, f"{name}Config")(**fields)
    model_class = {
        "Roberta": "RobertaModel",
        "Bert": "BertModel",
        "GPT2": "GPT2LMHeadModel",
        "Llama": "LlamaForCausalLM",
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, model_class.get(name, "T5ForConditionalGeneration"))(config)
    model.save_pretrained(folder)
    return folder


def heads(hidden: int) -> int:
    """Attention heads of a tiny model: of width 64 where that divides, else four."""
    return hidden // 64 if hidden >= 128 and hidden % 64 == 0 else 4


def own_sources() -> list[str]:
    """The source files of the package ``learning``, in order of path."""
    root = Path(__file__).resolve().parents[1]
    return [path.read_text(encoding="utf-8") for path in sorted(root.glob("tasks/*.py"))]


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer as GPT-2, RoBERTa and CodeT5 have; the same texts and size give the same entries."""
    core = Tokenizer(models.BPE(unk_token=None))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        min_frequency=2,
    )
    core.train_from_iterator(list(texts), trainer)
    core.add_tokens([AddedToken(mark, lstrip=True, normalized=False) for mark in _KEPT])
    named = {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "pad": "<pad>", "mask": "<mask>", "cls": "<s>", "sep": "</s>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        clean_up_tokenization_spaces=False,
        **{f"{name}_token": token for name, token in named.items()},
    )


def _config(  # noqa: PLR0917 - sizes of one model
    family: str, tokenizer: Any, layers: int, hidden: int, positions: int, spread: float
) -> tuple[str, dict[str, Any]]:
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    size, count = len(tokenizer), heads(hidden)
    common = {"vocab_size": size, "initializer_range": spread, **ids}
    wide = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": count,
        "intermediate_size": 4 * hidden,
    }
    if family == "roberta":
        return "Roberta", {**common, **wide, "max_position_embeddings": positions + 2, "type_vocab_size": 1}
    if family == "bert":
        return "Bert", {**common, **wide, "max_position_embeddings": positions}
    if family == "gpt2":
        sizes = {"n_embd": hidden, "n_layer": layers, "n_head": count, "n_positions": positions}
        return "GPT2", {**common, **sizes}
    if family == "llama":
        rest = {"num_key_value_heads": max(1, count // 2), "max_position_embeddings": positions}
        return "Llama", {**common, **wide, **rest, "tie_word_embeddings": True}
    sizes = {"d_model": hidden, "num_layers": layers, "num_heads": count, "d_kv": hidden // count, "d_ff": 4 * hidden}
    start = {"decoder_start_token_id": tokenizer.pad_token_id, "initializer_factor": spread * 10}
    return "T5", {"vocab_size": size, **ids, **sizes, **start}


def texts_of(examples: Sequence[Any]) -> list[str]:
    """Every text field of examples (frozen dataclasses), for `train_tokenizer`."""
    return [str(v) for e in examples for f in e.__dataclass_fields__ if isinstance(v := getattr(e, f), str) and v]

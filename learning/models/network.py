"""A Transformers body with what a kind of encoding needs around it: pooling, head, and the loss of each term.

A term is what the loss is a mean over: an example for vector kinds, a predicted token for the others. Batches are those of
`learning.training.batches`: positions and targets of predicted tokens are found on the host, so that only their logits are computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from learning.models.adapters import tensor_name
from learning.models.families import DECODER_KINDS, Family, Pooling
from learning.tasks.encoding import Kind

Tensors = Mapping[str, Tensor]
LABELS = 2


class Head(nn.Module):
    """Linear, tanh, linear: (rows, inputs) → (rows, classes), as RoBERTa's classification head."""

    def __init__(self, inputs: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, hidden)
        self.out = nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.out(self.dropout(torch.tanh(self.dense(self.dropout(vectors)))))
        return logits


class Network(nn.Module):
    """Body and head for one kind of encoding.

    Args:
        body: Transformers model (`learning.models.loading.load_body`), adapted or not.
        family: its family.
        kind: what it is for.
        dropout: of the head.
    """

    def __init__(self, body: nn.Module, family: Family, kind: Kind, dropout: float = 0.1) -> None:
        super().__init__()
        self.family, self.kind = family, kind
        self.body = body
        config: Any = body.config
        self.config = config
        width = int(config.hidden_size)
        self.head: Head | None = None
        if kind in ("classification", "siamese"):
            self.head = Head(width if kind == "classification" else 4 * width, width, LABELS, dropout)

    def trained(self) -> dict[str, nn.Parameter]:
        """Trained parameters by their names in a state, in order of name."""
        found = {tensor_name(name).removeprefix("body."): p for name, p in self.named_parameters() if p.requires_grad}
        return dict(sorted(found.items()))

    def vectors(self, ids: Tensor, mask: Tensor | None, types: Tensor | None, pooling: Pooling) -> Tensor:
        """A vector (rows, hidden) for each text, float32.

        Args:
            ids: (rows, tokens), padded on the right.
            mask: (rows, tokens), True where a token is; None: everywhere.
            types: token types, or None.
            pooling: how token states become a vector.
        """
        wanted: dict[str, Any] = {"input_ids": ids}
        if self.family.bidirectional:
            wanted["attention_mask"] = None if mask is None else mask[:, None, None, :]
        else:
            wanted["use_cache"] = False  # what follows the last token is padding, which no token before it sees
        if types is not None and self.family.types_ids:
            wanted["token_type_ids"] = types
        states = self.body(**wanted).last_hidden_state
        if pooling == "first":
            return states[:, 0].float()
        if mask is None:
            return (states[:, -1] if pooling == "last" else states.mean(1)).float()
        if pooling == "last":
            last = mask.sum(1) - 1
            return states[torch.arange(len(ids), device=ids.device), last].float()
        weight = mask.unsqueeze(-1)
        return (states.float() * weight).sum(1) / weight.sum(1)

    def embed(self, batch: Tensors, side: str) -> Tensor:
        """Unit vectors of one side (``query`` or ``code``) of a retrieval batch, float32."""
        vectors = self.vectors(batch[f"{side}_ids"], batch.get(f"{side}_mask"), None, self.family.retrieval_pooling)
        return nn.functional.normalize(vectors, dim=-1)

    def logits(self, batch: Tensors) -> Tensor:
        """Logits (terms, classes or vocabulary) of every term of a batch; not for retrieval."""
        if self.kind == "classification":
            assert self.head is not None
            mask = batch.get("attention_mask")
            types = batch.get("token_type_ids")
            return self.head(self.vectors(batch["input_ids"], mask, types, self.family.pooling))
        if self.kind == "siamese":
            assert self.head is not None
            first, second = (
                self.vectors(batch[f"{s}_ids"], batch.get(f"{s}_mask"), None, self.family.pooling)
                for s in ("first", "second")
            )
            both = torch.cat([first, second, (first - second).abs(), first * second], dim=-1)
            return self.head(both)
        states = self._decoder_states(batch)
        chosen = states.flatten(0, 1).index_select(0, batch["positions"])
        body: Any = self.body
        return body.get_output_embeddings()(chosen)

    def term_losses(self, batch: Tensors) -> Tensor:
        """Cross-entropy of each term in nats, float32 (terms,); not for retrieval."""
        return nn.functional.cross_entropy(self.logits(batch).float(), batch["targets"], reduction="none")

    def _decoder_states(self, batch: Tensors) -> Tensor:
        body: Any = self.body
        if self.kind in DECODER_KINDS:
            # Padded on the right and causal: padding is never seen, so no mask is needed and the fast causal kernel serves.
            return body.base_model(input_ids=batch["input_ids"], use_cache=False).last_hidden_state
        mask = batch.get("attention_mask")
        wide = None if mask is None else mask[:, None, None, :]
        encoded = body.get_encoder()(input_ids=batch["input_ids"], attention_mask=wide).last_hidden_state
        states = body.get_decoder()(
            input_ids=batch["decoder_ids"],
            encoder_hidden_states=encoded,
            encoder_attention_mask=wide,
            use_cache=False,
        ).last_hidden_state
        if self.config.scale_decoder_outputs:
            states = states * self.config.d_model**-0.5
        return states

"""Code search: find the function that a sentence describes. Contrastive loss and mean reciprocal rank on tensors.

Records and their JSONL: `learning.tasks.pairs`, whose names are offered here as well. The task with its data: `learning.tasks.search`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from learning.tasks.pairs import MAX_TEXT, Pair, decode_pairs, encode_pairs

__all__ = [
    "MAX_TEXT",
    "PPM",
    "Pair",
    "contrastive_loss",
    "contrastive_rows",
    "decode_pairs",
    "encode_pairs",
    "mean_reciprocal_rank",
    "reciprocal_ranks",
    "to_ppm",
]
PPM = 1_000_000


def reciprocal_ranks(queries: Tensor, codes: Tensor) -> Tensor:
    """1/rank of each query's own code among all codes, float64 of shape (n,).

    Args:
        queries: unit rows, (n, d).
        codes: unit rows, (n, d); row i answers query i.

    A code as similar as the right one counts as ranked before it (pessimistic ties), so a collapsed model scores 1/n, not 1.
    """
    scores = queries.double() @ codes.double().T
    rank = (scores >= scores.diagonal().unsqueeze(1)).sum(1)
    return 1.0 / rank.double()


def mean_reciprocal_rank(queries: Tensor, codes: Tensor) -> float:
    """MRR in float64 (see `reciprocal_ranks`)."""
    return float(reciprocal_ranks(queries, codes).mean())


def to_ppm(value: float) -> int:
    """``value`` as an integer number of parts per million, rounded half to even."""
    return round(value * PPM)


def contrastive_loss(queries: Tensor, codes: Tensor, *, temperature: float) -> Tensor:
    """Symmetric in-batch InfoNCE: mean of −log softmax(QCᵀ/temperature) on the diagonal, over rows and over columns, in nats.

    Args:
        queries: unit rows, (n, d).
        codes: unit rows, (n, d); every other row is a negative.
        temperature: softmax temperature > 0.

    Source: van den Oord et al. 2018 (arXiv 1807.03748); symmetric form as in CLIP (arXiv 2103.00020).
    """
    logits = queries @ codes.T / temperature
    target = torch.arange(len(logits), device=logits.device)
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def contrastive_rows(queries: Tensor, codes: Tensor, *, temperature: float) -> Tensor:
    """Each row's share of `contrastive_loss`, shape (n,): −log softmax over its row and over its column, halved; their mean is the loss."""
    logits = queries @ codes.T / temperature
    target = torch.arange(len(logits), device=logits.device)
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(logits, target, reduction="none") + cross_entropy(logits.T, target, reduction="none")) / 2

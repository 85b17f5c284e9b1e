"""Metrics of the code tasks as pure functions, defined as CodeXGLUE's evaluators define them (Lu et al. 2021, arXiv 2102.04664)."""

from learning.metrics.bleu import bleu_tokens, sentence_bleu, smoothed_bleu
from learning.metrics.classification import BinaryScores, accuracy, binary_scores
from learning.metrics.completion import NOT_COUNTED, TokenScore, token_accuracy
from learning.metrics.ranking import mean_reciprocal_rank, rank_by_score, reciprocal_rank, reciprocal_ranks_of_scores

__all__ = [
    "NOT_COUNTED",
    "BinaryScores",
    "TokenScore",
    "accuracy",
    "binary_scores",
    "bleu_tokens",
    "mean_reciprocal_rank",
    "rank_by_score",
    "reciprocal_rank",
    "reciprocal_ranks_of_scores",
    "sentence_bleu",
    "smoothed_bleu",
    "token_accuracy",
]

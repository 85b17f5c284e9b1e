"""Membership inference: scores by which an attacker guesses whether an example was trained on. Pure functions of losses.

All scores are higher for likelier members. An attacker in a round holds the parent model and the update, so it may compare losses before
and after: the parent is the reference model that other settings have to train.
"""

from __future__ import annotations

import math

import numpy as np

from learning.errors import DataError
from learning.privacy.statistics import Scores

_LEAST_DEVIATION = 1e-6  # nats; shadow models that agree exactly must not divide by zero


def loss_threshold(after: Scores) -> Scores:
    """−loss under the trained model (Yeom et al. 2018, arXiv 1709.01604), shape (n,)."""
    return -after


def loss_drop(before: Scores, after: Scores) -> Scores:
    """loss under the parent − loss under the trained model: difficulty calibration (Watson et al. 2022, arXiv 2111.08440), shape (n,)."""
    return before - after


def lira_offline(observed: Scores, shadows: Scores, is_out: np.ndarray) -> Scores:
    """One-sided likelihood ratio against shadow models that did not see the example (Carlini et al. 2022, arXiv 2112.03570, offline).

    score_i = −log Φ((loss_i − μ_i)/σ): how unlikely so low a loss is where x_i was not trained on. μ_i is the mean loss over the shadows
    without x_i; σ is common to all examples, as the paper does with few shadows.

    Args:
        observed: loss of each example under the audited model, shape (n,).
        shadows: loss of each example under each shadow model, shape (s, n).
        is_out: whether shadow s did not train on example n, shape (s, n).

    Raises:
        DataError: an example that every shadow trained on, or no example with two shadows that did not.
    """
    from scipy.special import log_ndtr  # noqa: PLC0415 - a third of a second

    count = is_out.sum(0)
    if (count == 0).any():
        raise DataError(
            f"{int((count == 0).sum())} examples were in every shadow's training data.", hint="Train more shadows."
        )
    means = np.where(is_out, shadows, 0).sum(0) / count
    squares = np.where(is_out, np.square(shadows - means), 0).sum()
    freedom = int((count - 1).sum())
    if freedom == 0:
        raise DataError("No example has two shadows without it, so nothing is known of the spread.", hint="Train more.")
    deviation = max(_LEAST_DEVIATION, math.sqrt(squares / freedom))
    result: Scores = -log_ndtr(-(means - observed) / deviation)
    return result

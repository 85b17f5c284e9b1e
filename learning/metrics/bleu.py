r"""Smoothed BLEU-4 as CodeXGLUE's code-to-text evaluator computes it, from its definition.

For a prediction of c tokens against a reference of r tokens, with m_k matched (clipped) and g_k = max(c − k + 1, 0) guessed k-grams:

    BLEU = exp( ¼·Σ_k [ln(m_k + s_k + ε) − ln(g_k + s_k + ε)] + min(0, 1 − (r + 1)/(c + 1)) ),  s_1 = 0, s_2 = s_3 = s_4 = 1

with ε the smallest normal double (2.2e-308), so no matched word at all gives about 1e-77. The score of a set is 100 times the mean over its
sentences. Smoothing by one for k ≥ 2: Lin and Och 2004 (ORANGE). Three habits of the script that other BLEUs do not share: the brevity
penalty has +1 on both lengths, it is taken for each sentence, and an empty prediction scores e⁻ʳ, since 0/0 counts as 1 there.

Tokens: the script lower-cases, puts blanks around every character that is neither ``\w`` nor white space, then runs NIST's normaliser over
the result. After the first step the normaliser still separates one thing, the underscore; so a token is a run of letters and digits of any
script, or one single other character.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Sequence

from learning.metrics.classification import check_lengths

ORDER = 4
_TOKEN = re.compile(r"[^\W_]+|_|[^\s\w]")


def bleu_tokens(text: str) -> list[str]:
    """Tokens of a summary as the metric sees them (see the module's head)."""
    return _TOKEN.findall(text.strip().lower())


def sentence_bleu(prediction: str, reference: str) -> float:
    """Smoothed BLEU-4 of one summary, 0…1 (see the module's head)."""
    guess, truth = bleu_tokens(prediction), bleu_tokens(reference)
    total = 0.0
    for k in range(1, ORDER + 1):
        guessed, true = _grams(guess, k), _grams(truth, k)
        matched = sum(min(count, true[gram]) for gram, count in guessed.items())
        smooth = (0 if k == 1 else 1) + sys.float_info.min
        total += math.log(matched + smooth) - math.log(max(len(guess) - k + 1, 0) + smooth)
    brevity = min(0.0, 1 - (len(truth) + 1) / (len(guess) + 1))
    return math.exp(total / ORDER + brevity)


def smoothed_bleu(predictions: Sequence[str], references: Sequence[str]) -> float:
    """100 × mean `sentence_bleu`, 0…100, of predictions and references in the same order.

    The official files hold one line a summary and cut a prediction at its first tab; here texts are scored whole and
    line breaks are white space.

    Raises:
        DataError: nothing to score, or lists of different lengths.
    """
    check_lengths(predictions, references)
    scores = (sentence_bleu(p, r) for p, r in zip(predictions, references, strict=True))
    return 100 * math.fsum(scores) / len(references)


def _grams(tokens: Sequence[str], k: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + k]) for i in range(len(tokens) - k + 1))

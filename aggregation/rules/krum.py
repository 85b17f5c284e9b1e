"""Krum: the one update that lies closest to its neighbours.

Score of client i: sum of its squared L2 distances to its ``n - f - 2`` nearest *others*, at least one. The update of lowest
score is the aggregate; equal scores: the smaller client id. Byzantine-resilient for ``n > 2f + 2`` (Blanchard, El Mhamdi,
Guerraoui, Stainer, NeurIPS 2017, Krum with m = 1). It wastes n - 1 honest updates: under heterogeneous data it loses
accuracy without any attack. The only rule that hands on a whole update, so the only one for LoRA factors trained
jointly (`aggregation.lora`). O(n²) per coordinate for the distances.
"""

from __future__ import annotations

from aggregation.rules import multi_krum
from aggregation.stages import Ranks, Rule, View


def plan(view: View) -> Ranks:
    """The row of lowest score."""
    ranked = multi_krum.scores(view.distances, view.f)
    best = min(range(view.n), key=lambda i: (ranked[i], i))
    return Ranks((best,), 0, 1)


RULE = Rule("krum", "n > 2f + 2 or f = 0", multi_krum.tolerates, plan, uses_gram=True)

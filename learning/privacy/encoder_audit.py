"""The leak audit of an encoder's update: membership inference from its losses, shadows and canaries from trainings like the audited one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learning.errors import DataError
from learning.evaluation import stepped
from learning.local_training import clipped_update, fit
from learning.models.base import Checkpoint
from learning.models.encoder import Encoder, Prepared
from learning.prepared_pairs import PreparedPairs, prepare_pairs
from learning.privacy.audit import Finding, Limits, Report, judged, membership_findings, secrets_finding
from learning.privacy.canaries import exposures, make_canaries
from learning.privacy.extraction import not_applicable
from learning.privacy.membership import lira_offline, loss_drop, loss_threshold
from learning.privacy.secrets import secret_rows
from learning.privacy.statistics import Scores, mean
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair, contrastive_rows

Update = Mapping[str, NDArray[np.float32]]
ALTERNATIVES = 1023
"""Codes that each canary is ranked against: 10 bits of exposure at most."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much an audit does.

    Attributes:
        shadows: shadow trainings for the likelihood ratio, an even number; 0 leaves it out.
        canaries: canaries planted in one training of its own; 0 leaves them out.
        repeats: how often each canary stands in the training data.
        seed: of shadows' halves, canaries and batches.
    """

    shadows: int = 0
    canaries: int = 0
    repeats: int = 1
    seed: int = 0


class EncoderAudit:
    """Audits updates of one parent on one set of rows. Rows compete with each other in the loss: each is every other's negative.

    Args:
        model: this process's encoder.
        parent: checkpoint before the update.
        members: rows that were trained on.
        others: rows of the same source that were not, here or in an earlier round.
        limits: the operator's.
    """

    def __init__(
        self, model: Encoder, parent: Checkpoint, members: Sequence[Pair], others: Sequence[Pair], limits: Limits
    ) -> None:
        self._model = model
        self._parent = parent
        self._members, self._others = list(members), list(others)
        self._limits = limits
        self._is_member = np.arange(len(members) + len(others)) < len(members)
        self._pool = prepare_pairs(model, [*members, *others], model.spec.scoring_precision)
        self._before = self._losses(parent)

    def report(self, update: Update, spec: LearningSpec, effort: Effort) -> Report:
        """All findings about ``update``, which training by ``spec`` gave.

        Raises:
            DataError: too few rows for what ``effort`` asks.
        """
        findings = self.membership(update)
        if effort.shadows:
            findings += self.likelihood_ratio(update, spec, effort)
        if effort.canaries:
            findings += [self.canaries(spec, effort)]
        found = secret_rows(self._members)
        findings += [not_applicable(), secrets_finding(len(self._members), list(found.values()), self._limits)]
        return Report(tuple(findings))

    def membership(self, update: Update) -> list[Finding]:
        """What losses before and after say: two passes over the rows, no training."""
        after = self._losses(stepped(self._parent, update, 1.0))
        return [
            *self._findings("loss threshold", loss_threshold(after)),
            *self._findings("loss drop", loss_drop(self._before, after)),
        ]

    def likelihood_ratio(self, update: Update, spec: LearningSpec, effort: Effort) -> list[Finding]:
        """Offline LiRA: shadows are trained like the client on random halves of the rows it did not train on, in complementary pairs.

        Raises:
            DataError: fewer than four such rows, or an odd number of shadows, which leaves some row without a counterpart.
        """
        count, total = len(self._others), len(self._is_member)
        if effort.shadows % 2 or count < 4:
            raise DataError(
                f"{effort.shadows} shadows on {count} held-out rows are not possible.",
                hint="Ask for an even number of shadows, and give four rows or more.",
            )
        draw = np.random.default_rng(effort.seed)
        is_out = np.ones((effort.shadows, total), bool)
        losses = np.zeros((effort.shadows, total))
        for shadow in range(effort.shadows):
            if shadow % 2 == 0:
                halves = np.array_split(draw.permutation(np.flatnonzero(~self._is_member)), 2)
            rows = halves[shadow % 2]
            is_out[shadow, rows] = False
            losses[shadow] = self._losses(self._trained(taken(self._pool, rows), spec, effort.seed + shadow))
        after = self._losses(stepped(self._parent, update, 1.0))
        return self._findings("likelihood ratio", lira_offline(after, losses, is_out))

    def canaries(self, spec: LearningSpec, effort: Effort) -> Finding:
        """Mean exposure after a training like the audited one, on its rows and the canaries."""
        made = make_canaries(effort.canaries, ALTERNATIVES, effort.seed)
        rows = [*self._members, *(made.planted * effort.repeats)]
        prepared = prepare_pairs(self._model, rows, spec.precision)
        spec = replace(spec, samples_per_round=max(2, len(rows)))
        trained = self._trained(prepared, spec, effort.seed)
        precision = self._model.spec.scoring_precision
        space = [pair.code for pair in made.planted] + list(made.alternatives)
        queries = self._model.prepare([pair.query for pair in made.planted], spec.query_tokens, precision)
        codes = self._model.prepare(space, spec.code_tokens, precision)
        gain = self._similarities(trained, queries, codes) - self._similarities(self._parent, queries, codes)
        count = len(made.planted)
        bits = exposures(gain[:, :count].diagonal(), gain[:, count:])
        note = f"{count} canaries, each {effort.repeats} times among {len(self._members)} rows; at most 10 bits"
        return judged("canaries", "mean exposure, bits", mean(bits), self._limits.max_exposure, note)

    def _findings(self, name: str, scores: Scores) -> list[Finding]:
        return membership_findings(name, scores[self._is_member], scores[~self._is_member], self._limits)

    def _trained(self, rows: PreparedPairs, spec: LearningSpec, seed: int) -> Checkpoint:
        fit(self._model, self._parent, rows, spec, seed=seed)
        update, _norm = clipped_update(self._model, self._parent, spec.max_norm)
        return stepped(self._parent, update, 1.0)

    def _losses(self, checkpoint: Checkpoint) -> Scores:
        """Contrastive loss of every row among all rows, nats."""
        self._model.load(checkpoint)
        precision = self._model.spec.scoring_precision
        queries, codes = (self._model.embed_all(s, precision).double() for s in (self._pool.queries, self._pool.codes))
        rows = contrastive_rows(queries, codes, temperature=self._model.spec.temperature)
        return np.asarray(rows.cpu().numpy(), np.float64)

    def _similarities(self, checkpoint: Checkpoint, queries: Prepared, codes: Prepared) -> NDArray[np.float64]:
        self._model.load(checkpoint)
        precision = self._model.spec.scoring_precision
        left, right = (self._model.embed_all(side, precision).double() for side in (queries, codes))
        return np.asarray((left @ right.T).cpu().numpy(), np.float64)


def taken(pairs: PreparedPairs, rows: NDArray[np.int64]) -> PreparedPairs:
    """Some rows of prepared pairs; the activations stay where they are."""
    sides = [Prepared(side.hidden, side.starts[rows], side.lengths[rows]) for side in (pairs.queries, pairs.codes)]
    return PreparedPairs(*sides)

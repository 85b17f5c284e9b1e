"""Findings and verdict of a leak audit: what was measured, against which limit, and whether what was trained may be published.

A finding **fails** where the whole 95 % interval lies beyond the limit, so that chance alone stops an honest update in one of forty audits
only where its true value lies on the limit. With too few rows nothing is judged, and the report says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from learning.privacy.statistics import Estimate, Scores, auc, tpr_at_fpr

MIN_ROWS = 30
"""Fewest members, and fewest others, on which membership inference is judged."""
FPR = 0.01


class Verdict(StrEnum):
    """Outcome of one finding."""

    PASSES = "pass"
    FAILS = "fail"
    NOT_JUDGED = "not judged"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Limits:
    """Where an operator draws the line; docs/privacy.md says how the defaults were chosen.

    Attributes:
        max_auc: of membership inference; 0.5 is guessing, 1 is certainty.
        max_tpr: share of members found at 1 % false positives; 0.01 is guessing.
        max_exposure: mean exposure of planted canaries, bits; 1.44 is what chance gives.
        max_extracted: share of training rows that a decoder continues verbatim, above what it does for rows it never saw.
        max_secrets: training rows that hold what looks like a key, token or password.
    """

    max_auc: float = 0.75
    max_tpr: float = 0.4
    max_exposure: float = 2.0
    max_extracted: float = 0.0
    max_secrets: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One measure of one test.

    Attributes:
        test: what was tried, e.g. ``membership: loss drop``.
        measure: what was measured, with its unit.
        estimate: the figure; None where there is none.
        limit: bound that it must not exceed; None where none is set.
        verdict: see the module's head.
        note: what a reader needs to know to read the figure.
    """

    test: str
    measure: str
    estimate: Estimate | None
    limit: float | None
    verdict: Verdict
    note: str = ""

    def __str__(self) -> str:
        return (
            f"{self.test}: {self.measure} {self.estimate}, limit {self.limit:g}"
            if self.limit is not None
            else self.test
        )


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of an audit."""

    findings: tuple[Finding, ...]

    @property
    def failures(self) -> list[Finding]:
        """Findings that fail, in their order."""
        return [one for one in self.findings if one.verdict is Verdict.FAILS]

    @property
    def verdict(self) -> Verdict:
        """Fails if any finding does; passes if one does; otherwise nothing was judged."""
        verdicts = {one.verdict for one in self.findings}
        return next((v for v in (Verdict.FAILS, Verdict.PASSES) if v in verdicts), Verdict.NOT_JUDGED)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; numbers that are not finite become null."""

        def finite(value: Any) -> Any:
            return None if isinstance(value, float) and not math.isfinite(value) else value

        rows = []
        for one in self.findings:
            row = asdict(one) | {"verdict": one.verdict.value}
            if one.estimate is not None:
                row["estimate"] = {key: finite(value) for key, value in asdict(one.estimate).items()}
            rows.append(row)
        return {"verdict": self.verdict.value, "findings": rows}


def judged(test: str, measure: str, estimate: Estimate, limit: float, note: str = "") -> Finding:
    """A finding that fails where the interval's lower end exceeds ``limit``."""
    verdict = Verdict.FAILS if estimate.low > limit else Verdict.PASSES
    return Finding(test, measure, estimate, limit, verdict, note)


def membership_findings(name: str, members: Scores, others: Scores, limits: Limits) -> list[Finding]:
    """AUC, and true-positive rate at 1 % false positives, of one membership score.

    Args:
        name: of the attack.
        members: its scores for rows that were trained on.
        others: for rows that were not, from the same source.
        limits: the operator's.
    """
    test = f"membership: {name}"
    if min(len(members), len(others)) < MIN_ROWS:
        note = f"{len(members)} members and {len(others)} others; {MIN_ROWS} of each are the least that say anything"
        return [Finding(test, "AUC", None, limits.max_auc, Verdict.NOT_JUDGED, note)]
    return [
        judged(test, "AUC", auc(members, others), limits.max_auc),
        judged(
            test,
            "TPR at 1 % FPR",
            tpr_at_fpr(members, others, FPR),
            limits.max_tpr,
            "" if len(others) * FPR >= 1 else f"above all of only {len(others)} others",
        ),
    ]


def secrets_finding(rows: int, found: Sequence[str], limits: Limits) -> Finding:
    """Rows of the training data that hold what looks like a secret.

    Args:
        rows: how many were scanned.
        found: where, and of what kind; never the secret.
        limits: the operator's.
    """
    count = float(len(found))
    verdict = Verdict.FAILS if count > limits.max_secrets else Verdict.PASSES
    note = f"of {rows} rows" + (f": {'; '.join(found[:5])}" if found else "")
    return Finding("secret scan", "rows", Estimate(count, count, count), float(limits.max_secrets), verdict, note)

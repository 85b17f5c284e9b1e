"""Every refusal of the aggregation room, each with what happened, why, and what to try.

```
AggregationError
├── UpdateRejected        these bytes are no acceptable update; `.reason` says which check failed
└── PreconditionFailed    the rule has no guarantee for these numbers; `.numbers` holds them
```
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class AggregationError(Exception):
    """Base of all refusals.

    Args:
        what: what happened, one sentence.
        why: the likely cause, if known.
        hint: what to try next.
    """

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        self.what = what
        self.why = why
        self.hint = hint
        super().__init__(" ".join(part for part in (what, why, hint) if part))


class Reason(StrEnum):
    """Which check an update failed."""

    TOO_LARGE = "too_large"
    BAD_ENCODING = "bad_encoding"
    SCHEMA_MISMATCH = "schema_mismatch"
    DTYPE = "dtype"
    NOT_FINITE = "not_finite"
    NORM_EXCEEDED = "norm_exceeded"
    TOO_COARSE = "too_coarse"


class UpdateRejected(AggregationError):
    """An update (or checkpoint) failed a check.

    Args:
        reason: the check.
        what: what happened, one sentence.
        why: the likely cause, if known.
        hint: what to try next.
    """

    def __init__(self, reason: Reason, what: str, *, why: str = "", hint: str = "") -> None:
        self.reason = reason
        super().__init__(what, why=why, hint=hint)


class PreconditionFailed(AggregationError):
    """A rule was asked to work where it guarantees nothing.

    Args:
        rule: name of the rule or pre-aggregation.
        needs: its condition, e.g. ``n > 2f``.
        numbers: the values that break it, e.g. ``{"n": 4, "f": 2}``.
        hint: what to try next.
    """

    def __init__(self, rule: str, needs: str, numbers: Mapping[str, int], *, hint: str = "") -> None:
        self.rule = rule
        self.needs = needs
        self.numbers = dict(numbers)
        got = ", ".join(f"{name}={value}" for name, value in numbers.items())
        super().__init__(f"{rule} needs {needs}, got {got}.", hint=hint)

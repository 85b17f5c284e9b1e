"""What the guideline's data document asks of newcomers (its object ``admission``), with defaults for what it leaves out.

| key | default | meaning |
|---|---|---|
| `languages` | any | languages that a statement may name |
| `licences` | any | SPDX identifiers, or `own` for code that the applicant holds the rights to |
| `min_rows` | 2 | least rows to train on |
| `max_near_duplicates`, `max_secrets`, `max_personal` | 0 | most rows with one, as the applicant found them |
| `sample_update` | true | asked for once a round was finalised |
| `test_set_fields` | query, code, repository, path, name | exactly the fields of a row, each a text; the first two not blank |
| `test_set_min_rows`, `test_set_max_rows`, `test_set_max_bytes` | 20, 2000, 4194304 | size of an offered test set |
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from node.protocol.errors import ConfigError
from node.protocol.guideline import Guideline

_OPERATOR = re.compile(r"\s+AND\s+|\s+WITH\s+", re.IGNORECASE)
_CHOICE = re.compile(r"\s+OR\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Terms:
    """See the module's table. Empty ``languages`` or ``licences`` allow any."""

    languages: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    min_rows: int = 2
    max_near_duplicates: int = 0
    max_secrets: int = 0
    max_personal: int = 0
    sample_update: bool = True
    test_set_fields: tuple[str, ...] = ("query", "code", "repository", "path", "name")
    test_set_min_rows: int = 20
    test_set_max_rows: int = 2_000
    test_set_max_bytes: int = 4 << 20
    held_out: frozenset[str] = frozenset()

    @classmethod
    def of(cls, guideline: Guideline) -> Terms:
        """Terms of a guideline.

        Raises:
            ConfigError: an unknown key, or a value of the wrong kind.
        """
        data = guideline.documents["data"]
        asked = data.get("admission", {})
        known = {item.name: item.default for item in fields(cls) if item.name != "held_out"}
        if not isinstance(asked, dict) or set(asked) - set(known):
            raise ConfigError(
                "The guideline's data document has an unusable admission part.",
                hint=f"It is an object with keys out of {', '.join(known)}.",
            )
        values = {name: _value(name, value, known[name]) for name, value in asked.items()}
        held_out = frozenset(str(name) for name in data.get("held_out", []))
        return cls(**values, held_out=held_out)


def is_licence_allowed(licence: str, allowed: Collection[str]) -> bool:
    """Whether an SPDX expression can be taken under allowed licences: one side of each OR, all of each AND and WITH."""
    if not allowed:
        return bool(licence)
    known = {name.lower() for name in allowed}
    sides = _CHOICE.split(licence.replace("(", " ").replace(")", " ").strip())
    return any(all(part.strip().lower() in known for part in _OPERATOR.split(side)) for side in sides)


def _value(name: str, value: Any, default: Any) -> Any:
    if isinstance(default, tuple) and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if not isinstance(default, tuple) and type(value) is type(default) and value >= 0:
        return value
    raise ConfigError(f"The guideline's admission.{name} is {value!r}, expected something like {default!r}.")

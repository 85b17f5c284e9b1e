"""One question to a contract, and its answer in a form that compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, is_dataclass
from typing import Any

from node.protocol.types import Call


@dataclass(frozen=True, slots=True)
class View:
    """One question to a contract, and what the events say it must answer."""

    subject: str
    call: Call
    expected: Any


def flat(value: Any) -> Any:
    """Structs, tuples and enums as plain nested lists, so that answers compare whatever their form."""
    if is_dataclass(value) and not isinstance(value, type):
        return flat(astuple(value))
    if isinstance(value, Mapping):
        return [flat(one) for one in value.values()]
    if isinstance(value, tuple | list):
        return [flat(one) for one in value]
    return int(value) if isinstance(value, int) else value

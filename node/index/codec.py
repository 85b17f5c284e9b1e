"""Event arguments as canonical JSON text that keeps their types: equal values give equal bytes, and nothing but data comes back.

| value | text |
|---|---|
| `int` (any size), `bool` | number, ``true`` / ``false`` |
| `str` | ``"s…"`` |
| `bytes` | ``"x…"`` in lower-case hex |
| `tuple` | array |
| mapping (a struct, the arguments) | object, keys sorted |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 16
"""Deeper nesting is none of ours: the deepest event has 4 levels."""


def encode(arguments: Mapping[str, Any]) -> str:
    """Canonical text of event arguments; the inverse of `decode`.

    Raises:
        TypeError: a value of another type than the `Chain` port gives (a float, None, a list …).
    """
    return json.dumps(_plain(arguments), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def decode(text: str) -> dict[str, Any]:
    """Event arguments of canonical text.

    Raises:
        ValueError: not what `encode` writes.
    """
    try:
        value = _typed(json.loads(text), MAX_DEPTH)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("event arguments are an object")  # noqa: TRY004 - damaged text, whatever it holds
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)  # the enums of the protocol are numbers
    if isinstance(value, str):
        return "s" + value
    if isinstance(value, bytes):
        return "x" + value.hex()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    raise TypeError(f"An event argument of type {type(value).__name__} cannot be kept.")


def _typed(value: Any, depth: int) -> Any:
    if depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(value, int):  # bool, too
        return value
    if isinstance(value, str):
        if value[:1] == "s":
            return value[1:]
        if value[:1] == "x":
            return bytes.fromhex(value[1:])
    if isinstance(value, list):
        return tuple(_typed(one, depth - 1) for one in value)
    if isinstance(value, dict):
        return {key: _typed(one, depth - 1) for key, one in value.items()}
    raise ValueError(f"not an event argument: {value!r:.80}")

"""Where a dotted path stands in a JSON file, and what differs between two guidelines line by line. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_SPACE = " \t\r\n"
_DECODER = json.JSONDecoder()


def line_numbers(text: str) -> dict[str, int]:
    """Line number (from 1) of every value of a JSON text by dotted path, ``update.learning.lookahead.0``; of its key, in objects.

    Args:
        text: valid JSON.
    """
    found: dict[str, int] = {}
    _walk(text, _skip(text, 0), "", found)
    return found


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _walk(text: str, at: int, path: str, found: dict[str, int]) -> int:
    """Note the values below the one that begins at ``at``; returns where it ends."""
    found.setdefault(path, text.count("\n", 0, at) + 1)
    if text[at] not in "{[":
        return _DECODER.raw_decode(text, at)[1]
    is_object, count = text[at] == "{", 0
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        key = str(count)
        if is_object:
            begin = at
            key, at = _DECODER.raw_decode(text, at)
            found[_join(path, key)] = text.count("\n", 0, begin) + 1
            at = _skip(text, _skip(text, at) + 1)  # the colon
        at = _skip(text, _walk(text, at, _join(path, key), found))
        if text[at] == ",":
            at = _skip(text, at + 1)
        count += 1
    return at + 1


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


@dataclass(frozen=True, slots=True)
class Change:
    """One line that differs: dotted path, and its value on each side (None where it has none)."""

    line: str
    before: Any
    after: Any


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Lines that differ between two guidelines' documents, sorted by path; a list is one value."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    return [
        Change(line, old.get(line), new.get(line))
        for line in sorted({*old, *new})
        if line not in old or line not in new or old[line] != new[line] or type(old[line]) is not type(new[line])
    ]


def leaves(value: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Every line of a guideline's documents: dotted path and value, sorted by path."""
    return sorted(_leaves(value), key=lambda entry: entry[0])


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            yield from _leaves(one, _join(path, str(key)))
    else:
        yield path, value

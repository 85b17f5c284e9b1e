"""Finds rows of training data that hold keys, tokens or passwords: they do not belong into any model. A safety net, not a proof.

Formats are those of detect-secrets' detectors and a few that it lacks. Its entropy detectors are left out: on code they call every long
name a secret. What is found is named by kind and line, never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from learning.tasks.pairs import Pair

if TYPE_CHECKING:
    from collections.abc import Callable

_OWN = {
    "Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "GitHub fine-grained token": re.compile(r"\bgithub_pat_[0-9A-Za-z_]{40,}"),
    "Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"),
    "assigned password": re.compile(
        r"(?i:\b[a-z_]*(?:password|passwd|secret|api_?key|auth_?token|access_?token)\b['\"]?\s*[=:]\s*)['\"](?=[^'\"\s]*\d)[^'\"\s]{8,}['\"]"
    ),
}
_KEY_BLOCK = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\\[nr]|[\s'\"b+,(\\])*[A-Za-z0-9+/=]{40,}")
"""A marker with a key behind it: code that reads keys has the marker alone."""
_LEFT_OUT = {
    "Base64HighEntropyString",
    "HexHighEntropyString",
    "KeywordDetector",
    "IPPublicDetector",
    "PrivateKeyDetector",
}
"""The first two call names secrets; the third needs a file's type; an address is none; the last is content with the marker."""
_PLACEHOLDER = re.compile(
    r"(?i)example|placeholder|changeme|dummy|xxxx|your[_-]|<[^>]*>|\*{4}|\$\{|^:?(?:password|passwd|pass|pwd|token|secret)$"
)


def secrets_in(text: str) -> list[tuple[str, int]]:
    """(kind, line from 1) of everything in ``text`` that looks like a secret, each kind once a line; placeholders are passed over."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        kinds = {kind for kind, pattern in _OWN.items() if _is_real(pattern.search(line))}
        for kind, find in _detectors():
            if any(value and not _PLACEHOLDER.search(value) for value in find(line)):
                kinds.add(kind)
        found += [(kind, number) for kind in sorted(kinds)]
    found += [("private key", 1 + text.count("\n", 0, block.start())) for block in _KEY_BLOCK.finditer(text)]
    return found


def secret_rows(pairs: Sequence[Pair]) -> dict[int, str]:
    """Position → where and what, of each pair that holds a secret in its code or its query."""
    found = {}
    for position, pair in enumerate(pairs):
        kinds = secrets_in(pair.code) + secrets_in(pair.query)
        if kinds:
            found[position] = f"{pair.repository}/{pair.path} {pair.name}: {', '.join(sorted({k for k, _ in kinds}))}"
    return found


def _is_real(match: re.Match[str] | None) -> bool:
    return match is not None and not _PLACEHOLDER.search(match.group())


@cache
def _detectors() -> list[tuple[str, Callable[[str], Any]]]:
    """The library's detectors, by themselves: its settings are global to the process and not safe between threads."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class  # noqa: PLC0415 - loads all plugins

    return [
        (kind, made().analyze_string)
        for kind, made in sorted(get_mapping_from_secret_type_to_class().items())
        if made.__name__ not in _LEFT_OUT
    ]

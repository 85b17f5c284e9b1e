"""Syntax trees of our Solidity sources, from the compiler itself (`contracts/tools/solc`), and where everything lies.

Only the analysis runs, no code is made: about a second. Offsets in a tree count bytes of UTF-8.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from node.protocol.errors import SetupError

ROOT = Path(__file__).resolve().parent.parent.parent
CONTRACTS = ROOT / "contracts"
BUILD = ROOT / "build" / "contracts"

Node = Mapping[str, Any]
"""One node of a syntax tree, as the compiler writes it: ``nodeType``, ``src`` (start:length:file) and its parts."""

_IMPORT = re.compile(rb"^\s*import\b[^;]*?[\"']([^\"']+)[\"']\s*;", re.MULTILINE)


def settings(folder: Path = CONTRACTS) -> dict[str, Any]:
    """The default profile of ``foundry.toml``.

    Raises:
        SetupError: it cannot be read.
    """
    path = folder / "foundry.toml"
    try:
        return dict(tomllib.loads(path.read_text("utf-8"))["profile"]["default"])
    except (OSError, ValueError, KeyError) as error:
        raise SetupError(f"{path} cannot be read: {error}.", hint="Check out the repository anew.") from error


def sources(folder: Path, first: str) -> dict[str, bytes]:
    """``first`` and all it imports, by path relative to ``folder``.

    Raises:
        SetupError: an import leads nowhere.
    """
    remappings = [entry.split("=", 1) for entry in settings(folder).get("remappings", [])]
    found: dict[str, bytes] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = (folder / name).read_bytes()
        except OSError as error:
            raise SetupError(
                f"The source {name} cannot be read: {error.strerror}.",
                why=f"{first} imports it, itself or through others.",
                hint="Run `make setup`; it installs the base contracts.",
            ) from error
        waiting += [_resolve(name, target.decode(), remappings) for target in _IMPORT.findall(found[name])]
    return found


def _resolve(importer: str, target: str, remappings: list[list[str]]) -> str:
    if target.startswith("."):
        return posixpath.normpath(posixpath.join(posixpath.dirname(importer), target))
    for prefix, real in remappings:
        if target.startswith(prefix):
            return real + target.removeprefix(prefix)
    return target


def compile_standard(document: Mapping[str, Any], folder: Path = CONTRACTS) -> dict[str, Any]:
    """The compiler's answer to a standard JSON input.

    Raises:
        SetupError: the compiler is missing, does not run, or refuses the sources (its message says where).
    """
    command = [str(folder / "tools" / "solc"), "--standard-json"]
    try:
        run = subprocess.run(command, input=json.dumps(document).encode(), capture_output=True, check=True)
        answer = dict(json.loads(run.stdout))
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise SetupError(f"The compiler does not run: {error}.", hint="Run `make setup`.") from error
    errors = [entry["formattedMessage"] for entry in answer.get("errors", []) if entry["severity"] == "error"]
    if errors:
        raise SetupError(f"The sources do not compile:\n{errors[0]}", hint="Run `.bin/forge build` in contracts/.")
    return answer


def syntax_tree(folder: Path, path: str) -> Node:
    """Tree of one source; raises as `sources` and `compile_standard`."""
    texts = {name: {"content": text.decode()} for name, text in sources(folder, path).items()}
    document = {
        "language": "Solidity",
        "sources": texts,
        "settings": {
            "remappings": settings(folder).get("remappings", []),
            "evmVersion": settings(folder).get("evm_version", "cancun"),
            "outputSelection": {path: {"": ["ast"]}},
        },
    }
    answer = compile_standard(document, folder)
    return dict(answer["sources"][path]["ast"])


def walk(node: Any, parents: tuple[Node, ...] = ()) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    """Every node below ``node`` (itself too) with those around it, outermost first."""
    if isinstance(node, list):
        for one in node:
            yield from walk(one, parents)
    elif isinstance(node, dict):
        inner = parents
        if "nodeType" in node:
            yield node, parents
            inner = (*parents, node)
        for value in node.values():
            if isinstance(value, (dict, list)):
                yield from walk(value, inner)


def span(node: Node) -> tuple[int, int]:
    """Bytes ``start:end`` of a node in its source."""
    start, length, _file = (int(part) for part in str(node["src"]).split(":"))
    return start, start + length


def line_of(text: bytes, offset: int) -> int:
    """Line, from 1, of a byte."""
    return text.count(b"\n", 0, offset) + 1


def clean_environment(**extra: str) -> dict[str, str]:
    """Our environment without settings of forge that would leak into a run, and with ``extra``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOUNDRY_")}
    return {**kept, **extra}

"""What forge, Slither and our own files say about the contracts, read into plain figures. No process is started here."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.protocol.errors import SetupError

EIP170 = 24_576
"""Bytes of code that a chain accepts."""
IMPACTS = ("High", "Medium", "Low", "Informational", "Optimization")


@dataclass(frozen=True, slots=True)
class Covered:
    """How much of something ran in a test."""

    hit: int
    total: int

    @property
    def percent(self) -> float:
        """100·hit/total; 100 where there is nothing."""
        return 100 * self.hit / self.total if self.total else 100.0

    def __add__(self, other: Covered) -> Covered:
        return Covered(self.hit + other.hit, self.total + other.total)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Lines and branches of one source."""

    lines: Covered
    branches: Covered


def read_lcov(text: str, prefix: str = "src/") -> dict[str, Coverage]:
    """Coverage by source below ``prefix``; a line counts once however often it stands there.

    Raises:
        SetupError: no such source is in it.
    """
    lines: dict[str, dict[str, bool]] = {}
    branches: dict[str, dict[str, bool]] = {}
    file = ""
    for entry in text.splitlines():
        key, _, value = entry.partition(":")
        if key == "SF":
            file = value
            lines.setdefault(file, {})
            branches.setdefault(file, {})
        elif key == "DA":
            number, hits = value.split(",")[:2]
            lines[file][number] = lines[file].get(number, False) or hits != "0"
        elif key == "BRDA":
            place, _, taken = value.rpartition(",")
            branches[file][place] = branches[file].get(place, False) or taken not in {"-", "0"}
    found = {
        one: Coverage(_covered(lines[one]), _covered(branches[one]))
        for one in sorted(lines)
        if one.startswith(prefix) and lines[one]
    }
    if not found:
        raise SetupError(f"The coverage names no source below {prefix}.", hint="Run `make contracts-report FRESH=1`.")
    return found


def _covered(places: Mapping[str, bool]) -> Covered:
    return Covered(sum(places.values()), len(places))


def read_invariants(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Campaigns of ``forge test --json``: name, the design's numbers it names, runs, calls, reverts, and calls by act."""
    found = []
    for suite, entry in document.items():
        for name, result in entry["test_results"].items():
            campaign = result["kind"].get("Invariant")
            if campaign is None:
                continue
            acts = {act.rsplit(".", 1)[-1]: one["calls"] for act, one in campaign.get("metrics", {}).items()}
            found.append(
                {
                    "suite": suite,
                    "name": name.partition("(")[0],
                    "numbers": numbers_in(name),
                    "passed": result["status"] == "Success",
                    "runs": campaign["runs"],
                    "calls": campaign["calls"],
                    "reverts": campaign["reverts"],
                    "calls_by_act": dict(sorted(acts.items())),
                }
            )
    return sorted(found, key=lambda one: (one["suite"], one["name"]))


def numbers_in(text: str) -> list[str]:
    """The design's invariants that a text names: ``I1``, ``I22`` …, in order."""
    return sorted(set(re.findall(r"(?<![A-Za-z0-9])I\d{1,2}(?![0-9A-Za-z])", text.replace("_", " "))), key=_number)


def _number(name: str) -> int:
    return int(name[1:])


def named_invariants(files: Iterable[Path], folder: Path) -> dict[str, list[str]]:
    """Where the tests name each invariant."""
    found: dict[str, list[str]] = {}
    for file in sorted(files):
        for number in numbers_in(file.read_text("utf-8")):
            found.setdefault(number, []).append(file.relative_to(folder).as_posix())
    return dict(sorted(found.items(), key=lambda item: _number(item[0])))


def read_gas(snapshots: Iterable[Path]) -> dict[str, list[dict[str, Any]]]:
    """Gas by call from forge's snapshot files. ``settle: 1 of 128`` is the call settle in the case ``1 of 128`` with n = 128."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(snapshots):
        for key, value in json.loads(path.read_text("utf-8")).items():
            call, _, case = key.partition(": ")
            if call == "size":
                continue
            of = re.search(r"\bof (\d+)$", case)
            found.setdefault(call, []).append({"case": case, "n": int(of[1]) if of else None, "gas": int(value)})
    return {call: sorted(cases, key=lambda one: (one["n"] or 0, one["case"])) for call, cases in sorted(found.items())}


def read_slither(document: Mapping[str, Any]) -> dict[str, int]:
    """Findings by impact of ``slither --json``.

    Raises:
        SetupError: Slither itself failed.
    """
    if not document.get("success"):
        raise SetupError(f"Slither failed: {str(document.get('error'))[:300]}.", hint="Run contracts/tools/slither.sh.")
    counts = Counter(one["impact"] for one in document["results"].get("detectors", []))
    return {impact: counts.get(impact, 0) for impact in IMPACTS}


def read_sizes(out: Path, sources: Path) -> dict[str, int]:
    """Bytes of runtime code of every contract in ``sources`` that can be deployed, from forge's artifacts.

    Raises:
        SetupError: one is not compiled.
    """
    found = {}
    for source in sorted(sources.rglob("*.sol")):
        artifact = out / source.name / f"{source.stem}.json"
        if not artifact.is_file():
            raise SetupError(f"{source.name} is not compiled: {artifact} is missing.", hint="Run `make setup`.")
        code = json.loads(artifact.read_bytes())["deployedBytecode"]["object"].removeprefix("0x")
        if _is_contract(source) and code:
            found[source.stem] = len(code) // 2
    return found


def _is_contract(source: Path) -> bool:
    """Declared as a plain contract: no interface, no abstract one, no library (whose internal functions live elsewhere)."""
    return re.search(rf"^contract {source.stem}\b", source.read_text("utf-8"), re.MULTILINE) is not None

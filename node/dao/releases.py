"""Releases as values: names for people, candidates, and the gate that they must pass. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from incentives.ownership import BEST_SCORE, least_score
from node.dao.calls import from_name, to_name
from node.protocol.cid import cid_from_digest, digest_from_cid
from node.protocol.errors import ConfigError
from node.protocol.hashing import abi_encode, keccak256
from node.protocol.releases import Catalogue, Release, Version
from node.protocol.types import Address, Cid
from node.records import from_plain, to_plain

MAX_CANDIDATE_BYTES = 64 * 1024
_NUMBER = re.compile("[0-9]{1,5}")  # isdigit() is true for ² as well


@dataclass(frozen=True, slots=True)
class Addition:
    """A benchmark that a proposal adds: name, SHA-256 and CID of its rows."""

    name: str
    content_hash: bytes
    cid: Cid


def scores_of(release: Release) -> dict[str, int]:
    """A release's scores by the benchmark's name for people."""
    return {from_name(name): ppm for name, ppm in release.scores.items()}


def version_of(release: Release) -> str:
    """``1.2.3``."""
    return ".".join(map(str, release.version))


def find(catalogue: Catalogue, number: int) -> Release:
    """A release by number; 0 is the latest that was not taken back.

    Raises:
        ConfigError: there is none.
    """
    found = catalogue.releases.get(number or catalogue.latest)
    if found is None:
        raise ConfigError(
            f"There is no release {number}." if number else "There is no release yet.",
            hint="`commonweight release list` shows what there is.",
        )
    return found


def active(catalogue: Catalogue) -> list[Addition]:
    """Benchmarks that count, by name."""
    found = (catalogue.benchmarks[name] for name in sorted(catalogue.active))
    return [Addition(from_name(one.name), one.content_hash, cid_from_digest(one.cid)) for one in found]


# --- candidates -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """A finalised round's model and its scores: what attesters vote for and a proposal asks to publish.

    Attributes:
        round: whose model.
        model_hash: SHA-256 of the checkpoint.
        cid: of the checkpoint.
        scores: ppm by benchmark.
        added: benchmarks that the same proposal adds, since they are not active yet.
    """

    round: int
    model_hash: bytes
    cid: Cid
    scores: Mapping[str, int]
    added: tuple[Addition, ...] = ()

    def struct_scores(self) -> tuple[dict[str, Any], ...]:
        """Scores as the contract wants them: by ascending name."""
        named = sorted((to_name(name), ppm) for name, ppm in self.scores.items())
        return tuple({"benchmark": name, "ppm": ppm} for name, ppm in named)

    def struct(self, parent: int, version: Version, notes: tuple[bytes, Cid]) -> dict[str, Any]:
        """`IReleaseRegistry.Candidate`."""
        return {
            "parent": parent,
            "version": dict(zip(("major", "minor", "patch"), version, strict=True)),
            "round": self.round,
            "modelHash": self.model_hash,
            "cid": digest_from_cid(self.cid),
            "notesHash": notes[0],
            "notesCid": digest_from_cid(notes[1]),
            "scores": self.struct_scores(),
        }

    def scores_hash(self, chain_id: int, registry: Address) -> bytes:
        """What attesters vote for: H(abi(chainid, registry, round, (bytes32 benchmark, uint32 ppm)[]))."""
        scores = self.struct_scores()
        body = b"".join(abi_encode(one["benchmark"], one["ppm"]) for one in scores)
        return keccak256(abi_encode(chain_id, registry, self.round, 4 * 32, len(scores)) + body)

    def to_json(self) -> bytes:
        """The candidate's file."""
        return (json.dumps(to_plain(self), indent=2, sort_keys=True) + "\n").encode()

    @classmethod
    def parse(cls, data: bytes) -> Candidate:
        """Candidate of a file's bytes.

        Raises:
            ConfigError: no such file, or a score out of bounds.
        """
        if len(data) > MAX_CANDIDATE_BYTES:
            raise ConfigError(f"The candidate has {len(data)} bytes; at most {MAX_CANDIDATE_BYTES} are read.")
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"The candidate is not JSON: {error}.") from error
        found = from_plain(cls, value, "candidate")
        for name, ppm in found.scores.items():
            to_name(name)
            if not 0 <= ppm <= BEST_SCORE:
                raise ConfigError(f"The candidate's score of {name} is {ppm}; scores go from 0 to {BEST_SCORE} ppm.")
        return found


def parse_version(text: str) -> Version:
    """``1.2.3`` as numbers.

    Raises:
        ConfigError: not three numbers below 65 536.
    """
    parts = text.removeprefix("v").split(".")
    if len(parts) != 3 or not all(_NUMBER.fullmatch(part) and int(part) < 1 << 16 for part in parts):
        raise ConfigError(f"{text!r} is no version.", hint="Write major.minor.patch, e.g. 1.2.0.")
    return int(parts[0]), int(parts[1]), int(parts[2])


def next_version(catalogue: Catalogue) -> Version:
    """The version that follows the last published one, taken back or not: minor + 1; 1.0.0 for the first."""
    if not catalogue.releases:
        return 1, 0, 0
    major, minor, _ = catalogue.releases[len(catalogue.releases)].version
    return major, minor + 1, 0


# --- the gate ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One benchmark in a candidate's table.

    Attributes:
        benchmark: its name.
        parent: the parent's score, ppm; None where it has none.
        score: the candidate's; None where it was not measured.
        least: least score that the contract lets pass; None where anything does.
        counts: whether it is (or will be) active.
    """

    benchmark: str
    parent: int | None
    score: int | None
    least: int | None
    counts: bool

    @property
    def change(self) -> int | None:
        """Score less the parent's, ppm."""
        return None if self.parent is None or self.score is None else self.score - self.parent

    @property
    def passes(self) -> bool:
        """Whether the contract would let it pass."""
        return not self.counts or (self.score is not None and (self.least is None or self.score >= self.least))

    @property
    def verdict(self) -> str:
        """For people."""
        if not self.counts:
            return "does not count"
        if self.score is None:
            return "not measured"
        if not self.passes:
            return "fell too far"
        return (
            "new"
            if self.change is None
            else "better"
            if self.change > 0
            else "as before"
            if self.change == 0
            else "allowed"
        )

    def row(self) -> dict[str, Any]:
        """For an answer."""
        return {**asdict(self), "change": self.change, "passes": self.passes, "verdict": self.verdict}


def gate(candidate: Candidate, catalogue: Catalogue, max_regression: int) -> list[Line]:
    """The candidate's scores against its parent's, by benchmark; what the contract will check.

    Args:
        candidate: what shall be released.
        catalogue: the community's releases; the latest is the parent.
        max_regression: how far a score may fall, ppm.
    """
    parent = scores_of(catalogue.releases[catalogue.latest]) if catalogue.latest else {}
    counting = {from_name(name) for name in catalogue.active} | {one.name for one in candidate.added}
    lines = []
    for name in sorted(counting | set(candidate.scores)):
        before = parent.get(name)
        least = None if before is None or name not in counting else least_score(before, max_regression)
        lines.append(Line(name, before, candidate.scores.get(name), least, name in counting))
    return lines


def require_gate(lines: Sequence[Line]) -> None:
    """Refuse to propose what the contract would refuse to publish.

    Raises:
        ConfigError: nothing is measured, a score is missing, or one fell too far.
    """
    if not any(line.counts for line in lines):
        raise ConfigError(
            "A release needs at least one active benchmark.", hint="Name one with --add-benchmark NAME=FILE."
        )
    for line in lines:
        if not line.passes:
            scores = (
                ""
                if line.score is None or line.least is None
                else (f": {line.score / 1e6:.4f}, at least {line.least / 1e6:.4f} is asked for")
            )
            raise ConfigError(
                f"The benchmark {line.benchmark} {line.verdict}{scores}.",
                why="No vote can publish such a release: the contract compares every active benchmark with the parent's.",
                hint="Train on, or measure the candidate again with every active benchmark.",
            )


# --- lineage ----------------------------------------------------------------------------------------------------------


def lineage_dot(catalogue: Catalogue) -> str:
    """The releases as a Graphviz graph, parents above."""
    lines = [
        "digraph lineage {",
        '  rankdir=TB; node [shape=box, fontname="sans-serif"];',
        '  0 [label="genesis", shape=oval];',
    ]
    for release in catalogue.releases.values():
        scores = "".join(f"\\n{name} {ppm / 1e6:.4f}" for name, ppm in sorted(scores_of(release).items()))
        style = ", style=dashed, color=gray" if release.is_yanked else ""
        label = f"{version_of(release)} (round {release.round}){scores}".replace('"', "'")
        lines.append(f'  {release.number} [label="{label}"{style}];')
        lines.append(f"  {release.parent} -> {release.number};")
    return "\n".join([*lines, "}"]) + "\n"


def children(catalogue: Catalogue, parent: int) -> list[Release]:
    """Releases built on one; 0 are those on nothing."""
    return [release for release in catalogue.releases.values() if release.parent == parent]

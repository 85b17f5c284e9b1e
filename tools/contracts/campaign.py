"""What a mutation campaign is about: the files and tests behind a name, the mutants, those excused, and the results file."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from node.protocol.errors import ConfigError
from node.store import write_atomic
from tools.contracts.mutants import Mutant, mutants
from tools.contracts.solidity import BUILD, CONTRACTS, syntax_tree

RESULTS = BUILD / "mutation.json"
VERSION = 1

Outcome = Literal["killed", "survived", "invalid", "timeout"]


@dataclass(frozen=True, slots=True)
class Target:
    """One name of the command line.

    Attributes:
        name: e.g. ``RewardDistributor``.
        files: sources to change, relative to the contracts' folder.
        first: tests that see every mutant.
        rest: tests that see the survivors of those.
    """

    name: str
    files: tuple[str, ...]
    first: tuple[str, ...]
    rest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Excuse:
    """An equivalent mutant and why it is one; see ``contracts/tools/equivalent.toml``."""

    file: str
    within: str
    original: str
    mutated: str
    reason: str

    def matches(self, mutant: Mutant, line: str) -> bool:
        """Whether this is that mutant; ``line`` is the line of the source it begins in."""
        there = (mutant.file, mutant.original, mutant.mutated)
        return there == (self.file, self.original, self.mutated) and line.strip() == self.within


@dataclass(slots=True)
class Result:
    """What became of one mutant.

    Attributes:
        by: the test that failed first, or how the compiler refused it.
        tests: fingerprint of the tests that judged it.
        source: fingerprint of the sources it was a mutant of.
        seconds: for compiling and testing it.
    """

    mutant: Mutant
    outcome: Outcome
    by: str
    seconds: float
    source: str
    tests: str


@dataclass(slots=True)
class Record:
    """Results of one name."""

    target: str
    files: list[str] = field(default_factory=list)
    generated: int = 0
    chosen: int = 0
    seed: int | None = None
    equivalent: int = 0
    source: str = ""
    results: dict[str, Result] = field(default_factory=dict)

    def count(self, outcome: Outcome) -> int:
        """How many ended so."""
        return sum(result.outcome == outcome for result in self.results.values())

    @property
    def score(self) -> float | None:
        """Percent of the compiled mutants that were noticed (killed, or hung): 100·(k + t)/(k + t + s); None without any."""
        noticed = self.count("killed") + self.count("timeout")
        total = noticed + self.count("survived")
        return 100 * noticed / total if total else None


def load_target(name: str, folder: Path = CONTRACTS) -> Target:
    """Files and tests behind ``name``.

    Raises:
        ConfigError: no such source, or no test at all.
    """
    table = tomllib.loads((folder / "tools" / "mutation.toml").read_text("utf-8"))
    entry = table.get(name, {"files": [f"src/**/{name}.sol"], "first": [f"test/**/*{name}*.t.sol"]})
    files = _matching(folder, entry["files"])
    tests = [
        path for path in _matching(folder, ["test/**/*.t.sol"]) if path not in set(_matching(folder, table["never"]))
    ]
    if not files or not tests:
        raise ConfigError(
            f"There is nothing to mutate, or nothing to test it with, under the name {name}.",
            why=f"{', '.join(entry['files'])} in {folder} is {len(files)} files; there are {len(tests)} test files.",
            hint="Give the name of a contract or library in contracts/src.",
        )
    wanted = set(_matching(folder, entry["first"]))
    first = tuple(path for path in tests if path in wanted) or tuple(tests)
    return Target(name, tuple(files), first, tuple(path for path in tests if path not in set(first)))


def load_excuses(folder: Path = CONTRACTS) -> list[Excuse]:
    """The list of equivalent mutants.

    Raises:
        ConfigError: an entry lacks something, e.g. its reason.
    """
    path = folder / "tools" / "equivalent.toml"
    entries = tomllib.loads(path.read_text("utf-8")).get("equivalent", [])
    try:
        excuses = [Excuse(**entry) for entry in entries]
    except TypeError as error:
        raise ConfigError(
            f"{path} has an entry of other fields: {error}.", hint="Its head says how one looks."
        ) from error
    for excuse in excuses:
        if not excuse.reason.strip():
            raise ConfigError(f"{path}: {excuse.original!r} → {excuse.mutated!r} has no reason.")
    return excuses


def all_mutants(target: Target, folder: Path = CONTRACTS) -> list[Mutant]:
    """Every mutant of the target's files, in order; raises as `syntax_tree`."""
    return [
        mutant
        for file in target.files
        for mutant in mutants(file, (folder / file).read_bytes(), syntax_tree(folder, file))
    ]


def excused(found: Sequence[Mutant], excuses: Iterable[Excuse], target: Target, folder: Path = CONTRACTS) -> set[str]:
    """Ids of the equivalent ones.

    Raises:
        ConfigError: an excuse of one of the target's files fits no mutant, so the source has changed.
    """
    lines = {file: (folder / file).read_text("utf-8").splitlines() for file in target.files}
    ids: set[str] = set()
    for excuse in excuses:
        if excuse.file not in target.files:
            continue
        hits = [one.id for one in found if excuse.matches(one, lines[one.file][one.line - 1])]
        if not hits:
            raise ConfigError(
                f"The excuse for {excuse.original!r} → {excuse.mutated!r} in {excuse.file} fits no mutant.",
                why=f"The line {excuse.within!r} has changed.",
                hint="Take it out of contracts/tools/equivalent.toml, or mend it if the reason still holds.",
            )
        ids.update(hits)
    return ids


def fingerprint(folder: Path, patterns: Iterable[str]) -> str:
    """Sixteen hex digits over names and contents."""
    digest = hashlib.sha256()
    for path in _matching(folder, patterns):
        content = (folder / path).read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _matching(folder: Path, patterns: Iterable[str]) -> list[str]:
    found = {path.relative_to(folder).as_posix() for pattern in patterns for path in folder.glob(pattern)}
    return sorted(found)


# --- the results file -------------------------------------------------------------------------------------------------


def read_records(path: Path = RESULTS) -> dict[str, Record]:
    """What earlier campaigns found, by name; empty without a file or with one of another version.

    Raises:
        ConfigError: the file is broken.
    """
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_bytes())
        if document["version"] != VERSION:
            return {}
        return {name: _record(name, entry) for name, entry in document["contracts"].items()}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is broken: {error!r}.", hint="Delete it; the next run writes it anew.") from error


def _record(name: str, entry: dict[str, Any]) -> Record:
    results = {
        one["id"]: Result(
            Mutant(**{key: one[key] for key in Mutant.__dataclass_fields__}),
            **{key: one[key] for key in Result.__dataclass_fields__ if key != "mutant"},
        )
        for one in entry["results"]
    }
    plain = {key: entry[key] for key in ("files", "generated", "chosen", "seed", "equivalent", "source")}
    return Record(name, **plain, results=results)


def save_record(record: Record, path: Path = RESULTS) -> None:
    """Put one name's results into the file, whole, beside those of the others; raises as `read_records` and `write_atomic`."""
    records = {**read_records(path), record.target: record}
    document = {"version": VERSION, "contracts": {name: _entry(one) for name, one in sorted(records.items())}}
    write_atomic(path, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())


def _entry(record: Record) -> dict[str, Any]:
    results = sorted(record.results.values(), key=lambda one: (one.mutant.file, one.mutant.start, one.mutant.mutated))
    seconds = [one.seconds for one in results]
    by_operator = Counter((one.mutant.operator, one.outcome) for one in results)
    return {
        "files": record.files,
        "source": record.source,
        "generated": record.generated,
        "chosen": record.chosen,
        "seed": record.seed,
        "equivalent": record.equivalent,
        **{outcome: record.count(outcome) for outcome in ("killed", "survived", "timeout", "invalid")},
        "score": None if record.score is None else round(record.score, 2),
        "seconds_per_mutant": round(sum(seconds) / len(seconds), 2) if seconds else None,
        "by_operator": {f"{operator} {outcome}": n for (operator, outcome), n in sorted(by_operator.items())},
        "survivors": [_place(one.mutant) for one in results if one.outcome == "survived"],
        "results": [
            {"id": one.mutant.id, **asdict(one.mutant), **{key: getattr(one, key) for key in _RESULT_FIELDS}}
            for one in results
        ],
    }


_RESULT_FIELDS = ("outcome", "by", "seconds", "source", "tests")


def _place(mutant: Mutant) -> dict[str, Any]:
    return {key: getattr(mutant, key) for key in ("file", "line", "operator", "original", "mutated")}

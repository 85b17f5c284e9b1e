"""`make contracts-report`: one page of figures about the contracts, and whether they meet the standard of testing.

    python -m tools.contracts.report [--fresh] [--profile ci]

Runs forge's coverage, the invariants and Slither (again only where sources, tests or settings changed), reads the gas snapshots, the
compiled sizes and build/contracts/mutation.json, writes build/contracts/report.json and prints a summary. Exit codes: 0 every measured
threshold is met, 1 one is missed (the last lines name it), 7 a tool is missing or fails. Mutation scores are only read: they take an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from node.protocol.errors import CommonweightError, SetupError
from node.store import write_atomic
from tools.contracts.campaign import RESULTS, Record, fingerprint, read_records
from tools.contracts.measures import (
    EIP170,
    Covered,
    named_invariants,
    read_gas,
    read_invariants,
    read_lcov,
    read_sizes,
    read_slither,
)
from tools.contracts.solidity import BUILD, CONTRACTS, clean_environment

LINES, BRANCHES, MUTATION = 98.0, 95.0, 90.0
"""Percent that the standard of testing asks for."""
MUTATED = ("RoundManager", "RewardDistributor", "VotingVault", "PowerCurve")
"""What it asks a mutation score of."""
_WATCHED = ("src/**/*.sol", "test/**/*.sol", "foundry.toml", "slither.config.json", "tools/slither.sh")


# --- running ----------------------------------------------------------------------------------------------------------


def run_coverage(target: Path) -> None:
    """Write forge's lcov file. Without the optimizer, in folders of its own: contracts/out must stay what is deployed."""
    _forge(
        ["coverage", "--no-match-path", "test/Gas*.t.sol", "--report", "lcov", "--report-file", str(target)],
        FOUNDRY_OUT=str(BUILD / "coverage" / "out"),
        FOUNDRY_CACHE_PATH=str(BUILD / "coverage" / "cache"),
    )


def run_invariants(target: Path, profile: str) -> None:
    """Write the results of the invariant campaigns under a profile of ``foundry.toml``, which says how many acts they try."""
    arguments = ["test", "--match-path", "test/invariant/*", "--match-test", "invariant_", "--json"]
    write_atomic(target, _forge(arguments, FOUNDRY_PROFILE=profile))


def run_slither(target: Path) -> None:
    """Write Slither's findings; it ends with an error where there are any."""
    target.unlink(missing_ok=True)  # it does not overwrite
    run = subprocess.run(
        ["sh", str(CONTRACTS / "tools" / "slither.sh"), "--json", str(target)],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    if not target.is_file():
        raise SetupError(
            "Slither wrote no result.", why=run.stderr.strip()[-600:], hint="Run contracts/tools/slither.sh."
        )


def _forge(arguments: list[str], **settings: str) -> bytes:
    environment = clean_environment(FOUNDRY_GAS_SNAPSHOT_EMIT="false", NO_COLOR="1", **settings)
    command = [str(CONTRACTS / ".bin" / "forge"), *arguments]
    try:
        run = subprocess.run(command, cwd=CONTRACTS, env=environment, capture_output=True, check=False)
    except OSError as error:
        raise SetupError(f"forge does not start: {error.strerror}.", hint="Run `make setup`.") from error
    if run.returncode:
        said = (run.stderr.decode("utf-8", "replace") + run.stdout.decode("utf-8", "replace")).strip()
        raise SetupError(
            f"`forge {' '.join(arguments[:2])}` failed with status {run.returncode}.",
            why=said[-800:],
            hint="The tests must pass before they can be judged: `make check`.",
        )
    return run.stdout


def measured(name: str, make: Callable[[Path], None], *, fresh: bool, state: str, folder: Path = BUILD) -> bytes:
    """Content of ``folder/name``, made anew unless it was made at the same ``state`` of the contracts."""
    path, stamp = folder / name, folder / f"{name}.state"
    if fresh or not path.is_file() or not stamp.is_file() or stamp.read_text("utf-8") != state:
        stamp.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
        stamp.write_text(state, "utf-8")
    return path.read_bytes()


def machine() -> dict[str, Any]:
    """Processor and system, no names."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
    }


def versions() -> dict[str, str]:
    """Of what measures; raises SetupError where a tool does not start."""
    said = {
        "forge": _forge(["--version"]).decode(),
        "solc": subprocess.run(
            [str(CONTRACTS / "tools" / "solc"), "--version"], capture_output=True, text=True, check=False
        ).stdout,
        "slither": (CONTRACTS / "tools" / "slither.sh").read_text("utf-8"),
    }
    found = {tool: re.search(r"version[:=]\s*(\d+\.\d+\.\d+)", text, re.IGNORECASE) for tool, text in said.items()}
    return {tool: match[1] for tool, match in found.items() if match}


# --- judging ----------------------------------------------------------------------------------------------------------


def mutation_figures(records: Mapping[str, Record], source: str) -> dict[str, dict[str, Any]]:
    """By name: the score, or None with the command that measures it, where there is no result for these sources.

    Names: those that the standard asks for, and whatever else was measured.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys((*MUTATED, *records)):
        record = records.get(name)
        command = f"make mutation CONTRACT={name}"
        if record is None:
            found[name] = {"score": None, "why": "not run", "command": command}
        elif record.source != source:
            found[name] = {"score": None, "why": "the sources changed since", "command": command}
        elif len(record.results) < record.chosen:
            why = f"{record.chosen - len(record.results)} of {record.chosen} mutants not yet tried"
            found[name] = {"score": None, "why": why, "command": command}
        else:
            found[name] = {
                "score": None if record.score is None else round(record.score, 2),
                "tried": record.chosen,
                "of": record.generated - record.equivalent,
                "seed": record.seed,
                "equivalent": record.equivalent,
                "survived": record.count("survived"),
            }
    return found


def missed(report: Mapping[str, Any]) -> list[str]:
    """A line for each threshold that is measured and not met."""
    found = [
        f"{what} is {report[key]:.2f} %, the standard asks for {least:.0f} %"
        for what, key, least in (
            ("line coverage", "coverage_lines", LINES),
            ("branch coverage", "coverage_branches", BRANCHES),
        )
        if report[key] < least
    ]
    found += [
        f"mutation score of {name} is {score:.2f} %, the standard asks for {MUTATION:.0f} %"
        for name, score in report["mutation_score"].items()
        if name in MUTATED and score is not None and score < MUTATION
    ]
    found += [
        f"Slither has {report['slither'][impact]} findings of {impact.lower()} impact"
        for impact in ("High", "Medium")
        if report["slither"][impact]
    ]
    found += [f"invariant {one['name']} does not hold" for one in report["invariants"] if not one["passed"]]
    found += [
        f"{name} has {size} bytes of code, a chain accepts {EIP170}"
        for name, size in report["sizes"].items()
        if size > EIP170
    ]
    return found


def collect(*, fresh: bool, profile: str) -> dict[str, Any]:
    """The whole report; raises SetupError where a tool fails."""
    state = fingerprint(CONTRACTS, _WATCHED)
    lcov = measured("lcov.info", run_coverage, fresh=fresh, state=state).decode()
    coverage = read_lcov(lcov)
    lines = sum((one.lines for one in coverage.values()), Covered(0, 0))
    branches = sum((one.branches for one in coverage.values()), Covered(0, 0))
    invariants = json.loads(_invariants(profile, fresh=fresh, state=state))
    slither = json.loads(measured("slither.json", run_slither, fresh=fresh, state=state))
    mutation = mutation_figures(read_records(RESULTS), fingerprint(CONTRACTS, ["src/**/*.sol"]))
    _forge(["build", "--quiet"])
    report: dict[str, Any] = {
        "machine": machine(),
        "versions": versions(),
        "state": state,
        "profile": profile,
        "coverage_lines": round(lines.percent, 2),
        "coverage_branches": round(branches.percent, 2),
        "coverage": {
            file: {
                "lines": round(one.lines.percent, 2),
                "branches": round(one.branches.percent, 2),
                "lines_missed": one.lines.total - one.lines.hit,
                "branches_missed": one.branches.total - one.branches.hit,
            }
            for file, one in coverage.items()
        },
        "mutation_score": {name: one["score"] for name, one in mutation.items()},
        "mutation": mutation,
        "invariants": read_invariants(invariants),
        "invariants_named": named_invariants((CONTRACTS / "test").rglob("*.sol"), CONTRACTS),
        "gas": read_gas((CONTRACTS / "snapshots").glob("*.json")),
        "slither": read_slither(slither),
        "sizes": read_sizes(CONTRACTS / "out", CONTRACTS / "src"),
    }
    return {**report, "missed": missed(report)}


def _invariants(profile: str, *, fresh: bool, state: str) -> bytes:
    def run(target: Path) -> None:
        run_invariants(target, profile)

    return measured(f"invariants-{profile}.json", run, fresh=fresh, state=state)


# --- telling ----------------------------------------------------------------------------------------------------------


def show(report: Mapping[str, Any], console: Console) -> None:
    """The summary on the terminal."""
    table = Table("source", "lines %", "branches %", "bytes", title="Contracts")
    for file, one in report["coverage"].items():
        size = report["sizes"].get(Path(file).stem, "")
        table.add_row(file, f"{one['lines']:.1f}", f"{one['branches']:.1f}", str(size))
    table.add_row("together", f"{report['coverage_lines']:.2f}", f"{report['coverage_branches']:.2f}", "", style="bold")
    console.print(table)
    for one in report["invariants"]:
        acts = ", ".join(f"{act} {calls}" for act, calls in one["calls_by_act"].items())
        console.print(f"{one['name']}: {one['calls']} calls in {one['runs']} runs ({acts})", highlight=False)
    console.print(f"invariants named by tests: {' '.join(report['invariants_named'])}", highlight=False)
    for name, one in report["mutation"].items():
        if one["score"] is None:
            line = f"not measured: {one.get('why', 'no mutant compiled')}; {one.get('command', '')}"
        else:
            line = f"{one['score']:.1f} % ({one['tried']} of {one['of']} mutants, {one['survived']} survived)"
        console.print(f"mutation score of {name}: {line}", highlight=False)
    gas = Table("call", "gas", title="Gas")
    for call, cases in report["gas"].items():
        gas.add_row(
            call, ", ".join(f"{one['case']}: {one['gas']}" if one["case"] else str(one["gas"]) for one in cases)
        )
    console.print(gas)
    console.print("Slither: " + ", ".join(f"{count} {impact.lower()}" for impact, count in report["slither"].items()))
    for line in report["missed"]:
        console.print(f"missed: {line}", style="bold red", highlight=False)
    if not report["missed"]:
        console.print("every measured threshold is met", style="bold green")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.contracts.report", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--fresh", action="store_true", help="measure again although nothing changed")
    parser.add_argument("--profile", default="default", help="of foundry.toml, for the invariants: default, ci, deep")
    parser.add_argument("--out", type=Path, default=BUILD / "report.json")
    options = parser.parse_args(arguments)
    try:
        report = collect(fresh=options.fresh, profile=options.profile)
        write_atomic(options.out, (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())
    except CommonweightError as error:
        Console(stderr=True).print(f"error: {error}", markup=False)
        return error.exit_code
    show(report, Console() if sys.stdout.isatty() else Console(width=140))
    return 1 if report["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())

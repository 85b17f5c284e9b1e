"""How long a full audit takes, what memory it needs, and what it finds: history and files rebuilt, every way of tampering injected.

    python -m benchmarks.audit                              # 100 rounds of 8 nodes, updates of 251 904 parameters; build/bench/audit.json
    python -m benchmarks.audit --rounds 10 --results benchmarks/results/audit.json

The history is played on the reference model (`node.sim.archive`); its files lie in a temporary folder, about 9 MB a round, and every
one that is read is verified against its CID. Timed is `node.audit.report.audit` as the command runs it, from the first event to the
report: events against the rules, every opening, every view of the contracts, every bundle fetched, checked and aggregated again. The
chain answers from memory, so no network is timed. ``cpu_seconds`` are of all threads. ``peak_mib`` is the largest resident memory
during the audit, ``growth_mib`` how much of it the audit itself added; both are also given for audits of the first tenth and the
first half of the history.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.table import Table

from benchmarks.robustness_report import machine
from node.audit.models import ModelAuditor
from node.audit.report import AuditReport, Scope, audit
from node.protocol.guideline import Guideline
from node.protocol.types import Phase
from node.sim.archive import Archive, FolderBlobs, Shape
from node.sim.rules import audit_rules
from node.sim.tampering import KINDS, AlteredBlobs, AlteredChain, Served, honest

GOAL_SECONDS = 60.0
OUT = Path("build/bench/audit.json")
LARGE = Shape(layers=41, rows=384, columns=16)
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Measured:
    """One audit."""

    rounds: int
    events: int
    seconds: float
    cpu_seconds: float
    peak_mib: float
    growth_mib: float
    findings: int
    checks: int


class Memory:
    """Largest resident memory of this process while it is watched, MiB."""

    def __enter__(self) -> Self:
        self.before = self.peak = _resident()
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self.peak = max(self.peak, _resident())


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


def guideline() -> Guideline:
    """The demo's pipeline over bundles of one kind of tensor."""
    update = {"pipeline": "arc+nnm+trimmed_mean", "outer_learning_rate": 0.8, "max_norm": 100.0, "max_bytes": 1 << 23}
    documents = {"data": {}, "architecture": {"trainable_suffix": ".lora_B"}, "update": update, "versioning": {}}
    return Guideline.parse(json.dumps(documents).encode())


def audited(archive: Archive, served: Served, scope: Scope) -> AuditReport:
    """A full audit of what is served."""
    rules = audit_rules(archive.ledger)
    blobs = AlteredBlobs(archive.blobs, served.files)
    models = ModelAuditor(blobs, archive.founding, rules.chain_id, rules.round_manager, tau=rules.scoring.tau)
    return asyncio.run(audit(AlteredChain(archive, served), rules, first_block=0, models=models, scope=scope))


def timed(archive: Archive, rounds: int, scope: Scope) -> Measured:
    """Audit the first rounds of a history; the contracts answer for the newest block, so only the whole is compared with storage."""
    is_whole = rounds == archive.round
    last = archive.events[-1].block if is_whole else _end_of(archive, rounds)
    events = [event for event in archive.events if event.block <= last]
    scope = Scope(is_whole and scope.with_storage, scope.detailed_rounds, scope.at_once)
    with Memory() as memory:
        started, cpu = time.perf_counter(), time.process_time()
        report = audited(archive, Served(events), scope)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    derived = report.checked.get("models re-aggregated", 0)
    assert derived == rounds, f"{derived} of {rounds} models were derived"
    return Measured(
        rounds=rounds,
        events=len(events),
        seconds=round(seconds, 2),
        cpu_seconds=round(cpu, 2),
        peak_mib=round(memory.peak, 1),
        growth_mib=round(memory.peak - memory.before, 1),
        findings=len(report.findings),
        checks=sum(report.checked.values()),
    )


def _end_of(archive: Archive, number: int) -> int:
    return next(e.block for e in archive.events if e.name == "RoundFinalized" and e.arguments["round"] == number)


def tamper(folder: Path, console: Console) -> tuple[bool, dict[str, bool]]:
    """(the honest history has no finding, whether each way of tampering is found)."""
    archive = honest(Archive(8, FolderBlobs(folder), guideline()))
    scope = Scope()
    report = audited(archive, Served(archive.events), scope)
    for finding in report.findings:
        console.print(f"[red]{finding}[/]")
    return report.ok, {kind: not audited(archive, change(archive), scope).ok for kind, change in KINDS.items()}


def build(folder: Path, rounds: int, nodes: int, console: Console) -> Archive:
    """Play a history."""
    archive = Archive(nodes, FolderBlobs(folder), guideline(), shape=LARGE)
    with console.status("playing the history") as status:
        for number in range(1, rounds + 1):
            status.update(f"round {number} of {rounds}")
            if archive.play() is not Phase.FINALIZED:
                raise AssertionError(f"round {number} has no model")
            archive.claim_all()
    return archive


def main() -> None:
    """Tamper, play, audit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--at-once", type=int, default=2, help="rounds derived at the same time")
    parser.add_argument("--results", type=Path, help="write the result here, too")
    options = parser.parse_args()
    console, scope = Console(), Scope(at_once=options.at_once)
    with tempfile.TemporaryDirectory(prefix="commonweight-bench-") as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        small.mkdir()
        large.mkdir()
        is_clean, found = tamper(small, console)
        archive = build(large, options.rounds, options.nodes, console)
        steps = sorted({max(1, options.rounds // 10), max(1, options.rounds // 2), options.rounds})
        runs = [timed(archive, rounds, scope) for rounds in steps]
    whole = runs[-1]
    result: dict[str, Any] = {
        "machine": machine(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("numpy", "numba")},
        "rounds": options.rounds,
        "nodes": options.nodes,
        "parameters": LARGE.parameters,
        "at_once": options.at_once,
        "seconds": whole.seconds,
        "cpu_seconds": whole.cpu_seconds,
        "peak_mib": whole.peak_mib,
        "growth_mib": whole.growth_mib,
        "goal_seconds": GOAL_SECONDS,
        "goal_met": whole.seconds < GOAL_SECONDS,
        "runs": [asdict(run) for run in runs],
        "honest_ok": is_clean and whole.findings == 0,
        "tampering": found,
    }
    for path in filter(None, (OUT, options.results)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    _show(console, result)
    if not (result["honest_ok"] and all(found.values())):
        raise SystemExit(1)


def _show(console: Console, result: dict[str, Any]) -> None:
    table = Table("rounds", "events", "seconds", "CPU seconds", "peak MiB", "of it the audit's")
    for run in result["runs"]:
        table.add_row(
            *(str(run[name]) for name in ("rounds", "events", "seconds", "cpu_seconds", "peak_mib", "growth_mib"))
        )
    console.print(table)
    missed = [kind for kind, is_found in result["tampering"].items() if not is_found]
    console.print(
        f"{len(result['tampering'])} kinds of tampering, missed: {missed or 'none'}; honest: {result['honest_ok']}"
    )


if __name__ == "__main__":
    main()

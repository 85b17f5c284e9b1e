"""`make schedules`: random fault schedules in simulation; none may leave a broken invariant (node/sim/schedule.py says which).

Writes ``build/schedules.json``, appending as it goes: a run that is stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.progress import track

from node.sim.schedule import draw, play
from node.store import write_atomic


def one(seed: int) -> dict[str, Any]:
    """Live through the schedule of a seed."""
    logging.disable(logging.CRITICAL)
    schedule = draw(seed)
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="schedule-") as folder:
        outcome = play(schedule, Path(folder))
    return {
        "seed": seed,
        "members": schedule.members,
        "byzantine": dict(schedule.byzantine),
        "faults": dict(Counter(fault.kind for fault in schedule.faults)),
        "phases": outcome.phases,
        "slashed_byzantine": outcome.slashed_byzantine,
        "kills": outcome.kills,
        "violations": outcome.violations,
        "cpu_seconds": round(time.process_time() - began, 2),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Totals over schedules."""
    faults: Counter[str] = Counter()
    phases: Counter[str] = Counter()
    for row in rows:
        faults.update(row["faults"])
        phases.update(row["phases"])
    return {
        "schedules": len(rows),
        "violated": sum(bool(row["violations"]) for row in rows),
        "rounds": dict(phases),
        "faults": dict(faults),
        "kills": sum(row["kills"] for row in rows),
        "byzantine": sum(len(row["byzantine"]) for row in rows),
        "slashed_byzantine": sum(row["slashed_byzantine"] for row in rows),
        "cpu_seconds": round(sum(row["cpu_seconds"] for row in rows)),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }


def main() -> int:
    """Run what has not run yet; exit code 1 if any schedule was violated."""
    parser = argparse.ArgumentParser(prog="benchmarks.schedules", description="Random fault schedules in simulation.")
    parser.add_argument("--count", type=int, default=1_000, help="seeds 0 … count − 1")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build/schedules.json"))
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if options.out.exists() and not options.fresh:
        rows = [row for row in json.loads(options.out.read_bytes())["rows"] if row["seed"] < options.count]
    todo = sorted(set(range(options.count)) - {row["seed"] for row in rows})
    with ProcessPoolExecutor(options.jobs) as pool:
        results = pool.map(one, todo)
        for row in track(results, "fault schedules", total=len(todo), disable=not sys.stderr.isatty()):
            rows.append(row)
            rows.sort(key=lambda entry: int(entry["seed"]))
            write_atomic(options.out, json.dumps({**summary(rows), "rows": rows}, indent=1).encode())
    found = summary(rows)
    print(json.dumps(found, indent=2))
    return 1 if found["violated"] else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""`make fuzz`: a million inputs over all decoders; writes build/fuzz.json, and what crashed to build/fuzz/.

python tests/fuzz/fuzz_run.py --inputs 1000000 --minutes 15 --seed 0
python tests/fuzz/fuzz_run.py --only envelope --inputs 50000
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "network"), str(Path(__file__).parent)]
warnings.simplefilter("ignore")

from fuzz_decoders import decoders  # noqa: E402 - found by the path above
from fuzz_engine import Decoder, Outcome, fuzz, keep  # noqa: E402


def main() -> int:
    """Run, write the report, and say what crashed."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--inputs", type=int, default=1_000_000, help="over all decoders")
    parser.add_argument("--minutes", type=float, default=15.0, help="processor time, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="decoders whose name holds this text")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "fuzz.json")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    chosen = [one for one in decoders(whole=True) if arguments.only in one.name]
    started, end = time.process_time(), time.process_time() + 60 * arguments.minutes
    # A first look at every decoder says how fast each is; then what is left of the time is shared so that none takes more than its part.
    found: dict[str, Outcome] = {}
    for decoder in chosen:
        found[decoder.name] = fuzz(decoder, seed=arguments.seed, inputs=500, seconds=5.0)
    for place, decoder in enumerate(sorted(chosen, key=lambda one: cost(found[one.name]), reverse=True)):
        left = len(chosen) - place
        wanted = (arguments.inputs - sum(one.inputs for one in found.values())) // left + 1
        seconds = (end - time.process_time()) / left
        add(found[decoder.name], fuzz(decoder, seed=arguments.seed + 1, inputs=max(0, wanted), seconds=seconds))
        print(f"{decoder.name:24} {json.dumps(found[decoder.name].row())}", flush=True)
    lines = report(arguments, chosen, found, time.process_time() - started)
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


def cost(outcome: Outcome) -> float:
    """Seconds of one input."""
    return outcome.seconds / max(1, outcome.inputs)


def add(outcome: Outcome, more: Outcome) -> None:
    """Two runs of one decoder as one."""
    outcome.inputs += more.inputs
    outcome.accepted += more.accepted
    outcome.seconds += more.seconds
    outcome.slowest_ms = max(outcome.slowest_ms, more.slowest_ms)
    outcome.growth_mb = max(outcome.growth_mb, more.growth_mb)
    outcome.crashes |= more.crashes


def report(arguments: argparse.Namespace, chosen: list[Decoder], found: dict[str, Outcome], cpu: float) -> list[str]:
    """Write the file; what crashed, a line each."""
    lines = [line for one in chosen for line in keep(one.name, found[one.name], arguments.json.parent / "fuzz")]
    result = {
        "seed": arguments.seed,
        "inputs": sum(one.inputs for one in found.values()),
        "crashes": len(lines),
        "cpu_seconds": round(cpu, 1),
        "decoders": {one.name: found[one.name].row() for one in chosen},
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{result['inputs']} inputs, {len(lines)} crashes, {cpu:.0f} CPU seconds: {arguments.json}")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())

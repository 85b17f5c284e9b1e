"""The same decoders under Atheris (libFuzzer), which keeps inputs that reach new code; adds ``guided`` to build/fuzz.json.

    python tests/fuzz/fuzz_guided.py --seconds 5

Our packages are instrumented once; each decoder then runs in a process forked from this one, since libFuzzer never comes back.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "network"), str(Path(__file__).parent), str(ROOT / "build" / "atheris")]
warnings.simplefilter("ignore")

try:
    import atheris
except ImportError:
    sys.stderr.write("Atheris is not installed (make fuzz tries to); coverage-guided fuzzing is left out.\n")
    raise SystemExit(0) from None

sys.stderr.flush()
with atheris.instrument_imports(include=["node", "aggregation", "learning"], exclude=["node.sim", "node.cli"]):
    from fuzz_decoders import decoders
    from fuzz_engine import Decoder


def main() -> int:
    """Run every decoder for some seconds; 1 where one crashed."""
    parser = argparse.ArgumentParser(prog="fuzz_guided.py", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=int, default=5, help="for each decoder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "fuzz.json")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    rows = {}
    with tempfile.TemporaryDirectory(prefix="commonweight-fuzz-") as folder:
        for decoder in decoders():
            if arguments.only in decoder.name:
                rows[decoder.name] = run(decoder, Path(folder), arguments)
                print(f"guided {decoder.name:24} {json.dumps(rows[decoder.name])}", flush=True)
    result: dict[str, Any] = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    crashes = sum(row["crashes"] for row in rows.values())
    total = sum(row["inputs"] for row in rows.values())
    result["guided"] = {"tool": "atheris", "inputs": total, "crashes": crashes, "decoders": rows}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{total} guided inputs, {crashes} crashes: {arguments.json}")
    return 1 if crashes else 0


def run(decoder: Decoder, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """One decoder in a process of its own."""
    name = re.sub(r"\W+", "-", decoder.name)
    corpus, log, kept = folder / name, folder / f"{name}.log", arguments.json.parent / "fuzz"
    corpus.mkdir()
    kept.mkdir(parents=True, exist_ok=True)
    for place, data in enumerate(decoder.corpus):
        (corpus / str(place)).write_bytes(data)
    child = os.fork()
    if child == 0:
        output = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        flags = [f"-max_total_time={arguments.seconds}", f"-seed={arguments.seed + 1}", "-max_len=65536", "-timeout=5"]
        flags += ["-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={kept / name}-"]
        atheris.Setup([sys.argv[0], *flags, str(corpus)], lambda data: once(decoder, data))
        atheris.Fuzz()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    said = log.read_text(errors="replace")
    found = re.findall(r"number_of_executed_units: (\d+)", said)
    covered = re.findall(r"cov: (\d+)", said)
    crashed = os.waitstatus_to_exitcode(status) != 0
    if crashed:
        (kept / f"{name}-guided.txt").write_text(said[-20_000:], encoding="utf-8")
    return {
        "inputs": int(found[-1]) if found else 0,
        "seconds": arguments.seconds,
        "crashes": int(crashed),
        "reached": [int(covered[0]), int(covered[-1])] if covered else [],
    }


def once(decoder: Decoder, data: bytes) -> None:
    """One input; what is not documented ends the process."""
    with suppress(*decoder.errors):
        decoder.read(data)


if __name__ == "__main__":
    raise SystemExit(main())

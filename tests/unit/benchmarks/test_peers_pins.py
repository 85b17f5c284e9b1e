from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PEERS = ROOT / "benchmarks" / "peers"
SHARED = ("llvmlite", "numba", "numpy", "scipy", "threadpoolctl", "torch")


def pins(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(re.fullmatch(r"([A-Za-z0-9_.-]+)==([A-Za-z0-9_.!]+)", line).groups() for line in lines)


def test_every_requirement_of_the_peers_is_one_exact_version():
    assert {"flwr", "rich", *SHARED} <= pins(PEERS / "requirements.txt").keys()
    assert pins(PEERS / "requirements-alone.txt") == {"byzfl": "0.0.11"}


def test_the_peers_compute_with_our_versions():
    ours = pins(ROOT / "constraints.txt")
    theirs = pins(PEERS / "requirements.txt")
    assert {name: theirs[name] for name in SHARED} == {name: ours[name] for name in SHARED}

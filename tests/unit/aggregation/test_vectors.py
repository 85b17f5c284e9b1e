"""Golden vectors: the arithmetic has not moved, on this machine, with any kernels, tile width or number of threads."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aggregation import bundle
from aggregation.registry import parse
from aggregation.testing import vectors

FILE = Path(__file__).parents[2] / "vectors" / "aggregation.json"
GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))


def test_generator_is_xorshift64_star():
    draws = vectors.xorshift(0x9E3779B97F4A7C15 ^ 1)  # state 1
    assert next(draws) == 5180492295206395165  # first output of Vigna's reference code


def test_rebuilding_gives_the_file():
    assert vectors.build() == GOLDEN


@pytest.mark.parametrize("case", GOLDEN["pipelines"], ids=lambda case: f"{case['pipeline']}-{case['count']}")
@pytest.mark.parametrize(
    ("kernels", "threads", "tile"), [("numba", 1, 0), ("numpy", 2, 50), ("numba", 2, 7), ("numpy", 1, 1)]
)
def test_every_machine_gives_the_golden_hash(case: dict[str, Any], kernels: str, threads: int, tile: int):
    updates = dict(reversed(vectors.updates(case["count"], case["seed"]).items()))
    result = parse(case["pipeline"]).aggregate(updates, vectors.SCHEMA, kernels=kernels, threads=threads, tile=tile)
    assert hashlib.sha256(bundle.encode(result.tensors)).hexdigest() == case["sha256"]
    assert result.report.f == case["f"]


@pytest.mark.parametrize(
    ("kernels", "environment"),
    [
        ("numpy", {"OPENBLAS_CORETYPE": "Haswell"}),  # other matrix kernels, other order of sums
        ("numpy", {"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "2"}),
        ("numba", {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}),  # no AVX, no FMA
    ],
)
def test_other_processors_give_the_golden_file(kernels: str, environment: dict[str, str], tmp_path: Path):
    code = "import json, sys; from aggregation.testing.vectors import build; print(json.dumps(build(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", code, kernels],
        env={**os.environ, **environment, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(done.stdout) == GOLDEN


def test_vectors_exercise_what_they_should():
    reports = [
        parse(case["pipeline"]).aggregate(vectors.updates(case["count"], case["seed"]), vectors.SCHEMA).report
        for case in GOLDEN["pipelines"]
    ]
    assert any(client.saturated for report in reports for client in report.clients)
    assert any(client.clip_factor < 65536 for report in reports for client in report.clients)
    assert any(not client.selected for report in reports for client in report.clients)
    hashes = {case["sha256"] for case in GOLDEN["pipelines"] if case["count"] == 17}
    assert len(hashes) == len(vectors.PIPELINES)

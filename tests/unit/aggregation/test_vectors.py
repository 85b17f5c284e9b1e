"""Golden vectors: the arithmetic has not moved, on this machine, with any kernels, tile width or number of threads."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aggregation import bundle
from aggregation.registry import parse
from aggregation.testing import vectors

FILE = Path(__file__).parents[2] / "vectors" / "aggregation.json"
GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))
UPDATES = {count: vectors.updates(count, 1) for count in vectors.COUNTS}


def test_generator_is_xorshift64_star():
    draws = vectors.xorshift(0x9E3779B97F4A7C15 ^ 1)  # state 1
    assert next(draws) == 5180492295206395165  # first output of Vigna's reference code


def test_rebuilding_gives_the_file():
    assert vectors.build() == GOLDEN


@pytest.mark.parametrize("text", vectors.PIPELINES)
@pytest.mark.parametrize(("kernels", "threads", "tile"), [("numba", 2, 1024), ("numpy", 2, 2048)])
def test_every_machine_gives_the_golden_hash(text: str, kernels: str, threads: int, tile: int):
    cases = [case for case in GOLDEN["pipelines"] if case["pipeline"] == text]
    assert [case["count"] for case in cases] == list(vectors.COUNTS)
    for case in cases:
        if kernels == "numba" and case["count"] in (2, 3, 17):
            continue  # each number of rows compiles anew; the slow tests below run them all
        updates = dict(reversed(UPDATES[case["count"]].items()))
        arguments = vectors.arguments(case["count"])
        result = parse(text).aggregate(
            updates, vectors.SCHEMA, kernels=kernels, threads=threads, tile=tile, **arguments
        )
        assert hashlib.sha256(bundle.encode(result.tensors)).hexdigest() == case["sha256"]
        assert result.report.f == case["f"]


NO_AVX512 = (
    "X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"  # numpy's names, old and new
)
CODE = """
import json, os, sys
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
for name in os.environ.get("NPY_DISABLE_CPU_FEATURES", "").split():
    assert name not in __cpu_dispatch__ or not __cpu_features__[name], name
from aggregation.testing.vectors import build
print(json.dumps(build(sys.argv[1])))
"""


@pytest.mark.parametrize(
    ("kernels", "environment"),
    [
        ("numpy", {"OPENBLAS_CORETYPE": "Haswell"}),  # other matrix kernels, other order of sums
        ("numpy", {"NPY_DISABLE_CPU_FEATURES": NO_AVX512, "OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "2"}),
        ("numpy", {"NPY_DISABLE_CPU_FEATURES": f"{NO_AVX512} X86_V3 AVX2 FMA3", "OPENBLAS_CORETYPE": "Prescott"}),
        pytest.param("numba", {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, marks=pytest.mark.slow),
        pytest.param("numba", {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2"}, marks=pytest.mark.slow),
        pytest.param(
            "numba", {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx2,+fma"}, marks=pytest.mark.slow
        ),
    ],
    ids=["haswell", "no-avx512", "no-avx2", "numba-generic", "numba-avx2", "numba-fma"],
)
def test_other_processors_give_the_golden_file(kernels: str, environment: dict[str, str], tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, kernels],  # numpy warns of names it does not know
        env={**os.environ, **environment, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert json.loads(done.stdout) == GOLDEN


def test_vectors_exercise_what_they_should():
    reports = {
        (case["pipeline"], case["count"]): parse(case["pipeline"])
        .aggregate(UPDATES[case["count"]], vectors.SCHEMA, **vectors.arguments(case["count"]))
        .report
        for case in GOLDEN["pipelines"]
        if case["count"] in (5, 17)
    }
    clients = [client for report in reports.values() for client in report.clients]
    assert any(client.saturated for client in clients)
    assert any(client.clip_factor < 65536 for client in clients)
    assert any(client.excluded for client in clients)
    assert 0 < sum(client.selected for client in reports["norm_bound(c=20)+trimmed_mean", 17].clients) < 17
    assert len(set(reports["mean", 17].shifts["t"].tolist())) == 2  # the outlier group has a scale of its own
    hashes = {
        text: tuple(case["sha256"] for case in GOLDEN["pipelines"] if case["pipeline"] == text)
        for text in vectors.PIPELINES
    }
    assert len(set(hashes.values())) == len(vectors.PIPELINES)

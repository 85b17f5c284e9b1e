"""What importing costs and may reach: numba only when a kernel of its is wanted, and no other room of ours."""

import subprocess
import sys


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_numba_is_loaded_only_by_its_kernels():
    everything = "import aggregation.bundle, aggregation.checks, aggregation.registry, aggregation.outer"
    modules = loaded_after(everything)
    assert "aggregation.registry" in modules
    assert "numba" not in modules
    assert "numba" in loaded_after("from aggregation.kernels import choose; choose('numba')")


def test_no_other_room_and_no_heavy_library():
    modules = loaded_after("import aggregation.registry, aggregation.outer, aggregation.testing.attacks")
    for foreign in ("node", "learning", "incentives", "torch", "safetensors"):
        assert foreign not in modules


def test_kernels_work_where_no_cache_can_be_written():
    code = (
        "import numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = []\n"  # what a read-only installation looks like to numba
        "from aggregation import kernels_numba as k\n"
        "import numpy as np\n"
        "o = np.empty(1, np.int32)\n"
        "k.quantise(np.ones(1, np.float32), np.float32(4), np.float32(8), o)\n"
        "print(o[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "4", done.stderr

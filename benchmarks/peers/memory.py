"""Peak anonymous memory of one aggregation of memory-mapped updates, seen from outside its process.

    python -m benchmarks.peers.memory PIPELINE P FILE...     # the process that is watched

The child maps the files, computes something tiny with the same kernels (compiling is not the aggregation's memory), says ``ready`` and
waits for a line; the parent then samples its ``RssAnon`` until it says ``done``, while it still holds the result.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from time import sleep

import numpy as np
from numpy.typing import NDArray

from aggregation import registry

LAYERS = 20
_TINY = 64 * LAYERS  # parameters of the first, uncounted aggregation
_EVERY = 0.001  # seconds between samples


def anonymous_bytes(status: str) -> int:
    """``RssAnon`` of the text of /proc/PID/status, in bytes.

    Raises:
        ValueError: the text has no such line (not a Linux, or no longer running).
    """
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "RssAnon":
            return int(value.split()[0]) * 1024
    raise ValueError("No RssAnon in the process's status: the process has ended, or this is not Linux.")


def write_updates(folder: Path, n: int, p: int, seed: int) -> list[Path]:
    """n files of p float32 values each."""
    rng = np.random.default_rng(seed)
    files = [folder / f"{i:04d}.f32" for i in range(n)]
    for file in files:
        (rng.standard_normal(p, dtype=np.float32) * np.float32(0.01)).tofile(file)
    return files


def peak_extra_bytes(pipeline: str, p: int, files: Sequence[Path]) -> tuple[int, int]:
    """(peak minus before, bytes of the result) of aggregating the files' updates with one thread.

    Raises:
        RuntimeError: the child failed; its last words are in the message.
    """
    command = [sys.executable, "-m", "benchmarks.peers.memory", pipeline, str(p), *map(str, files)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        if child.stdout.readline() != "ready\n":
            raise RuntimeError(f"The process that was to aggregate {pipeline} did not start (see above).")
        status = Path(f"/proc/{child.pid}/status")
        base = peak = anonymous_bytes(status.read_text())
        answer: list[str] = []
        reader = threading.Thread(target=lambda: answer.append(child.stdout.readline()))  # type: ignore[union-attr]
        reader.start()
        child.stdin.write("go\n")
        child.stdin.flush()
        while reader.is_alive():
            sleep(_EVERY)
            try:
                peak = max(peak, anonymous_bytes(status.read_text()))
            except (ValueError, OSError):
                break  # it has ended; its answer says how
        reader.join()
        words = answer[0].split()
        if words[:1] != ["done"]:
            raise RuntimeError(f"The process that aggregated {pipeline} ended early (see above).")
        child.stdin.write("end\n")
        child.stdin.flush()
    return peak - base, int(words[1])


def _child(pipeline: str, p: int, files: Sequence[str]) -> None:
    updates = [np.memmap(file, np.float32, mode="r", shape=(p,)) for file in files]

    def aggregate(size: int) -> dict[str, NDArray[np.float32]]:
        names = [f"layer.{i:02d}" for i in range(LAYERS)]
        parts = [np.array_split(np.asarray(update)[:size], LAYERS) for update in updates]
        named = {i.to_bytes(2): dict(zip(names, layers, strict=True)) for i, layers in enumerate(parts)}
        schema = tuple((name, layer.shape) for name, layer in zip(names, parts[0], strict=True))
        return registry.parse(pipeline).aggregate(named, schema, kernels="numba", threads=1).tensors

    aggregate(min(_TINY, p))
    print("ready", flush=True)
    sys.stdin.readline()
    result = aggregate(p)
    print("done", sum(layer.nbytes for layer in result.values()), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]), sys.argv[3:])

"""Compares our aggregation with Flower and byzfl: time in turn in one process, copy bandwidth, memory, equal bytes.

    PYTHONPATH=. .venv-peers/bin/python -m benchmarks.aggregation [--quick] [--only median,krum] [--json FILE]

Ours is the whole public call, from float32 updates of 20 layers to float32 layers, quantising included. One thread, one warm-up each, then
ours, the peer, a copy in turn. What each figure means stands in `benchmarks.peers.measure.FORMULAS` and in the JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import hashlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

if not __package__:  # as a file, this would hide the package it measures
    raise SystemExit("Run it as a module, from the repository's root: python -m benchmarks.aggregation")

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from aggregation import kernels, registry
from aggregation.errors import AggregationError
from benchmarks.peers import measure, memory
from benchmarks.peers.libraries import LAYERS, Peer, Vector, flat, layers_of, peers
from benchmarks.peers.measure import Cost, Row, Turn, timed

CASES = ((10, 10_000_000), (10, 1_000_000), (50, 1_000_000))
QUICK = ((10, 100_000), (50, 100_000))
RULES = (
    "mean",
    "median",
    "trimmed_mean",
    "krum",
    "multi_krum",
    "geometric_median",
    "meamed",
    "centred_clipping",
    "bulyan",
    "arc+nnm+trimmed_mean",
)
MEMORY_RULES = ("median", "arc+nnm+trimmed_mean")
MEMORY_CASES = ((10, 10_000_000), (50, 10_000_000))
TILES = (512, 4096)
ORDERS_P = 100_000  # parameters on which a peer's four orders are compared
COPIED = 256 << 20  # bytes of the array whose copying is timed
QUICK_ORDERS_P, QUICK_COPIED = 10_000, 64 << 20
SEED = 7
LAYER_NAMES = tuple(f"layer.{i:02d}" for i in range(LAYERS))

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Updates of one case: row i is client i's."""

    rows: list[Vector]

    @property
    def n(self) -> int:
        """Clients."""
        return len(self.rows)

    @property
    def p(self) -> int:
        """Parameters."""
        return int(self.rows[0].size)

    def start(self, p: int) -> Inputs:
        """The same clients' first p parameters."""
        return Inputs([row[:p] for row in self.rows])


def make_inputs(n: int, p: int, seed: int) -> Inputs:
    """Noise plus a common direction, each client with scales of its own: no choice by distance is a tie within float32."""
    rng = np.random.default_rng(seed)
    scales = 0.01 * (1 + 0.02 * rng.permutation(n))
    leanings = 2 * rng.permutation(n) / n
    common = rng.standard_normal(p, dtype=np.float32)
    whole = np.empty((n, p), np.float32)
    for i in range(n):
        rng.standard_normal(dtype=np.float32, out=whole[i])
        whole[i] += np.float32(leanings[i]) * common
        whole[i] *= np.float32(scales[i])
    return Inputs(list(whole))


@dataclass(frozen=True, slots=True)
class Ours:
    """Our call on prepared inputs. The one place that knows the package's interface."""

    pipeline: registry.Pipeline
    named: dict[bytes, dict[str, Vector]]
    schema: tuple[tuple[str, tuple[int, ...]], ...]
    result: dict[str, Vector]

    @classmethod
    def of(cls, text: str, inputs: Inputs) -> Ours:
        """Parse the pipeline, name the layers."""
        named = {
            i.to_bytes(20): dict(zip(LAYER_NAMES, layers_of(row), strict=True)) for i, row in enumerate(inputs.rows)
        }
        schema = tuple((name, layer.shape) for name, layer in named[bytes(20)].items())
        return cls(registry.parse(text), named, schema, {name: np.zeros(shape, np.float32) for name, shape in schema})

    def reversed(self) -> Ours:
        """The same updates, last first."""
        return dataclasses.replace(self, named=dict(reversed(self.named.items())))

    def __call__(self, *, kernels: str = "numba", threads: int = 1, tile: int = 0) -> dict[str, Vector]:
        """The aggregate's tensors."""
        machine = {"kernels": kernels, "threads": threads, "tile": tile}
        return self.pipeline.aggregate(self.named, self.schema, out=self.result, **machine).tensors


def digest(tensors: dict[str, Vector]) -> str:
    """SHA-256 over the layers' bytes in order of name."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        sha.update(np.ascontiguousarray(tensors[name]).data)
    return sha.hexdigest()


def always_equal(ours: Ours) -> bool:
    """`measure.FORMULAS`: sha256_equal."""
    back = ours.reversed()
    ways = [partial(ours), partial(back), partial(ours, threads=2), partial(back, kernels="numpy")]
    ways += [partial(ours, tile=tile) for tile in TILES]
    return len({digest(way()) for way in ways}) == 1


def orders_equal(peer: Peer, inputs: Inputs) -> bool:
    """Whether the peer's bytes are those of the given order when reversed, rotated and shuffled."""
    rows = inputs.rows
    shuffled = [rows[i] for i in np.random.default_rng(SEED).permutation(len(rows))]
    orders = (rows, rows[::-1], rows[len(rows) // 3 :] + rows[: len(rows) // 3], shuffled)
    return len({hashlib.sha256(flat(peer.call(list(order))).data).hexdigest() for order in orders}) == 1


class Copy:
    """Copies a large array; memory bandwidth as a program can have it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._from, self._to = np.ones(size // 4, np.float32), np.zeros(size // 4, np.float32)
        self._torch = torch.from_numpy(self._from), torch.from_numpy(self._to)

    def __call__(self) -> Cost:
        """Seconds of the faster of numpy's and torch's copy."""
        source, target = self._torch
        costs = timed(lambda: np.copyto(self._to, self._from)), timed(lambda: target.copy_(source))
        return Cost(min(cost.cpu for cost in costs), min(cost.wall for cost in costs))


@dataclass(frozen=True, slots=True)
class Bench:
    """What all cases share."""

    copy: Copy
    repeats: int
    orders_p: int
    say: Say
    note: Say

    def rule(self, rule: str, inputs: Inputs) -> Iterator[Row]:
        """Rows of one rule in one case."""
        n, p = inputs.n, inputs.p
        f = (n - 3) // 4 if rule == "bulyan" else n // 5
        try:
            ours = Ours.of(f"{rule}:f={f}", inputs)
            self.say(f"{rule} n={n} p={p:,}: ours")
            first = timed(ours)
        except AggregationError as error:
            self.note(f"{rule}, n={n}: left out. {error}")
            return
        again = timed(ours) if first.wall < 60 else first  # the first compiles
        self.say(f"{rule} n={n} p={p:,}: our bytes in every order and way")
        common = Row(n, p, rule, f, "", sha256_equal=always_equal(ours))
        for peer in peers(rule, n, p, f):
            if peer.bytes > available_bytes():
                self.note(f"{rule}, n={n}, {peer.name}: left out, it needs about {peer.bytes >> 20} MiB of memory.")
                continue
            self.say(f"{rule} n={n} p={p:,}: {peer.name}")
            yield self._against(peer, ours, inputs, common)
        yield self._two_threads(ours, common, measure.turns(again.wall, self.repeats))

    def _against(self, peer: Peer, ours: Ours, inputs: Inputs, common: Row) -> Row:
        results: list[object] = []
        warming = timed(lambda: results.append(peer.call(inputs.rows)))
        difference = None
        if peer.same:
            mine = np.concatenate([layer.reshape(-1) for layer in ours().values()])
            difference = float(np.abs(mine - flat(results[0])).max())
            del mine
        results.clear()
        count = measure.turns(warming.wall, self.repeats)
        taken = []
        for _ in range(count):
            # Where one call takes long enough to drown all noise, its first run is the measured one.
            theirs = warming if count == 1 else None
            own = timed(ours)
            taken.append(Turn(own, theirs or timed(lambda: peer.call(inputs.rows)), self.copy()))
        orders_p = min(inputs.p, self.orders_p)
        return dataclasses.replace(
            common,
            peer=peer.name,
            pairs=count,
            ours_cpu_s=measure.middle([turn.ours.cpu for turn in taken]),
            ours_wall_s=measure.middle([turn.ours.wall for turn in taken]),
            peer_cpu_s=measure.middle([turn.peer.cpu for turn in taken]),
            peer_wall_s=measure.middle([turn.peer.wall for turn in taken]),
            ratio_cpu=measure.ratio_cpu(taken),
            ratio_wall=measure.ratio_wall(taken),
            copy_gb_per_cpu_s=measure.middle([2e-9 * self.copy.size / turn.copy.cpu for turn in taken]),
            percent_of_copy_bandwidth=measure.middle(
                [measure.percent_of_copy(common.n, common.p, t.ours.cpu, self.copy.size, t.copy.cpu) for t in taken]
            ),
            peer_orders_equal=orders_equal(peer, inputs.start(orders_p)),
            peer_orders_p=orders_p,
            max_difference=difference,
        )

    def _two_threads(self, ours: Ours, common: Row, count: int) -> Row:
        taken = [Turn(timed(lambda: ours(threads=2)), timed(ours), self.copy()) for _ in range(count)]
        return dataclasses.replace(
            common,
            peer="(ours, 1 thread)",
            threads=2,
            pairs=count,
            ours_cpu_s=measure.middle([turn.ours.cpu for turn in taken]),
            ours_wall_s=measure.middle([turn.ours.wall for turn in taken]),
            peer_cpu_s=measure.middle([turn.peer.cpu for turn in taken]),
            peer_wall_s=measure.middle([turn.peer.wall for turn in taken]),
            ratio_wall=measure.ratio_wall(taken),
            percent_of_copy_bandwidth=measure.middle(
                [measure.percent_of_copy(common.n, common.p, t.ours.wall, self.copy.size, t.copy.wall) for t in taken]
            ),
        )


def memory_rows(cases: Sequence[tuple[int, int]], rules: Sequence[str], bench: Bench) -> Iterator[Row]:
    """Peak memory over memory-mapped files, which are written once per p and deleted at the end."""
    for p in sorted({p for _, p in cases}):
        counts = sorted(n for n, size in cases if size == p)
        with tempfile.TemporaryDirectory(prefix="commonweight-bench-") as folder:
            bench.say(f"memory: writing {counts[-1]} updates of {p:,} parameters")
            files = memory.write_updates(Path(folder), counts[-1], p, SEED)
            for n in counts:
                for rule in rules:
                    bench.say(f"memory: {rule} n={n} p={p:,}")
                    peak, output = memory.peak_extra_bytes(f"{rule}:f={n // 5}", p, files[:n])
                    yield Row(n, p, rule, n // 5, measure.MEMORY, peak_extra_bytes=peak, output_bytes=output)


def gpu_section(cases: Sequence[tuple[int, int]], rules: Sequence[str], repeats: int) -> dict[str, Any]:
    """Elapsed time of our device kernels, transfers included, and the device's copy bandwidth."""
    if not torch.cuda.is_available():
        return {"note": "no GPU on this machine"}
    source = torch.ones(COPIED, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)

    def copied() -> None:
        target.copy_(source)
        torch.cuda.synchronize()

    timed(copied)
    seconds = measure.middle([timed(copied).wall for _ in range(repeats)])
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "copy_gb_per_s": 2e-9 * source.nbytes / seconds,
        "rows": [],
    }
    if "torch" not in kernels.CHOICES:
        return found | {"note": "the aggregation package offers no device kernels"}
    for n, p in cases:
        inputs = make_inputs(n, p, SEED)
        for rule in rules:
            try:
                ours = Ours.of(f"{rule}:f={(n - 3) // 4 if rule == 'bulyan' else n // 5}", inputs)
                equal = digest(ours(kernels="torch")) == digest(ours())
            except AggregationError:
                continue  # the processor's section has said so
            walls = [timed(partial(ours, kernels="torch")).wall for _ in range(repeats)]
            found["rows"].append({"n": n, "p": p, "rule": rule, "wall_s": measure.middle(walls), "sha256_equal": equal})
    return found


def available_bytes() -> int:
    """Memory that can be had without swapping; what the machine has, where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def machine() -> dict[str, Any]:
    """What ran it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_before": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Of everything that is measured or measures."""
    names = ("numpy", "numba", "torch", "scipy", "flwr", "byzfl", "threadpoolctl")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def _cell(value: float | bool | None, form: str) -> str:  # noqa: FBT001 - what a row holds
    if value is None:
        return "–"
    return ("yes" if value else "[red]no[/]") if isinstance(value, bool) else format(value, form)


def table(rows: Sequence[Row]) -> Table:
    """The rows for people."""
    result = Table(title="ours against the peers, one thread", title_justify="left")
    for name in ("n", "p", "rule", "against", "ours ms", "theirs ms", "× CPU", "× wall", "% of copy"):
        result.add_column(name, justify="left" if name in {"rule", "against"} else "right")
    for name in ("extra MiB", "ours equal", "theirs equal", "difference", "pairs"):
        result.add_column(name, justify="right")
    for row in rows:
        wall = row.threads > 1
        mine, theirs = (row.ours_wall_s, row.peer_wall_s) if wall else (row.ours_cpu_s, row.peer_cpu_s)
        result.add_row(
            str(row.n),
            f"{row.p:.0e}".replace("e+0", "e"),
            row.rule,
            "2 threads : 1" if wall else row.peer,
            _cell(mine and mine * 1e3, ".1f"),
            _cell(theirs and theirs * 1e3, ".1f"),
            _cell(row.ratio_cpu, ".1f"),
            _cell(row.ratio_wall, ".1f"),
            _cell(row.percent_of_copy_bandwidth, ".0f"),
            _cell(row.peak_extra_bytes and row.peak_extra_bytes / 2**20, ".1f"),
            _cell(row.sha256_equal, ""),
            _cell(row.peer_orders_equal, ""),
            _cell(row.max_difference, ".1e"),
            str(row.pairs or "–"),
        )
    return result


def goals(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every goal with its verdict."""
    found = []
    for goal in measure.GOALS:
        verdict, value = goal.verdict(rows)
        found.append({"goal": goal.text, "n": goal.n, "p": goal.p, "value": value, "verdict": verdict})
    return found


def options() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.aggregation", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="small inputs, under a minute; no goal is judged")
    parser.add_argument("--only", metavar="RULES", help=f"some of {','.join(RULES)}")
    parser.add_argument("--cases", metavar="N:P,…", help="other cases, e.g. 10:1e6,50:1e6")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory rows out")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write everything there")
    found = parser.parse_args()
    found.rules = tuple(found.only.split(",")) if found.only else RULES
    if unknown := set(found.rules) - set(RULES):
        parser.error(f"unknown rules: {', '.join(sorted(unknown))}. Known: {', '.join(RULES)}")
    found.chosen = QUICK if found.quick else CASES
    if found.cases:
        found.chosen = tuple((int(n), int(float(p))) for n, p in (case.split(":") for case in found.cases.split(",")))
    return found


def run(chosen: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Everything, as it goes into the JSON."""
    rows: list[Row] = []
    notes: list[str] = []
    begun, about = datetime.now(UTC), machine()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # No refreshing thread: its seconds would be counted as ours.
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("", total=len(chosen.chosen) * len(chosen.rules) + 1)

        def say(text: str) -> None:
            progress.update(task, description=text, refresh=True)
            if not console.is_terminal:
                print(text, file=sys.stderr, flush=True)

        def note(text: str) -> None:
            notes.append(text)
            progress.console.print(f"note: {text}", highlight=False)

        size, repeats, orders_p = (QUICK_COPIED, 2, QUICK_ORDERS_P) if chosen.quick else (COPIED, 5, ORDERS_P)
        bench = Bench(Copy(size), repeats, orders_p, say, note)
        for n, p in chosen.chosen:
            inputs = make_inputs(n, p, SEED)
            for rule in chosen.rules:
                rows += bench.rule(rule, inputs)
                progress.advance(task)
            del inputs
        measured = [rule for rule in MEMORY_RULES if rule in chosen.rules]
        if measured and not chosen.no_memory:
            rows += memory_rows(((10, 100_000),) if chosen.quick else MEMORY_CASES, measured, bench)
        device = gpu_section(chosen.chosen, chosen.rules, bench.repeats)
    about["load_after"] = os.getloadavg()[0]
    return {
        "begun": begun.isoformat(timespec="seconds"),
        "machine": about,
        "versions": versions(),
        "formulas": measure.FORMULAS,
        "goals": goals(rows),
        "notes": notes,
        "gpu": device,
        "rows": [dataclasses.asdict(row) for row in rows],
    }


def main() -> int:
    """Run, show, write."""
    chosen = options()
    console = Console(width=None if sys.stdout.isatty() else 170)
    torch.set_num_threads(1)
    gc.freeze()  # the libraries' own objects: collecting before each call then takes no time
    with threadpool_limits(1):
        result = run(chosen, console)
    console.print(table([Row(**row) for row in result["rows"]]))
    for goal in result["goals"]:
        colour = {"met": "green", "missed": "red"}.get(goal["verdict"], "dim")
        value = "" if goal["value"] is None else f"  ({goal['value']:,.1f})"
        case = f"n={goal['n']} p={goal['p']:.0e}".replace("e+0", "e")
        console.print(f"[{colour}]{goal['verdict']:>12}[/]  {case}: {goal['goal']}{value}", highlight=False)
    console.print(f"GPU: {result['gpu'].get('note') or result['gpu']}", highlight=False)
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

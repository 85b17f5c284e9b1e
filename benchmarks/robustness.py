"""What every aggregation pipeline withstands, alone and behind the gate that a round puts before it.

    python -m benchmarks.robustness                     # digits, five seeds: build/bench/robustness.{json,png}
    python -m benchmarks.robustness --quick             # one seed, three pipelines, under a minute
    python -m benchmarks.robustness --task code         # MiniLM code search, see robustness_code.py

Digits: ten clients with label-skewed shares (Dirichlet 0.5 per class) of scikit-learn's 8×8 digits train an MLP 64-32-10 by local SGD.
f of them collude and see every honest update. The gate is the protocol's (docs/protocol.md): norm bound, sealed slice that is neither a
client's data nor the test set, ring of verifiers, look-ahead, novelty, tally. Behind it the Byzantine also verify: they praise each
other and damn everybody else. Nobody is told who is Byzantine; behind the gate the pipeline's f follows from how many were accepted.

``stealth_*`` attack the gate itself: each colluder starts from its own honest training and walks as far in a bad direction as still
passes. They know the gate *and the slice*, which no trainer does before it commits: an upper bound.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from aggregation import bundle, gram, registry
from aggregation.errors import PreconditionFailed
from aggregation.pre import PRE_AGGREGATIONS
from aggregation.rules import RULES
from aggregation.testing import attacks
from benchmarks.robustness_report import draw, machine, table, write
from incentives import scoring

Matrix = NDArray[np.float32]
Vector = NDArray[np.float32]
Gains = Callable[[Matrix], list[int]]

ATTACKS: Mapping[str, Callable[[Matrix, int, int], Matrix]] = {
    "sign_flip": lambda honest, f, _: attacks.sign_flip(honest, f),
    "sign_flip×4": lambda honest, f, _: attacks.sign_flip(honest, f, strength=4.0),
    "ipm": lambda honest, f, _: attacks.ipm(honest, f),
    "alie": lambda honest, f, _: attacks.alie(honest, f),
    "gauss": lambda honest, f, seed: attacks.gaussian(honest, f, seed=seed),
    "min_max": lambda honest, f, _: attacks.min_max(honest, f),
}
STEALTH = ("stealth_sigma", "stealth_mean", "stealth_flip")
MIXED = ("norm_clip+mean", "nnm+trimmed_mean", "arc+nnm+median", "bucketing+trimmed_mean")
WALK = (0.0, *(1.25**i for i in range(-10, 10)))  # steps of a stealth attacker, multiples of the honest mean norm


@dataclasses.dataclass(frozen=True)
class Gate:
    """What stands between an update and the pipeline.

    Attributes:
        tally: tolerance and thresholds, ppm of a nat.
        verifiers: most verifiers of one update.
        policy: the pipeline's f for m accepted of n updates: ``auto`` ⌊(m-1)/3⌋, ``fifth`` ⌊m/5⌋, ``declared`` the guideline's f as far
            as m allows, ``left`` that less the updates already refused.
        relative: an accepted update also needs this share of the lower median gain of all settled ones; 0 is the protocol.
    """

    tally: scoring.TallyParams = dataclasses.field(
        default_factory=lambda: scoring.TallyParams(tau=1_000, delta_min=100, harm_min=80_000, gain_cap=200_000)
    )
    verifiers: int = 7
    policy: str = "auto"
    relative: float = 0.0

    def text(self, pipeline: str, n: int, m: int, declared: int) -> str:
        """The pipeline with the f it gets for m accepted of n updates; ``declared`` 0 is the default ⌊(n-1)/3⌋."""
        if self.policy == "auto":
            return pipeline
        declared = declared or (n - 1) // 3
        f = {"fifth": m // 5, "declared": declared, "left": max(0, declared - (n - m))}[self.policy]
        return f"{pipeline}:f={min(f, *(stage.tolerates(m) for stage in registry.parse(pipeline).stages))}"


class World(Protocol):
    """A learning task of one seed: what the loop below needs of it. Models and updates are flat float32 vectors."""

    seed: int
    n: int
    rounds: int
    outer_rate: float
    max_norm: float
    key: str
    schema: bundle.Schema
    genesis: Vector

    def updates(self, model: Vector, number: int, count: int, *, flipped: bool = False) -> Matrix:
        """Honest (or label-flipped) training of the first ``count`` clients in round ``number``."""

    def gains(self, model: Vector, last: Vector | None, number: int) -> Gains:
        """Raw gains in ppm on the round's sealed slice, from the look-ahead base."""

    def metric(self, model: Vector) -> float:
        """Quality of a model on the test set, percent."""


def play(world: World, pipeline: str, f: int, attack: str, gate: Gate | None) -> dict[str, float]:
    """All rounds of one case; final metric, and behind a gate the shares of honest and Byzantine updates accepted.

    Without a gate the pipeline is told f (f = 0: its default); with one, see `Gate.policy`.
    """
    model, last = world.genesis, None
    byzantine = set(range(world.n - f, world.n)) if attack != "none" else set()
    passed: list[set[int]] = []
    for number in range(1, world.rounds + 1):
        gains = world.gains(model, last, number) if gate else None
        rng = np.random.default_rng([world.seed, number, 3])
        order, ring = rng.permutation(world.n).tolist(), rng.permutation(world.n).tolist()
        rows = offered(world, model, last, number, f=len(byzantine), attack=attack, gate=gate, gains=gains, order=order)
        if gate is None:
            text = f"{pipeline}:f={f}" if f else pipeline
        else:
            assert gains is not None
            accepted = admit(gate, effective(gains(rows), cosines(world, rows, last), order), ring, byzantine)
            passed.append(set(accepted))
            rows = rows[accepted]
            text = gate.text(pipeline, world.n, len(rows), f)
        if len(rows):
            last = combine(text, rows, world.schema)
            model = model + np.float32(world.outer_rate) * last
    result = {world.key: round(world.metric(model), 2)}
    if gate:
        honest = world.n - len(byzantine)
        result["honest_accepted"] = round(sum(len(p - byzantine) for p in passed) / (honest * len(passed)), 3)
        if byzantine:
            result["byzantine_accepted"] = round(sum(len(p & byzantine) for p in passed) / (f * len(passed)), 3)
    return result


def offered(
    world: World,
    model: Vector,
    last: Vector | None,
    number: int,
    *,
    f: int,
    attack: str,
    gate: Gate | None,
    gains: Gains | None,
    order: Sequence[int],
) -> Matrix:
    """Everybody's updates, the f Byzantine last; behind a gate all within the norm bound, as anything else is refused as malformed."""
    stealthy = attack in STEALTH
    trained = world.updates(model, number, world.n if stealthy else world.n - f)
    bounded = within if gate else _as_it_is
    honest = bounded(trained[: world.n - f], world.max_norm)
    if not f:
        return honest
    if not stealthy:
        sent = ATTACKS[attack](honest, f, 1_000 * world.seed + number)
        return np.concatenate([honest, bounded(sent, world.max_norm)])
    assert gate is not None
    assert gains is not None
    own = within(trained[world.n - f :], world.max_norm)
    if attack == "stealth_flip":
        bad = world.updates(model, number, world.n, flipped=True)[world.n - f :].astype(np.float64)
    else:
        bad = -(honest.std if attack == "stealth_sigma" else honest.mean)(axis=0, dtype=np.float64)[None]
    return stealth(gate, honest, own, bad, bound=world.max_norm, gains=gains, last=last, order=order)


def stealth(
    gate: Gate,
    honest: Matrix,
    own: Matrix,
    bad: NDArray[np.float64],
    *,
    bound: float,
    gains: Gains,
    last: Vector | None,
    order: Sequence[int],
) -> Matrix:
    """``own_i + γ·bad_i/‖bad_i‖`` with the γ (one for all, out of `WALK`) that maximises γ times the number that pass the gate."""
    direction = bad / np.maximum(np.linalg.norm(bad, axis=1, keepdims=True), 1e-30)
    unit = float(np.linalg.norm(honest.astype(np.float64), axis=1).mean())
    best, chosen = -1.0, own
    for walk in WALK:
        rows = within((own + walk * unit * direction).astype(np.float32), bound)
        everybody = np.concatenate([honest, rows])
        found = effective(gains(everybody), float_cosines(everybody, last), order)
        least = bar(gate, found)
        harm = walk * sum(g >= least for g in found[len(honest) :])
        if harm > best:
            best, chosen = harm, rows
    return np.concatenate([honest, chosen])


def admit(gate: Gate, gains: Sequence[int], ring: Sequence[int], liars: set[int]) -> list[int]:
    """Who is accepted, all verifiers of the ring having voted; ``liars`` praise each other and damn the rest."""
    n = len(gains)
    position = {client: place for place, client in enumerate(ring)}
    settled = []
    for client, gain in enumerate(gains):
        fields = []
        for back in range(1, min(n - 1, gate.verifiers) + 1):
            lie = scoring.MAX_GAIN if client in liars else scoring.MIN_GAIN
            fields.append(scoring.encode_gain(lie if ring[position[client] - back] in liars else gain))
        settled.append(scoring.tally(fields, gate.tally))
    least = bar(gate, [result.gain for result in settled])
    return [i for i, r in enumerate(settled) if r.verdict is scoring.Verdict.ACCEPTED and r.gain >= least]


def bar(gate: Gate, gains: Sequence[int]) -> float:
    """Least gain to be accepted."""
    return max(gate.tally.delta_min, gate.relative * sorted(gains)[(len(gains) - 1) // 2])


def effective(
    raw: Sequence[int], similarity: tuple[Sequence[Sequence[int]], Sequence[int]], order: Sequence[int]
) -> list[int]:
    """Effective gains, ``order`` being the commits' sequence."""
    return [scoring.effective_gain(g, v) for g, v in zip(raw, scoring.novelty_ppm(*similarity, order), strict=True)]


def cosines(world: World, rows: Matrix, last: Vector | None) -> tuple[list[list[int]], list[int]]:
    """Cosines in ppm, as the protocol computes them."""
    reference = None if last is None else bundle.unflatten(last, world.schema)
    matrix, to_last = gram.similarity_ppm(
        [bundle.unflatten(row, world.schema) for row in rows], reference, world.schema
    )
    return matrix, to_last or [0] * len(rows)


def float_cosines(rows: Matrix, last: Vector | None) -> tuple[list[list[int]], list[int]]:
    """The same in floating point, fast: an attacker's own estimate."""
    wide = np.concatenate([rows, np.zeros_like(rows[:1]) if last is None else last[None]]).astype(np.float64)
    wide /= np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-30)
    matrix = np.rint(1e6 * (wide @ wide[: len(rows)].T)).astype(int).tolist()
    return matrix[:-1], matrix[-1]


def within(rows: Matrix, bound: float) -> Matrix:
    """Rows clipped to an L2 norm just within ``bound``."""
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(rows * np.minimum(1, bound * (1 - 1e-6) / np.maximum(norms, 1e-30)), np.float32)


def _as_it_is(rows: Matrix, _: float) -> Matrix:
    return rows


def combine(text: str, rows: Matrix, schema: bundle.Schema) -> Vector:
    """The pipeline's aggregate as one vector; clients' ids are their row numbers."""
    updates = {bytes([i]): bundle.unflatten(row, schema) for i, row in enumerate(rows)}
    return bundle.flatten(registry.parse(text).aggregate(updates, schema).tensors, schema)


# --- cases ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """One cell of the study; ``study`` names the gate's variant (``protocol``: as in docs/protocol.md)."""

    pipeline: str
    f: int
    attack: str
    gate: Gate | None
    study: str = "protocol"


def pipelines() -> list[str]:
    """Every rule that needs no weights alone, the default, and the mixed ones whose stages exist."""
    known = {stage.name for stage in (*RULES, *PRE_AGGREGATIONS)}
    mixed = [text for text in MIXED if set(text.split("+")) <= known]
    return [*(rule.name for rule in RULES if rule.name != "weighted_mean"), *mixed, registry.DEFAULT]


def cases(n: int, *, quick: bool) -> tuple[list[Case], list[dict[str, Any]]]:
    """What to run, and what cannot be, with the reason."""
    chosen = ["mean", "median", registry.DEFAULT] if quick else pipelines()
    adaptive = () if quick else ("mean", "norm_clip+mean", registry.DEFAULT)
    wanted, skipped = [], []
    for text in chosen:
        for f in (0, 4) if quick else (0, 2, 4):
            names = ("none", *ATTACKS) if f else ("none",)
            try:
                registry.parse(f"{text}:f={f}" if f else text).resolve_f(n)
                wanted += [Case(text, f, attack, None) for attack in names]
            except PreconditionFailed as error:
                skipped.append({"pipeline": text, "gate": False, "f": f, "why": str(error)})
            behind = ATTACKS if f else names  # nobody tells the gate f, so with all honest f = 0 is the same case
            wanted += [Case(text, f, attack, Gate()) for attack in behind]
            wanted += [Case(text, f, attack, Gate()) for attack in STEALTH if f and text in adaptive]
    if not quick:
        wanted += list(variants())
    return wanted, skipped


def code_cases(n: int) -> tuple[list[Case], list[dict[str, Any]]]:
    """The short list for the slow task: f = 20 % and 40 % of n; thresholds as in the demo."""
    gate = Gate(scoring.TallyParams(tau=5_000, delta_min=1_000, harm_min=80_000, gain_cap=200_000))
    names = [name for name in ATTACKS if name != "sign_flip×4"]
    wanted = []
    for f in (0, n // 5, 2 * n // 5):
        for text, chosen in (("mean", None), (registry.DEFAULT, None), (registry.DEFAULT, gate)):
            wanted += [Case(text, f, attack, chosen) for attack in (names if f else ["none"])]
    return wanted, []


def variants() -> Iterator[Case]:
    """The default pipeline behind other gates, most of them only under what is hardest for it."""
    hardest = [(4, attack) for attack in ("alie", "gauss", "min_max", *STEALTH)]
    all_of_them = [(f, attack) for f in (2, 4) for attack in (*ATTACKS, *STEALTH)]
    for study, gate, tried in (
        ("f=fifth", Gate(policy="fifth"), hardest),
        ("f=declared", Gate(policy="declared"), hardest),
        ("f=left", Gate(policy="left"), hardest),
        ("relative=0.3", Gate(relative=0.3), all_of_them),
        ("relative=0.5", Gate(relative=0.5), hardest),
    ):
        yield Case(registry.DEFAULT, 0, "none", gate, study)
        yield from (Case(registry.DEFAULT, f, attack, gate, study) for f, attack in tried)


def summarise(rows: Sequence[Mapping[str, Any]], key: str) -> list[dict[str, Any]]:
    """Per pipeline, gate, variant and f: mean over seeds with all honest, under the worst attack, under the worst stealth attack."""
    groups: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    for row in rows:
        group = (row["pipeline"], row["gate"], row["study"], row["f"])
        groups.setdefault(group, {}).setdefault(row["attack"], []).append(row[key])
    summary = []
    for (pipeline, gate, study, f), found in groups.items():
        if gate:
            found.setdefault("none", groups[pipeline, gate, study, 0]["none"])  # see `cases`
        means = {attack: round(statistics.mean(values), 2) for attack, values in found.items()}
        entry: dict[str, Any] = {"pipeline": pipeline, "gate": gate, "study": study, "f": f, "none": means.get("none")}
        for name, kind in (("worst", ATTACKS), ("worst_stealth", STEALTH)):
            present = [a for a in means if a in kind]
            if present:
                attack = min(present, key=lambda a: means[a])
                entry |= {name: means[attack], f"{name}_attack": attack}
        summary.append(entry)
    return summary


def run_seed(world: World, wanted: Sequence[Case], task: str, console: Console) -> list[dict[str, Any]]:
    """Every case of one seed."""
    rows: list[dict[str, Any]] = []
    said = time.monotonic()
    with Progress(console=console, transient=True) as progress:
        line = progress.add_task("", total=len(wanted))
        for case in wanted:
            label = f"seed {world.seed}  {'gate+' * bool(case.gate)}{case.pipeline}  f={case.f}  {case.attack}"
            progress.update(line, description=label)
            if not console.is_terminal and time.monotonic() > said + 30:  # where `Progress` is silent
                console.print(f"{len(rows)} of {len(wanted)}: {label}")
                said = time.monotonic()
            head = {"task": task, "n": world.n, "f": case.f, "pipeline": case.pipeline, "gate": case.gate is not None}
            head |= {"study": case.study, "attack": case.attack, "seed": world.seed}
            rows.append(head | play(world, case.pipeline, case.f, case.attack, case.gate))
            progress.advance(line)
    console.print(f"seed {world.seed}: {len(rows)} runs; {world.key} {world.metric(world.genesis):.2f} before training")
    return rows


# --- command -------------------------------------------------------------------------------------------------------


def main() -> int:
    """Command line; exit code 0 once the JSON is written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=("digits", "code"), default="digits")
    parser.add_argument("--seeds", type=int, nargs="+", help="default 0 1 2 3 4; code 0")
    parser.add_argument("--quick", action="store_true", help="one seed, few pipelines")
    parser.add_argument("--rounds", type=int, help="default 25; code 2")
    parser.add_argument("--json", type=Path, help="default build/bench/robustness.json (code: robustness_code.json)")
    parser.add_argument("--image", type=Path, help="default: as --json, .png")
    options = parser.parse_args()
    console, began = Console(width=140), time.process_time()
    task: Any
    if options.task == "code":
        from benchmarks import robustness_code as task  # noqa: PLC0415 - needs torch
    else:
        from benchmarks import robustness_digits as task  # noqa: PLC0415
    settings = task.Settings() if options.rounds is None else task.Settings(rounds=options.rounds)
    seeds = options.seeds or ([0] if options.quick or options.task == "code" else [0, 1, 2, 3, 4])
    wanted, skipped = (
        code_cases(settings.clients) if options.task == "code" else cases(settings.clients, quick=options.quick)
    )
    name = "robustness" if options.task == "digits" else "robustness_code"
    path = options.json or Path("build/bench") / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    head: dict[str, Any] = {
        "machine": machine(),
        "versions": {"python": platform.python_version()} | {package: version(package) for package in task.PACKAGES},
        "settings": dataclasses.asdict(settings) | {"gate": dataclasses.asdict(standard_gate(wanted))},
        "metric": task.METRIC,
    }
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        rows += run_seed(task.Task(settings, seed), wanted, options.task, console)
        summary = summarise(rows, task.KEY)
        head |= {"seeds": seeds[: seeds.index(seed) + 1], "cpu_seconds": round(time.process_time() - began)}
        write(path, head, rows, summary, skipped)  # after every seed: a run cut short is still worth something
    console.print(table(summary, task.METRIC))
    for entry in skipped:
        console.print(f"not run: {entry['pipeline']} alone, f={entry['f']}: {entry['why']}")
    title = f"{task.METRIC}: {settings.clients} clients, f of them Byzantine, mean of {len(seeds)} seed{'s' * (len(seeds) > 1)}"
    draw(rows, task.KEY, options.image or path.with_suffix(".png"), title, task.COLOURS)
    console.print(f"{path}: {len(rows)} runs, {head['cpu_seconds']} CPU-s")
    return 0


def standard_gate(wanted: Sequence[Case]) -> Gate:
    """The gate as the protocol has it, of the study."""
    return next(case.gate for case in wanted if case.gate and case.study == "protocol")


if __name__ == "__main__":
    sys.exit(main())

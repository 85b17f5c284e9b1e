"""Runs the cells of a grid, one after another; goes on after the last whole round of a run that was cut off."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Protocol

from learning.errors import DataError, TrainingDiverged
from learning.experiment import learners
from learning.experiment.algorithms import ClientResult, ServerState
from learning.experiment.machine import machine, versions
from learning.experiment.settings import EACH, Cell, TaskChoice
from learning.experiment.store import FORMAT, CorruptCheckpoint, RoundCheckpoint, Store
from learning.learner import Learner
from learning.partition import Partition, partition
from learning.partition_summary import summarise
from learning.tasks.base import TaskData
from learning.tasks.load import load

Loader = Callable[[TaskChoice, int], TaskData[Any]]
Builder = Callable[[Cell, TaskData[Any]], Learner]


def load_data(task: TaskChoice, seed: int) -> TaskData[Any]:
    """`learning.tasks.load.load` of a choice; a cell's seed also draws its data."""
    data = load(task.task, task.source, limit=task.limit, seed=seed, lenient=task.lenient, online=task.online)
    if not task.train_limit:
        return data
    return replace(data, splits={**data.splits, "train": data.examples("train")[: task.train_limit]})


def build_learner(cell: Cell, data: TaskData[Any]) -> Learner:
    """`learning.experiment.learners.build` of a cell."""
    return learners.build(cell.model.kind, cell.model.options, data, cell.seed)


class Watcher(Protocol):
    """Told of progress."""

    def cell_started(self, cell: Cell, number: int, cells: int) -> None:
        """``cell``, the ``number``-th of ``cells``, begins or goes on."""

    def round_done(self, cell: Cell, done: int, rounds: int, metrics: Mapping[str, float]) -> None:
        """A round has ended; the metrics are the test split's."""

    def cell_finished(self, cell: Cell, result: Mapping[str, Any], *, reused: bool) -> None:
        """A result is there: computed now, or found."""

    def note(self, text: str) -> None:
        """Something a person should know."""


class Silent:
    """A `Watcher` that says nothing."""

    def cell_started(self, cell: Cell, number: int, cells: int) -> None:
        """Nothing."""

    def round_done(self, cell: Cell, done: int, rounds: int, metrics: Mapping[str, float]) -> None:
        """Nothing."""

    def cell_finished(self, cell: Cell, result: Mapping[str, Any], *, reused: bool) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


@dataclass(slots=True)
class Bench:
    """Data and learner of the cell before: neighbouring cells share them.

    Attributes:
        loader: gives a task's data for a seed.
        builder: gives a learner for them.
    """

    loader: Loader = load_data
    builder: Builder = build_learner
    _data_key: tuple[TaskChoice, int] | None = None
    _data: TaskData[Any] | None = None
    _digest: str = ""
    _learner_key: str = ""
    _learner: Learner | None = None

    def data(self, cell: Cell) -> tuple[TaskData[Any], str]:
        """The cell's data and their digest."""
        key = (cell.task, cell.seed)
        if self._data is None or self._data_key != key:
            self._learner, self._learner_key = None, ""
            self._data = self.loader(cell.task, cell.seed)
            self._data_key, self._digest = key, data_digest(self._data)
        return self._data, self._digest

    def learner(self, cell: Cell) -> Learner:
        """The cell's learner."""
        data, digest = self.data(cell)
        key = f"{digest} {cell.model.kind} {sorted(cell.model.options.items())} {cell.seed}"
        if self._learner is None or self._learner_key != key:
            self._learner, self._learner_key = self.builder(cell, data), key
        return self._learner


def run(
    cells: Sequence[Cell],
    store: Store,
    *,
    watcher: Watcher | None = None,
    force: bool = False,
    bench: Bench | None = None,
) -> list[dict[str, Any]]:
    """Results of all cells, in order; finished ones are read, not run again. A cell that diverges has ``failed`` instead of metrics.

    Args:
        cells: the grid.
        store: where results and checkpoints are.
        watcher: told of progress.
        force: run finished cells again.
        bench: data and learners; a fresh one by default.

    Raises:
        DataError: data that cannot be used, or a client that cannot learn from its part; the message names the cell.
        ModelError: a base model that is missing or does not fit.
        StorageFailed: the disk.
    """
    watcher, bench = watcher or Silent(), bench or Bench()
    results = []
    for number, cell in enumerate(cells, 1):
        watcher.cell_started(cell, number, len(cells))
        if force:
            store.forget(cell.key)
        found = store.result(cell.key)
        reused = found is not None
        if found is None:
            found = _run_cell(cell, store, watcher, bench)
            store.save_result(cell.key, found)
        results.append({**found, "format": FORMAT, "key": cell.key, "labels": labels(cell)})
        watcher.cell_finished(cell, found, reused=reused)
    return results


def labels(cell: Cell) -> dict[str, Any]:
    """What tables call the parts of a cell."""
    return {
        "task": cell.task.task,
        "model": cell.model.name,
        "partition": cell.partition.name,
        "algorithm": cell.algorithm.label,
        "metric": cell.metric,
    }


def _run_cell(cell: Cell, store: Store, watcher: Watcher, bench: Bench) -> dict[str, Any]:
    try:
        data, digest = bench.data(cell)
        dealt = partition(
            cell.partition.settings(cell.seed),
            data.strata("train"),
            data.repositories("train"),
            labelled=data.task.labelled,
        )
        summary = summarise(dealt, data.strata("train"), data.repositories("train"), labelled=data.task.labelled)
    except DataError as error:
        raise DataError(f"{cell}: {error.what}", why=error.why, hint=error.hint) from error
    head: dict[str, Any] = {
        "settings": cell.to_mapping(),
        "labels": labels(cell),
        "data": {"sha256": digest, **{split: len(data.examples(split)) for split in data.splits}},
        "partition": {
            "examples": [client.examples for client in summary.clients],
            "labels": [client.labels for client in summary.clients] if data.task.labelled else [],
            "repositories": [len(client.repositories) for client in summary.clients],
            "warnings": list(summary.warnings),
        },
        "machine": machine(),
        "versions": versions(),
    }
    try:
        return {**head, **_train(cell, dealt, store, watcher, bench.learner(cell))}
    except TrainingDiverged as error:
        watcher.note(f"{cell} diverged: {error}")
        return {**head, "failed": {"error": type(error).__name__, "what": error.what, "why": error.why}}
    except DataError as error:
        raise DataError(f"{cell}: {error.what}", why=error.why, hint=error.hint) from error


def teams(cell: Cell, dealt: Partition) -> list[list[int]]:
    """Who trains together: one team of all clients; of ``single_client``, teams of one."""
    if cell.partition.kind != "single_client":
        return [list(range(len(dealt.clients)))]
    if cell.partition.client == EACH:
        return [[client] for client in range(len(dealt.clients))]
    assert isinstance(cell.partition.client, int)
    return [[cell.partition.client]]


def epochs_of(cell: Cell, examples: int, total: int) -> float:
    """Passes of a client over its examples in a round (`learning.experiment.settings`, "Equal budgets")."""
    alone = cell.partition.kind == "single_client" and cell.partition.budget == "total"
    return cell.epochs * total / examples if alone else cell.epochs


def _train(cell: Cell, dealt: Partition, store: Store, watcher: Watcher, learner: Learner) -> dict[str, Any]:
    groups = teams(cell, dealt)
    notes: dict[str, Any] = {"team": 0, "finished": [], "curve": [], "seen": 0, "seconds": 0.0}
    state: ServerState | None = None
    resumed = _resumed(cell, store, watcher)
    if resumed is not None:
        state, notes = resumed.state, dict(resumed.notes)
    while notes["team"] < len(groups):
        team = groups[notes["team"]]
        state = ServerState(0, learner.initial(cell.seed)) if state is None else state
        if "before" not in notes:
            notes["before"] = _finite(learner.evaluate(state.model, "test"))
        while state.round < cell.rounds:
            began = perf_counter()
            state, seen = _round(cell, dealt, learner, state, team)
            metrics = _finite(learner.evaluate(state.model, "test"))
            notes |= {
                "seen": notes["seen"] + seen,
                "seconds": notes["seconds"] + perf_counter() - began,
                "curve": [*notes["curve"], {"client": team[0], "round": state.round, **metrics}],
            }
            store.save_round(cell.key, state, notes)
            watcher.round_done(cell, notes["team"] * cell.rounds + state.round, len(groups) * cell.rounds, metrics)
        digest = hashlib.sha256(state.to_bytes()).hexdigest()
        last = {"client": team[0], "test": notes["curve"][-1], "state_sha256": digest}
        notes |= {"finished": [*notes["finished"], last], "team": notes["team"] + 1}
        state = None
    return _outcome(notes)


def _outcome(notes: Mapping[str, Any]) -> dict[str, Any]:
    finished = notes["finished"]
    names = [name for name in finished[0]["test"] if name not in {"client", "round"}]
    alone = [{"client": f["client"], **{n: f["test"][n] for n in names}} for f in finished]
    return {
        "metrics": {name: sum(f["test"][name] for f in finished) / len(finished) for name in names},
        "before": notes["before"],
        "alone": alone if len(finished) > 1 else [],
        "curve": notes["curve"],
        "state_sha256": [f["state_sha256"] for f in finished],
        "samples_seen": notes["seen"] // len(finished),
        "seconds": round(notes["seconds"], 3),
    }


def _round(
    cell: Cell, dealt: Partition, learner: Learner, state: ServerState, team: Sequence[int]
) -> tuple[ServerState, int]:
    """The state after the next round, and how many examples it saw."""
    algorithm, total, seen = cell.algorithm.build(), sum(map(len, dealt.clients)), 0
    results = []
    for client in team:
        rows = dealt.clients[client]
        epochs = epochs_of(cell, len(rows), total)
        text = f"{cell.seed}\0{state.round}\0{client}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
        try:
            trained = learner.train(state.model, rows, seed=seed, epochs=epochs, prox_mu=algorithm.prox_mu)
        except DataError as error:
            raise DataError(f"client {client}: {error.what}", why=error.why, hint=error.hint) from error
        results.append(ClientResult(client, trained.state, len(rows)))
        seen += max(1, round(epochs * len(rows)))
    return algorithm.step(state, results, seed=f"{cell.seed} {state.round}".encode()), seen


def _resumed(cell: Cell, store: Store, watcher: Watcher) -> RoundCheckpoint | None:
    try:
        found = store.load_round(cell.key)
    except CorruptCheckpoint as error:
        watcher.note(f"{error} {cell} starts again from its first round.")
        store.forget(cell.key)
        return None
    if found is not None and found.state.round >= 1:
        watcher.note(f"{cell} goes on after round {found.state.round}.")
    return found


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise TrainingDiverged(f"The model's {bad[0]} on the test split is not finite.")
    return {name: float(value) for name, value in metrics.items()}


def data_digest(data: TaskData[Any]) -> str:
    """SHA-256 over every example's split, class, repository and code: tells whether two runs saw the same data."""
    total = hashlib.sha256()
    for split in sorted(data.splits):
        for example in data.examples(split):
            parts = (split, data.task.stratum(example), example.repository, *data.task.texts(example))
            total.update("\0".join(parts).encode(errors="surrogatepass") + b"\1")
    return total.hexdigest()


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a grid will cost.

    Attributes:
        cells: all of them.
        finished: those whose result is there.
        samples: examples still to be trained on, by task and model.
        seconds: of training and evaluation, data and model loading not included; None where nothing is known.
        measured: whether it rests on finished cells of each kind of model, not on nominal speeds.
    """

    cells: int
    finished: int
    samples: int
    seconds: float | None
    measured: bool


def estimate(cells: Sequence[Cell], store: Store) -> Estimate:
    """How long the rest will take: from finished cells of the same task and model in the store, else from nominal speeds."""
    speeds: dict[tuple[str, str], list[float]] = {}
    for result in store.results():
        if result.get("seconds"):
            kind = (result["settings"]["task"]["task"], str(sorted(result["settings"]["model"].items())))
            runs = max(1, len(result["state_sha256"]))
            speeds.setdefault(kind, []).append(result["samples_seen"] * runs / result["seconds"])
    left = [cell for cell in cells if store.result(cell.key) is None]
    seconds, samples, measured = 0.0, 0, bool(left)
    for cell in left:
        runs = cell.partition.clients if cell.partition.client == EACH and cell.partition.kind == "single_client" else 1
        examples = min(cell.task.limit, cell.task.train_limit or cell.task.limit)
        amount = round(cell.rounds * cell.epochs * examples) * runs
        if cell.partition.kind == "single_client" and cell.partition.budget == "own":
            amount //= cell.partition.clients
        kind = (cell.task.task, str(sorted({"kind": cell.model.kind, **cell.model.options}.items())))
        known = speeds.get(kind)
        measured = measured and known is not None
        samples += amount
        seconds += amount / (sorted(known)[len(known) // 2] if known else learners.KINDS[cell.model.kind].speed)
    return Estimate(len(cells), len(cells) - len(left), samples, seconds, measured)

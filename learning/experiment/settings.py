"""An experiment file: which tasks, models, partitions, algorithms and seeds; read from TOML, checked whole before anything runs.

```toml
name = "clones"
title = "Clone detection"
table = 1                 # of arXiv 2404.06201, whose numbers are printed beside ours; 0: none
seeds = [0, 1, 2]
rounds = 5
epochs = 1.0              # of each client's own examples in a round
clients = 10
task = [{ task = "clone_detection", source = "installed", limit = 4000, train_limit = 600 }]
model = [{ kind = "hashed", shapes = true }]
partition = ["centralised", "single_client", "uniform", { kind = "label_imbalanced", skew = 900 }]
algorithm = ["fedavg", { name = "fedprox", mu = 0.1 }, "arc+nnm+trimmed_mean"]
```
Every combination is a cell, but for partitions with one client in training: those run once, with FedAvg of one model, which is that model.

**Equal budgets.** Everybody sees B = rounds × epochs × (all training examples) examples, repetitions counted: the federation because
each client trains ``epochs`` times over its own in each round, the centralised model because it trains ``epochs`` times over
everything, and a single client, which has fewer, because it goes over them as much more often (``budget = "total"``). With
``budget = "own"`` it trains ``epochs`` times over its own a round, as in the paper, and so sees less.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from learning.errors import SpecError
from learning.experiment import learners
from learning.experiment.algorithms import Algorithm, find_algorithm
from learning.partition import KINDS, PartitionKind
from learning.partition import Settings as PartitionSettings
from learning.tasks.registry import find_task

VERSION = 1
"""Part of every cell's key: raised when the same settings would give other numbers."""
T = TypeVar("T")
EACH = "each"
ALONE = ("centralised", "single_client")
TABLES = Path(__file__).parent / "tables"
SCALES = ("small", "full")


@dataclass(frozen=True, slots=True)
class TaskChoice:
    """A task and its data; see `learning.tasks.load.load`.

    Attributes:
        task: its name.
        source: where the examples come from.
        limit: most training examples; validation and test have an eighth of it each.
        train_limit: train on the first so many of those only, 0: on all; for a large test of a small training.
        metric: what tables show, by default the task's first.
        lenient: skip broken lines.
        online: let ``hub:`` download.
    """

    task: str
    source: str = "installed"
    limit: int = 2000
    train_limit: int = 0
    metric: str = ""
    lenient: bool = False
    online: bool = False


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A kind of model (`learning.experiment.learners.KINDS`), what tables call it, and its own settings."""

    kind: str
    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PartitionChoice:
    """How the training examples are dealt out, and who trains; see `learning.partition`.

    Attributes:
        kind: one of `learning.partition.KINDS`.
        name: what tables call it.
        clients: how many.
        client: of a single client, which one, or ``each``: all of them, one after another, each alone; the mean is reported.
        of: the partition that a single client is one of.
        budget: of a single client, ``total`` or ``own`` (see the module's head).
        skew: see `learning.partition.Settings`; so for those that follow.
    """

    kind: PartitionKind
    name: str = ""
    clients: int = 5
    client: int | Literal["each"] = 0
    of: PartitionKind = "uniform"
    budget: Literal["total", "own"] = "total"
    skew: int = 800
    ratio: Fraction = Fraction(2)
    alpha: float = 0.5
    over: Literal["labels", "repositories", "quantity"] = "labels"
    two_labels: bool = False

    def settings(self, seed: int) -> PartitionSettings:
        """For `learning.partition.partition`; of a single client, the partition it is one of.

        Raises:
            SpecError: out of range.
        """
        return PartitionSettings(
            kind=self.of if self.kind == "single_client" else self.kind,
            clients=self.clients,
            seed=seed,
            client=self.client if isinstance(self.client, int) else 0,
            skew=self.skew,
            ratio=self.ratio,
            alpha=self.alpha,
            over=self.over,
            two_labels=self.two_labels,
        )


@dataclass(frozen=True, slots=True)
class AlgorithmChoice:
    """An algorithm by name, what tables call it, and its own settings."""

    name: str
    label: str
    options: Mapping[str, Any]

    def build(self) -> Algorithm:
        """The algorithm."""
        return find_algorithm(self.name, self.options)


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: everything that its numbers depend on."""

    task: TaskChoice
    model: ModelChoice
    partition: PartitionChoice
    algorithm: AlgorithmChoice
    seed: int
    rounds: int
    epochs: float

    def to_mapping(self) -> dict[str, Any]:
        """The settings as plain JSON values, names for tables left out."""
        task = {f.name: getattr(self.task, f.name) for f in fields(self.task) if f.name not in {"metric", "online"}}
        partition = {f.name: getattr(self.partition, f.name) for f in fields(self.partition) if f.name != "name"}
        return {
            "version": VERSION,
            "task": task,
            "model": {"kind": self.model.kind, **self.model.options},
            "partition": {k: str(v) if isinstance(v, Fraction) else v for k, v in partition.items()},
            "algorithm": {"name": self.algorithm.name, **self.algorithm.options},
            "seed": self.seed,
            "rounds": self.rounds,
            "epochs": self.epochs,
        }

    @property
    def key(self) -> str:
        """First 16 hex digits of SHA-256 of the settings."""
        text = json.dumps(self.to_mapping(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def metric(self) -> str:
        """What tables show of it."""
        return self.task.metric or find_task(self.task.task).metrics[0]

    def __str__(self) -> str:
        parts = (self.task.task, self.model.name, self.partition.name, self.algorithm.label, f"seed {self.seed}")
        return " · ".join(parts)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A checked experiment file."""

    name: str
    title: str
    task: tuple[TaskChoice, ...]
    model: tuple[ModelChoice, ...]
    partition: tuple[PartitionChoice, ...]
    algorithm: tuple[AlgorithmChoice, ...]
    seeds: tuple[int, ...]
    rounds: int
    epochs: float
    table: int = 0
    note: str = field(default="")

    def cells(self) -> list[Cell]:
        """The grid, in an order in which data and models are made once each."""
        alone = AlgorithmChoice("fedavg", "–", {})
        return [
            Cell(task, model, partition, algorithm, seed, self.rounds, self.epochs)
            for task in self.task
            for seed in self.seeds
            for model in self.model
            for partition in self.partition
            for algorithm in ((alone,) if partition.kind in ALONE else self.algorithm)
        ]


_TOP = (
    "name",
    "title",
    "table",
    "note",
    "seeds",
    "rounds",
    "epochs",
    "clients",
    "task",
    "model",
    "partition",
    "algorithm",
)


def read(path: Path) -> Experiment:
    """The experiment in a TOML file.

    Raises:
        SpecError: the file cannot be read, is no TOML, or a key is unknown, missing or out of range; the message names it.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"The experiment file {path} cannot be read.", why=error.strerror or "") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"The experiment file {path} is no TOML.", why=str(error)) from error
    try:
        return parse(found)
    except SpecError as error:
        raise SpecError(f"{path}: {error.what}", why=error.why, hint=error.hint) from error


def parse(found: Mapping[str, Any]) -> Experiment:
    """The experiment of parsed TOML.

    Raises:
        SpecError: see `read`.
    """
    _known(found, _TOP, "the experiment")
    for key in ("name", "seeds", "task", "model", "partition", "algorithm"):
        if not found.get(key):
            raise SpecError(f"The experiment lacks {key}.", hint=f"Its keys: {', '.join(_TOP)}.")
    seeds = _list(found, "seeds")
    clients = _number(found, "clients", 5, 1, 100_000)
    experiment = Experiment(
        name=_name(found),
        title=str(found.get("title", found["name"])),
        task=tuple(_task(row, i) for i, row in enumerate(_list(found, "task"))),
        model=tuple(_model(row, i) for i, row in enumerate(_list(found, "model"))),
        partition=tuple(_partition(row, i, clients) for i, row in enumerate(_list(found, "partition"))),
        algorithm=tuple(_algorithm(row, i) for i, row in enumerate(_list(found, "algorithm"))),
        seeds=tuple(_seed(s) for s in seeds),
        rounds=_number(found, "rounds", 3, 1, 100_000),
        epochs=_real(found.get("epochs", 1.0), "epochs", 1e-6, 1e6),
        table=_number(found, "table", 0, 0, 99),
        note=str(found.get("note", "")),
    )
    _check(experiment)
    return experiment


def _check(experiment: Experiment) -> None:
    """What can be known before any data are read."""
    for what, names in (
        ("model", [m.name for m in experiment.model]),
        ("partition", [p.name for p in experiment.partition]),
        ("algorithm", [a.label for a in experiment.algorithm]),
        ("seed", list(experiment.seeds)),
    ):
        twice = sorted({str(n) for n in names if names.count(n) > 1})  # type: ignore[arg-type]
        if twice:
            raise SpecError(f"Two of the {what}s are called {twice[0]}.", hint="Give one of them another name.")
    for cell in experiment.cells():
        learners.check(cell.model.kind, cell.model.options, cell.task.task)
        cell.partition.settings(cell.seed)
        alone = cell.partition.kind in ALONE
        cell.algorithm.build().check(1 if alone else cell.partition.clients)


def _task(row: Any, place: int) -> TaskChoice:
    choice = filled(TaskChoice, {"task": row} if isinstance(row, str) else row, f"task[{place}]")
    task = find_task(choice.task)
    if choice.train_limit < 0:
        raise SpecError(f"task[{place}].train_limit must be 0 or more, not {choice.train_limit}.")
    if choice.metric and choice.metric not in task.metrics and choice.metric != "loss":
        raise SpecError(
            f"task[{place}].metric: {choice.task} is not scored by {choice.metric!r}.",
            hint=f"It has {', '.join(task.metrics)} and loss.",
        )
    return choice


def _model(row: Any, place: int) -> ModelChoice:
    given = {"kind": row} if isinstance(row, str) else _table(row, f"model[{place}]")
    if "kind" not in given:
        raise SpecError(f"model[{place}] lacks kind.", hint=f"Kinds: {', '.join(learners.KINDS)}.")
    options = {k: v for k, v in given.items() if k not in {"kind", "name"}}
    return ModelChoice(str(given["kind"]), str(given.get("name", given["kind"])), options)


def _partition(row: Any, place: int, clients: int) -> PartitionChoice:
    where = f"partition[{place}]"
    given = {"kind": row} if isinstance(row, str) else dict(_table(row, where))
    for key in ("kind", "of"):
        if key in given and given[key] not in KINDS:
            raise SpecError(f"{where}.{key}: there is no partition {given[key]!r}.", hint=f"Known: {', '.join(KINDS)}.")
    choice = filled(PartitionChoice, {"clients": clients, **given}, where)
    if choice.of in ALONE:
        raise SpecError(f"{where}.of cannot be {choice.of}.", hint="Name a partition with several clients.")
    name = choice.name or choice.kind.replace("_", " ")
    return replace(choice, name=name)


def _algorithm(row: Any, place: int) -> AlgorithmChoice:
    where = f"algorithm[{place}]"
    given = {"name": row} if isinstance(row, str) else _table(row, where)
    if "name" not in given:
        raise SpecError(f"{where} lacks name.")
    options = {k: v for k, v in given.items() if k not in {"name", "label"}}
    shown = ", ".join(f"{k}={v}" for k, v in sorted(options.items()))
    name = str(given["name"])
    choice = AlgorithmChoice(name, str(given.get("label", f"{name}({shown})" if shown else name)), options)
    choice.build()
    return choice


def filled(cls: type[T], given: Any, where: str) -> T:
    """A dataclass of settings from a TOML table.

    Raises:
        SpecError: no table, an unknown or missing key, or a value of the wrong type; the message names ``where`` and the key.
    """
    given = _table(given, where)
    hints = get_type_hints(cls)
    _known(given, tuple(hints), where)
    required = [f.name for f in fields(cls) if f.default is f.default_factory]  # type: ignore[arg-type]
    if missing := [name for name in required if name not in given]:
        raise SpecError(f"{where} lacks {missing[0]}.")
    values = {key: _typed(hints[key], value, f"{where}.{key}") for key, value in given.items()}
    return cls(**values)


def _typed(kind: Any, value: Any, where: str) -> Any:
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise SpecError(f"{where} cannot be {value!r}.", hint=f"Choose from {', '.join(map(str, get_args(kind)))}.")
        return value
    if kind is Fraction:
        try:
            return Fraction(str(value))
        except (ValueError, ZeroDivisionError) as error:
            raise SpecError(f"{where} must be a number or a fraction such as '3/2', not {value!r}.") from error
    if get_args(kind):  # a union: the first member that takes the value
        for member in get_args(kind):
            try:
                return _typed(member, value, where)
            except SpecError as error:
                refused = error
        raise refused
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise SpecError(f"{where} must be {kind.__name__}, not {value!r}.")
    return value


def _table(row: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(row, Mapping):
        raise SpecError(f"{where} must be a name or a table, not {row!r}.")
    return row


def _known(given: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise SpecError(f"Unknown key {unknown[0]!r} in {where}.", hint=f"Known keys: {', '.join(known)}.")


def _list(found: Mapping[str, Any], key: str) -> list[Any]:
    value = found[key]
    if not isinstance(value, list):
        raise SpecError(f"{key} must be a list, not {value!r}.")
    return value


def _number(found: Mapping[str, Any], key: str, default: int, least: int, most: int) -> int:
    value = found.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SpecError(f"{key} must be an integer from {least} to {most}, not {value!r}.")
    return value


def _real(value: Any, key: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise SpecError(f"{key} must be a number from {least:g} to {most:g}, not {value!r}.")
    return float(value)


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise SpecError(f"seeds must be integers from 0 to 2147483647, not {value!r}.")
    return value


def _name(found: Mapping[str, Any]) -> str:
    name = found["name"]
    if not isinstance(name, str) or not name.replace("-", "").replace("_", "").isalnum():
        raise SpecError(f"name must be letters, digits, - and _, not {name!r}.", hint="Files are called after it.")
    return name


def builtin(name: str) -> list[Path]:
    """Files of the paper's tables that come with this package: of a scale (``small``, ``full``), or one of them (``small/table1``).

    Raises:
        SpecError: there is none of that name.
    """
    found = sorted(TABLES.glob(f"{name}/*.toml")) if name in SCALES else [TABLES / f"{name}.toml"]
    known = sorted(str(path.relative_to(TABLES).with_suffix("")) for path in TABLES.glob("*/*.toml"))
    if name not in {*SCALES, *known}:
        raise SpecError(
            f"There is no experiment file {name!r}.",
            hint=f"Give a TOML file, or one of {', '.join((*SCALES, *known))}.",
        )
    return found

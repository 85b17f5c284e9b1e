"""The runner with data in memory and a learner whose arithmetic is plain: budgets, resuming, damage, and what is refused."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning.errors import DataError, TrainingDiverged
from learning.experiment.runner import Bench, Silent, estimate, load_data, run
from learning.experiment.settings import Cell, TaskChoice, parse
from learning.experiment.store import StorageFailed, Store
from learning.learner import State, Trained
from learning.models.hashed import HashedLearner
from learning.tasks.base import TaskData
from learning.tasks.defect_detection import DefectDetection, DefectExample

ROUNDS = 3


def data(count: int = 40, *, one_label: bool = False) -> TaskData[Any]:
    def example(i: int, split: str) -> DefectExample:
        label = 0 if one_label else i % 2
        return DefectExample(
            f"def f{i}(x):\n    return x {'-' if label else '+'} 1", label, f"{split}{i}", f"repo{i % 4}", ""
        )

    splits = {s: [example(i, s) for i in range(n)] for s, n in (("train", count), ("valid", 8), ("test", 20))}
    return TaskData(DefectDetection(), "memory", splits)  # type: ignore[arg-type]


class Plain:
    """w grows by the epochs and by a number from seed and indices, so that every call leaves its trace; the metric is w's sum."""

    def __init__(self, *, diverges: bool = False) -> None:
        self.calls: list[tuple[int, float, float]] = []
        self.diverges = diverges

    def initial(self, seed: int) -> State:
        return {"w": np.array([float(seed), 0.0], np.float32)}

    def train(
        self, start: State, indices: Sequence[int], *, seed: int, epochs: float = 1.0, prox_mu: float = 0.0
    ) -> Trained:
        if self.diverges:
            raise TrainingDiverged("The loss became nan.")
        self.calls.append((len(indices), epochs, prox_mu))
        step = np.array([epochs, (seed % 97 + sum(indices)) / 64], np.float32)
        return Trained({"w": start["w"] + step}, len(indices), 1, 0.0, 0.0)

    def evaluate(self, state: State, split: str) -> Mapping[str, float]:
        assert split == "test"
        return {"accuracy": float(state["w"].sum()), "loss": 1.0}

    def losses(self, state: State, indices: Sequence[int], split: str = "train") -> Any:
        return np.zeros(len(indices))


class Noting(Silent):
    def __init__(self, stop_after: int = 0) -> None:
        self.notes: list[str] = []
        self.rounds = 0
        self.reused: list[bool] = []
        self.stop_after = stop_after

    def round_done(self, cell: Cell, done: int, rounds: int, metrics: Mapping[str, float]) -> None:
        self.rounds += 1
        if self.rounds == self.stop_after:
            raise KeyboardInterrupt

    def cell_finished(self, cell: Cell, result: Mapping[str, Any], *, reused: bool) -> None:
        self.reused.append(reused)

    def note(self, text: str) -> None:
        self.notes.append(text)


def cells(**changes: Any) -> list[Cell]:
    base = {
        "name": "toy",
        "seeds": [3],
        "rounds": ROUNDS,
        "clients": 4,
        "task": ["defect_detection"],
        "model": ["hashed"],
        "partition": ["uniform"],
        "algorithm": ["fedavgm"],
    }
    return parse({**base, **changes}).cells()


def bench(learner: Plain, found: TaskData[Any] | None = None) -> Bench:
    return Bench(lambda _task, _seed: found or data(), lambda _cell, _data: learner)


ALONE = ["centralised", {"kind": "single_client", "client": "each"}]
TOGETHER = ["uniform", "by_repository", "label_imbalanced", "quantity_imbalanced"]


def test_everybody_sees_as_many_examples(tmp_path: Path) -> None:
    own = {"kind": "single_client", "name": "own", "client": "each", "budget": "own"}
    grid = cells(partition=[*ALONE, *TOGETHER, own], epochs=2.0)
    results = run(grid, Store(tmp_path), bench=bench(Plain()))
    seen = {r["labels"]["partition"]: r["samples_seen"] for r in results}
    assert seen.pop("own") == 2 * ROUNDS * 40 // 4
    assert set(seen.values()) == {2 * ROUNDS * 40}


def test_a_single_client_goes_over_its_own_more_often(tmp_path: Path) -> None:
    learner = Plain()
    run(cells(partition=[{"kind": "single_client", "client": 2}]), Store(tmp_path), bench=bench(learner))
    assert learner.calls == [(10, 4.0, 0.0)] * ROUNDS


def test_each_client_alone_is_reported_and_their_mean(tmp_path: Path) -> None:
    [found] = run(cells(partition=[ALONE[1]]), Store(tmp_path), bench=bench(Plain()))
    assert [row["client"] for row in found["alone"]] == [0, 1, 2, 3]
    accuracies = [row["accuracy"] for row in found["alone"]]
    assert len(set(accuracies)) > 1
    assert found["metrics"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert len(found["curve"]) == 4 * ROUNDS


def test_a_single_client_of_another_partition(tmp_path: Path) -> None:
    learner = Plain()
    grid = cells(partition=[{"kind": "single_client", "client": 0, "of": "quantity_imbalanced", "budget": "own"}])
    run(grid, Store(tmp_path), bench=bench(learner))
    assert learner.calls[0][0] > 10


def test_the_untrained_model_is_measured_once(tmp_path: Path) -> None:
    [found] = run(cells(partition=[ALONE[1]]), Store(tmp_path), bench=bench(Plain()))
    assert found["before"] == {"accuracy": 3.0, "loss": 1.0}


def test_fedprox_reaches_the_clients(tmp_path: Path) -> None:
    learner = Plain()
    run(cells(algorithm=[{"name": "fedprox", "mu": 0.25}]), Store(tmp_path), bench=bench(learner))
    assert {mu for _, _, mu in learner.calls} == {0.25}


def test_finished_cells_are_not_run_again_unless_forced(tmp_path: Path) -> None:
    first, second, third = Plain(), Plain(), Plain()
    before = run(cells(), Store(tmp_path), bench=bench(first))
    watcher = Noting()
    again = run(cells(), Store(tmp_path), bench=bench(second), watcher=watcher)
    assert second.calls == []
    assert watcher.reused == [True]
    assert again == before
    forced = run(cells(), Store(tmp_path), bench=bench(third), force=True)
    assert third.calls == first.calls
    assert forced[0]["state_sha256"] == before[0]["state_sha256"]


@pytest.mark.parametrize("partition", [["uniform"], [ALONE[1]]], ids=["federated", "each alone"])
@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_run_that_was_cut_off_loses_no_whole_round(tmp_path: Path, partition: list[Any], stop_after: int) -> None:
    grid = cells(partition=partition)
    whole, learner = Plain(), Plain()
    expected = run(grid, Store(tmp_path / "whole"), bench=bench(whole))
    with pytest.raises(KeyboardInterrupt):
        run(grid, Store(tmp_path / "cut"), bench=bench(learner), watcher=Noting(stop_after))
    before = len(learner.calls)
    assert before < len(whole.calls)
    watcher = Noting()
    found = run(grid, Store(tmp_path / "cut"), bench=bench(learner), watcher=watcher)
    assert learner.calls == whole.calls
    assert found[0]["state_sha256"] == expected[0]["state_sha256"], "momentum was lost"
    assert found[0]["curve"] == expected[0]["curve"]
    assert found[0]["samples_seen"] == expected[0]["samples_seen"]
    assert watcher.notes == [f"{grid[0]} goes on after round {stop_after}."]
    assert not list((tmp_path / "cut" / "rounds").iterdir()), "the checkpoint outlived its cell"


def test_a_cut_after_the_last_round_trains_nothing_again(tmp_path: Path) -> None:
    learner = Plain()
    with pytest.raises(KeyboardInterrupt):
        run(cells(), Store(tmp_path), bench=bench(learner), watcher=Noting(ROUNDS))
    calls = len(learner.calls)
    run(cells(), Store(tmp_path), bench=bench(learner))
    assert len(learner.calls) == calls


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other cell", "json"])
def test_a_damaged_round_checkpoint_is_said_and_not_used(tmp_path: Path, damage: str) -> None:
    grid = cells()
    expected = run(grid, Store(tmp_path / "whole"), bench=bench(Plain()))
    with pytest.raises(KeyboardInterrupt):
        run(grid, Store(tmp_path), bench=bench(Plain()), watcher=Noting(2))
    [path] = (tmp_path / "rounds").iterdir()
    whole = path.read_bytes()
    if damage == "other cell":
        other = cells(rounds=9)[0]
        path = path.with_name(f"{other.key}.round")
        grid = [other]
        expected = run(grid, Store(tmp_path / "whole"), bench=bench(Plain()))
    path.write_bytes(
        {
            "cut": whole[:-5],
            "bit": whole[:-1] + bytes([whole[-1] ^ 1]),
            "empty": b"",
            "other cell": whole,
            "json": b"0" * 64 + b"\n{}\n",
        }[damage]
    )
    watcher = Noting()
    found = run(grid, Store(tmp_path), bench=bench(Plain()), watcher=watcher)
    assert found[0]["state_sha256"] == expected[0]["state_sha256"]
    assert len(watcher.notes) == 1
    assert "starts again from its first round" in watcher.notes[0]


def test_a_damaged_result_is_run_again(tmp_path: Path) -> None:
    run(cells(), Store(tmp_path), bench=bench(Plain()))
    [path] = (tmp_path / "cells").iterdir()
    path.write_text(path.read_text()[:-20])
    learner = Plain()
    run(cells(), Store(tmp_path), bench=bench(learner))
    assert learner.calls


def test_a_full_disk_keeps_what_was_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, grid = Store(tmp_path), cells(seeds=[3, 4])
    run(grid[:1], store, bench=bench(Plain()))
    kept = sorted(p for p in tmp_path.rglob("*") if p.is_file())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("learning.experiment.store.os.fsync", full)
    with pytest.raises(StorageFailed, match="is full"):
        run(grid, store, bench=bench(Plain()))
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == kept, "a part of a file stayed"
    assert store.result(grid[0].key) is not None
    monkeypatch.undo()
    assert len(run(grid, store, bench=bench(Plain()))) == 2


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed, match="cannot be written"):
        run(cells(), Store(tmp_path / "file"), bench=bench(Plain()))


def test_a_cell_that_diverges_is_a_result(tmp_path: Path) -> None:
    watcher = Noting()
    [found] = run(cells(), Store(tmp_path), bench=bench(Plain(diverges=True)), watcher=watcher)
    assert found["failed"]["error"] == "TrainingDiverged"
    assert "metrics" not in found
    assert "diverged" in watcher.notes[0]


class NotFinite(Plain):
    def evaluate(self, state: State, split: str) -> Mapping[str, float]:
        return {"accuracy": float("nan")}


def test_a_metric_that_is_not_finite_is_divergence(tmp_path: Path) -> None:
    [found] = run(cells(), Store(tmp_path), bench=bench(NotFinite()))
    assert "not finite" in found["failed"]["what"]


def test_one_label_clients_are_warned_of_or_refused(tmp_path: Path) -> None:
    sorted_out = {"kind": "label_imbalanced", "skew": 1000, "clients": 2}
    [found] = run(cells(partition=[sorted_out]), Store(tmp_path), bench=bench(Plain()))
    assert any("label '0' only" in w for w in found["partition"]["warnings"])
    with pytest.raises(DataError, match=r"label imbalanced · fedavgm · seed 3: Client \d would see the label"):
        run(cells(partition=[{**sorted_out, "two_labels": True}]), Store(tmp_path), bench=bench(Plain()))


def test_empty_clients_and_unfit_partitions_name_the_cell(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"uniform · fedavgm · seed 3: 40 examples cannot be dealt out to 41"):
        run(cells(clients=41), Store(tmp_path), bench=bench(Plain()))
    with pytest.raises(DataError, match=r"Labels cannot be imbalanced"):
        run(cells(partition=["label_imbalanced"]), Store(tmp_path), bench=bench(Plain(), data(one_label=True)))
    with pytest.raises(DataError, match=r"by repository .* 4 repositories; 5 clients"):
        run(cells(partition=["by_repository"], clients=5), Store(tmp_path), bench=bench(Plain()))


def test_a_missing_source(tmp_path: Path) -> None:
    grid = cells(task=[{"task": "defect_detection", "source": f"official:{tmp_path}/none"}])
    with pytest.raises(DataError, match=r"seed 3: The folder .*none does not exist"):
        run(grid, Store(tmp_path))


def test_official_files_and_a_training_limit(tmp_path: Path) -> None:
    found = data()
    found.task.write(tmp_path / "files", found.splits)
    choice = TaskChoice("defect_detection", f"official:{tmp_path}/files", limit=200, train_limit=16)
    loaded = load_data(choice, 0)
    assert len(loaded.examples("train")) == 16
    assert len(loaded.examples("test")) == 20


def test_real_learner_the_same_bytes_twice(tmp_path: Path) -> None:
    def built(_cell: Cell, found: TaskData[Any]) -> HashedLearner:
        return HashedLearner(found)

    grid = cells(partition=["centralised", "uniform", "by_repository"], algorithm=["fedavg", "fedmedian", "krum:f=0"])
    runs = [run(grid, Store(tmp_path / name), bench=Bench(lambda _t, _s: data(), built)) for name in "ab"]
    assert [r["state_sha256"] for r in runs[0]] == [r["state_sha256"] for r in runs[1]]
    assert all(r["metrics"]["accuracy"] > 0.5 for r in runs[0][:1])


def test_data_and_learner_are_made_once_for_neighbours(tmp_path: Path) -> None:
    made: list[str] = []

    def loaded(_task: TaskChoice, seed: int) -> TaskData[Any]:
        made.append(f"data {seed}")
        return data()

    def built(cell: Cell, _data: TaskData[Any]) -> Plain:
        made.append(f"{cell.model.name} {cell.seed}")
        return Plain()

    models = [{"kind": "hashed", "name": "a"}, {"kind": "hashed", "name": "b", "ngrams": 3}]
    run(
        cells(seeds=[1, 2], model=models, algorithm=["fedavg", "fedmedian"]),
        Store(tmp_path),
        bench=Bench(loaded, built),
    )
    assert made == ["data 1", "a 1", "b 1", "data 2", "a 2", "b 2"]


def test_estimates_first_nominal_then_measured(tmp_path: Path) -> None:
    grid = cells(seeds=[3, 4], partition=["uniform", ALONE[1]])
    before = estimate(grid, Store(tmp_path))
    assert (before.cells, before.finished, before.measured) == (4, 0, False)
    assert before.samples == 2 * (ROUNDS * 2000 + 4 * ROUNDS * 2000)
    run(grid[:2], Store(tmp_path), bench=bench(Plain()))
    for path in (tmp_path / "cells").iterdir():
        found = json.loads(path.read_text())
        path.write_text(json.dumps({**found, "seconds": found["samples_seen"] * len(found["state_sha256"]) / 500}))
    after = estimate(grid, Store(tmp_path))
    assert (after.finished, after.measured) == (2, True)
    assert after.seconds == pytest.approx(after.samples / 500)
    run(grid, Store(tmp_path), bench=bench(Plain()))
    assert estimate(grid, Store(tmp_path)).seconds == 0

"""`commonweight experiment`: a small real run from official files, its report, JSON, exit codes, and going on after a stop."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from learning.errors import DeviceError, ModelError, TrainingDiverged
from learning.experiment import runner
from learning.experiment.store import StorageFailed
from learning.models.hashed import HashedLearner
from learning.tasks.defect_detection import DefectDetection, DefectExample
from node import cli

TOML = """
name = "mini"
title = "Mini"
table = 2
seeds = [0, 1]
rounds = 2
clients = 3
task = [{{ task = "defect_detection", source = "official:{folder}", limit = 400 }}]
model = [{{ kind = "hashed", buckets = 1024 }}]
partition = ["centralised", {{ kind = "single_client", client = "each" }}, "uniform"]
algorithm = ["fedavg", "fedmedian"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    def example(i: int, split: str) -> DefectExample:
        return DefectExample(
            f"int f{i}(int x) {{ return x {'-' if i % 2 else '+'} {i}; }}", i % 2, f"{split}{i}", "r", ""
        )

    splits = {s: [example(i, s) for i in range(n)] for s, n in (("train", 60), ("valid", 8), ("test", 30))}
    DefectDetection().write(tmp_path / "data", splits)  # type: ignore[arg-type]
    path = tmp_path / "mini.toml"
    path.write_text(TOML.format(folder=tmp_path / "data"))
    return path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The whole program, errors turned into exit codes."""
    monkeypatch.setattr(sys, "argv", ["commonweight", "experiment", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_run_and_its_report(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    out = tmp_path / "out"
    assert call(monkeypatch, str(file), "--out", str(out)) == 0
    shown = capsys.readouterr().out
    assert "Mini" in shown
    assert "fedmedian" in shown
    assert {p.name for p in out.iterdir()} == {"cells", "rounds", "mini.json", "mini.md", "mini.svg"}
    assert len(list((out / "cells").iterdir())) == 2 * 4
    report = json.loads((out / "mini.json").read_text())
    assert {row["partition"] for row in report["rows"]} == {"centralised", "single client", "uniform"}
    central = next(row for row in report["rows"] if row["partition"] == "centralised")
    assert central["mean"] > 0.9
    assert central["paper"][0] == {"model": "CodeBERT", "value": 0.6208}
    assert "| hashed, accuracy | uniform |" in (out / "mini.md").read_text()


def test_json_is_one_document_and_nothing_else(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert call(monkeypatch, str(file), "--out", str(tmp_path / "out"), "--json", "--seeds", "5") == 0
    [report] = json.loads(capsys.readouterr().out)
    assert report["seeds"] == [5]
    assert list(report["rows"][0]["values"]) == ["5"]


def test_a_dry_run_trains_nothing(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(runner, "load", None)
    out = tmp_path / "out"
    assert call(monkeypatch, str(file), "--out", str(out), "--dry-run") == 0
    assert "8 cells, 0 finished" in capsys.readouterr().out
    assert call(monkeypatch, str(file), "--out", str(out), "--dry-run", "--json") == 0
    [plan] = json.loads(capsys.readouterr().out)
    assert len(plan["cells"]) == 8
    assert plan["seconds"] > 0
    assert not out.exists()


def test_after_a_stop_it_goes_on(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    real, calls = HashedLearner.evaluate, []

    def stopping(self: HashedLearner, state: Any, split: Any) -> Any:
        calls.append(split)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(self, state, split)

    monkeypatch.setattr(HashedLearner, "evaluate", stopping)
    out = str(tmp_path / "out")
    assert call(monkeypatch, str(file), "--out", out) == 130
    assert "goes on" in capsys.readouterr().err
    assert call(monkeypatch, str(file), "--out", out, "--json") == 0
    rounds, cells = 2 * 2 * (1 + 3 + 1 + 1), 2 * 4
    assert len(calls) == rounds + cells + 1, "only the round that was cut off was run twice"


def test_divergence_is_reported_and_ends_with_nine(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def diverging(*_: Any, **__: Any) -> Any:
        raise TrainingDiverged("The loss became nan.")

    monkeypatch.setattr(HashedLearner, "train", diverging)
    assert call(monkeypatch, str(file), "--out", str(tmp_path / "out")) == 9
    found = capsys.readouterr()
    assert "diverged" in found.err
    assert "diverged: seeds 0, 1" in (tmp_path / "out" / "mini.md").read_text()


@pytest.mark.parametrize(
    ("error", "code"), [(StorageFailed("full."), 7), (DeviceError("none."), 7), (ModelError("gone."), 9)]
)
def test_the_machine_s_errors(  # noqa: PLR0917 - fixtures
    error: Exception, code: int, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(HashedLearner, "train", failing)
    assert call(monkeypatch, str(file), "--out", str(tmp_path / "out"), "--json") == code
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["what"] == str(error)


def test_mistakes_and_their_exit_codes(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert call(monkeypatch, str(tmp_path / "none.toml")) == 2
    assert call(monkeypatch, "tables/nine") == 2
    file.write_text(file.read_text().replace("rounds", "runds"))
    assert call(monkeypatch, str(file)) == 2
    assert "Unknown key 'runds'" in capsys.readouterr().err
    file.write_text(file.read_text().replace("runds", "rounds").replace("data", "nowhere"))
    assert call(monkeypatch, str(file), "--out", str(tmp_path / "out")) == 9
    assert "does not exist" in capsys.readouterr().err
    for wrong in ("a", "1,1", "", "-1"):
        assert call(monkeypatch, str(file), "--seeds", wrong or ",") == 2

"""`commonweight privacy` on files of a tiny real model: tables, JSON, exit codes, and nothing that was secret in the output."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from aggregation.bundle import encode
from learning.evaluation import stepped
from learning.local_training import clipped_update, fit
from learning.models.encoder import Checkpoint, Encoder
from learning.prepared_pairs import prepare_pairs
from learning.privacy.accountant import Ledger, Spending, epsilon
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair, encode_pairs
from node import cli  # noqa: F401 - registers the commands
from node.cli.base import app
from node.config import PrivacySection
from node.privacy import LEDGER
from node.protocol.errors import ConfigError, LeakFound, SetupError, TrainingError

RUN = CliRunner()


@pytest.fixture
def settings(tmp_path: Path, tiny_folder: Path, spec: LearningSpec) -> Path:
    """A node's folder with settings and a guideline."""
    learning = replace(spec, batch_size=32, epochs=24, learning_rate=0.05, max_norm=1e3)
    documents = {"data": {}, "architecture": {"learning": learning.to_mapping()}, "update": {}, "versioning": {}}
    (tmp_path / "guideline.json").write_text(json.dumps(documents))
    (tmp_path / "commonweight.toml").write_text(f'[learning]\nbase_model = "{tiny_folder}"\ndevice = "cpu"\n')
    return tmp_path


@pytest.fixture
def home(settings: Path, encoder: Encoder, checkpoint: Checkpoint, library_pairs: list[Pair]) -> Path:
    """A gentle and a leaking update of one parent besides."""
    members, others = library_pairs[:60], library_pairs[64:124]
    spec = LearningSpec.from_mapping(json.loads((settings / "guideline.json").read_text())["architecture"]["learning"])
    rows = prepare_pairs(encoder, members, spec.precision)
    draw = np.random.default_rng(0)  # a parent that has been trained: at genesis all B are 0
    checkpoint = {
        name: draw.normal(0, 0.01, array.shape).astype(np.float32) if name.endswith("lora_B") else array
        for name, array in checkpoint.items()
    }
    for name, one in (("leak", spec), ("clean", replace(spec, epochs=1, learning_rate=1e-3))):
        fit(encoder, checkpoint, rows, one, seed=0)
        update = clipped_update(encoder, checkpoint, one.max_norm)[0]
        (settings / f"{name}.safetensors").write_bytes(encode(update))
        (settings / f"{name}-model.safetensors").write_bytes(encode(stepped(checkpoint, update, 1.0)))
    (settings / "parent.safetensors").write_bytes(encode(checkpoint))
    (settings / "pairs.jsonl").write_bytes(encode_pairs(members))
    (settings / "holdout.jsonl").write_bytes(encode_pairs(others))
    return settings


def run(home: Path, *arguments: str):
    return RUN.invoke(app, ["privacy", *arguments, "--config", str(home / "commonweight.toml")])


def audit(home: Path, file: str, *more: str):
    paths = [str(home / name) for name in (file, "parent.safetensors", "pairs.jsonl", "holdout.jsonl")]
    return run(home, "audit", paths[0], "--parent", paths[1], "--pairs", paths[2], "--holdout", paths[3], *more)


def test_an_update_that_leaks_ends_with_exit_code_10_and_a_clean_one_with_0(home: Path) -> None:
    leak, clean = audit(home, "leak.safetensors", "--json"), audit(home, "clean.safetensors", "--json")
    assert isinstance(leak.exception, LeakFound)
    assert leak.exception.exit_code == 10
    assert clean.exception is None, clean.exception
    found = {name: json.loads(result.stdout) for name, result in (("leak", leak), ("clean", clean))}
    assert (found["leak"]["verdict"], found["clean"]["verdict"]) == ("fail", "pass")
    assert found["leak"]["members"] == found["leak"]["others"] == 60
    tests = [(one["test"], one["measure"]) for one in found["clean"]["findings"]]
    assert ("membership: loss drop", "AUC") in tests
    assert ("secret scan", "rows") in tests
    drop = next(one for one in found["leak"]["findings"] if one["test"] == "membership: loss drop")
    assert drop["estimate"]["low"] > drop["limit"] == PrivacySection().max_auc
    # A checkpoint says the same as the update that made it, up to one rounding.
    model = json.loads(audit(home, "clean-model.safetensors", "--json").stdout)
    for ours, theirs in zip(model["findings"], found["clean"]["findings"], strict=True):
        if ours["estimate"] is not None:
            assert ours["estimate"]["value"] == pytest.approx(theirs["estimate"]["value"], abs=0.02)
    loose = audit(home, "leak.safetensors", "--set", "privacy.max_auc=1.0", "--set", "privacy.max_tpr=1.0")
    assert loose.exception is None
    assert "Leak audit: 60 rows" in loose.stdout


def test_wrong_files_are_named(home: Path) -> None:
    parent = str(home / "parent.safetensors")
    result = run(
        home, "audit", str(home / "leak.safetensors"), "--parent", parent, "--pairs", str(home / "pairs.jsonl")
    )
    assert isinstance(result.exception, ConfigError)
    assert "--holdout" in str(result.exception)
    assert isinstance(audit(home, "absent.safetensors").exception, ConfigError)
    (home / "holdout.jsonl").write_text("{}\n")
    assert isinstance(audit(home, "leak.safetensors").exception, TrainingError)


def test_the_budget_is_that_of_the_ledger(settings: Path) -> None:
    assert "no formal privacy" in run(settings, "budget").stdout
    ledger = Ledger((Spending(1, "client", 2.0, 1.0, 1), Spending(2, "client", 2.0, 1.0, 1)))
    (settings / "data").mkdir()
    (settings / "data" / LEDGER).write_text(json.dumps(ledger.to_json()))
    found = json.loads(run(settings, "budget", "--json").stdout)
    assert found["delta"] == 1e-5
    assert found["epsilon"] == {"client": epsilon(ledger.spendings, 1e-5)}
    assert [one["round"] for one in found["rounds"]] == [1, 2]
    wider = json.loads(run(settings, "budget", "--json", "--delta", "1e-3").stdout)
    assert wider["epsilon"]["client"] < found["epsilon"]["client"]
    assert "4.377" in run(settings, "budget").stdout
    (settings / "data" / LEDGER).write_text("{")
    assert isinstance(run(settings, "budget").exception, SetupError)


def test_a_scan_says_where_and_never_what(settings: Path) -> None:
    (settings / "clean.jsonl").write_bytes(encode_pairs([Pair("Adds.", "1 + 1", "r", "a.py", "add")]))
    assert run(settings, "scan", str(settings / "clean.jsonl")).exception is None
    pairs = [
        Pair("Logs in.", 'api_key = "k3yk3yk3y99"', "r", "b.py", "login"),
        Pair("Adds.", "1 + 1", "r", "a.py", "add"),
    ]
    (settings / "rows.jsonl").write_bytes(encode_pairs(pairs))
    result = run(settings, "scan", str(settings / "rows.jsonl"), "--json")
    assert isinstance(result.exception, LeakFound)
    found = json.loads(result.stdout)
    assert found["rows"] == 2
    assert len(found["found"]) == 1
    assert "r/b.py login" in found["found"][0]
    assert "k3yk3yk3y99" not in result.stdout + str(result.exception)
    assert "k3yk3yk3y99" not in run(settings, "scan", str(settings / "rows.jsonl")).stdout

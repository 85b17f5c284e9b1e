"""The gate with a tiny real model: what is held out, what is stopped before it can be committed, and what noise spent is written down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aggregation.bundle import decode, encode
from learning.models.encoder import genesis
from learning.privacy.accountant import Spending, epsilon
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair, encode_pairs
from node.adapters import trainer_local
from node.adapters.trainer_local import LocalTrainer, TrainerSettings
from node.ports import TrainJob
from node.privacy import LEDGER, PrivacySettings, read, record, split, totals
from node.protocol.errors import LeakFound, SetupError

MAX_BYTES = 1 << 20
GENTLE = {"epochs": 1, "learning_rate": 1e-3, "batch_size": 32}
BY_HEART = {"epochs": 24, "learning_rate": 0.05, "batch_size": 32, "max_norm": 1e3}


def rows(count: int) -> list[Pair]:
    """Rows of their own, each a made-up function."""
    draw = np.random.default_rng(1)
    words = [
        "list",
        "dict",
        "file",
        "path",
        "string",
        "number",
        "index",
        "key",
        "value",
        "type",
        "data",
        "line",
        "size",
        "count",
        "result",
        "error",
    ]
    made = []
    for place in range(count):
        query = " ".join(draw.choice(words, 6))
        made.append(
            Pair(f"Return {query}.", f"def Func({draw.choice(words)}):\n    return {place}", "r", "f.py", f"f{place}")
        )
    return made


Make = Callable[..., LocalTrainer]


@pytest.fixture
def make(tiny_folder: Path, spec: LearningSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    made = []

    def _make(pairs: list[Pair], gate: PrivacySettings, **learning: object) -> LocalTrainer:
        monkeypatch.setattr(trainer_local, "read_pairs", lambda names, cache: pairs)
        settings = replace(spec, **learning).to_mapping()
        made.append(LocalTrainer(TrainerSettings(settings, (), "cpu", 1, tiny_folder, tmp_path, MAX_BYTES, gate)))
        return made[-1]

    yield _make
    for trainer in made:
        trainer.close()


@pytest.fixture
def parent(tiny_folder: Path, spec: LearningSpec) -> bytes:
    return encode(genesis(spec, 0, tiny_folder))


def test_a_sixth_is_held_out_for_good_and_rows_with_secrets_are_in_neither_part() -> None:
    pairs = [*rows(200), Pair("Logs in.", 'password = "correct9horse"', "r", "b.py", "login")]
    found = split(pairs)
    assert (len(found.training), len(found.held_out)) == (167, 33)
    assert list(found.secrets) == [200]
    again = split(pairs[::-1])
    assert again.held_out == found.held_out
    assert not {p.name for p in found.held_out} & {p.name for p in found.training}
    assert len(split(rows(1200)).held_out) == 128  # more would only cost training data
    assert split(rows(170)).held_out == []  # too few to judge anything by
    assert len(split(rows(170)).training) == 170


def test_an_update_that_learned_by_heart_does_not_leave_the_trainer(make: Make, parent: bytes) -> None:
    job = TrainJob(1, parent, 0)
    strict = PrivacySettings(audit=True)
    with pytest.raises(LeakFound, match=r"not published: membership: .*AUC") as caught:
        asyncio.run(make(rows(240), strict, **BY_HEART).train(job))
    assert "privacy.max_auc" in caught.value.hint
    assert caught.value.exit_code == 10
    loose = asyncio.run(make(rows(240), replace(strict, max_auc=1.0, max_tpr=1.0), **BY_HEART).train(job))
    assert loose.notes["audited"] == 1
    assert loose.notes["audit_auc"] > 0.75
    gentle = asyncio.run(make(rows(240), strict, **GENTLE).train(job))
    assert gentle.notes["audit_auc"] < 0.7
    assert gentle.notes["audit_cpu_seconds"] > 0
    off = asyncio.run(make(rows(240), PrivacySettings(), **GENTLE).train(job))
    assert "audited" not in off.notes


def test_held_out_rows_are_never_trained_on(make: Make, parent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = rows(240)
    held = {pair.name for pair in split(pairs).held_out}
    seen: set[str] = set()
    import learning.local_training as local

    plain = local.round_window

    def window(*arguments: object) -> list[Pair]:
        chosen = plain(*arguments)
        seen.update(pair.name for pair in chosen)
        return chosen

    monkeypatch.setattr(local, "round_window", window)
    trainer = make(pairs, PrivacySettings(audit=True), **GENTLE)
    for number in range(1, 6):  # 5 windows of 64 wrap around 200 rows
        asyncio.run(trainer.train(TrainJob(number, parent, 0)))
    assert len(held) == 40
    assert seen == {pair.name for pair in pairs} - held


def test_too_few_rows_are_said_not_to_be_audited(make: Make, parent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    result = asyncio.run(make(rows(60), PrivacySettings(audit=True), **BY_HEART).train(TrainJob(1, parent, 0)))
    assert result.notes["audited"] == 0
    assert "not audited" in caplog.text


def test_training_on_the_public_benchmark_needs_neither_gate_nor_noise(
    make: Make, parent: bytes, tmp_path: Path
) -> None:
    settings = PrivacySettings(audit=True, ledger=tmp_path / LEDGER)
    learning = BY_HEART | {"privacy": "client", "noise_multiplier": 1.0}
    trainer = make([], settings, **learning)
    job = TrainJob(1, parent, 0, benchmark=encode_pairs(rows(64)))
    first, second = (asyncio.run(trainer.train(job)) for _ in range(2))
    assert first.update == second.update
    assert not (tmp_path / LEDGER).exists()


def test_noise_is_fresh_and_its_price_is_on_disk_before_the_update_is_used(
    make: Make, parent: bytes, tmp_path: Path
) -> None:
    ledger = tmp_path / LEDGER
    learning = GENTLE | {"privacy": "client", "noise_multiplier": 4.0, "privacy_clip": 0.1}
    trainer = make(rows(240), PrivacySettings(audit=True, ledger=ledger), **learning)
    results = [asyncio.run(trainer.train(TrainJob(number, parent, 0))) for number in (1, 1, 2)]
    assert results[0].update != results[1].update
    spent = [Spending(number, "client", 4.0, 1.0, 1) for number in (1, 1, 2)]  # trained twice, spent twice
    assert list(read(ledger).spendings) == spent
    assert results[2].notes["epsilon"] == epsilon(spent[:1], 1e-5)
    assert results[2].notes["epsilon_total"] == epsilon(spent, 1e-5)
    assert totals(ledger) == {"epsilon": {"client": epsilon(spent, 1e-5)}, "delta": 1e-5, "trainings": 3}
    values = np.concatenate([a.ravel() for a in decode(results[0].update, max_bytes=MAX_BYTES).values()])
    assert values.std() == pytest.approx(5 / 896**0.5, rel=0.05)  # 0.4, scaled back into the norm bound of 5


def test_examples_are_private_where_the_guideline_says_so(
    make: Make, parent: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "learning.sources.installed.public_benchmark", lambda limit, cache: rows(400)[300 : 300 + limit]
    )
    learning = GENTLE | {"privacy": "example", "noise_multiplier": 1.0, "privacy_clip": 0.1}
    trainer = make(rows(240), PrivacySettings(audit=True, ledger=tmp_path / LEDGER), **learning)
    result = asyncio.run(trainer.train(TrainJob(1, parent, 0)))
    assert read(tmp_path / LEDGER).spendings == (Spending(1, "example", 1.0, 0.5, 2),)
    assert result.notes["epsilon"] == pytest.approx(epsilon([Spending(1, "example", 1.0, 0.5, 2)], 1e-5))


def test_a_damaged_ledger_stops_noisy_training_instead_of_starting_at_nothing(tmp_path: Path) -> None:
    path = tmp_path / LEDGER
    assert totals(path) is None
    for damaged in ("{", "[]", json.dumps({"version": 1})):
        path.write_text(damaged)
        with pytest.raises(SetupError, match="cannot be read"):
            record(path, Spending(1, "client", 1.0, 1.0, 1), 1e-5)
        assert "error" in (totals(path) or {})
    assert path.read_text() == json.dumps({"version": 1})  # nothing was written over it

"""Experiment files: the grid, its keys, and every mistake named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learning.errors import SpecError
from learning.experiment.paper import published, tables
from learning.experiment.settings import TABLES, builtin, parse, read
from learning.tasks.registry import find_task

BASE: dict[str, Any] = {
    "name": "toy",
    "seeds": [0, 1],
    "task": ["defect_detection"],
    "model": ["hashed"],
    "partition": ["centralised", "single_client", "uniform", {"kind": "label_imbalanced", "skew": 900}],
    "algorithm": ["fedavg", {"name": "fedprox", "mu": 0.1}, "krum:f=1"],
}


def test_the_grid_has_every_combination_and_the_lonely_once() -> None:
    cells = parse(BASE).cells()
    assert len(cells) == 2 * (1 + 1 + 3 + 3)
    assert len({cell.key for cell in cells}) == len(cells)
    assert [c.algorithm.label for c in cells[:5]] == ["–", "–", "fedavg", "fedprox(mu=0.1)", "krum:f=1"]
    assert str(cells[3]) == "defect_detection · hashed · uniform · fedprox(mu=0.1) · seed 0"


def test_a_key_depends_on_settings_and_not_on_names() -> None:
    first = parse(BASE).cells()
    named = parse({**BASE, "name": "other", "model": [{"kind": "hashed", "name": "Our model"}]}).cells()
    assert [c.key for c in named] == [c.key for c in first]
    for change in ({"rounds": 9}, {"epochs": 0.5}, {"clients": 6}, {"model": [{"kind": "hashed", "ngrams": 3}]}):
        changed = parse({**BASE, **change}).cells()
        assert not {c.key for c in changed} & {c.key for c in first}, change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nmae": 1}, "Unknown key 'nmae' in the experiment"),
        ({"task": [{"task": "defect_detection", "limt": 5}]}, r"Unknown key 'limt' in task\[0\]"),
        ({"partition": ["uniform", {"kind": "uniform", "skw": 5}]}, r"Unknown key 'skw' in partition\[1\]"),
        ({"model": [{"kind": "hashed", "bucket": 5}]}, "no setting 'bucket'"),
        ({"algorithm": [{"name": "fedavg", "mu": 5}]}, "fedavg has no setting 'mu'"),
        ({"task": ["defects"]}, "no task called 'defects'"),
        ({"task": ["code_search"]}, "cannot do code_search"),
        ({"model": ["gpt"]}, "no model of kind 'gpt'"),
        ({"model": [{"name": "x"}]}, "lacks kind"),
        ({"partition": ["even"]}, r"partition\[0\].kind: there is no partition 'even'"),
        ({"partition": [{"kind": "single_client", "of": "centralised"}]}, "of cannot be centralised"),
        ({"partition": [{"kind": "single_client", "client": "all"}]}, r"client"),
        ({"partition": [{"kind": "uniform", "client": 9}]}, "client must be 0 to 4"),
        ({"partition": [{"kind": "quantity_imbalanced", "ratio": "1/0"}]}, "ratio"),
        ({"partition": [{"kind": "label_imbalanced", "skew": 1001}]}, "skew must be 0 to 1000"),
        ({"partition": ["uniform", {"kind": "uniform", "clients": 7}]}, "Two of the partitions are called uniform"),
        ({"algorithm": ["fedsgd"]}, "no algorithm called 'fedsgd'"),
        ({"algorithm": ["krum:f=2"]}, "krum"),
        ({"algorithm": [{"name": "fedprox", "mu": -1}]}, "mu must be"),
        ({"task": [{"task": "defect_detection", "metric": "f1"}]}, "not scored by 'f1'"),
        ({"task": [{"task": "defect_detection", "limit": "many"}]}, r"task\[0\].limit must be int"),
        ({"task": [{"task": "defect_detection", "lenient": 1}]}, r"task\[0\].lenient must be bool"),
        ({"model": [{"kind": "hashed", "ngrams": 2.5}]}, "ngrams"),
        ({"model": [{"kind": "hashed", "ngrams": 9}]}, "ngrams"),
        ({"seeds": []}, "lacks seeds"),
        ({"seeds": [0, 0]}, "Two of the seeds are called 0"),
        ({"seeds": [-1]}, "seeds must be"),
        ({"seeds": 3}, "seeds must be a list"),
        ({"rounds": 0}, "rounds must be"),
        ({"epochs": True}, "epochs must be"),
        ({"name": "a/b"}, "name must be"),
        ({"task": [5]}, r"task\[0\] must be a name or a table"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse({**BASE, **change})


def test_a_file_that_is_no_toml_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        read(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(SpecError, match="is no TOML"):
        read(tmp_path / "bad.toml")
    (tmp_path / "odd.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(SpecError, match="is no TOML"):
        read(tmp_path / "odd.toml")
    (tmp_path / "unknown.toml").write_text("seed = 3")
    with pytest.raises(SpecError, match=r"unknown.toml: Unknown key 'seed'"):
        read(tmp_path / "unknown.toml")


def test_the_tables_that_come_with_us_are_read() -> None:
    names = [read(path).name for scale in ("small", "full") for path in builtin(scale)]
    assert len(names) == len(set(names))
    assert len(names) == len(list(TABLES.glob("*/*.toml")))
    assert {f"table{n}-full" for n in range(1, 6)} <= set(names)
    assert [path.stem for path in builtin("small/table1")] == ["table1"]
    with pytest.raises(SpecError, match="no experiment file 'small/table9'"):
        builtin("small/table9")
    with pytest.raises(SpecError, match="no experiment file"):
        builtin("../paper")


def test_every_table_s_task_is_the_paper_s() -> None:
    for scale in ("small", "full"):
        for path in builtin(scale):
            experiment = read(path)
            assert {t.task for t in experiment.task} == {tables()["tables"][str(experiment.table)]["task"]}


def test_the_paper_s_numbers() -> None:
    assert [(p.model, p.value) for p in published(2, "by_repository", "fedavg", "accuracy")] == [
        ("CodeBERT", 0.6157),
        ("CodeT5", 0.5867),
        ("CodeLlama-7b", 0.5093),
    ]
    assert published(2, "uniform", "fedavg", "accuracy") == []
    assert published(9, "uniform", "fedavg", "f1") == []
    for number, table in tables()["tables"].items():
        metrics = find_task(table["task"]).metrics
        for row in table["rows"]:
            values = [row[m] for m in metrics if m in row]
            assert values, (number, row)
            assert all(0 < v <= (100 if table["task"] == "code_to_text" else 1) for v in values), (number, row)
    assert len(json.dumps(tables())) > 1000

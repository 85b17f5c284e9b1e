"""Reports over made-up results: means, intervals, claims with the right sign, the paper's numbers, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from learning.experiment.plots import draw
from learning.experiment.report import build, groups, markdown, source
from learning.experiment.settings import Experiment, parse
from learning.experiment.store import StorageFailed

PARTITIONS: list[Any] = [
    "centralised",
    {"kind": "single_client", "budget": "own"},
    {"kind": "single_client", "name": "equal"},
    "uniform",
    "label_imbalanced",
    "quantity_imbalanced",
]
LEVELS = {
    "centralised": 0.94,
    "single client": 0.80,
    "equal": 0.82,
    "uniform": 0.90,
    "label imbalanced": 0.86,
    "quantity imbalanced": 0.895,
}


def experiment(**changes: Any) -> Experiment:
    base = {
        "name": "toy",
        "title": "Toy",
        "table": 1,
        "seeds": [0, 1, 2],
        "task": ["clone_detection"],
        "model": ["hashed"],
        "partition": PARTITIONS,
        "algorithm": ["fedavg", "fedmedian"],
    }
    return parse({**base, **changes})


def results(one: Experiment, levels: Mapping[str, float] = LEVELS) -> list[dict[str, Any]]:
    found = []
    for cell in one.cells():
        # The seed moves everything together by 0.05, and each cell a little: pairing takes the former away.
        value = (
            levels[cell.partition.name] + 0.05 * cell.seed + 0.001 * ((cell.seed * 7 + len(cell.algorithm.label)) % 3)
        )
        value -= 0.02 if cell.algorithm.label == "fedmedian" else 0
        found.append(
            {
                "key": cell.key,
                "settings": cell.to_mapping(),
                "labels": {
                    "task": cell.task.task,
                    "model": cell.model.name,
                    "partition": cell.partition.name,
                    "algorithm": cell.algorithm.label,
                    "metric": cell.metric,
                },
                "metrics": {"f1": value},
                "before": {"f1": 0.1 * cell.seed},
                "curve": [{"client": 0, "round": r, "f1": value - 0.1 / r} for r in (1, 2, 3)],
                "data": {"sha256": f"{cell.seed:064d}"},
                "partition": {"warnings": []},
                "machine": {"cpu": "x"},
                "versions": {"python": "3"},
                "seconds": 1.0,
            }
        )
    return found


def claim(report: Mapping[str, Any], text: str, which: str = "fedavg") -> Mapping[str, Any]:
    [found] = [c for c in report["claims"] if c["claim"] == text and c["algorithm"] == which]
    return found


def test_means_intervals_and_the_paper_s_numbers() -> None:
    report = build(experiment(), results(experiment()))
    rows = {(r["partition"], r["algorithm"]): r for r in report["rows"]}
    assert len(rows) == 3 + 3 * 2
    uniform = rows["uniform", "fedavg"]
    assert uniform["mean"] == pytest.approx(0.951, abs=1e-3)
    assert uniform["half_width"] == pytest.approx(4.303 * 0.05 / 3**0.5, rel=0.05)
    assert uniform["paper"] == [{"model": "", "value": 0.903}]
    assert rows["single client", "–"]["paper"] == [{"model": "", "value": 0.832}]
    assert rows["equal", "–"]["paper"] == [], "the paper's single client had no equal budget"
    assert rows["centralised", "–"]["paper"] == [{"model": "", "value": 0.941}]


def test_claims_are_paired_and_signed() -> None:
    report = build(experiment(), results(experiment()))
    gain = claim(report, "single client < federated (uniform)")
    assert gain["verdict"] == "shown"
    assert gain["difference"] == pytest.approx(0.10, abs=3e-3)
    assert gain["half_width"] < 0.01, "the seeds' common part was not taken away"
    gap = claim(report, "federated (uniform) − centralised")
    assert gap["difference"] == pytest.approx(-0.04, abs=3e-3)
    assert gap["verdict"] == "differs"
    assert claim(report, "label imbalanced < uniform")["verdict"] == "shown"
    assert claim(report, "label imbalanced < quantity imbalanced", "mean of the paper's four")["verdict"] == "shown"


def test_what_is_not_so_is_said() -> None:
    upside_down = {**LEVELS, "single client": 0.99, "label imbalanced": 0.90, "equal": 0.9005}
    report = build(experiment(), results(experiment(), upside_down))
    assert claim(report, "single client < federated (uniform)")["verdict"] == "the opposite"
    assert claim(report, "equal < federated (uniform)")["verdict"] == "not significant"
    assert claim(report, "label imbalanced < uniform")["verdict"] == "not significant"


def test_comparisons_against_fedavg() -> None:
    report = build(experiment(), results(experiment()))
    compared = {(c["partition"], c["algorithm"]): c for c in report["comparisons"]}
    assert set(compared) == {(p, "fedmedian") for p in ("uniform", "label imbalanced", "quantity imbalanced")}
    assert compared["uniform", "fedmedian"]["difference"] == pytest.approx(-0.02, abs=2e-3)


def test_a_smaller_loss_is_better() -> None:
    one = experiment(task=[{"task": "clone_detection", "metric": "loss"}])
    rows = results(one)
    for row in rows:
        row["metrics"] = {"loss": 2 - row["metrics"]["f1"]}
    assert claim(build(one, rows), "single client < federated (uniform)")["verdict"] == "shown"


def test_diverged_seeds_are_named_and_left_out() -> None:
    rows = results(experiment())
    broken = next(r for r in rows if r["labels"]["algorithm"] == "fedmedian" and r["settings"]["seed"] == 1)
    del broken["metrics"], broken["curve"]
    broken["failed"] = {"error": "TrainingDiverged", "what": "nan", "why": ""}
    report = build(experiment(), rows)
    [row] = [r for r in report["rows"] if r["failed"]]
    assert row["failed"] == [1]
    assert sorted(row["values"]) == ["0", "2"]
    assert "(diverged: seeds 1)" in markdown(report)
    assert next(g for g in groups(rows) if g.failed).values.keys() == {0, 2}


def test_cells_on_other_data_are_warned_of() -> None:
    rows = results(experiment())
    rows[0]["data"] = {"sha256": "f" * 64}
    assert any("different data" in w for w in build(experiment(), rows)["warnings"])
    for row in rows:
        if row["labels"]["partition"] == "label imbalanced":
            row["partition"] = {"warnings": ["Client 0 sees the label '1' only."], "examples": [5, 5, 5]}
    assert (
        "clone_detection, label imbalanced: 3 of 9 clients see one label only." in build(experiment(), rows)["warnings"]
    )


def test_markdown_says_what_is_not_at_hand() -> None:
    one = experiment(algorithm=["fedavg", "diloco"])
    text = markdown(build(one, results(one)), "toy.svg")
    assert "| fedavg | 0.9510 ± 0.1267<br>paper: 0.9030 |" in text
    assert "| diloco | 0.9510 ± 0.1267<br>paper: not at hand |" in text
    assert "| hashed, f1 | uniform | label imbalanced | quantity imbalanced |" in text
    assert "![Toy: every partition and algorithm](toy.svg)" in text
    assert "hashed before any training: 0.1000 ± 0.2484." in text
    assert "2404.06201" in source()


def test_one_seed_has_no_interval() -> None:
    one = experiment(seeds=[0])
    report = build(one, results(one))
    assert all(row["half_width"] is None for row in report["rows"])
    assert {c["verdict"] for c in report["claims"]} == {"not significant", "no difference seen"}
    assert "±" not in markdown(report).split("interval.")[1]


def test_a_picture_is_drawn_the_same_twice(tmp_path: Path) -> None:
    report, rows = build(experiment(), results(experiment())), results(experiment())
    for name in ("a.svg", "b.svg"):
        draw(report, rows, tmp_path / name)
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for word in ("fedmedian", "label imbalanced", "centralised", "round"):
        assert word in text
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed):
        draw(report, rows, tmp_path / "file" / "c.svg")

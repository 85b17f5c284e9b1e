"""Partitions worked out by hand, refusals, and what people are shown."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from learning.errors import DataError, SpecError
from learning.partition import Settings, apportion, partition
from learning.partition_summary import as_table, plot, summarise

LABELS = ["0", "1"] * 50
PLACES = ["red"] * 60 + ["green"] * 30 + ["blue"] * 10


def sizes(settings: Settings, labels: list[str] = LABELS, places: list[str] = PLACES) -> list[int]:
    return [len(client) for client in partition(settings, labels, places).clients]


def test_sizes_by_hand() -> None:
    assert sizes(Settings("centralised", 7)) == [100]
    assert sizes(Settings("uniform", 3)) == [34, 33, 33]
    assert sizes(Settings("quantity_imbalanced", 3)) == [57, 29, 14]  # 4/7, 2/7, 1/7 of 100
    assert sizes(Settings("quantity_imbalanced", 2, ratio=Fraction(3, 2))) == [60, 40]
    assert sorted(sizes(Settings("by_repository", 2))) == [40, 60]
    assert sorted(sizes(Settings("by_repository", 3))) == [10, 30, 60]


def test_apportion_by_hand() -> None:
    assert apportion(10, [1, 1, 1]) == [4, 3, 3]
    assert apportion(7, [5, 0, 2]) == [5, 0, 2]
    assert apportion(1, [Fraction(1, 3), Fraction(2, 3)]) == [0, 1]
    with pytest.raises(SpecError, match="all zero"):
        apportion(3, [0, 0])


def test_single_client_is_uniform_with_one_that_trains() -> None:
    alone = partition(Settings("single_client", 4, client=2), LABELS, PLACES)
    assert alone.trains == (2,)
    assert alone.clients == partition(Settings("uniform", 4), LABELS, PLACES).clients
    assert partition(Settings("uniform", 4), LABELS, PLACES).trains == (0, 1, 2, 3)


def test_label_skew_by_hand() -> None:
    sorted_out = partition(Settings("label_imbalanced", 2, skew=1000), LABELS, PLACES)
    assert sorted({LABELS[i] for i in client}.pop() for client in sorted_out.clients) == ["0", "1"]
    none = partition(Settings("label_imbalanced", 2, skew=0), LABELS, PLACES)
    assert all(10 < sum(LABELS[i] == "1" for i in client) < 40 for client in none.clients)
    most = partition(Settings("label_imbalanced", 2, skew=800), LABELS, PLACES)
    assert max(sum(LABELS[i] == "1" for i in client) for client in most.clients) >= 40


def test_small_alpha_is_more_uneven_than_a_large_one() -> None:
    def spread(alpha: float) -> int:
        found = sizes(Settings("dirichlet", 4, seed=3, alpha=alpha, over="quantity"))
        return max(found) - min(found)

    assert spread(0.2) > 30
    assert spread(1000.0) < 10
    by_place = partition(Settings("dirichlet", 3, alpha=0.3, over="repositories"), LABELS, PLACES)
    reds = [sum(PLACES[i] == "red" for i in client) for client in by_place.clients]
    assert max(reds) > 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings("uniform", 101), "100 examples cannot be dealt out to 101 clients"),
        (Settings("by_repository", 4), "3 repositories; 4 clients"),
        (Settings("quantity_imbalanced", 20), "would have no example"),
        (Settings("quantity_imbalanced", 300), "100 examples"),
        (Settings("label_imbalanced", 2, skew=1000, two_labels=True), "label '[01]' only"),
        (Settings("dirichlet", 90, alpha=0.01), "always had no example"),
    ],
)
def test_what_cannot_be_dealt_out_is_said(settings: Settings, message: str) -> None:
    with pytest.raises(DataError, match=message):
        partition(settings, LABELS, PLACES)


def test_one_label_cannot_be_imbalanced() -> None:
    with pytest.raises(DataError, match="all examples are of the class 'pair'"):
        partition(Settings("label_imbalanced", 2), ["pair"] * 9, ["r"] * 9)
    with pytest.raises(DataError, match="one of each"):
        partition(Settings("uniform", 2), ["a"], ["r", "r"])
    with pytest.raises(DataError, match="0 examples"):
        partition(Settings("centralised"), [], [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "random"},
        {"clients": 0},
        {"client": 5},
        {"skew": 1001},
        {"ratio": Fraction(1)},
        {"alpha": 0.0},
        {"alpha": float("nan")},
        {"over": "files"},
    ],
)
def test_settings_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Settings(**{"kind": "uniform", **wrong})


def test_summary_counts_and_warns() -> None:
    found = partition(Settings("label_imbalanced", 2, skew=1000), LABELS, PLACES)
    summary = summarise(found, LABELS, PLACES)
    assert [c.examples for c in summary.clients] == [50, 50]
    assert sum(c.repositories["red"] for c in summary.clients) == 60
    assert len(summary.warnings) == 2
    assert "only" in summary.warnings[0]
    assert summarise(found, LABELS, PLACES, labelled=False).warnings == ()
    assert json.loads(json.dumps(summary.to_mapping()))["clients"][1]["examples"] == 50


def test_table_and_picture(tmp_path: Path) -> None:
    places = [f"repository-{i % 12}" for i in range(100)]
    summary = summarise(partition(Settings("single_client", 3), LABELS, places), LABELS, places)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(as_table(summary))
    text = console.export_text()
    assert "repository-0" in text
    assert "1 (idle)" in text
    assert "and 9 more" in text
    for by, name in (("labels", "a.svg"), ("repositories", "b.png")):
        plot(summary, tmp_path / name, by=by)
        assert (tmp_path / name).stat().st_size > 3000
    plot(summary, tmp_path / "c.svg", by="repositories")
    assert "others" in (tmp_path / "c.svg").read_text() or "<path" in (tmp_path / "c.svg").read_text()
    with pytest.raises(DataError, match="could not be written"):
        plot(summary, tmp_path / "a.nonsense")

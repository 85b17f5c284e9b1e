"""What the story claims follows from its numbers, and its teams train on different code than it tests."""

from __future__ import annotations

import copy
import json

import pytest

from deploy import story_data
from deploy.demo import GUIDELINE
from deploy.story import conclude, parse
from deploy.story_claims import claims
from deploy.story_data import FOUNDERS, KINDS, Kind, rows_of, spread
from learning.sources import installed
from learning.tasks.code_search import Pair

SUMMARY = {
    "weakness": {"kind": "mathematics", "ppm": {"mathematics": 300_000, "protocols": 400_000, "public": 500_000}},
    "join": {"measured": [{"benchmark": "test set mathematics", "change": 0.01}], "reasons": 2, "admitted": True},
    "newcomer": {"verdicts": ["ACCEPTED", "REJECTED"]},
    "releases": [
        {"executed": "0x1", "scores": {"public": 380_000}},
        {"executed": "0x2", "scores": {"public": 375_000, "mathematics": 320_000}},
    ],
    "changes_ppm": {"mathematics": 20_000, "protocols": -15_000},
    "max_regression_ppm": 20_000,
    "audit": {"ok": True},
}


def verdicts(**changes):
    summary = copy.deepcopy(SUMMARY)
    for path, value in changes.items():
        *way, last = path.split("__")
        inner = summary
        for key in way:
            inner = inner[int(key) if isinstance(inner, list) else key]
        inner[int(last) if isinstance(inner, list) else last] = value
    return claims(summary)


def test_all_required_claims_hold_where_they_should():
    found = verdicts()
    assert [one.text for one in found if not one.holds] == []
    assert [one.required for one in found] == [True] * 12 + [False]


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"releases__0__executed": ""}, "a first release"),
        (
            {"weakness__ppm__mathematics": 600_000, "releases__1__scores__mathematics": 700_000},
            "is weaker on mathematics",
        ),
        ({"join__measured__0__change": -0.001}, "sample update gains"),
        ({"join__reasons": 1}, "reasons can be fetched"),
        ({"join__admitted": False}, "was admitted"),
        ({"newcomer__verdicts": ["REJECTED"]}, "updates was accepted"),
        ({"releases__1__executed": ""}, "a second release"),
        ({"releases__1__scores__mathematics": 300_000}, "better on mathematics"),
        ({"releases__1__scores__public": 359_999}, "public benchmark than the guideline allows"),
        ({"changes_ppm__protocols": -20_001}, "any other kind"),
        ({"audit__ok": False}, "the audit"),
    ],
)
def test_each_claim_can_fail(change, broken):
    failing = [one.text for one in verdicts(**change) if one.required and not one.holds]
    assert len(failing) == 1
    assert broken in failing[0]


def test_the_goal_is_no_requirement():
    (goal,) = [one for one in verdicts(releases__1__scores__public=410_000) if not one.holds]
    assert not goal.required


def test_the_exit_code_and_the_file_say_how_it_ended(tmp_path):
    assert conclude(copy.deepcopy(SUMMARY), tmp_path) == 0
    assert all(one["holds"] for one in json.loads((tmp_path / "summary.json").read_bytes())["claims"])
    assert conclude({**copy.deepcopy(SUMMARY), "audit": {"ok": False}}, tmp_path) == 1


def test_teams_train_apart_from_each_other_from_tests_and_from_benchmarks():
    held_out = set(json.loads(GUIDELINE.read_bytes())["data"]["held_out"])
    hands = [*FOUNDERS, *(kind.trained for kind in KINDS.values()), *(kind.tested for kind in KINDS.values())]
    names = [name for hand in hands for name in hand]
    assert len(names) == len(set(names))
    assert not held_out & set(names)
    assert set(names) <= {repository.name for repository in installed.list_repositories()}


def pair(number, repository):
    words = " ".join(f"word{number}x{place}" for place in range(12))
    return Pair(f"does {words}", f"def Func():\n    return '{words}'", repository, "a", "f")


def test_a_test_set_leaves_out_what_anybody_trains_on(monkeypatch):
    kind = Kind("", ("typer",), ("mpmath",))
    monkeypatch.setattr(
        story_data, "extract_pairs", lambda repository, **_: [pair(n, repository.name) for n in range(9)]
    )
    monkeypatch.setattr(story_data.installed, "public_benchmark", lambda *_args, **_kwargs: [pair(8, "public")])
    rows = rows_of(kind, [pair(0, "other"), pair(1, "other")], None)
    assert len(rows) == 6
    assert {row.repository for row in rows} == {"mpmath"}
    assert spread(rows, 3) == spread(list(reversed(rows)), 3)


def test_flags():
    assert parse(["--kind", "protocols"]).kind == "protocols"
    with pytest.raises(SystemExit):
        parse(["--kind", "poetry"])

"""The contracts' report: how each tool's words become figures, and which thresholds fail it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from node.protocol.errors import SetupError
from tools.contracts import report as reporting
from tools.contracts.campaign import Record, Result
from tools.contracts.measures import (
    Covered,
    named_invariants,
    numbers_in,
    read_gas,
    read_invariants,
    read_lcov,
    read_sizes,
    read_slither,
)
from tools.contracts.mutants import Mutant
from tools.contracts.report import measured, missed, mutation_figures

LCOV = """TN:
SF:src/A.sol
DA:3,7
DA:4,2
DA:4,0
DA:5,0
FN:3,A.f
BRDA:4,0,0,1
BRDA:4,0,1,-
BRDA:4,1,0,0
end_of_record
SF:src/B.sol
DA:1,1
end_of_record
SF:src/interfaces/I.sol
end_of_record
SF:test/T.sol
DA:1,0
BRDA:1,0,0,-
end_of_record
"""


def test_coverage_counts_lines_and_branches_of_sources_only():
    found = read_lcov(LCOV)
    assert list(found) == ["src/A.sol", "src/B.sol"]
    assert found["src/A.sol"].lines == Covered(2, 3)
    assert found["src/A.sol"].branches == Covered(1, 3)
    assert found["src/B.sol"].branches.percent == 100
    assert (Covered(1, 2) + Covered(2, 2)).percent == 75


def test_coverage_of_nothing_is_an_error():
    with pytest.raises(SetupError, match="names no source"):
        read_lcov(LCOV, "elsewhere/")


def test_invariants_tell_their_calls():
    campaign = {
        "runs": 24,
        "calls": 960,
        "reverts": 2,
        "metrics": {"test/Handler.sol:Handler.step": {"calls": 900}, "test/Handler.sol:Handler.claim": {"calls": 60}},
    }
    document = {
        "test/I.t.sol:ITest": {
            "test_results": {
                "invariant_I12_I1_holds()": {"status": "Success", "kind": {"Invariant": campaign}},
                "invariant_plain()": {
                    "status": "Failure",
                    "kind": {"Invariant": {"runs": 1, "calls": 4, "reverts": 0}},
                },
                "test_more()": {"status": "Success", "kind": {"Unit": {"gas": 3}}},
            }
        }
    }
    first, second = read_invariants(document)
    assert (first["name"], first["numbers"], first["calls"], first["reverts"]) == (
        "invariant_I12_I1_holds",
        ["I1", "I12"],
        960,
        2,
    )
    assert first["calls_by_act"] == {"claim": 60, "step": 900}
    assert first["passed"] is True
    assert (second["passed"], second["numbers"], second["calls_by_act"]) == (False, [], {})


def test_numbers_of_invariants_are_words_of_their_own(tmp_path):
    assert numbers_in('"I4", _I13_x I2: IERC20 I3and mI5 I123 // I22') == ["I2", "I4", "I13", "I22"]
    (tmp_path / "A.sol").write_text("I2 I1")
    (tmp_path / "B.sol").write_text("I2")
    assert named_invariants(tmp_path.glob("*.sol"), tmp_path) == {"I1": ["A.sol"], "I2": ["A.sol", "B.sol"]}


def test_gas_is_sorted_by_call_and_n(tmp_path):
    snapshot = {"settle: 1 of 128": "9", "settle: 1 of 8": "7", "attest": "5", "size: A": "100", "claim: later": "3"}
    (tmp_path / "G.json").write_text(json.dumps(snapshot))
    assert read_gas(tmp_path.glob("*.json")) == {
        "attest": [{"case": "", "n": None, "gas": 5}],
        "claim": [{"case": "later", "n": None, "gas": 3}],
        "settle": [{"case": "1 of 8", "n": 8, "gas": 7}, {"case": "1 of 128", "n": 128, "gas": 9}],
    }


def test_slither_is_counted_by_impact():
    found = read_slither(
        {"success": True, "results": {"detectors": [{"impact": "Low"}, {"impact": "Low"}, {"impact": "High"}]}}
    )
    assert (found["High"], found["Medium"], found["Low"]) == (1, 0, 2)
    assert read_slither({"success": True, "results": {}})["Low"] == 0
    with pytest.raises(SetupError, match="no compiler"):
        read_slither({"success": False, "error": "no compiler"})


def test_sizes_are_of_contracts_that_can_be_deployed(tmp_path):
    sources = {"A": "contract A {}", "Base": "abstract contract Base {}", "I": "interface I {}", "L": "library L {}"}
    (tmp_path / "src").mkdir()
    for name, text in sources.items():
        (tmp_path / "src" / f"{name}.sol").write_text(text)
        out = tmp_path / "out" / f"{name}.sol"
        out.mkdir(parents=True)
        (out / f"{name}.json").write_text(
            json.dumps({"deployedBytecode": {"object": "0x6001" if name in "AL" else "0x"}})
        )
    assert read_sizes(tmp_path / "out", tmp_path / "src") == {"A": 2}
    (tmp_path / "out" / "A.sol" / "A.json").unlink()
    with pytest.raises(SetupError, match=r"A\.sol is not compiled"):
        read_sizes(tmp_path / "out", tmp_path / "src")


def test_a_tool_runs_again_only_when_something_changed(tmp_path):
    runs = []

    def make(path: Path) -> None:
        runs.append(path)
        path.write_text(f"run {len(runs)}")

    for state, fresh in (("a", False), ("a", False), ("b", False), ("b", True)):
        content = measured("x.json", make, fresh=fresh, state=state, folder=tmp_path)
    assert content == b"run 3"
    assert len(runs) == 3


def test_a_tool_that_fails_is_not_taken_for_done(tmp_path):
    def fail(path: Path) -> None:
        path.write_text("half")
        raise SetupError("broken")

    measured("x.json", lambda path: path.write_text("old") and None, fresh=False, state="a", folder=tmp_path)
    with pytest.raises(SetupError):
        measured("x.json", fail, fresh=False, state="b", folder=tmp_path)
    content = measured("x.json", lambda path: path.write_text("new") and None, fresh=False, state="a", folder=tmp_path)
    assert content == b"new"


def record(killed: int, survived: int, *, chosen: int | None = None, source: str = "now") -> Record:
    made = Record("RoundManager", ["f"], 100, killed + survived if chosen is None else chosen, 0, 4, source)
    for place in range(killed + survived):
        one = Mutant("f", place, place + 1, "<", ">", "relation", 1)
        made.results[one.id] = Result(one, "killed" if place < killed else "survived", "", 1.0, source, "t")
    return made


def test_versions_are_those_of_the_tools():
    found = reporting.versions()
    assert sorted(found) == ["forge", "slither", "solc"]
    assert found["solc"] == "0.8.34"
    assert all(len(version.split(".")) == 3 for version in found.values())


def test_mutation_scores_are_told_or_how_to_get_them():
    found = mutation_figures({"RoundManager": record(9, 1), "RewardDistributor": record(1, 0, source="old")}, "now")
    assert found["RoundManager"] == {
        "score": 90.0,
        "tried": 10,
        "of": 96,
        "seed": 0,
        "equivalent": 4,
        "survived": 1,
    }
    assert found["RewardDistributor"]["score"] is None
    assert found["RewardDistributor"]["why"] == "the sources changed since"
    assert found["VotingVault"] == {"score": None, "why": "not run", "command": "make mutation CONTRACT=VotingVault"}
    unfinished = mutation_figures({"RoundManager": record(3, 0, chosen=5)}, "now")["RoundManager"]
    assert (unfinished["score"], unfinished["why"]) == (None, "2 of 5 mutants not yet tried")


def good(**changes: Any) -> dict[str, Any]:
    return {
        "coverage_lines": 98.0,
        "coverage_branches": 95.0,
        "coverage": {"src/A.sol": {"lines": 98.0, "branches": 95.0, "lines_missed": 1, "branches_missed": 1}},
        "mutation_score": {"RoundManager": 90.0, "VotingVault": None},
        "mutation": {
            "RoundManager": {"score": 90.0, "tried": 10, "of": 96, "survived": 1},
            "VotingVault": {"score": None},
        },
        "invariants": [{"name": "invariant_I1", "passed": True, "calls": 9, "runs": 1, "calls_by_act": {"step": 9}}],
        "invariants_named": {"I1": ["test/I.t.sol"]},
        "gas": {"settle": [{"case": "1 of 8", "n": 8, "gas": 7}]},
        "slither": {"High": 0, "Medium": 0, "Low": 3},
        "sizes": {"A": 24_576},
        **changes,
    }


def test_other_contracts_are_told_but_have_no_threshold():
    found = mutation_figures({"RoundCourt": record(1, 1)}, "now")
    assert found["RoundCourt"]["score"] == 50
    assert missed(good(mutation_score={"RoundCourt": 50.0, "VotingVault": 89.0})) == [
        "mutation score of VotingVault is 89.00 %, the standard asks for 90 %"
    ]


def test_what_is_met_exactly_or_not_measured_is_not_missed():
    assert missed(good()) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"coverage_lines": 97.99}, "line coverage is 97.99 %"),
        ({"coverage_branches": 94.99}, "branch coverage is 94.99 %"),
        ({"mutation_score": {"RoundManager": 89.99}}, "mutation score of RoundManager is 89.99 %"),
        ({"slither": {"High": 1, "Medium": 0}}, "1 findings of high impact"),
        ({"slither": {"High": 0, "Medium": 2}}, "2 findings of medium impact"),
        ({"invariants": [{"name": "invariant_I1", "passed": False}]}, "invariant invariant_I1 does not hold"),
        ({"sizes": {"A": 24_577}}, "A has 24577 bytes"),
    ],
)
def test_each_threshold_that_is_missed_is_named(changes, says):
    (line,) = missed(good(**changes))
    assert says in line


@pytest.mark.parametrize(("lines", "code"), [(98.0, 0), (97.0, 1)])
def test_the_command_writes_shows_and_judges(tmp_path, monkeypatch, capsys, lines, code):
    made = good(coverage_lines=lines)
    monkeypatch.setattr(reporting, "collect", lambda *, fresh, profile: {**made, "missed": missed(made)})
    assert reporting.main(["--out", str(tmp_path / "report.json")]) == code
    assert json.loads((tmp_path / "report.json").read_text())["coverage_lines"] == lines
    shown = capsys.readouterr().out
    assert ("missed: line coverage" in shown) == bool(code)
    assert "src/A.sol" in shown
    assert "invariant_I1: 9 calls in 1 runs (step 9)" in shown


def test_a_failing_tool_ends_the_command_with_its_reason(tmp_path, monkeypatch, capsys):
    def broken(**_: Any) -> dict[str, Any]:
        raise SetupError("forge does not start.")

    monkeypatch.setattr(reporting, "collect", broken)
    assert reporting.main(["--out", str(tmp_path / "report.json")]) == 7
    assert not (tmp_path / "report.json").exists()
    assert "forge does not start" in capsys.readouterr().err


def test_the_summary_says_what_is_not_measured():
    console = Console(record=True, width=140, quiet=False, file=None)
    with console.capture() as captured:
        reporting.show({**good(), "missed": []}, console)
    assert "mutation score of VotingVault: not measured" in captured.get()

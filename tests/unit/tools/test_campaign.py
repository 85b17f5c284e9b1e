"""Targets, excuses, the results file, and what a run of forge means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.protocol.errors import ConfigError, SetupError
from tools.contracts import campaign
from tools.contracts.bench import classify
from tools.contracts.campaign import Excuse, Record, Result, Target
from tools.contracts.mutants import Mutant
from tools.contracts.mutate import choose, reusable, summary

SOURCE = "contract C {\n    x < y;\n    x < y;\n    a < b;\n}\n"


def mutant(start: int = 20, original: str = "<", mutated: str = "<=") -> Mutant:
    return Mutant(
        "src/C.sol", start, start + len(original), original, mutated, "relation", SOURCE[:start].count("\n") + 1
    )


def result(one: Mutant, outcome: campaign.Outcome = "killed", source: str = "s", tests: str = "t") -> Result:
    return Result(one, outcome, "a test", 1.5, source, tests)


def record(**outcomes: int) -> Record:
    made = Record("C", ["src/C.sol"], generated=99, chosen=sum(outcomes.values()), seed=3, equivalent=2, source="s")
    place = 0
    for outcome, count in outcomes.items():
        for _ in range(count):
            place += 1
            one = mutant(start=place)
            made.results[one.id] = result(one, outcome)  # type: ignore[arg-type]
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("src/deep", "test/unit", "tools"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "src" / "C.sol").write_text(SOURCE)
    (tmp_path / "src" / "deep" / "D.sol").write_text("contract D {}\n")
    for name in ("C", "CExtra", "Other", "Gas"):
        (tmp_path / "test" / "unit" / f"{name}.t.sol").write_text(name)
    (tmp_path / "test" / "Helper.sol").write_text("")
    (tmp_path / "tools" / "mutation.toml").write_text(
        'never = ["test/unit/Gas.t.sol"]\n[Both]\nfiles = ["src/*.sol", "src/deep/*.sol"]\nfirst = ["test/unit/Other.t.sol"]\n'
    )
    return tmp_path


def test_a_listed_target_has_its_files_and_tests(folder):
    assert campaign.load_target("Both", folder) == Target(
        "Both",
        ("src/C.sol", "src/deep/D.sol"),
        ("test/unit/Other.t.sol",),
        ("test/unit/C.t.sol", "test/unit/CExtra.t.sol"),
    )


def test_any_contract_is_a_target_with_the_tests_of_its_name(folder):
    found = campaign.load_target("C", folder)
    assert (found.files, found.first) == (("src/C.sol",), ("test/unit/C.t.sol", "test/unit/CExtra.t.sol"))
    assert campaign.load_target("D", folder).first == tuple(
        f"test/unit/{one}.t.sol" for one in ("C", "CExtra", "Other")
    )


def test_an_unknown_target_is_an_error(folder):
    with pytest.raises(ConfigError, match="under the name Nobody"):
        campaign.load_target("Nobody", folder)


def test_the_listed_targets_of_this_repository_exist():
    assert "src/rounds/RoundState.sol" in campaign.load_target("RoundManager").files
    found = campaign.load_target("RewardDistributor")
    assert "src/libraries/RewardMath.sol" in found.files
    assert not any(test.startswith("test/Gas") for test in (*found.first, *found.rest))
    assert any(test.startswith("test/invariant/") for test in found.rest)


def excuse(within: str = "x < y;", mutated: str = "<=", reason: str = "a limit of the type") -> Excuse:
    return Excuse("src/C.sol", within, "<", mutated, reason)


def test_excuses_name_line_and_change(folder):
    target = campaign.load_target("C", folder)
    found = [mutant(SOURCE.index("x <") + 2), mutant(SOURCE.rindex("x <") + 2), mutant(SOURCE.index("a <") + 2)]
    assert campaign.excused(found, [excuse()], target, folder) == {found[0].id, found[1].id}
    assert campaign.excused(found, [excuse("a < b;")], target, folder) == {found[2].id}
    elsewhere = Excuse("src/deep/D.sol", "x", "<", "<=", "not of this target")
    assert campaign.excused(found, [elsewhere], target, folder) == set()


@pytest.mark.parametrize("stale", [excuse("x > y;"), excuse(mutated=">")])
def test_an_excuse_that_fits_nothing_is_an_error(folder, stale):
    target = campaign.load_target("C", folder)
    with pytest.raises(ConfigError, match="fits no mutant"):
        campaign.excused([mutant(SOURCE.index("x <") + 2)], [stale], target, folder)


@pytest.mark.parametrize(
    ("fields", "says"),
    [("reason = ' '", "has no reason"), ("", "other fields"), ("reason = 'r'\nline = 3", "other fields")],
)
def test_every_excuse_has_its_reason(folder, fields, says):
    entry = f"[[equivalent]]\nfile = 'f'\nwithin = 'w'\noriginal = '<'\nmutated = '<='\n{fields}\n"
    (folder / "tools" / "equivalent.toml").write_text(entry)
    with pytest.raises(ConfigError, match=says):
        campaign.load_excuses(folder)


def test_the_excuses_of_this_repository_are_well_formed():
    assert all(len(one.reason) > 10 for one in campaign.load_excuses())


def test_the_score_counts_what_compiled_and_was_noticed():
    assert record(killed=6, timeout=1, survived=3, invalid=5).score == 70
    assert record(invalid=5).score is None
    assert summary(record(killed=3, survived=1)).startswith("C: score 75.0 % of 4 (3 killed, 0 timeout, 1 survived")


def test_results_are_kept_beside_those_of_other_names(tmp_path):
    path = tmp_path / "deep" / "mutation.json"
    first = record(killed=2, survived=1)
    campaign.save_record(first, path)
    second = record(survived=1)
    second.target = "D"
    campaign.save_record(second, path)
    assert campaign.read_records(path) == {"C": first, "D": second}
    document = json.loads(path.read_text())["contracts"]
    assert (document["C"]["score"], document["C"]["survived"], document["D"]["score"]) == (66.67, 1, 0.0)
    (survivor,) = document["C"]["survivors"]
    assert survivor == {"file": "src/C.sol", "line": 1, "operator": "relation", "original": "<", "mutated": "<="}


def test_a_broken_results_file_is_an_error_and_an_older_one_is_left_out(tmp_path):
    path = tmp_path / "mutation.json"
    assert campaign.read_records(path) == {}
    path.write_text('{"version": 0}')
    assert campaign.read_records(path) == {}
    path.write_text('{"version": 1}')
    with pytest.raises(ConfigError, match="broken"):
        campaign.read_records(path)


def test_results_are_believed_again_while_they_hold():
    one, two, three, four = (mutant(start) for start in range(4))
    old = Record("C")
    for entry in (result(one), result(two, "survived"), result(three, source="other"), result(four, "invalid")):
        old.results[entry.mutant.id] = entry
    assert set(reusable(old, "s", "t")) == {one.id, two.id, four.id}
    assert set(reusable(old, "s", "new tests")) == {one.id, four.id}
    assert reusable(old, "changed", "t") == reusable(None, "s", "t") == {}


def test_a_sample_is_drawn_by_seed_from_what_is_not_equivalent():
    found = [mutant(start) for start in range(50)]
    drawn = choose(found, {found[0].id}, 10, 1)
    assert len(drawn) == 10
    assert found[0] not in drawn
    assert drawn == choose(found, {found[0].id}, 10, 1)
    assert {one.id for one in drawn} != {one.id for one in choose(found, {found[0].id}, 10, 2)}
    whole = choose(found, {found[0].id}, None, 1)
    assert whole == choose(found, {found[0].id}, 80, 1)
    assert sorted(whole, key=lambda one: one.start) == found[1:] != whole
    assert whole[:10] == drawn  # a smaller sample is the beginning of a larger one
    fewer = choose(found, {found[0].id, drawn[3].id}, None, 1)
    assert fewer == [one for one in whole if one != drawn[3]]  # an excuse moves no other


def test_fingerprints_follow_names_and_contents(folder):
    before = campaign.fingerprint(folder, ["src/**/*.sol"])
    assert before == campaign.fingerprint(folder, ["src/**/*.sol", "src/C.sol"])
    (folder / "src" / "C.sol").rename(folder / "src" / "E.sol")
    renamed = campaign.fingerprint(folder, ["src/**/*.sol"])
    (folder / "src" / "E.sol").write_text(SOURCE + " ")
    assert len({before, renamed, campaign.fingerprint(folder, ["src/**/*.sol"])}) == 3


# --- a run of forge ---------------------------------------------------------------------------------------------------


def told(**tests: str) -> str:
    results = {name: {"status": status, "kind": {}} for name, status in tests.items()}
    return json.dumps({"test/C.t.sol:CTest": {"test_results": results}})


def test_all_tests_passing_means_it_survived():
    assert classify(0, told(a="Success", b="Success"), "") == ("survived", "2 tests passed")


def test_one_failing_test_kills_and_is_named():
    assert classify(0, told(b="Failure", a="Failure", c="Success"), "") == ("killed", "test/C.t.sol:CTest:a")


def test_what_does_not_compile_is_neither():
    said = "Compiler run failed:\nError (7576): Undeclared identifier.\n"
    assert classify(1, said, "Error: Compilation failed\n") == ("invalid", "Error (7576): Undeclared identifier.")


@pytest.mark.parametrize(
    ("status", "output", "errors"),
    [
        (1, "", "Error: No tests found in project"),
        (0, "{}", ""),
        (-9, "", ""),
        (101, told(a="Success"), "thread 'main' panicked"),
        (0, told(a="Success", b="Skipped"), ""),
        (127, "", "cannot execute"),
    ],
)
def test_anything_else_is_an_error_and_never_a_kill(status, output, errors):
    with pytest.raises(SetupError, match=f"status {status}"):
        classify(status, output, errors)

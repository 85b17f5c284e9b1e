"""`commonweight audit`: options, exit codes, JSON and the page, over a report that is handed in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from node import cli, queries
from node.audit.base import Finding
from node.audit.report import AuditReport
from node.cli.base import app
from node.protocol.errors import AuditFailed, ConfigError

Asked = dict[str, Any]
Run = Callable[..., Any]


def report(*differences: Finding) -> AuditReport:
    return AuditReport(
        ok=not differences,
        checked={"events": 7},
        findings=[str(one) for one in differences],
        differences=list(differences),
        chain_id=5,
        blocks=(1, 9),
    )


CLEAN = report()
BAD = report(Finding("a vote weighs 3, computed 2.", 4, "0xabc"), Finding("supply: 1, the events add up to 2.", 9, ""))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the command asked for; ``answer`` is what it gets."""
    seen: Asked = {"answer": CLEAN}

    async def run_audit(_config: object, **options: Any) -> AuditReport:
        seen.update(options)
        answer: AuditReport = seen["answer"]
        return answer

    monkeypatch.setattr(queries, "run_audit", run_audit)
    monkeypatch.setattr("node.cli.audit.resolve", lambda *_: None)
    return seen


def run(*options: str) -> Any:
    assert cli.__doc__
    return CliRunner().invoke(app, ["audit", *options])


def test_a_history_that_adds_up(asked: Asked) -> None:
    answer = run()
    assert (answer.exit_code, answer.exception) == (0, None)
    assert "The history adds up." in answer.output
    assert asked == {"answer": CLEAN, "ledger_only": False, "rescore": 0, "detailed_rounds": None, "gateway": ""}


def test_options_reach_the_audit(asked: Asked) -> None:
    run("--rescore", "all", "--details", "20", "--gateway", "http://g")
    assert (asked["rescore"], asked["detailed_rounds"], asked["gateway"]) == (None, 20, "http://g")
    run("--rescore", "3", "--details", "all")
    assert (asked["rescore"], asked["detailed_rounds"]) == (3, None)
    run("--ledger-only")
    assert asked["ledger_only"]


def test_a_difference_is_a_failure_that_names_the_first(asked: Asked) -> None:
    asked["answer"] = BAD
    answer = run()
    assert isinstance(answer.exception, AuditFailed)
    assert "a vote weighs 3, computed 2. (block 4, transaction 0xabc)" in str(answer.exception)
    assert answer.exception.exit_code == 8
    assert "adds up." not in answer.output


def test_json_says_it_all(asked: Asked) -> None:
    asked["answer"] = BAD
    answer = run("--json")
    value = json.loads(answer.stdout)
    assert value["first_difference"] == {"what": "a vote weighs 3, computed 2.", "block": 4, "transaction": "0xabc"}
    assert len(value["findings"]) == 2
    assert not value["ok"]
    assert isinstance(answer.exception, AuditFailed)


def test_the_page_is_written_before_the_failure(asked: Asked, tmp_path: Path) -> None:
    asked["answer"] = BAD
    run("--html", str(tmp_path / "audit.html"))
    text = (tmp_path / "audit.html").read_text()
    assert "does not add up" in text
    assert "0xabc" in text


@pytest.mark.parametrize(
    "options",
    [
        ("--rescore", "some"),
        ("--rescore", "-1"),
        ("--details", "1.5"),
        ("--ledger-only", "--rescore", "1"),
        ("--html", "/no/such/folder/audit.html"),
    ],
)
def test_what_cannot_be_done_is_refused_with_advice(asked: Asked, options: tuple[str, ...]) -> None:
    error = run(*options).exception
    assert isinstance(error, ConfigError), error
    assert error.hint

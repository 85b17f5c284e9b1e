"""`commonweight audit` leaves its report where the dashboard looks, and is none the worse where it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from node.cli.audit import REPORT_FILE, _keep


class Report:
    def to_json(self) -> dict[str, Any]:
        return {"ok": False, "checked": {"events": 3}, "findings": ["a balance differs (block 12)"]}


def test_the_report_is_kept_whole(tmp_path: Path) -> None:
    _keep(tmp_path / "new" / REPORT_FILE, Report())  # type: ignore[arg-type]
    assert json.loads((tmp_path / "new" / "audit.json").read_bytes()) == Report().to_json()


def test_a_folder_that_cannot_be_written_is_said_and_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    _keep(tmp_path / "file" / REPORT_FILE, Report())  # type: ignore[arg-type]
    assert "will not show this audit" in capsys.readouterr().err

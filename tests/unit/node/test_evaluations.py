"""What a machine measured: kept by round, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node import evaluations
from node.protocol.errors import ConfigError


def test_values_of_rounds_are_added_and_sorted(tmp_path: Path) -> None:
    evaluations.record(tmp_path, "mrr", {2: 0.4, 0: 0.3})
    evaluations.record(tmp_path, "mrr", {1: 0.35, 2: 0.41})
    assert evaluations.read(tmp_path, "mrr") == {0: 0.3, 1: 0.35, 2: 0.41}
    assert list(json.loads((tmp_path / "evaluations.json").read_bytes())["values"]) == ["0", "1", "2"]


def test_another_metric_starts_anew(tmp_path: Path) -> None:
    evaluations.record(tmp_path, "mrr", {0: 0.3})
    assert evaluations.read(tmp_path, "f1") == {}
    evaluations.record(tmp_path, "f1", {1: 0.5})
    assert evaluations.read(tmp_path, "f1") == {1: 0.5}


def test_a_value_that_is_no_number_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    evaluations.record(tmp_path, "mrr", {0: 0.3})
    with pytest.raises(ConfigError, match="round 1 is nan"):
        evaluations.record(tmp_path, "mrr", {1: float("nan"), 2: 0.4})
    assert evaluations.read(tmp_path, "mrr") == {0: 0.3}


@pytest.mark.parametrize("damaged", [b"", b"[]", b'{"values": 3}', b'{"values": {"x": 1}}', b'{"values": {"1": []}}'])
def test_a_damaged_file_is_named(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "evaluations.json").write_bytes(damaged)
    with pytest.raises(ConfigError, match=r"evaluations\.json cannot be read"):
        evaluations.read(tmp_path, "mrr")

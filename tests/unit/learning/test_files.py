"""Data files from outside: every broken line is named or counted, huge and damaged files are refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from learning.errors import DataError
from learning.sources.files import (
    ReadReport,
    label_field,
    read_jsonl,
    read_lines,
    text_field,
    tokens_field,
    write_jsonl,
)

GOOD = b'{"a": "1"}\n'


def name(row: Mapping[str, Any]) -> str:
    return text_field(row, "a")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{\n", "not JSON"),
        (b"[]\n", "not a JSON object"),
        (b'{"b": "1"}\n', "'a' is missing"),
        (b'{"a": 1.5}\n', "'a' is not text"),
        (b'{"a": "\\ud800"}\n', "lone surrogate"),
        (b'{"a": "\xff"}\n', "not UTF-8"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b'{"a": "' + b"x" * 300_000 + b'"}\n', "longer than"),
    ],
)
def test_broken_lines_are_named_or_counted(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(GOOD + b"\n" + line + GOOD)
    with pytest.raises(DataError, match=rf"data\.jsonl, line 3: .*{message}"):
        list(read_jsonl(path, name, ReadReport(), max_line=200_000))
    report = ReadReport(lenient=True)
    assert list(read_jsonl(path, name, report, max_line=200_000)) == ["1", "1"]
    assert report.skipped == {"broken lines": 1}
    assert "line 3" in report.to_mapping()["first_skipped"][0]


def test_lines_stream_also_gzipped_and_without_last_break(tmp_path: Path) -> None:
    data = "é 1\r\n\n  \nzwei".encode()
    (tmp_path / "a.txt").write_bytes(data)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(data))
    for file in ("a.txt", "a.txt.gz"):
        assert list(read_lines(tmp_path / file, ReadReport())) == [(1, "é 1"), (4, "zwei")]


def test_huge_missing_and_damaged_files_are_refused_even_leniently(tmp_path: Path) -> None:
    (tmp_path / "big.txt").write_bytes(b"x\n" * 100)
    bomb = gzip.compress(b"x" * 500_000)
    (tmp_path / "bomb.txt.gz").write_bytes(bomb)
    (tmp_path / "cut.txt.gz").write_bytes(bomb[:-20])
    (tmp_path / "no.txt.gz").write_bytes(b"no gzip")
    for file, message in (
        ("big.txt", "200 bytes, more than 199"),
        ("bomb.txt.gz", "more bytes than allowed"),
        ("missing.txt", "cannot be read"),
        ("no.txt.gz", "cannot be read"),
    ):
        with pytest.raises(DataError, match=message):
            list(
                read_lines(
                    tmp_path / file,
                    ReadReport(lenient=True),
                    max_bytes=199 if file == "big.txt" else 100_000,
                    max_line=50_000,
                )
            )
    (tmp_path / "lines.txt.gz").write_bytes(gzip.compress(b"x\n" * 10_000))
    with pytest.raises(DataError, match="more than 9999 bytes"):
        list(read_lines(tmp_path / "lines.txt.gz", ReadReport(lenient=True), max_bytes=9_999))
    assert len(list(read_lines(tmp_path / "lines.txt.gz", ReadReport(), max_bytes=20_000))) == 10_000
    with pytest.raises(DataError, match=r"cut off|cannot be read"):
        list(read_lines(tmp_path / "cut.txt.gz", ReadReport(lenient=True)))


def test_report_keeps_the_first_few_only(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{\n" * 50)
    report = ReadReport(lenient=True)
    assert list(read_jsonl(tmp_path / "a.jsonl", name, report)) == []
    assert (report.skipped["broken lines"], len(report.first), report.lines) == (50, 5, 50)


def test_fields() -> None:
    assert text_field({"b": 7}, "a", "b") == "7"
    assert text_field({}, "a", default="x") == "x"
    assert tokens_field({"t": ["a", " b\nc "]}, "t") == "a b c"
    assert tokens_field({}, "t") is None
    assert [label_field({"y": v}, "y") for v in (0, 1, "0", "1", True, 1.0)] == [0, 1, 0, 1, 1, 1]
    for wrong in (2, "yes", [1], None):
        with pytest.raises(DataError):
            label_field({"y": wrong}, "y")
    for wrong in ("text", [1], {"a": 1}):
        with pytest.raises(DataError, match="not a list of texts"):
            tokens_field({"t": wrong}, "t")


def test_written_rows_are_canonical(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "deep" / "a.jsonl", iter([{"b": 1, "a": "é"}]))
    assert (tmp_path / "deep/a.jsonl").read_bytes() == '{"a":"é","b":1}\n'.encode()
    assert json.loads((tmp_path / "deep/a.jsonl").read_text()) == {"a": "é", "b": 1}

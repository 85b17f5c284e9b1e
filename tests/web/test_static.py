"""The page's files: the chart library is what npm published, and nothing in our own could turn text into code."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

STATIC = Path(__file__).resolve().parents[2] / "node" / "web" / "static"
SOURCES = json.loads((STATIC / "vendor" / "SOURCES.json").read_text("utf-8"))
BAD = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc",
    r"\beval\(|new Function|javascript:[^ ]",
    r"\bstyle=|setAttribute\(.style|\son\w+=",
    r"https?://(?!www\.w3\.org)",  # nothing from elsewhere
)
OURS = sorted(path for kind in ("*.js", "*.css", "*.html") for path in STATIC.rglob(kind) if "vendor" not in path.parts)


def test_the_chart_library_is_what_was_published() -> None:
    recorded = {
        STATIC / "vendor" / name / Path(file).name: digest
        for name, source in SOURCES.items()
        for file, digest in source["files"].items()
    }
    there = {path for path in (STATIC / "vendor").rglob("*") if path.is_file() and path.name != "SOURCES.json"}
    assert set(recorded) == there
    for path, digest in recorded.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, path.name


def test_it_comes_with_its_licence() -> None:
    for name, source in SOURCES.items():
        text = (STATIC / "vendor" / name / "LICENSE").read_text("utf-8")
        assert source["licence"] in text
        assert re.fullmatch(r"\d+\.\d+\.\d+", source["version"])


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_our_files_hold_no_way_from_text_to_code(path: Path) -> None:
    text = path.read_text("utf-8")
    for bad in BAD:
        assert not re.search(bad, text), bad
    assert len(text.splitlines()) < 500


@pytest.mark.parametrize("path", [p for p in OURS if p.suffix in {".js", ".css"}], ids=lambda path: path.name)
def test_first_lines_say_what_a_file_is(path: Path) -> None:
    assert path.read_text("utf-8").startswith(("// ", "/* "))

"""docs/configuration.md names every setting with its default and meaning, and nothing else."""

from __future__ import annotations

from pathlib import Path

from node.config import describe

DOC = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_table_is_the_code():
    rows = []
    for name, kind, default, text in describe():
        shown = ", ".join(default) if isinstance(default, tuple) else str(default)
        rows.append(f"| `{name}` | {kind} | {f'`{shown}`' if shown else ''} | {text} |")
    written = [line for line in DOC.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert written == rows

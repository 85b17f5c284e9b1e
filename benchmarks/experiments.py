"""Keeps the reports of `make experiments-small`: results with machine and versions, and the tables and pictures of docs/experiments.md.

    python -m benchmarks.experiments [--out build/experiments]

Writes benchmarks/results/experiments_small.json, docs/images/experiments-table*.svg, and what stands between the two marks of the page.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from learning.experiment.report import markdown, source

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "experiments_small.json"
PAGE = ROOT / "docs" / "experiments.md"
IMAGES = ROOT / "docs" / "images"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main() -> None:
    """Collect what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "experiments")
    folder = parser.parse_args().out
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("table*-small.json"))]
    if not reports:
        raise SystemExit(f"{folder} holds no reports: run `make experiments-small` first.")
    sections = []
    for report in reports:
        picture = f"experiments-{report['name'].removesuffix('-small')}.svg"
        shutil.copyfile(folder / f"{report['name']}.svg", IMAGES / picture)
        sections.append(markdown(report, f"images/{picture}").replace("## ", "### ", 1))
    RESULTS.write_text(_text({"paper": source(), "reports": reports}) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(sections) + f"{END}{after}", encoding="utf-8")
    for report in reports:
        print(f"{report['name']}: {len(report['rows'])} rows, {report['seconds']:.0f} s of training")


def _text(value: dict[str, Any]) -> str:
    """JSON with one row a line, so that it stays small and can be compared line by line."""
    lines = []
    for report in value["reports"]:
        parts = []
        for key, found in report.items():
            if isinstance(found, list) and found and isinstance(found[0], dict):
                rows = ",\n".join("    " + json.dumps(row, ensure_ascii=False) for row in found)
                parts.append(f"   {json.dumps(key)}: [\n{rows}\n   ]")
            else:
                parts.append(f"   {json.dumps(key)}: {json.dumps(found, ensure_ascii=False)}")
        lines.append("  {\n" + ",\n".join(parts) + "\n  }")
    return (
        f'{{\n "paper": {json.dumps(value["paper"], ensure_ascii=False)},\n "reports": [\n'
        + ",\n".join(lines)
        + "\n ]\n}"
    )


if __name__ == "__main__":
    main()

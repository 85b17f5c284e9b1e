"""The numbers of arXiv 2404.06201, for comparison; where they come from stands in ``tables/paper.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

NOT_AT_HAND = "not at hand"


@dataclass(frozen=True, slots=True)
class Published:
    """One published number. ``model`` is empty where the table names none."""

    model: str
    value: float


@lru_cache(maxsize=1)
def tables() -> dict[str, Any]:
    """The file, parsed."""
    text = resources.files("learning.experiment").joinpath("tables/paper.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def published(table: int, partition: str, algorithm: str, metric: str) -> list[Published]:
    """The table's numbers for a kind of partition and an algorithm, one a model; empty: not at hand."""
    rows = tables()["tables"].get(str(table), {}).get("rows", [])
    return [
        Published(row["model"], row[metric])
        for row in rows
        if row["partition"] == partition and row["algorithm"] == algorithm and metric in row
    ]

"""What this machine measured of the rounds' models, kept in ``evaluations.json`` of the node's folder; the dashboard draws it.

```json
{"name": "mrr", "unit": "", "values": {"0": 0.3257, "1": 0.3595}}
```
The key is the round (0: the genesis model), the value the guideline's metric on the community's public benchmark.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from node.protocol.errors import ConfigError
from node.store import write_atomic

FILE = "evaluations.json"


def read(folder: Path, name: str) -> dict[int, float]:
    """Values of a metric by round; none if the file is not there, or holds another metric's.

    Args:
        folder: the node's data folder.
        name: the metric.

    Raises:
        ConfigError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
        values = {int(number): float(value) for number, value in found["values"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} cannot be read.", why=repr(error), hint="Remove it and measure again (`round measure`)."
        ) from error
    return values if found.get("name") == name else {}


def record(folder: Path, name: str, values: Mapping[int, float]) -> None:
    """Add measured values; those of other rounds stay.

    Raises:
        ConfigError: a value that is not finite, or a damaged file.
        SetupError: the disk is full or read-only.
    """
    odd = {number: value for number, value in values.items() if not math.isfinite(value)}
    if odd:
        raise ConfigError(f"The {name} of round {min(odd)} is {odd[min(odd)]}; nothing was recorded.")
    known = {**read(folder, name), **values}
    rows = {str(number): known[number] for number in sorted(known)}
    write_atomic(folder / FILE, json.dumps({"name": name, "unit": "", "values": rows}).encode())

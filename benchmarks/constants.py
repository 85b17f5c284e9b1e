"""The scoring constants of the local network, read from its own file, so that benchmarks measure what nodes run."""

from __future__ import annotations

import tomllib
from pathlib import Path

from incentives.scoring import TallyParams

NETWORK = Path(__file__).parents[1] / "deploy" / "networks" / "localnet.toml"


def localnet_tally() -> TallyParams:
    """Tolerance and thresholds of `deploy/networks/localnet.toml`."""
    return TallyParams(**tomllib.loads(NETWORK.read_text("utf-8"))["scoring"])

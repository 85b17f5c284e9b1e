"""Measures the models of rounds on the public benchmark, for this machine's dashboard (`node.evaluations`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from incentives.ownership import BEST_SCORE
from node import evaluations
from node.config import Config
from node.dao import files as content
from node.dao.desk import Desk, open_desk
from node.dao.files import CommandFiles, open_files
from node.dao.measure import local_measure, metric_name
from node.protocol.cid import cid_from_digest
from node.protocol.errors import ConfigError
from node.protocol.state import State
from node.protocol.types import Phase
from node.runtime import read_file

PUBLIC = "public"


async def measure_rounds(
    config: Config, numbers: Sequence[int] | None, progress: Callable[[int, float], None] | None = None
) -> dict[str, Any]:
    """Measure models of finalised rounds on the public benchmark, and keep the values.

    Args:
        config: whose machine.
        numbers: rounds, 0 being the genesis model; None: all that are not measured yet.
        progress: told of each (round, value).

    Returns:
        ``metric`` and all kept ``rounds``: round, value, change since the one before.

    Raises:
        ConfigError: a round that is not finalised.
        BlobUnavailable: a model that nobody serves.
    """
    rows = read_file(config.network.public_benchmark, "public benchmark", "It comes with the network.")
    folder = config.node.data
    async with open_desk(config) as desk, open_files(config) as files:
        state = await desk.state()
        done = {0, *(number for number, found in state.rounds.items() if found.phase is Phase.FINALIZED)}
        wrong = [number for number in numbers or () if number not in done]
        if wrong:
            raise ConfigError(f"Round {wrong[0]} is not finalised.", hint="`commonweight round list` shows rounds.")
        metric = metric_name(await content.guideline_of(desk, files, max(state.epochs)))
        wanted = done - set(evaluations.read(folder, metric)) if numbers is None else set(numbers)
        for number in sorted(wanted):
            value = await _measure(desk, files, state, number, rows)
            evaluations.record(folder, metric, {number: value})
            if progress is not None:
                progress(number, value)
    kept = sorted(evaluations.read(folder, metric).items())
    return {
        "metric": metric,
        "rounds": [
            {"round": number, "value": value, "change": value - kept[place - 1][1] if place else None}
            for place, (number, value) in enumerate(kept)
        ],
    }


async def _measure(desk: Desk, files: CommandFiles, state: State, number: int, rows: bytes) -> float:
    if number:
        found = state.rounds[number]
        assert found.proposal is not None, "finalised rounds have a model"
        digest, cid, epoch = found.proposal.model_hash, cid_from_digest(found.proposal.cid), found.epoch
    else:
        digest, cid, epoch = desk.manifest.genesis.hash, desk.manifest.genesis.cid, min(state.epochs)
    guideline = await content.guideline_of(desk, files, epoch)
    model = await content.checkpoint(desk, files, digest, cid, guideline.update.max_bytes)
    return (await local_measure(desk.config, guideline)(model, {PUBLIC: rows}))[PUBLIC] / BEST_SCORE

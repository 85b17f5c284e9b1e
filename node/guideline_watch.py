"""Tells the operator of a running node that the guideline changed, and which line, if any, this node cannot honour.

The node takes no part in rounds under a guideline other than its own (`node.driver`); a new one is taken over by the operator, since it
may ask for other data or other hardware: `commonweight guideline fetch`, and a restart.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

from node.config import Config
from node.dao.honour import faults_here
from node.ports import BlobStore, Chain
from node.protocol.cid import cid_from_digest
from node.protocol.errors import CommonweightError, ConfigError
from node.protocol.guideline import MAX_BYTES, Guideline
from node.protocol.hashing import keccak256
from node.protocol.types import Call

log = logging.getLogger("commonweight.guideline")


@dataclass(slots=True)
class GuidelineWatch:
    """Looks at the guideline in force.

    Attributes:
        config: the node's settings.
        chain: reads the registry.
        blobs: fetches a new guideline by its CID.
        mine: hash of the node's own guideline.
        trains: whether the node trains or scores.
        found: what to show: empty while nothing changed.
    """

    config: Config
    chain: Chain
    blobs: BlobStore
    mine: bytes
    trains: bool
    found: dict[str, Any] = field(default_factory=dict)

    async def look(self) -> dict[str, Any]:
        """What is in force, compared with the node's own; empty where it is the same.

        Raises:
            CommonweightError: chain or file could not be had.
        """
        epoch, in_force, _ = await self.chain.read(Call("GuidelineRegistry", "current"))
        if in_force == self.mine:
            self.found = {}
        elif self.found.get("hash") != in_force.hex():
            self.found = {"epoch": epoch, "hash": in_force.hex(), **await self._judge(epoch, in_force)}
            refused = self.found["refused"]
            what = f"it cannot honour {refused[0]}" if refused else "`commonweight guideline fetch` takes it over"
            log.warning("guideline epoch %d is in force, this node follows another; %s", epoch, what)
        return self.found

    async def _judge(self, epoch: int, in_force: bytes) -> dict[str, Any]:
        entry = await self.chain.read(Call("GuidelineRegistry", "epochOf", (epoch,)))
        cid = cid_from_digest(entry["guidelineCid"])
        data = await self.blobs.get(cid, max_bytes=MAX_BYTES, seconds=self.config.pace.fetch_seconds)
        if keccak256(data) != in_force:
            return {"refused": [f"{cid} does not have the hash that the chain names"]}
        try:
            faults = await asyncio.to_thread(faults_here, Guideline.parse(data), self.config, trains=self.trains)
        except ConfigError as error:
            return {"refused": [str(error)]}
        return {"refused": [str(fault) for fault in faults]}

    async def run(self, seconds: float = 5.0) -> None:
        """Look for ever; what fails is tried again."""
        while True:
            try:
                await self.look()
            except CommonweightError as error:
                log.info("the guideline in force could not be looked at: %s", error)
            await asyncio.sleep(seconds)

"""Re-derives every model: fetches each round's bundles by CID, checks hash and schema, aggregates again, compares bit for bit.

A sample of the verdicts is scored again on the round's revealed slice, if a trainer is at hand. `node.audit.round_models` does one round.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from node.audit.round_models import RoundAudit, RoundModel
from node.ports import BlobStore, ScoreJob, Trainer
from node.protocol.cid import cid_from_digest
from node.protocol.errors import BlobError, ConfigError
from node.protocol.guideline import MAX_BYTES, Guideline
from node.protocol.guidelines import Epoch
from node.protocol.state import Round
from node.protocol.types import Address

__all__ = ["ModelAuditor", "RoundModel"]


@dataclass(slots=True)
class ModelAuditor:
    """Fetches and recomputes.

    Attributes:
        blobs: any IPFS store; every byte it returns is checked, so it need not be trusted.
        guideline: the founding one; a later epoch's is fetched and checked against the hash on chain.
        chain_id: bound into the secrets.
        round_manager: bound into the secrets.
        fetch_seconds: longest wait for one file.
        trainer: scores updates again; None: no verdict is.
        rescore: verdicts of each round to score again; None: all.
        public_benchmark: scores unsealed rounds.
        tau: two gains agree when they differ by at most this, ppm.
        seed: draws the sample; nobody knew it when the verdicts were given.
        models: the newest checkpoints by SHA-256.
        lineage: (hash, CID) of the parent of each of the newest models.
    """

    blobs: BlobStore
    guideline: Guideline
    chain_id: int
    round_manager: Address
    fetch_seconds: float = 30.0
    trainer: Trainer | None = None
    rescore: int | None = 0
    public_benchmark: bytes | None = None
    tau: int = 0
    seed: int = 0
    models: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)
    lineage: OrderedDict[bytes, tuple[bytes, bytes]] = field(default_factory=OrderedDict)
    _guidelines: dict[bytes, Guideline] = field(default_factory=dict)
    _followed: bytes = b""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def round(self, found: Round, epoch: Epoch | None) -> RoundModel:
        """Audit the model of a finalised round, its files and, by sample, its verdicts.

        Args:
            found: the round.
            epoch: the guideline epoch that it opened under; None: the founding one.
        """
        result = RoundModel()
        guideline = await self._guideline(result, found, epoch)
        if guideline is not None:
            tau = self.tau if epoch is None else epoch.scoring.tau
            await RoundAudit(self, result, found, guideline, tau).run()
        return result

    async def _guideline(self, result: RoundModel, found: Round, epoch: Epoch | None) -> Guideline | None:
        if found.guideline_hash == self.guideline.hash:
            return self.guideline
        if found.guideline_hash in self._guidelines:
            return self._guidelines[found.guideline_hash]
        what = f"Guideline of round {found.number}"
        try:
            cid = cid_from_digest(epoch.guideline_cid if epoch is not None else found.guideline_hash)
            data = await self.blobs.get(cid, max_bytes=MAX_BYTES, seconds=self.fetch_seconds)
            guideline = Guideline.parse(data)
        except (BlobError, ConfigError) as error:
            result.expect("guidelines fetched", False, f"{what} could not be had: {error}")
            return None
        matches = guideline.hash == found.guideline_hash
        result.expect("guidelines fetched", matches, f"{what} does not have the hash recorded on chain.")
        if not matches:
            return None
        self._guidelines[found.guideline_hash] = guideline
        return guideline

    async def score(self, job: ScoreJob, guideline: Guideline) -> Sequence[int]:
        """Raw gains of one job, under the guideline of its round; one job at a time."""
        assert self.trainer is not None
        async with self._turn:
            if guideline.hash != (self._followed or self.guideline.hash):
                await self.trainer.follow(guideline.learning, guideline.update.max_bytes)
                self._followed = guideline.hash
            return await self.trainer.score(job)

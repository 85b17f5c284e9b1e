"""Re-derives every model: fetches each round's bundles by CID, checks hash and schema, aggregates again, compares bit for bit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from aggregation.bundle import decode
from aggregation.errors import UpdateRejected
from node.combine import check_update, combine, trainable_schema
from node.ports import SLICE_MAX_BYTES, BlobStore
from node.protocol.cid import cid_from_digest
from node.protocol.commitments import RoundScope, aggregate_secret
from node.protocol.errors import BlobError
from node.protocol.guideline import Guideline
from node.protocol.state import Reveal, Round, State
from node.protocol.types import Address, Phase, UpdateStatus
from node.store import sha256


@dataclass(slots=True)
class ModelAudit:
    """What was checked how often, what was wrong, and the model hash computed for each finalised round."""

    checked: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    hashes: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class ModelAuditor:
    """Fetches and recomputes.

    Attributes:
        blobs: any IPFS store; every byte it returns is checked, so it need not be trusted.
        guideline: pinned by hash in every round (the ledger audit compares the hashes).
        chain_id: bound into the secrets.
        round_manager: bound into the secrets.
        fetch_seconds: longest wait for one file.
    """

    blobs: BlobStore
    guideline: Guideline
    chain_id: int
    round_manager: Address
    fetch_seconds: float = 30.0
    result: ModelAudit = field(default_factory=ModelAudit)

    async def run(self, state: State) -> ModelAudit:
        """Audit the models of all finalised rounds, and the reasons of all rejections of form."""
        for number in sorted(state.rounds):
            found = state.rounds[number]
            if found.phase is Phase.FINALIZED:
                await self._round(found)
        return self.result

    def _expect(self, subject: str, truth: bool, what: str) -> None:  # noqa: FBT001 - the verdict itself
        self.result.checked[subject] += 1
        if not truth:
            self.result.findings.append(what)

    async def _get(self, cid: bytes, content_hash: bytes, max_bytes: int, what: str) -> bytes | None:
        try:
            data = await self.blobs.get(cid_from_digest(cid), max_bytes=max_bytes, seconds=self.fetch_seconds)
        except BlobError as error:
            self._expect("files fetched", False, f"{what} could not be had: {error}")
            return None
        self._expect("files fetched", True, "")
        matches = sha256(data) == content_hash
        self._expect("content hashes", matches, f"{what} does not have the content hash recorded on chain.")
        return data if matches else None

    async def _round(self, found: Round) -> None:
        assert found.proposal is not None
        limit = self.guideline.update.max_bytes
        parent = await self._get(
            found.parent_model_cid, found.parent_model_hash, limit, f"Parent model of round {found.number}"
        )
        if found.is_sealed and found.benchmark is not None:
            content_hash, cid = found.benchmark
            await self._get(cid, content_hash, SLICE_MAX_BYTES + limit, f"Benchmark slice of round {found.number}")
        if parent is None:
            return
        updates = await self._updates(found, parent)
        if len(updates) != len(found.accepted):
            return
        model = await asyncio.to_thread(combine, parent, updates, self.guideline)
        digest = sha256(model)
        self.result.hashes[found.number] = digest
        self._expect(
            "models re-aggregated",
            digest == found.proposal.model_hash,
            f"Round {found.number}'s model is {digest.hex()} when aggregated again; {found.proposal.model_hash.hex()} was finalised.",
        )
        secret = aggregate_secret(RoundScope(self.chain_id, self.round_manager, found.number), model)
        self._expect(
            "attestation secrets",
            secret == found.proposal.secret,
            f"Round {found.number}'s attestations open with another secret than the model's.",
        )

    async def _updates(self, found: Round, parent: bytes) -> Mapping[bytes, bytes]:
        limits = self.guideline.update
        schema = trainable_schema(decode(parent, max_bytes=limits.max_bytes), self.guideline)
        accepted: dict[bytes, bytes] = {}
        for reveal in found.reveals:
            status = found.settled[reveal.index].status if reveal.index in found.settled else UpdateStatus.PENDING
            if status is UpdateStatus.ACCEPTED:
                data = await self._get(reveal.cid, reveal.content_hash, limits.max_bytes, _name(found, reveal))
                if data is None:
                    continue
                try:
                    check_update(data, schema, self.guideline)
                except UpdateRejected as error:
                    self._expect(
                        "update checks", False, f"{_name(found, reveal)} was accepted but is malformed: {error}"
                    )
                    continue
                self._expect("update checks", True, "")
                accepted[bytes.fromhex(reveal.trainer[2:])] = data
        return accepted


def _name(found: Round, reveal: Reveal) -> str:
    return f"Update of {reveal.trainer} in round {found.number}"

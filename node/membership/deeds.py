"""What a node does by itself about membership: write and send its request, fetch and judge the requests of others."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.membership import signature
from node.membership.checks import Community, failed
from node.membership.judge import Judge
from node.membership.request import (
    VERSION,
    Body,
    DataStatement,
    Hardware,
    Identity,
    Request,
    SampleUpdate,
)
from node.membership.review import VERSION as REVIEW_VERSION
from node.membership.review import Review, shortened
from node.membership.signature import Recover, recover
from node.ports import TrainJob
from node.protocol.cid import digest_from_cid
from node.protocol.guideline import Guideline
from node.protocol.state import Application, State
from node.protocol.types import Address, Call, Cid, Phase
from node.store import sha256

if TYPE_CHECKING:
    from node.executor import Ports

log = logging.getLogger("commonweight.membership")

NOBODY = Address("0x" + "00" * 20)
NO_HARDWARE = Hardware("", "", "", 0, 0, "", (), "")
NO_DATA = DataStatement((), (), 0, 0, 0, 0, 0, "")


async def _no_statement() -> DataStatement:
    return NO_DATA


@dataclass(frozen=True, slots=True)
class Applicant:
    """What this node says of itself when it asks to join, and where.

    Attributes:
        registry: the community's MemberRegistry.
        name: for people.
        hardware: what it trains on.
        statement: measures its data when it is needed.
        encryption_key: X25519 public key.
        recover: finds who signed a request; simulations, whose keys are made up, have their own.
    """

    registry: Address = NOBODY
    name: str = ""
    hardware: Hardware = NO_HARDWARE
    statement: Callable[[], Awaitable[DataStatement]] = _no_statement
    encryption_key: bytes = bytes(32)
    recover: Recover = recover


def community_of(state: State, chain_id: int, guideline: Guideline, applicant: Applicant) -> Community:
    """What requests are held against now."""
    over = [found for found in state.rounds.values() if found.phase is Phase.FINALIZED and found.proposal]
    models = {found.parent_model_hash for found in state.rounds.values()}
    models |= {found.proposal.model_hash for found in over if found.proposal}
    epoch = len(state.guidelines.epochs)
    return Community(
        chain_id=chain_id,
        registry=applicant.registry,
        guideline=guideline,
        epoch=epoch,
        models=models,
        is_running=bool(over),
        recover=applicant.recover,
    )


def current_model(state: State) -> tuple[bytes, bytes] | None:
    """Hash and CID digest of the newest finalised model; None before the first."""
    finalised = [found for found in state.rounds.values() if found.phase is Phase.FINALIZED and found.proposal]
    if not finalised:
        return None
    proposal = max(finalised, key=lambda found: found.number).proposal
    assert proposal is not None, "chosen so above"
    return proposal.model_hash, proposal.cid


def describe_update(data: bytes, cid: Cid, parent: bytes, rows: int) -> SampleUpdate:
    """How a request names a sample update."""
    return SampleUpdate(cid=cid, sha256=sha256(data), length=len(data), parent_model_hash=parent, rows=rows)


@dataclass(slots=True)
class Newcomers:
    """Carries out the applicant's and the reviewer's deeds.

    Attributes:
        ports: doors of the node.
        chain_id: of the chain.
        guideline: in force.
        applicant: what the node says of itself.
        model: gives a checkpoint by hash and CID digest.
        compress: an update's bytes as they travel, from trained bytes and parent checkpoint.
        fetch_seconds: how long to wait for one file.
        seed: of local sampling.
    """

    ports: Ports
    chain_id: int
    guideline: Guideline
    applicant: Applicant
    model: Callable[[bytes, bytes], Awaitable[bytes]]
    compress: Callable[[bytes, bytes], Awaitable[bytes]]
    fetch_seconds: float
    seed: int

    def community(self, state: State) -> Community:
        """What requests are held against."""
        return community_of(state, self.chain_id, self.guideline, self.applicant)

    async def apply(self, state: State) -> None:
        """Write, sign, publish and send our request; with a sample update once there is a model to improve."""
        assert self.ports.gossip is not None, "an applicant needs a peer id"
        signer, who = self.ports.signer, self.applicant
        peer_id, samples = self.ports.gossip.peer_id, await self._sample(state)
        body = Body(
            chain_id=self.chain_id,
            registry=who.registry,
            identity=Identity(signer.address, peer_id, who.encryption_key, who.name),
            hardware=who.hardware,
            data=await who.statement(),
            guideline=self.community(state).accepted,
            sample_updates=samples,
            test_sets=(),
        )
        domain = signature.domain(self.chain_id, who.registry)
        signed = signer.sign_typed(domain, signature.TYPES, signature.message(signer.address, body.hash))
        data = Request(VERSION, body, signed).encode()
        cid = digest_from_cid(await self.ports.blobs.put(data))
        arguments = (sha256(data), cid, peer_id.encode(), who.encryption_key)
        await self.ports.chain.send(Call("MemberRegistry", "applyToJoin", arguments))

    async def _sample(self, state: State) -> tuple[SampleUpdate, ...]:
        current = current_model(state)
        if current is None or self.ports.trainer is None:
            return ()
        checkpoint = await self.model(*current)
        result = await self.ports.trainer.train(TrainJob(max(state.rounds), checkpoint, self.seed))
        update = await self.compress(result.update, checkpoint)
        return (describe_update(update, await self.ports.blobs.put(update), current[0], result.samples),)

    # --- reviewing ---

    async def review(self, state: State, application: Application) -> None:
        """Judge a request by the checks alone, publish why, and vote.

        Raises:
            BlobUnavailable, BlobStoreDown: a file could not be had now; try again.
        """

        async def get(cid: Cid, max_bytes: int) -> bytes:
            return await self.ports.blobs.get(cid, max_bytes=max_bytes, seconds=self.fetch_seconds)

        judge = Judge(state, self.community(state), get, self.model)
        against = failed(await judge.all_checks(application))
        review = Review(
            version=REVIEW_VERSION,
            application=application.number,
            request_hash=application.request_hash,
            reviewer=self.ports.signer.address,
            kind="review",
            approve="no" if against else "yes",
            reason="by the checks alone",
            failed=shortened(against),
            measured=(),
        )
        if against:
            log.warning("application %d of %s: %s", application.number, application.applicant, "; ".join(against))
        await self.ports.blobs.put(review.encode())
        arguments = (application.number, not against, review.reason_hash)
        await self.ports.chain.send(Call("MemberRegistry", "review", arguments))

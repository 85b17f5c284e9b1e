"""Hands of a node: carries out the actions its roles decided on, through the ports, and records what it found out.

Each deed is safe to repeat: what was found out is written to disk before it counts, and the contracts refuse doubles.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import assert_never

from aggregation.bundle import Schema, Tensors, decode, encode, schema_of
from aggregation.errors import AggregationError, UpdateRejected
from incentives.scoring import novelty_ppm
from node.combine import (
    check_update,
    combine,
    decode_update,
    difference,
    encode_update,
    plain_update,
    require_guideline,
    trainable_schema,
)
from node.confidential.envelope import key_file
from node.envelopes import content_key, encrypt_update, is_confidential, open_with, read, travel_limit
from node.following import remembered, take_over
from node.membership.deeds import Applicant, Newcomers
from node.ports import BlobStore, Chain, Gossip, ScoreJob, Signer, Trainer, TrainJob
from node.protocol import messages
from node.protocol.cid import cid_from_digest, compute_cid, digest_from_cid
from node.protocol.commitments import RoundScope, aggregate_secret, salt_label
from node.protocol.errors import (
    BlobCorrupt,
    BlobError,
    BlobTooLarge,
    BlobUnavailable,
    ChainError,
    LeakFound,
    LocalProtocolError,
    TrainingError,
)
from node.protocol.guideline import Guideline
from node.protocol.slices import SliceFile, join_slice
from node.protocol.state import Dispute, Reveal, Round, State
from node.protocol.types import Address, Call, Cid, DisputeKind
from node.public_update import is_wanted, prepare_public
from node.roles.actions import (
    Action,
    Announce,
    Apply,
    ComputeAggregate,
    FetchUpdate,
    FollowGuideline,
    Judge,
    PrepareSlice,
    ProveCopy,
    PublishKeys,
    ReviewApplication,
    ScoreUpdates,
    StoreSlice,
    StoreUpdate,
    Submit,
    TrainUpdate,
)
from node.roles.juror import aggregate_ballot
from node.roles.verifier import assigned_to, build_word, field_of
from node.roles.view import AggregateFact, Facts, Fetched, Opening
from node.sealed import gains, slice_of
from node.store import NodeStore, sha256, write_atomic

log = logging.getLogger("commonweight.executor")

RESIDUAL = "residual.safetensors"
"""File of a round: what the compression of our update left out."""


@dataclass(slots=True)
class Ports:
    """The doors of one node. A steward needs no gossip, and a trainer only for its public update; a trainer needs no slices."""

    chain: Chain
    blobs: BlobStore
    signer: Signer
    gossip: Gossip | None = None
    trainer: Trainer | None = None
    slices: Callable[[int], bytes] | None = None


@dataclass(slots=True)
class Executor:
    """Carries out actions.

    Attributes:
        ports: doors to the world.
        store: the node's folder.
        guideline: what the community agreed on; follows its votes.
        chain_id: chain that commitments are bound to.
        round_manager: contract that commitments are bound to.
        court: contract that ballots are bound to.
        max_verifiers: k of the deployment.
        public_benchmark: JSONL used when a round has no sealed slice.
        seed: base of the local sampling seeds.
        fetch_seconds: how long to wait for one file.
        applicant: our own request to join, and our policy as a reviewer.
        honour: refuses (ConfigError) a guideline that this node cannot carry out.
        facts: what we know, by round.
        notes: numbers worth showing (loss, seconds), by round.
    """

    ports: Ports
    store: NodeStore
    guideline: Guideline
    chain_id: int
    round_manager: Address
    court: Address
    max_verifiers: int
    public_benchmark: bytes
    seed: int = 0
    fetch_seconds: float = 30.0
    applicant: Applicant = field(default_factory=Applicant)
    honour: Callable[[Guideline], None] = require_guideline
    facts: dict[int, Facts] = field(default_factory=dict)
    notes: dict[int, dict[str, float]] = field(default_factory=dict)

    def facts_of(self, number: int) -> Facts:
        """Facts about a round, empty at first."""
        return self.facts.get(number, Facts())

    def _learn(self, number: int, facts: Facts) -> None:
        self.store.save_facts(number, facts)
        self.facts[number] = facts

    def _salt(self, number: int, purpose: str) -> bytes:
        return self.ports.signer.derive(salt_label(self._scope(number), purpose))

    def _scope(self, number: int) -> RoundScope:
        return RoundScope(self.chain_id, self.round_manager, number)

    async def perform(self, action: Action, state: State) -> None:
        """Carry out one action on the state it was decided in.

        Raises:
            CommonweightError: it failed; nothing was half-applied, and it may be tried again.
        """
        match action:
            case Apply():
                await self.newcomers.apply(state)
            case ReviewApplication():
                await self.newcomers.review(state, state.applications[action.application])
            case Submit():
                await self.ports.chain.send(action.call)
            case Announce():
                if self.ports.gossip is not None:
                    await self.ports.gossip.publish(messages.encode(action.message))
            case TrainUpdate():
                await self._train(state.rounds[action.round])
            case PrepareSlice():
                await self._prepare_slice(action.round)
            case StoreUpdate() | StoreSlice() | PublishKeys():
                await self._publish(action)
            case FetchUpdate():
                await self._fetch(state, action)
            case ScoreUpdates():
                await self._score(state, state.rounds[action.round], retry=action.retry)
            case ProveCopy() | Judge():
                await self._go_to_court(action, state)
            case ComputeAggregate():
                await self._aggregate(state.rounds[action.round])
            case FollowGuideline():
                await self._follow(action)
            case _:
                assert_never(action)

    async def _publish(self, action: StoreUpdate | StoreSlice | PublishKeys) -> None:
        if isinstance(action, PublishKeys):
            for _, key in sorted(self.facts_of(action.round).keys.items()):
                await self.ports.blobs.put(key_file(key))
            self._learn(action.round, replace(self.facts_of(action.round), keys_published=True))
            return
        is_update = isinstance(action, StoreUpdate)
        await self.ports.blobs.put(self.store.load(action.round, "update.safetensors" if is_update else "slice.jsonl"))
        facts = self.facts_of(action.round)
        self._learn(
            action.round, replace(facts, update_stored=True) if is_update else replace(facts, benchmark_stored=True)
        )

    async def _follow(self, action: FollowGuideline) -> None:
        write_atomic(self._guidelines / f"{self.guideline.hash.hex()}.json", self.guideline.canonical)
        self.guideline = await take_over(
            self.guideline,
            self.ports.blobs,
            self.ports.trainer,
            self._guidelines,
            digest=action.digest,
            cid=action.cid,
            seconds=self.fetch_seconds,
            honour=self.honour,
        )
        log.info("working by the guideline of epoch %d from now on", action.epoch)

    @property
    def _guidelines(self) -> Path:
        return self.store.root / "guidelines"

    # --- content ---

    async def model(self, digest: bytes, cid: bytes) -> bytes:
        """A checkpoint by hash, from disk or from peers.

        Raises:
            BlobUnavailable, BlobTooLarge, BlobCorrupt, BlobStoreDown: it could not be had.
        """
        data = self.store.load_model(digest)
        if data is None:
            data = await self._get(cid, self.guideline.update.max_bytes, digest)
            self.store.save_model(data)
        return data

    async def _get(self, cid: bytes, max_bytes: int, content_hash: bytes) -> bytes:
        data = await self.ports.blobs.get(cid_from_digest(cid), max_bytes=max_bytes, seconds=self.fetch_seconds)
        if sha256(data) != content_hash:
            raise BlobCorrupt(
                f"{cid_from_digest(cid)} does not have the content hash that its owner put on chain.",
                why="The owner revealed a CID and a hash of different bytes.",
            )
        return data

    async def prefetch(self, found: Round, cid: Cid) -> None:
        """Bring a file into our store on a peer's hint; a hint that leads nowhere is forgotten."""
        with suppress(BlobError):
            limit = travel_limit(self.guideline, found)
            await self.ports.blobs.get(cid, max_bytes=limit, seconds=self.fetch_seconds)

    async def benchmark(self, found: Round) -> SliceFile:
        """What this round is scored on (`node.sealed`)."""
        return await slice_of(
            found,
            self.ports.blobs,
            self.ports.chain,
            schema=await self._schema(found),
            guideline=self.guideline,
            public=self.public_benchmark,
            seconds=self.fetch_seconds,
        )

    async def last_aggregate(self, state: State, found: Round) -> Tensors | None:
        """Difference that the round before made to the model; None for the genesis model."""
        for earlier in state.rounds.values():
            proposal = earlier.proposal
            if proposal is not None and proposal.model_hash == found.parent_model_hash and earlier.is_over:
                newer = await self.model(found.parent_model_hash, found.parent_model_cid)
                older = await self.model(earlier.parent_model_hash, earlier.parent_model_cid)
                return difference(self._decode(newer), self._decode(older), self.guideline)
        return None

    def _decode(self, data: bytes) -> Tensors:
        return decode(data, max_bytes=self.guideline.update.max_bytes)

    async def _schema(self, found: Round) -> Schema:
        parent = await self.model(found.parent_model_hash, found.parent_model_cid)
        return trainable_schema(self._decode(parent), self.guideline)

    # --- membership ---

    @property
    def newcomers(self) -> Newcomers:
        """Applying and reviewing."""
        return Newcomers(
            ports=self.ports,
            chain_id=self.chain_id,
            guideline=self.guideline,
            applicant=self.applicant,
            model=self.model,
            compress=self._sample_as_travelling,
            fetch_seconds=self.fetch_seconds,
            seed=self.seed,
        )

    async def _sample_as_travelling(self, update: bytes, checkpoint: bytes) -> bytes:
        schema = trainable_schema(self._decode(checkpoint), self.guideline)
        data, _residual = await asyncio.to_thread(encode_update, update, schema, self.guideline)
        return data

    # --- trainer ---

    async def _train(self, found: Round) -> None:
        assert self.ports.trainer is not None, "a node without a trainer port must not have the trainer role"
        checkpoint = await self.model(found.parent_model_hash, found.parent_model_cid)
        try:
            result = await self.ports.trainer.train(TrainJob(found.number, checkpoint, self.seed))
        except LeakFound as error:
            log.warning("round %d goes on without us: %s", found.number, error)
            self._learn(found.number, replace(self.facts_of(found.number), withheld=str(error)))
            return
        update = await self._compressed(found, result.update)
        audience = found.audience if is_confidential(self.guideline) else b""
        if audience:
            update = encrypt_update(update, found, self._scope(found.number), self.ports.signer)
        self.store.save(found.number, "update.safetensors", update)
        opening = Opening(
            content_hash=sha256(update),
            cid=digest_from_cid(compute_cid(update)),
            salt=self._salt(found.number, "update"),
            samples=result.samples,
        )
        self.notes.setdefault(found.number, {}).update(result.notes)
        self._learn(
            found.number, replace(self.facts_of(found.number), update=opening, audience=audience, update_stored=False)
        )

    async def _compressed(self, found: Round, update: bytes) -> bytes:
        """Our update as it travels. What the compression leaves out is kept on disk, for our next update to carry."""
        schema = await self._schema(found)
        before = self._residual(found.number, schema)
        try:
            data, residual = await asyncio.to_thread(encode_update, update, schema, self.guideline, before)
        except AggregationError as error:
            raise TrainingError(
                f"Our own update cannot be compressed: {error.what}", why=error.why, hint=error.hint
            ) from error
        if residual:
            self.store.save(found.number, RESIDUAL, encode(residual))
        return data

    def _residual(self, number: int, schema: Schema) -> Tensors | None:
        """What our last update before this round left out; never this round's own, so training a round again gives the same."""
        trained = [earlier for earlier, facts in self.facts.items() if earlier < number and facts.update is not None]
        try:
            residual = self._decode(self.store.load(max(trained), RESIDUAL)) if trained else {}
        except (LocalProtocolError, UpdateRejected):  # none was left, or it was damaged: this only costs accuracy
            return None
        return residual if schema_of(residual) == schema else None

    async def _prepare_slice(self, number: int) -> None:
        assert self.ports.slices is not None, "a node without slices must not have the steward role"
        rows = await asyncio.to_thread(self.ports.slices, number)
        public = await prepare_public(
            number,
            self.ports.trainer,
            self.ports.chain,
            self.model,
            benchmark=self.public_benchmark,
            guideline=self.guideline,
        )
        data = join_slice(rows, public)
        self.store.save(number, "slice.jsonl", data)
        opening = Opening(
            content_hash=sha256(data),
            cid=digest_from_cid(compute_cid(data)),
            salt=self._salt(number, "benchmark"),
        )
        self._learn(number, replace(self.facts_of(number), benchmark=opening))

    # --- verifier ---

    async def _fetch(self, state: State, action: FetchUpdate) -> None:
        found = state.rounds[action.round]
        reveal = found.reveals[action.index]
        outcome, reason = Fetched.VALID, ""
        try:
            if reveal.trainer == self.ports.signer.address:
                data = self.store.load(found.number, "update.safetensors")
            else:
                data = await self._get(reveal.cid, travel_limit(self.guideline, found), reveal.content_hash)
            data = await self._opened(found, reveal, data)
            check_update(data, await self._schema(found), self.guideline)
            self.store.save(found.number, f"updates/{reveal.index}.safetensors", data)
        except UpdateRejected as error:
            outcome, reason = Fetched.MALFORMED, f"{error.reason}: {error.what}"
        except (BlobTooLarge, BlobCorrupt) as error:
            outcome, reason = Fetched.MALFORMED, str(error)
        except BlobUnavailable as error:
            if action.must:
                raise
            outcome, reason = Fetched.UNAVAILABLE, str(error)
        if reason:
            log.warning("update of %s in round %d is %s: %s", reveal.trainer, found.number, outcome.value, reason)
        facts = self.facts_of(found.number)
        self._learn(found.number, replace(facts, fetched={**facts.fetched, reveal.index: (outcome, reason)}))

    async def _opened(self, found: Round, reveal: Reveal, data: bytes) -> bytes:
        """An update as it travelled, opened if it is encrypted (`node.envelopes`)."""
        if not is_confidential(self.guideline):
            return data
        scope, ports = self._scope(found.number), self.ports
        envelope = await asyncio.to_thread(read, data, found, reveal, scope)
        key = await content_key(envelope, found, ports.signer, ports.blobs, seconds=self.fetch_seconds)
        facts = self.facts_of(found.number)  # kept even where the rest turns out wrong: published, it shows what is
        self._learn(found.number, replace(facts, keys={**facts.keys, reveal.index: key}))
        return await asyncio.to_thread(open_with, envelope, key)

    def _fetched_bytes(self, number: int, index: int) -> bytes:
        return self.store.load(number, f"updates/{index}.safetensors")

    async def _score(self, state: State, found: Round, *, retry: bool) -> None:
        mine = found.reveal_of(self.ports.signer.address)
        assert mine is not None, "only the owner of a revealed update verifies"
        assigned = assigned_to(found, mine.index, self.max_verifiers, retry=retry)
        wanted = [index for index in assigned if not retry or index in found.left_unscored]
        word = build_word(assigned, await self.measure(state, found, wanted))
        if retry:
            salt = self._salt(found.number, "retry")
            self._learn(found.number, replace(self.facts_of(found.number), retry_word=(word, salt)))
        else:
            salt = self._salt(found.number, "scores")
            self._learn(found.number, replace(self.facts_of(found.number), word=(word, salt)))

    async def measure(self, state: State, found: Round, wanted: Sequence[int]) -> Mapping[int, int]:
        """What an honest verifier writes about these updates: field by index.

        There is no look-ahead along a public update from the genesis model: what training on anything teaches first, it would take
        from everybody (docs/adr/0018-public-look-ahead.md).
        """
        assert self.ports.trainer is not None, "a node without a trainer port must not score"
        fetched = self.facts_of(found.number).fetched
        valid = [index for index, (outcome, _) in sorted(fetched.items()) if outcome is Fetched.VALID]
        last = await self.last_aggregate(state, found)
        measured = [index for index in wanted if index in valid]
        schema = await self._schema(found)
        slice_ = await self.benchmark(found)
        public = slice_.public_update if last is not None and is_wanted(self.guideline) else None
        job = ScoreJob(
            round=found.number,
            checkpoint=await self.model(found.parent_model_hash, found.parent_model_cid),
            last_aggregate=None if last is None else encode(last),
            updates=[
                plain_update(self._fetched_bytes(found.number, index), schema, self.guideline) for index in measured
            ],
            benchmark=slice_.rows,
            public_update=None if public is None else plain_update(public, schema, self.guideline),
        )
        raw = dict(zip(measured, await gains(self.ports.trainer, job, self.public_benchmark), strict=True))
        novelty = await asyncio.to_thread(self._novelty, found, valid, last, schema)
        return {index: field_of(index, fetched, raw.get(index, 0), novelty.get(index, 0)) for index in wanted}

    def _novelty(self, found: Round, valid: list[int], last: Tensors | None, schema: Schema) -> Mapping[int, int]:
        # Imported here: the integer kernels compile on first use, and a steward never needs them.
        from aggregation.gram import similarity_ppm  # noqa: PLC0415

        updates = [decode_update(self._fetched_bytes(found.number, index), schema, self.guideline) for index in valid]
        if not updates:
            return {}
        cosines, to_last = similarity_ppm(updates, last, schema)
        novelty = novelty_ppm(
            cosines, to_last or [0] * len(updates), [found.reveals[index].sequence for index in valid]
        )
        return dict(zip(valid, novelty, strict=True))

    # --- court ---

    async def _go_to_court(self, action: ProveCopy | Judge, state: State) -> None:
        if isinstance(action, Judge):
            await self._judge(state, state.disputes[action.dispute])
        else:
            await self._prove_copy(state.rounds[action.round], action.original, action.copy)

    async def _prove_copy(self, found: Round, original: int, copy: int) -> None:
        """Send both openings; the salts stand only in the calls that revealed the updates."""
        openings = [await self._opening(found.reveals[index]) for index in (original, copy)]
        first, second = found.reveals[original], found.reveals[copy]
        arguments = (found.number, first.trainer, second.trainer, first.content_hash, *openings)
        await self.ports.chain.send(Call("RoundCourt", "proveCopy", arguments))

    async def _opening(self, reveal: Reveal) -> tuple[bytes, int, bytes]:
        call = await self.ports.chain.call_of(reveal.transaction)
        if call is None or call.function != "revealUpdate":
            raise ChainError(
                f"The transaction that revealed the update of {reveal.trainer} does not say its salt.",
                why="It was sent through another contract.",
                hint="Only the salt of its commitment proves the copy; ask its owner.",
            )
        return reveal.cid, reveal.samples, call.arguments[-1]

    async def _judge(self, state: State, dispute: Dispute) -> None:
        found = state.rounds[dispute.round]
        facts = self.facts_of(found.number)
        if dispute.kind is DisputeKind.AGGREGATE:
            ballot = aggregate_ballot(found, facts.aggregate)
        else:
            ballot = (await self.measure(state, found, [dispute.index]))[dispute.index]
        salt = self._salt(found.number, f"ballot/{dispute.number}")
        facts = self.facts_of(found.number)
        self._learn(found.number, replace(facts, ballots={**facts.ballots, dispute.number: (ballot, salt)}))

    # --- attester ---

    async def _aggregate(self, found: Round) -> None:
        parent = await self.model(found.parent_model_hash, found.parent_model_cid)
        updates = {
            bytes.fromhex(reveal.trainer[2:]): self._fetched_bytes(found.number, reveal.index)
            for reveal in found.aggregated
        }
        # The community may have voted for another guideline since.
        is_ours = found.guideline_hash == self.guideline.hash
        guideline = self.guideline if is_ours else remembered(self._guidelines, found.guideline_hash)
        checkpoint = await asyncio.to_thread(combine, parent, updates, guideline)
        fact = AggregateFact(
            secret=aggregate_secret(self._scope(found.number), checkpoint),
            model_hash=self.store.save_model(checkpoint),
            cid=digest_from_cid(await self.ports.blobs.put(checkpoint)),
        )
        self._learn(found.number, replace(self.facts_of(found.number), aggregate=fact))

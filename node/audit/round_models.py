"""One round's files, model and verdicts, derived again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from aggregation.bundle import Schema, Tensors, decode, encode, require_schema
from aggregation.errors import UpdateRejected
from incentives import scoring
from incentives.scoring import effective_gain, novelty_ppm
from node.combine import check_update, combine, decode_update, difference, plain_update, trainable_schema
from node.envelopes import is_confidential, open_with, published_key, read, travel_limit
from node.ports import SLICE_MAX_BYTES, ScoreJob
from node.protocol.cid import cid_from_digest, compute_cid
from node.protocol.commitments import RoundScope, aggregate_secret
from node.protocol.errors import BlobError, BlobUnavailable, EnvelopeBroken
from node.protocol.guideline import Guideline
from node.protocol.slices import SliceFile, split_slice
from node.protocol.state import Reveal, Round
from node.protocol.types import UpdateStatus
from node.store import sha256

if TYPE_CHECKING:
    from node.audit.models import ModelAuditor

Kept = TypeVar("Kept")
NUMERIC = (UpdateStatus.ACCEPTED, UpdateStatus.REJECTED, UpdateStatus.HARMFUL)
MARGIN = 1e-6
MODELS_KEPT = 4
"""The newest checkpoints, so that a round's parent need not be fetched again."""


@dataclass(slots=True)
class RoundModel:
    """What was checked how often in one round, what was wrong, and the SHA-256 of the model that its updates make."""

    checked: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    digest: bytes = b""

    def expect(self, subject: str, truth: bool, what: str) -> None:  # noqa: FBT001 - the verdict itself
        """Count one check, and note ``what`` where it failed."""
        self.checked[subject] += 1
        if not truth:
            self.findings.append(what)


@dataclass(slots=True)
class RoundAudit:
    """One round under audit: its files, its model, and a sample of its verdicts."""

    auditor: ModelAuditor
    result: RoundModel
    found: Round
    guideline: Guideline
    tau: int

    async def run(self) -> None:
        """Look at everything; what is wrong ends up in the result."""
        limit = self.guideline.update.max_bytes
        assert self.found.proposal is not None
        self.auditor.lineage[self.found.proposal.model_hash] = (
            self.found.parent_model_hash,
            self.found.parent_model_cid,
        )
        _trim(self.auditor.lineage)
        where = f"Parent model of round {self.found.number}"
        parent = await self._model(self.found.parent_model_hash, self.found.parent_model_cid, where)
        benchmark = await self._benchmark()
        if parent is None:
            return
        schema = trainable_schema(decode(parent, max_bytes=limit), self.guideline)
        updates = await self._updates(schema)
        await self._bad_forms(schema)
        if len(updates) == len(self.found.accepted):
            await self._derive(parent, updates)
        await self._score(parent, benchmark, schema)

    async def _benchmark(self) -> SliceFile | None:
        """What the round was scored on: the sealed slice, or the public benchmark."""
        if not self.found.is_sealed or self.found.benchmark is None:
            known = self.auditor.public_benchmark
            return None if known is None else SliceFile(known)
        content_hash, cid = self.found.benchmark
        limit = SLICE_MAX_BYTES + self.guideline.update.max_bytes
        data = await self._get(cid, content_hash, limit, f"Benchmark slice of round {self.found.number}")
        return None if data is None else split_slice(data)

    async def _derive(self, parent: bytes, updates: Mapping[bytes, bytes]) -> None:
        proposal = self.found.proposal
        assert proposal is not None
        model = await asyncio.to_thread(combine, parent, updates, self.guideline)
        self.result.digest, cid, secret = await asyncio.to_thread(self._identify, self.found.number, model)
        self.result.expect(
            "models re-aggregated",
            self.result.digest == proposal.model_hash,
            f"Round {self.found.number}'s model is {self.result.digest.hex()} when aggregated again; "
            f"{proposal.model_hash.hex()} was finalised.",
        )
        if self.result.digest != proposal.model_hash:
            return
        is_there = cid == cid_from_digest(proposal.cid)
        self.result.expect(
            "model CIDs", is_there, f"Round {self.found.number}'s model lies under another CID than was finalised."
        )
        right = secret == proposal.secret
        self.result.expect(
            "attestation secrets",
            right,
            f"Round {self.found.number}'s attestations open with another secret than the model's.",
        )
        self.auditor.models[self.result.digest] = model
        _trim(self.auditor.models)

    def _identify(self, number: int, model: bytes) -> tuple[bytes, str, bytes]:
        scope = RoundScope(self.auditor.chain_id, self.auditor.round_manager, number)
        return sha256(model), compute_cid(model), aggregate_secret(scope, model)

    # --- files ---

    async def _model(self, digest: bytes, cid: bytes, what: str) -> bytes | None:
        """A checkpoint: derived before, or fetched."""
        if digest in self.auditor.models:
            return self.auditor.models[digest]
        data = await self._get(cid, digest, self.guideline.update.max_bytes, what)
        if data is not None:
            self.auditor.models[digest] = data
            _trim(self.auditor.models)
        return data

    async def _get(self, cid: bytes, content_hash: bytes, max_bytes: int, what: str) -> bytes | None:
        try:
            data = await self.auditor.blobs.get(
                cid_from_digest(cid), max_bytes=max_bytes, seconds=self.auditor.fetch_seconds
            )
        except BlobError as error:
            self.result.expect("files fetched", False, f"{what} could not be had: {error}")
            return None
        self.result.expect("files fetched", True, "")
        matches = sha256(data) == content_hash
        self.result.expect("content hashes", matches, f"{what} does not have the content hash recorded on chain.")
        return data if matches else None

    async def _updates(self, schema: Schema) -> Mapping[bytes, bytes]:
        """Accepted updates by trainer."""
        limit, accepted = travel_limit(self.guideline, self.found), dict[bytes, bytes]()
        for reveal in self.found.aggregated:
            found = await self._get(reveal.cid, reveal.content_hash, limit, _name(self.found, reveal))
            data = None if found is None else await self._readable(reveal, found)
            if data is None:
                continue
            reason = await asyncio.to_thread(self._fault_of, data, schema)
            what = f"{_name(self.found, reveal)} was accepted but is malformed: {reason}"
            self.result.expect("update checks", reason is None, what)
            if reason is None:
                accepted[bytes.fromhex(reveal.trainer[2:])] = data
        return accepted

    async def _readable(self, reveal: Reveal, data: bytes) -> bytes | None:
        """An accepted update, opened with its published key if it is encrypted; None, and a finding, where that cannot be."""
        if not is_confidential(self.guideline):
            return data
        what, plain = "", None
        try:
            plain = await self._open(reveal, data)
        except EnvelopeBroken as error:
            what = f"{_name(self.found, reveal)} was accepted but its envelope is broken: {error}"
        except BlobUnavailable as error:
            what = f"The content key of the {_lower(self.found, reveal)} was withheld: {error}"
        except BlobError as error:
            what = f"The content key of the {_lower(self.found, reveal)} is wrong: {error}"
        self.result.expect("content keys", plain is not None, what)
        return plain

    async def _open(self, reveal: Reveal, data: bytes) -> bytes:
        """A revealed update as it was before it was encrypted.

        Raises:
            EnvelopeBroken: nobody could open it.
            BlobError: its content key was not published, or another one.
        """
        if not is_confidential(self.guideline):
            return data
        scope = RoundScope(self.auditor.chain_id, self.auditor.round_manager, self.found.number)
        envelope = await asyncio.to_thread(read, data, self.found, reveal, scope)
        key = await published_key(envelope, self.auditor.blobs, seconds=self.auditor.fetch_seconds)
        return await asyncio.to_thread(open_with, envelope, key)

    async def _is_bad_form(self, reveal: Reveal, schema: Schema) -> bool:
        """Whether a revealed update is malformed, as all who could read it saw.

        Raises:
            BlobError: nobody serves it, or its content key, any more.
        """
        blobs, limit = self.auditor.blobs, travel_limit(self.guideline, self.found)
        data = await blobs.get(cid_from_digest(reveal.cid), max_bytes=limit, seconds=self.auditor.fetch_seconds)
        if sha256(data) != reveal.content_hash:
            return True
        try:
            plain = await self._open(reveal, data)
        except EnvelopeBroken:
            return True
        return await asyncio.to_thread(self._fault_of, plain, schema) is not None

    def _fault_of(self, data: bytes, schema: Schema) -> str | None:
        limits = self.guideline.update
        try:
            tensors = decode_update(data, schema, self.guideline)
            require_schema(tensors, schema)
            if not is_plainly_within(tensors, limits.max_norm):
                check_update(data, schema, self.guideline)
        except UpdateRejected as error:
            return str(error)
        return None

    async def _bad_forms(self, schema: Schema) -> None:
        """Whoever was slashed for a malformed update must have sent one; what nobody serves any more cannot be told."""
        for reveal in self.found.reveals:
            verdict = self.found.settled.get(reveal.index)
            if verdict is None or verdict.status is not UpdateStatus.MALFORMED:
                continue
            try:
                is_bad = await self._is_bad_form(reveal, schema)
            except BlobError:
                self.result.checked["malformed updates not served any more"] += 1
                continue
            what = f"{_name(self.found, reveal)} was found malformed, but it is well-formed."
            self.result.expect("malformed updates", is_bad, what)

    # --- scores ---

    async def _score(self, parent: bytes, benchmark: SliceFile | None, schema: Schema) -> None:
        """Score a sample of the verdicts again: each must agree with what the chain recorded."""
        judged = [
            r.index
            for r in self.found.reveals
            if r.index in self.found.settled and self.found.settled[r.index].status in NUMERIC
        ]
        count = len(judged) if self.auditor.rescore is None else min(self.auditor.rescore, len(judged))
        if self.auditor.trainer is None or benchmark is None or not count:
            return
        drawn = sorted(random.Random(f"{self.auditor.seed}/{self.found.number}").sample(judged, count))  # noqa: S311 - no secret
        valid = await self._valid(schema)
        wanted = [index for index in drawn if index in valid]
        last = await self._last_aggregate(parent)
        job = ScoreJob(
            round=self.found.number,
            checkpoint=parent,
            last_aggregate=None if last is None else encode(last),
            updates=[plain_update(valid[index], schema, self.guideline) for index in wanted],
            benchmark=benchmark.rows,
            public_update=None if last is None else self._public(benchmark, schema),
        )
        raw = await self.auditor.score(job, self.guideline)
        novelty = await asyncio.to_thread(self._novelty, valid, last, schema)
        for index, gain in zip(wanted, raw, strict=True):
            verdict = self.found.settled[index]
            settled = scoring.Tally(scoring.Verdict(verdict.status), verdict.gain, verdict.votes, verdict.weight)
            again = effective_gain(gain, novelty[index])
            agrees = scoring.agrees(scoring.encode_gain(again), settled, self.tau)
            what = f"{_name(self.found, self.found.reveals[index])} gains {again} ppm when scored again; {verdict.gain} was recorded."
            self.result.expect("gains scored again", agrees, what)

    def _public(self, benchmark: SliceFile, schema: Schema) -> bytes | None:
        """The steward's public update, as far as every verifier could use it."""
        data = benchmark.public_update
        if data is None or self._fault_of(data, schema) is not None:
            return None
        return plain_update(data, schema, self.guideline)

    async def _valid(self, schema: Schema) -> dict[int, bytes]:
        """Updates that a verifier found valid, by index: novelty is measured against all of them."""
        valid = dict[int, bytes]()
        for reveal in self.found.reveals:
            try:
                data = await self.auditor.blobs.get(
                    cid_from_digest(reveal.cid),
                    max_bytes=travel_limit(self.guideline, self.found),
                    seconds=self.auditor.fetch_seconds,
                )
                if sha256(data) != reveal.content_hash:
                    continue
                data = await self._open(reveal, data)
            except BlobError:
                continue
            if self._fault_of(data, schema) is None:
                valid[reveal.index] = data
        return valid

    async def _last_aggregate(self, parent: bytes) -> Tensors | None:
        """What the round before made of its parent; None on the founding model."""
        before = self.auditor.lineage.get(self.found.parent_model_hash)
        if before is None:
            return None
        older = await self._model(*before, f"Model before the parent of round {self.found.number}")
        limit = self.guideline.update.max_bytes
        if older is None:
            return None
        return difference(decode(parent, max_bytes=limit), decode(older, max_bytes=limit), self.guideline)

    def _novelty(self, valid: Mapping[int, bytes], last: Tensors | None, schema: Schema) -> Mapping[int, int]:
        from aggregation.gram import similarity_ppm  # noqa: PLC0415 - the integer kernels compile on first use

        order: Sequence[int] = sorted(valid)
        updates = [decode_update(valid[index], schema, self.guideline) for index in order]
        cosines, to_last = similarity_ppm(updates, last, schema)
        sequences = [self.found.reveals[index].sequence for index in order]
        return dict(zip(order, novelty_ppm(cosines, to_last or [0] * len(order), sequences), strict=True))


def is_plainly_within(tensors: Tensors, max_norm: float) -> bool:
    """Whether values are finite and their norm is below the bound beyond any doubt of rounding.

    A sum of n squares in float64, in any order, errs by less than n·2⁻⁵³ of itself; `MARGIN` is far above that. Where this says no,
    the exact check of `aggregation.checks` decides.
    """
    total = sum(float(np.vdot(wide, wide)) for wide in (tensor.astype(np.float64) for tensor in tensors.values()))
    return total * (1 + MARGIN) < max_norm * max_norm  # false for NaN and infinity


def _name(found: Round, reveal: Reveal) -> str:
    return f"Update of {reveal.trainer} in round {found.number}"


def _lower(found: Round, reveal: Reveal) -> str:
    return _name(found, reveal).replace("Update", "update", 1)


def _trim(kept: OrderedDict[bytes, Kept]) -> None:
    while len(kept) > MODELS_KEPT:
        kept.popitem(last=False)

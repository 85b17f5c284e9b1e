"""Fetches what a request names and applies all checks to it; keeps the bytes for whoever measures them afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from aggregation.bundle import decode
from node.combine import trainable_schema
from node.membership.checks import Check, Community, check_request, check_sample, check_test_set, failed
from node.membership.request import MAX_BYTES, Body, OfferedSet, Request, SampleUpdate
from node.membership.terms import Terms
from node.protocol.cid import cid_from_digest
from node.protocol.errors import BlobCorrupt, BlobTooLarge, BlobUnavailable
from node.protocol.state import Application, State
from node.protocol.types import Cid

Get = Callable[[Cid, int], Awaitable[bytes]]
"""Bytes of a CID, at most so many. Raises BlobError."""
Model = Callable[[bytes, bytes], Awaitable[bytes]]
"""A checkpoint by hash and CID digest."""


def model_cid(state: State, digest: bytes) -> bytes | None:
    """CID digest of a model of the community by hash."""
    for found in state.rounds.values():
        if found.parent_model_hash == digest:
            return found.parent_model_cid
        if found.proposal is not None and found.proposal.model_hash == digest:
            return found.proposal.cid
    return None


@dataclass(slots=True)
class Judge:
    """One look at one application.

    Attributes:
        state: of the network.
        community: what requests are held against.
        get: fetches files.
        model: fetches checkpoints.
        is_final: a file that nobody serves now counts against the applicant, instead of being tried again by whoever called.
        request: as read; None where it could not be.
        parent: checkpoint that the sample update was trained on.
        update: the sample update, where it passed.
        test_sets: rows of offered test sets that passed, by name.
    """

    state: State
    community: Community
    get: Get
    model: Model
    is_final: bool = False
    request: Request | None = None
    parent: bytes | None = None
    update: bytes | None = None
    test_sets: dict[str, bytes] = field(default_factory=dict)

    async def all_checks(self, application: Application) -> list[Check]:
        """All checks of a request and of the files it names.

        Raises:
            BlobUnavailable, BlobStoreDown: a file could not be had now (only the latter, if ``is_final``).
        """
        data = await self._fetch(cid_from_digest(application.request_cid), MAX_BYTES, "request")
        if isinstance(data, Check):
            return [data]
        self.request, checks = check_request(data, application, self.community)
        if self.request is None or failed(checks):  # nothing more is fetched for whoever cannot be admitted anyway
            return checks
        terms = Terms.of(self.community.guideline)
        for sample in self.request.body.sample_updates:
            checks.append(await self._judge_sample(sample))
        for offered in self.request.body.test_sets:
            checks.append(await self._judge_test_set(offered, self.request.body, terms))
        return checks

    async def _judge_sample(self, sample: SampleUpdate) -> Check:
        guideline = self.community.guideline
        limit = guideline.update.max_bytes
        data = await self._fetch(sample.cid, limit, "sample update's bytes")
        if isinstance(data, Check):
            return data
        cid = model_cid(self.state, sample.parent_model_hash)
        assert cid is not None, "the request was checked against the community's models"
        self.parent = await self.model(sample.parent_model_hash, cid)
        schema = trainable_schema(decode(self.parent, max_bytes=limit), guideline)
        check = check_sample(data, sample.sha256, schema, guideline)
        self.update = data if check.ok else None
        return check

    async def _judge_test_set(self, offered: OfferedSet, body: Body, terms: Terms) -> Check:
        data = await self._fetch(offered.cid, terms.test_set_max_bytes, f"test set {offered.name}")
        if isinstance(data, Check):
            return data
        check = check_test_set(data, offered, body, terms)
        if check.ok:
            self.test_sets[offered.name] = data
        return check

    async def _fetch(self, cid: Cid, max_bytes: int, what: str) -> bytes | Check:
        refusal = Check(what, False, "")
        try:
            return await self.get(cid, max_bytes)
        except (BlobTooLarge, BlobCorrupt) as error:
            return replace(refusal, detail=error.what)
        except BlobUnavailable as error:
            if self.is_final:
                return replace(refusal, detail=error.what)
            raise

"""What a round is scored on: the sealed slice where it can be used, else the public benchmark, the same for every verifier.

A steward's slice is foreign bytes. Whatever is wrong with them (too many, other bytes than the hash on chain names, no rows of the task) is
seen alike by everybody, so everybody scores on the public benchmark instead: a steward cannot have all verifiers punished for being
absent. One that opens its commitment but serves the bytes to nobody is waited for until the phase is nearly over.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from aggregation.bundle import Schema
from node.ports import SLICE_MAX_BYTES, BlobStore, Chain, ScoreJob, Trainer
from node.protocol.cid import cid_from_digest
from node.protocol.errors import BlobTooLarge, BlobUnavailable, SliceUnusable
from node.protocol.guideline import Guideline
from node.protocol.round import Round
from node.protocol.slices import SliceFile
from node.public_update import read_slice
from node.store import sha256

log = logging.getLogger("commonweight.executor")

FETCHES = 3
PAUSE = 15.0
"""A verifier stops waiting for the slice so many fetches and the driver's longest pause (seconds) before the deadline: the next
try might come no sooner, and scoring needs the rest."""


async def slice_of(  # one value each
    found: Round, blobs: BlobStore, chain: Chain, *, schema: Schema, guideline: Guideline, public: bytes, seconds: float
) -> SliceFile:
    """The slice of a round, with the public update if it holds a valid one.

    Args:
        found: the round.
        blobs: where to fetch it.
        chain: tells the time.
        schema: of the round's updates.
        guideline: in force in the round.
        public: the public benchmark.
        seconds: longest wait for one fetch.

    Raises:
        BlobUnavailable: nobody serves it yet, and there is time to try again.
        BlobError: our own store fails.
    """
    if not found.is_sealed or found.benchmark is None:
        return SliceFile(public)
    content_hash, cid = found.benchmark
    limit = SLICE_MAX_BYTES + guideline.update.max_bytes
    try:
        data = await blobs.get(cid_from_digest(cid), max_bytes=limit, seconds=seconds)
        if sha256(data) != content_hash:
            return _fallback(found, public, "its bytes are not those that its hash on chain names")
        slice_ = read_slice(data, schema, guideline)
    except BlobTooLarge as error:
        return _fallback(found, public, str(error))
    except BlobUnavailable as error:
        if (await chain.head()).timestamp + FETCHES * seconds + PAUSE < found.deadline:
            raise
        return _fallback(found, public, str(error))
    if slice_.problem:
        log.warning("round %d is scored without the steward's public update: %s", found.number, slice_.problem)
    return slice_


async def gains(trainer: Trainer, job: ScoreJob, public: bytes) -> Sequence[int]:
    """Raw gains of a job; on the public benchmark where its rows cannot be used.

    Raises:
        TrainingError: scoring fails for another reason, or even the public benchmark cannot be used.
    """
    try:
        return await trainer.score(job)
    except SliceUnusable as error:
        if job.benchmark == public:
            raise
        log.warning("round %d is scored on the public benchmark: %s", job.round, error)
        return await trainer.score(replace(job, benchmark=public, public_update=None))


def _fallback(found: Round, public: bytes, why: str) -> SliceFile:
    log.warning("round %d is scored on the public benchmark, not on the steward's slice: %s", found.number, why)
    return SliceFile(public)

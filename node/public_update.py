"""The public update, both ends of it: what a steward trains on the public benchmark, and what verifiers take from a slice's file."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aggregation.bundle import Schema, decode
from aggregation.errors import AggregationError, UpdateRejected
from node.combine import check_update, encode_update, trainable_schema
from node.ports import SLICE_MAX_BYTES, Chain, Trainer, TrainJob
from node.protocol.errors import BlobError, BlobTooLarge, TrainingError
from node.protocol.guideline import Guideline
from node.protocol.slices import SliceFile, split_slice
from node.protocol.types import Call

log = logging.getLogger("commonweight.executor")


def is_wanted(guideline: Guideline) -> bool:
    """Whether the guideline looks ahead along public updates at all."""
    return bool(guideline.learning.get("lookahead_public", [0.0]) != [0.0])


async def train_public(
    trainer: Trainer, number: int, checkpoint: bytes, benchmark: bytes, guideline: Guideline
) -> bytes:
    """What training on all rows of the public benchmark gives, as it travels.

    The seed is the round's number, so anybody with a machine like ours can do it again.

    Raises:
        TrainingError: the training failed.
        AggregationError: it gave what is no valid update.
    """
    result = await trainer.train(TrainJob(number, checkpoint, number, benchmark=benchmark))
    schema = trainable_schema(decode(checkpoint, max_bytes=guideline.update.max_bytes), guideline)
    data, _residual = await asyncio.to_thread(encode_update, result.update, schema, guideline)
    check_update(data, schema, guideline)
    return data


async def prepare_public(
    number: int,
    trainer: Trainer | None,
    chain: Chain,
    model: Callable[[bytes, bytes], Awaitable[bytes]],
    *,
    benchmark: bytes,
    guideline: Guideline,
) -> bytes | None:
    """`train_public` for a round about to open; None, which the log explains, where it cannot be had.

    None, too, while the model is the genesis model (`node.executor.Executor.measure`), and where the guideline does without.

    Args:
        number: of the round.
        trainer: ours, if any.
        chain: names the newest model.
        model: gives a checkpoint by hash and CID digest.
        benchmark: the public one.
        guideline: in force.
    """
    if not is_wanted(guideline):
        return None
    if trainer is None:
        log.warning("round %d gets no public update: this steward has no trainer", number)
        return None
    model_hash, cid, made_in = await chain.read(Call("RoundManager", "latestModel"))
    if made_in == 0:
        return None
    try:
        return await train_public(trainer, number, await model(model_hash, cid), benchmark, guideline)
    except (BlobError, TrainingError, AggregationError) as error:
        log.warning("round %d gets no public update: %s", number, error)
        return None


def read_slice(data: bytes, schema: Schema, guideline: Guideline) -> SliceFile:
    """A slice's file from outside; a public update that is no valid update of this schema is left out, and ``problem`` says why.

    Raises:
        BlobTooLarge: its rows are too many bytes.
    """
    found = split_slice(data)
    if len(found.rows) > SLICE_MAX_BYTES:
        raise BlobTooLarge(
            f"The rows of the slice have {len(found.rows)} bytes; at most {SLICE_MAX_BYTES} are allowed."
        )
    if found.public_update is not None:
        try:
            check_update(found.public_update, schema, guideline)
        except UpdateRejected as error:
            return SliceFile(found.rows, None, f"{error.reason}: {error.what}")
    return found

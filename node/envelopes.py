"""Updates on their way where the guideline keeps them confidential: encrypted to the round's members, opened by whoever may.

`node.confidential.envelope` is the format. Recipients are the members that were active when the round opened, with the keys they had then
(`Round.members`), so that every node and every auditor names the same. Content keys are published once the round is final.
"""

from __future__ import annotations

from functools import lru_cache

from node.confidential.envelope import (
    KEY_FILE_BYTES,
    Envelope,
    Recipient,
    enclose,
    envelope_bytes,
    key_digest,
    open_with,
    read_envelope,
    read_key_file,
    require_addressed,
    unwrap,
    usable_recipients,
)
from node.ports import BlobStore, Signer
from node.protocol.cid import cid_from_digest
from node.protocol.commitments import RoundScope, salt_label
from node.protocol.errors import BlobCorrupt, BlobTooLarge, EnvelopeBroken, EnvelopeClosed
from node.protocol.guideline import CONFIDENTIAL, Guideline
from node.protocol.round import Reveal, Round
from node.protocol.types import Phase

__all__ = ["content_key", "encrypt_update", "is_confidential", "open_with", "published_key", "read", "travel_limit"]


def is_confidential(guideline: Guideline) -> bool:
    """Whether updates travel encrypted."""
    return guideline.update.confidentiality == CONFIDENTIAL


@lru_cache(maxsize=4)
def _recipients(members: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
    return usable_recipients(members)


def travel_limit(guideline: Guideline, found: Round) -> int:
    """Most bytes that an update of this round may have on its way."""
    limit = guideline.update.max_bytes
    return envelope_bytes(limit, len(found.members)) if is_confidential(guideline) else limit


def encrypt_update(update: bytes, found: Round, scope: RoundScope, signer: Signer) -> bytes:
    """Our update for the members of its round; equal updates give equal bytes.

    Raises:
        LocalProtocolError: no member has a usable encryption key.
    """
    secret = signer.derive(salt_label(scope, "content-key"))
    return enclose(update, scope, signer.address, _recipients(found.members), secret)[0]


def read(data: bytes, found: Round, reveal: Reveal, scope: RoundScope) -> Envelope:
    """The envelope of a revealed update.

    Raises:
        EnvelopeBroken: it is none, or is addressed otherwise than everybody's is; all see the same.
    """
    envelope = read_envelope(data, [address for address, _ in found.members])
    require_addressed(envelope, scope, reveal.trainer, _recipients(found.members))
    return envelope


async def content_key(envelope: Envelope, found: Round, signer: Signer, blobs: BlobStore, *, seconds: float) -> bytes:
    """The key of an envelope: from our own wrap, or once the round is final the published one.

    Raises:
        EnvelopeClosed: it is not for us, and not published yet, or what is served in its place is another key.
        BlobUnavailable: nobody serves it.
    """
    try:
        return unwrap(envelope, signer.address, signer.encryption_public_key, signer.shared_secret)
    except EnvelopeClosed:
        if found.phase is not Phase.FINALIZED:
            raise
        try:
            return await published_key(envelope, blobs, seconds=seconds)
        except (BlobCorrupt, BlobTooLarge) as error:  # no fault of the update's
            raise EnvelopeClosed(
                "The bundle's content key cannot be had: other bytes are served.", why=str(error)
            ) from error


async def published_key(envelope: Envelope, blobs: BlobStore, *, seconds: float) -> bytes:
    """The content key as a member published it.

    Raises:
        BlobUnavailable: nobody serves it.
        BlobCorrupt: what is served is another key, or none.
    """
    cid = cid_from_digest(envelope.key_digest)
    data = await blobs.get(cid, max_bytes=KEY_FILE_BYTES, seconds=seconds)
    try:
        key = read_key_file(data)
    except EnvelopeBroken as error:
        raise BlobCorrupt(f"What is served as {cid} is no content key.") from error
    if key_digest(key) != envelope.key_digest:
        raise BlobCorrupt(f"What is served as {cid} is another content key than the envelope names.")
    return key

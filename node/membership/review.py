"""A review: what a committee seat found and why it votes so. A canonical JSON file on IPFS; ``reasonHash`` on chain is its CID's digest.

So anybody finds the reasons from the chain alone, and nobody can exchange them. The reviewer is who sent the transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.membership.request import MAX_BYTES, canonical, read_json, require_exact
from node.protocol.cid import compute_cid, digest_from_cid
from node.protocol.errors import ConfigError, RemoteProtocolError
from node.protocol.types import Address
from node.records import from_plain, to_plain

VERSION = 1
MAX_REASON = 1_500


@dataclass(frozen=True, slots=True)
class Measured:
    """A model without and with the sample update on one benchmark, as decimal texts, since hashes need exact bytes."""

    benchmark: str
    metric: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Review:
    """One vote and its grounds.

    Attributes:
        version: of this format.
        application: number of the application.
        request_hash: of what was reviewed.
        reviewer: who reviewed.
        kind: ``review`` or ``veto``.
        approve: ``yes`` or ``no``.
        reason: in words.
        failed: checks that failed, a sentence each.
        measured: what the sample update does.
    """

    version: int
    application: int
    request_hash: bytes
    reviewer: Address
    kind: str
    approve: str
    reason: str
    failed: tuple[str, ...]
    measured: tuple[Measured, ...]

    def encode(self) -> bytes:
        """The file's bytes."""
        return canonical(to_plain(self))

    @property
    def reason_hash(self) -> bytes:
        """What goes on chain: the digest of the file's CID."""
        return digest_from_cid(compute_cid(self.encode()))


def shortened(reasons: Sequence[str]) -> tuple[str, ...]:
    """At most sixteen reasons of at most 300 characters, as a review takes them; what cannot be printed is shown as escapes."""
    return tuple(reason[:300].encode("unicode_escape").decode() for reason in reasons[:16])


def parse(data: bytes) -> Review:
    """A review from a stranger.

    Raises:
        RemoteProtocolError: it is none.
    """
    try:
        review = from_plain(Review, read_json(data, "review", MAX_BYTES), "review")
    except ConfigError as error:
        raise RemoteProtocolError(error.what, hint=error.hint) from error
    require_exact(review.encode(), data, "review")
    if review.version != VERSION or review.kind not in ("review", "veto") or review.approve not in ("yes", "no"):
        raise RemoteProtocolError("The review is of another version or kind.")
    return review

"""Gossip: what nodes tell each other, how it is written, and the ordered checks it passes.

Three messages, all hints: the chain stays the authority, so a lost or false one costs time, never correctness.

* `Hello`: a member's IPFS multiaddrs, so that peers can dial its store.
* `UpdateNotice`: an update's CID at the moment of its reveal, so that peers fetch before the block arrives.
* `ModelNotice`: the checkpoint a node computed for a round.

Written as canonical JSON with a version; at most 4 KiB. Each check is IGNORE (drop, no blame) or REJECT (drop and blame the peer).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, ClassVar

from node.protocol.cid import digest_from_cid
from node.protocol.errors import RemoteProtocolError
from node.protocol.types import Address, Cid

VERSION = 1
MAX_BYTES = 4096
MAX_ADDRESSES = 8
MAX_ADDRESS_LENGTH = 256
_ADDRESS = re.compile("0x[0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class Hello:
    """IPFS multiaddrs of ``sender``."""

    kind: ClassVar[str] = "hello"
    sender: Address
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UpdateNotice:
    """``sender`` revealed an update in ``round``."""

    kind: ClassVar[str] = "update"
    sender: Address
    round: int
    cid: Cid


@dataclass(frozen=True, slots=True)
class ModelNotice:
    """``sender`` computed the checkpoint of ``round``."""

    kind: ClassVar[str] = "model"
    sender: Address
    round: int
    cid: Cid


Message = Hello | UpdateNotice | ModelNotice


class Check(Enum):
    """Outcome of validation."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A check's outcome and its reason, for the log and for scoring the peer."""

    check: Check
    reason: str = ""


def encode(message: Message) -> bytes:
    """Canonical JSON bytes of a message."""
    body = {"v": VERSION, "kind": message.kind, **asdict(message)}
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def decode(data: bytes) -> Message:
    """Message of bytes from a peer.

    Raises:
        RemoteProtocolError: it is not exactly one of the messages above.
    """
    if len(data) > MAX_BYTES:
        raise RemoteProtocolError(f"A gossip message has {len(data)} bytes, more than {MAX_BYTES}.")
    try:
        body = json.loads(data)
        version = body.pop("v", None) if isinstance(body, dict) else None
        if type(version) is not int or version != VERSION:  # True == 1
            raise RemoteProtocolError("A gossip message has another version than ours.")
        return _build(body)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RemoteProtocolError(f"A gossip message is malformed: {error!r}.") from error


def _build(body: Mapping[str, Any]) -> Message:
    kind = body["kind"]
    fields = {key: value for key, value in body.items() if key != "kind"}
    sender = Address(_text(fields.pop("sender"), 42))
    if not _ADDRESS.fullmatch(sender):
        raise ValueError("sender is not an address")
    if kind == Hello.kind:
        addresses = fields.pop("addresses")
        if fields or not isinstance(addresses, list) or len(addresses) > MAX_ADDRESSES:
            raise ValueError("hello has other fields than expected")
        return Hello(sender, tuple(_text(address, MAX_ADDRESS_LENGTH) for address in addresses))
    number, cid = fields.pop("round"), Cid(_text(fields.pop("cid"), 46))
    if fields or type(number) is not int or not 0 < number < 1 << 48:
        raise ValueError("notice has other fields than expected")
    digest_from_cid(cid)
    if kind == UpdateNotice.kind:
        return UpdateNotice(sender, number, cid)
    if kind == ModelNotice.kind:
        return ModelNotice(sender, number, cid)
    raise ValueError(f"unknown kind {kind!r}")


def _text(value: Any, limit: int) -> str:
    if not isinstance(value, str) or len(value) > limit:
        raise ValueError(f"expected text of at most {limit} characters")
    return value


def validate(message: Message, *, author: str, peer_ids: Mapping[Address, str], current_round: int) -> Outcome:
    """Ordered checks on a decoded message.

    Args:
        message: what arrived.
        author: peer id whose libp2p signature it carries.
        peer_ids: peer id each member registered on chain.
        current_round: the newest round we know.
    """
    registered = peer_ids.get(message.sender)
    if registered is None:
        return Outcome(Check.IGNORE, "sender is not a member we know (yet)")
    if registered != author:
        return Outcome(Check.REJECT, "author's peer id is not the one its member registered on chain")
    if isinstance(message, Hello):
        return Outcome(Check.ACCEPT)
    if message.round > current_round + 1:
        return Outcome(Check.IGNORE, "round lies in the future")
    if message.round < current_round:
        return Outcome(Check.IGNORE, "round is over")
    return Outcome(Check.ACCEPT)

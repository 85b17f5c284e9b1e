"""What a node and its child processes say to each other: plain dataclasses, checked field by field on arrival.

A host process talks to strangers, so the node treats everything a host says as untrusted input: unknown kinds, wrong
types and lengths beyond the limits below are protocol violations (`node.hosts.framing`), never surprises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final, TypeAlias

MAX_PAYLOAD_BYTES: Final = 65_536
"""Longest gossip payload (and byte field)."""

MAX_TEXT: Final = 4_096
"""Longest text field, in characters."""

MAX_ITEMS: Final = 1_024
"""Longest list field."""


class MessageError(ValueError):
    """A message breaks the rules of this module."""


# --- node to host -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartGossip:
    """First message to `node.hosts.libp2p_host`. ``port`` 0 lets the system choose; ``network_key`` empty means none."""

    identity: str
    topic: str
    listen: str
    port: int
    announce: tuple[str, ...]
    bootstrap: tuple[str, ...]
    network_key: bytes


@dataclass(frozen=True, slots=True)
class StartKubo:
    """First message to `node.hosts.kubo_host`: repository folder, swarm key (32 bytes) and addresses.

    ``bootstrap`` is only checked: the node asks for each connection by `Connect`.
    """

    repo: str
    listen: str
    port: int
    announce: tuple[str, ...]
    bootstrap: tuple[str, ...]
    swarm_key: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    """Broadcast ``data`` on the topic."""

    id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Peers:
    """Ask for the connected peers' ids (gossip: those subscribed to the topic)."""

    id: int


@dataclass(frozen=True, slots=True)
class Connect:
    """Dial a multiaddr that ends in ``/p2p/<id>``."""

    id: int
    address: str


@dataclass(frozen=True, slots=True)
class Add:
    """Add the file at ``path``; the reply's values hold its CID."""

    id: int
    path: str


@dataclass(frozen=True, slots=True)
class Pin:
    """Fetch and pin a CID with everything it links to. May never be answered: Kubo's call has no timeout."""

    id: int
    cid: str


@dataclass(frozen=True, slots=True)
class Unpin:
    """Let go of a CID."""

    id: int
    cid: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End in good order. Closing the channel means the same."""


# --- host to node -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The host is up: its peer id and the multiaddrs (with ``/p2p/``) on which it can be dialled."""

    peer_id: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The host cannot start. ``setup`` says that the machine must change (port, disk, another node), not time pass."""

    setup: bool
    what: str
    why: str
    hint: str


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to the request with the same id; ``error`` is empty on success."""

    id: int
    error: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Received:
    """A gossip message whose signature the host checked: author (base58 peer id), sequence number, payload."""

    author: str
    sequence: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Health:
    """Sent by the libp2p host every few seconds."""

    connections: int
    subscribed: int
    mesh: int
    refused: int


Message: TypeAlias = (
    StartGossip
    | StartKubo
    | Publish
    | Peers
    | Connect
    | Add
    | Pin
    | Unpin
    | Stop
    | Ready
    | Failed
    | Reply
    | Received
    | Health
)

Request: TypeAlias = Publish | Peers | Connect | Add | Pin | Unpin

_KINDS: Final[Mapping[str, type[Message]]] = {
    kind.__name__: kind
    for kind in (
        StartGossip,
        StartKubo,
        Publish,
        Peers,
        Connect,
        Add,
        Pin,
        Unpin,
        Stop,
        Ready,
        Failed,
        Reply,
        Received,
        Health,
    )
}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


# By the annotation's text: the annotations of this module are strings.
_CHECKS: Final[Mapping[str, Callable[[object], bool]]] = {
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63,
    "bool": lambda value: isinstance(value, bool),
    "str": _is_text,
    "bytes": lambda value: isinstance(value, bytes) and len(value) <= MAX_PAYLOAD_BYTES,
    "tuple[str, ...]": lambda value: isinstance(value, tuple) and len(value) <= MAX_ITEMS and all(map(_is_text, value)),
}


def to_wire(message: Message) -> list[object]:
    """``[kind, field, field, …]``.

    Raises:
        MessageError: a field is too long or of the wrong type, so the other side would refuse it.
    """
    values = [getattr(message, field.name) for field in fields(message)]
    _check(type(message), values)
    return [type(message).__name__, *values]


def from_wire(value: object) -> Message:
    """The message in ``[kind, field, …]``.

    Raises:
        MessageError: unknown kind, wrong number or type of fields, or a field beyond its limit.
    """
    if not isinstance(value, list) or not value or not isinstance(value[0], str) or value[0] not in _KINDS:
        raise MessageError("not a known kind of message")
    kind = _KINDS[value[0]]
    values = [tuple(item) if isinstance(item, list) else item for item in value[1:]]
    _check(kind, values)
    build: Callable[..., Message] = kind  # the fields' types were checked a line above
    return build(*values)


def _check(kind: type[Message], values: list[object]) -> None:
    expected = fields(kind)
    if len(values) != len(expected):
        raise MessageError(f"{kind.__name__} has {len(expected)} fields, not {len(values)}")
    for field, value in zip(expected, values, strict=True):
        if not _CHECKS[str(field.type)](value):
            raise MessageError(f"{kind.__name__}.{field.name} is not a valid {field.type}")

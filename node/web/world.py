"""Everything that views are made from: what the chain says, and the few local files beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from node.explain.core import Past, Terms
from node.ports import Head
from node.protocol.state import State
from node.protocol.types import Address, ChainEvent
from node.web.chronicle import Chronicle


class Decoded(NamedTuple):
    """A call in a proposal, understood: contract and function by name, (name, value) of each argument."""

    contract: str
    function: str
    arguments: Sequence[tuple[str, Any]]


Decode = Callable[[Address, bytes], Decoded | None]
"""What a target and call data mean; None where it is no function of ours."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: ``mode`` is ``wallet`` or ``sign``, ``account`` whose keystore signs, ``node`` the local node's status."""

    mode: str = "wallet"
    account: Address | None = None
    node: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Local:
    """What lies on this machine: the last audit's report (with ``at``), evaluations, requests to join by application."""

    audit: Mapping[str, Any] | None = None
    evaluations: Mapping[str, Any] | None = None
    requests: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class World:
    """One moment of the network.

    Attributes:
        state: what the events fold to.
        events: all of them.
        chronicle: what the state forgets.
        head: newest block that was read.
        terms: constants of the deployment.
        governance: constants of votes by name, as the page needs them.
        name: of the network, for people.
        is_testnet: keys may sign here.
        is_stale: the chain does not answer at present.
        viewer: who looks.
        local: files of this machine.
        decode: understands calls.
    """

    state: State
    events: Sequence[ChainEvent]
    chronicle: Chronicle
    head: Head
    terms: Terms
    governance: Mapping[str, Any]
    name: str
    is_testnet: bool
    decode: Decode
    is_stale: bool = False
    viewer: Viewer = field(default_factory=Viewer)
    local: Local = field(default_factory=Local)

    @property
    def now(self) -> int:
        """The chain's time."""
        return self.head.timestamp

    @property
    def past(self) -> Past:
        """For explanations."""
        return Past(self.events, self.state, self.terms, self.now)


def hexed(value: bytes) -> str:
    """Bytes as ``0x…``."""
    return "0x" + value.hex()

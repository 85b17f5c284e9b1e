"""Which gossip messages a host lets in, before and after their signature is checked. Pure: time is an argument.

Rules of our topic: the author is an Ed25519 peer id (its key is inside, so nothing else need be trusted), the sequence
number is the author's clock in nanoseconds, the payload is at most 64 KiB. The clock makes replays useless: a message
older than the window is refused, and within the window every message id is remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import Final

from node.hosts.messages import MAX_PAYLOAD_BYTES

FRESH_SECONDS: Final = 300
"""How far an author's clock may be from ours, either way, including the message's travel time."""

REMEMBER_SECONDS: Final = 2 * FRESH_SECONDS + 60
"""How long a message id must be remembered so that no fresh message is delivered twice."""

_ED25519_PEER: Final = bytes((0x00, 0x24, 0x08, 0x01, 0x12, 0x20))  # identity multihash of a protobuf with the key
_PEER_BYTES: Final = len(_ED25519_PEER) + 32


class Verdict(Enum):
    """What to do with a message: take it, drop it, or drop it and the peer that sent it (no honest peer relays it)."""

    ACCEPT = "accept"
    DROP = "drop"
    DISCONNECT = "disconnect"


class TokenBuckets:
    """Rate limit per key: ``rate`` a second, bursts up to ``burst``; the least recently used of ``keys`` is forgotten."""

    def __init__(self, rate: float, burst: float, keys: int) -> None:
        self._rate, self._burst, self._keys = rate, burst, keys
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def take(self, key: bytes, now: float) -> bool:
        """Whether one more is allowed for ``key`` at time ``now`` (seconds)."""
        tokens, last = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - last) * self._rate)
        allowed = tokens >= 1
        self._buckets[key] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > self._keys:
            self._buckets.popitem(last=False)
        return allowed


class Admission:
    """The checks of one host on one topic."""

    def __init__(self, topic: str) -> None:
        self._topic = [topic]
        # A full mesh of 12 peers each forwarding the 30 messages a second that one core can handle.
        self._forwarders = TokenBuckets(rate=100, burst=1000, keys=256)
        self._authors = TokenBuckets(rate=20, burst=200, keys=4096)
        self._everybody = TokenBuckets(rate=200, burst=2000, keys=1)

    def before_signature(
        self, *, forwarder: bytes, author: bytes, sequence: bytes, topics: list[str], size: int, now: float
    ) -> Verdict:
        """Cheap checks of shape, age and the forwarder's rate; ``now`` is seconds since the epoch."""
        if topics != self._topic or size > MAX_PAYLOAD_BYTES:
            return Verdict.DISCONNECT
        if len(author) != _PEER_BYTES or not author.startswith(_ED25519_PEER) or len(sequence) != 8:
            return Verdict.DISCONNECT
        if abs(int.from_bytes(sequence, "big") / 1e9 - now) > FRESH_SECONDS:
            return Verdict.DROP
        return Verdict.ACCEPT if self._forwarders.take(forwarder, now) else Verdict.DROP

    def after_signature(self, author: bytes, now: float) -> bool:
        """Rates of authentic, new messages; only here can an author's allowance be spent by nobody else."""
        return self._authors.take(author, now) and self._everybody.take(b"", now)

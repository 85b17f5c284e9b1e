"""The six doors between the pure core and the world.

Each port has an adapter for real use (`node/adapters`) and one in memory (`node/sim`). Rules for every adapter:

* Library errors never pass through: they become the errors of `node.protocol.errors`, with ``from``.
* Every coroutine may be cancelled at any ``await``; a cancelled call leaves no half-written file and no held lock.
* Anything from outside is bounded in size and checked before it is returned.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from node.protocol.types import Address, Call, ChainEvent, Cid

EVENT_CHUNK = 2_000
"""Blocks per call of `Chain.events`: what public RPC endpoints commonly allow."""
SLICE_MAX_BYTES = 8 << 20
"""Most bytes of a benchmark slice's rows: a thousand long functions fit."""


@dataclass(frozen=True, slots=True)
class Head:
    """Newest block as a node sees it: height, timestamp in seconds, hash."""

    number: int
    timestamp: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction: its hash, block and gas used."""

    transaction: bytes
    block: int
    gas_used: int


class Chain(Protocol):
    """The community's contracts on one EVM chain."""

    async def head(self) -> Head:
        """Newest block."""
        ...

    async def events(self, first: int, last: int) -> Sequence[ChainEvent]:
        """All our contracts' events of blocks ``first..last`` (inclusive), in chain order."""
        ...

    async def block_hash(self, number: int) -> bytes | None:
        """Hash of a block by height; None where the endpoint does not serve it (any more)."""
        ...

    async def call_of(self, transaction: bytes) -> Call | None:
        """The call that a mined transaction made to one of our contracts; None where it called something else."""
        ...

    async def send(self, call: Call) -> Receipt:
        """Sign, send and wait for one call. Cancelling stops waiting; the transaction may still be mined.

        Raises:
            TransactionReverted: the contract refused (checked before sending, so no gas is lost).
            RpcUnreachable: no answer.
        """
        ...

    async def read(self, call: Call) -> Any:
        """Result of a view function at the newest block."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


@dataclass(frozen=True, slots=True)
class GossipMessage:
    """A message whose libp2p signature was checked: author's peer id (base58 text) and payload."""

    author: str
    data: bytes


class Gossip(Protocol):
    """Best-effort broadcast. Losing a message costs time, never correctness."""

    @property
    def peer_id(self) -> str:
        """Our own peer id, base58 text."""
        ...

    @property
    def addresses(self) -> Sequence[str]:
        """Multiaddrs (with /p2p/ id) on which we can be dialled."""
        ...

    async def publish(self, data: bytes) -> None:
        """Broadcast at most 64 KiB.

        Raises:
            GossipError: too large, or the host is down (it is being restarted; try again).
        """
        ...

    def messages(self) -> AsyncIterator[GossipMessage]:
        """Messages of others, each at most once. Cancelling the consumer loses nothing already delivered."""
        ...

    async def peers(self) -> Sequence[str]:
        """Peer ids subscribed to our topic now."""
        ...

    async def close(self) -> None:
        """Leave the mesh and stop the host."""
        ...


class BlobStore(Protocol):
    """Content-addressed storage (IPFS). CIDs are CIDv0; every byte returned was verified against its CID."""

    async def put(self, data: bytes) -> Cid:
        """Store and pin. The CID equals `node.protocol.cid.compute_cid(data)`.

        Raises:
            BlobStoreDown: the node is not up.
            SetupError: the disk or the store's quota is full.
        """
        ...

    async def get(self, cid: Cid, *, max_bytes: int, seconds: float) -> bytes:
        """Fetch, verify every block, and pin.

        Raises:
            BlobUnavailable: nobody served it within ``seconds``.
            BlobTooLarge: it is longer than ``max_bytes`` (nothing beyond the limit is kept).
            BlobCorrupt: bytes differ from the CID.
            BlobStoreDown: the node is not up.
            SetupError: the disk or the store's quota is full.
        """
        ...

    async def unpin(self, cid: Cid) -> None:
        """Let go of it; unknown CIDs are ignored."""
        ...

    async def connect(self, address: str) -> None:
        """Dial another store's multiaddr (best effort)."""
        ...

    @property
    def addresses(self) -> Sequence[str]:
        """Multiaddrs on which our store can be dialled."""
        ...

    async def close(self) -> None:
        """Stop the node."""
        ...


@dataclass(frozen=True, slots=True)
class TrainJob:
    """One local training run: parent checkpoint in, update out. ``seed`` fixes sampling; same job, same update (one machine).

    ``benchmark`` (JSONL) trains on all of its rows instead of on this node's own data: a steward's public update.
    """

    round: int
    checkpoint: bytes
    seed: int
    benchmark: bytes | None = None


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Encoded update bundle, number of samples used, and what the trainer wants shown (loss, seconds …)."""

    update: bytes
    samples: int
    notes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """Raw gains wanted: parent checkpoint, last aggregate (bundle bytes or None), updates by position, benchmark slice (JSONL).

    ``public_update``: the steward's training on the public benchmark (bundle bytes), along which the base is moved as well.
    """

    round: int
    checkpoint: bytes
    last_aggregate: bytes | None
    updates: Sequence[bytes]
    benchmark: bytes
    public_update: bytes | None = None


class Trainer(Protocol):
    """The learning side of one node."""

    async def prepare(self) -> None:
        """Load model and data ahead of the first job. May be called any number of times."""
        ...

    async def follow(self, learning: Mapping[str, Any], max_bytes: int) -> None:
        """Work by another guideline's learning settings and size limit from the next job on.

        Raises:
            TrainingError: a setting that cannot be honoured, by name; everything stays as it was.
        """
        ...

    async def train(self, job: TrainJob) -> TrainResult:
        """Train locally. Cancelling stops at the next step."""
        ...

    async def score(self, job: ScoreJob) -> Sequence[int]:
        """Raw gain in ppm of each update at the guideline's step from the look-ahead base (docs/protocol.md)."""
        ...

    async def evaluate(self, checkpoint: bytes, benchmark: bytes) -> Mapping[str, float]:
        """Metrics of a checkpoint on a benchmark (JSONL), e.g. ``{"mrr": 0.28}``."""
        ...


class Clock(Protocol):
    """Time. The chain's own timestamps decide deadlines; this one only paces the node."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Signer(Protocol):
    """The node's key. The key itself never leaves the adapter."""

    @property
    def address(self) -> Address:
        """Our account."""
        ...

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """Raw signed transaction."""
        ...

    def sign_typed(self, domain: Mapping[str, Any], types: Mapping[str, Any], message: Mapping[str, Any]) -> bytes:
        """EIP-712 signature of a message, 65 bytes."""
        ...

    @property
    def encryption_public_key(self) -> bytes:
        """X25519 public key, 32 bytes, as registered on chain."""
        ...

    def shared_secret(self, peer_public_key: bytes) -> bytes:
        """32 bytes that only we and the owner of an X25519 public key can compute (`node.confidential.agreement.agree`).

        Raises:
            KeystoreError: not a usable public key.
        """
        ...

    def derive(self, label: bytes) -> bytes:
        """32 secret bytes bound to ``label`` (HMAC-SHA-256); the same after every restart."""
        ...


@dataclass(frozen=True, slots=True)
class Workspace:
    """Folders of one node: ``root`` holds everything it may delete and rebuild, except ``keys``."""

    root: Path
    keys: Path

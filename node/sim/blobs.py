"""Simulated content-addressed storage: who holds what, who can reach it, and how long it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from node.ports import BlobStore
from node.protocol.cid import compute_cid
from node.protocol.errors import BlobCorrupt, BlobStoreDown, BlobTooLarge, BlobUnavailable
from node.protocol.types import Cid


@dataclass(slots=True)
class BlobFaults:
    """What goes wrong with content. Change it at any time.

    Attributes:
        unavailable: CIDs that nobody can fetch from anybody else.
        hidden_from: names of stores that cannot fetch a CID (a trainer that serves only some verifiers).
        corrupt: CIDs whose bytes arrive damaged.
        slow: seconds a fetch of a CID takes on top of the latency.
    """

    unavailable: set[Cid] = field(default_factory=set)
    hidden_from: dict[Cid, set[str]] = field(default_factory=dict)
    corrupt: set[Cid] = field(default_factory=set)
    slow: dict[Cid, float] = field(default_factory=dict)


class SimSwarm:
    """All stores together.

    Args:
        latency: seconds a fetch from another store takes.
    """

    def __init__(self, *, latency: float = 0.2) -> None:
        self.latency = latency
        self.faults = BlobFaults()
        self._stores: dict[str, SimBlobs] = {}

    def join(self, name: str) -> SimBlobs:
        """A new store; one that comes back under the same name finds its content again."""
        held = self._stores[name].held if name in self._stores else {}
        self._stores[name] = SimBlobs(self, name, held)
        return self._stores[name]

    def find(self, cid: Cid, wanted_by: str) -> bytes | None:
        """Content as another store can get it now; None where nobody serves it."""
        if cid in self.faults.unavailable or wanted_by in self.faults.hidden_from.get(cid, ()):
            return None
        servers = (store for name, store in self._stores.items() if name != wanted_by and not store.is_down)
        return next((store.held[cid] for store in servers if cid in store.held), None)

    def holders(self, cid: Cid) -> Collection[str]:
        """Names of the stores that hold a CID."""
        return [name for name, store in self._stores.items() if cid in store.held]


class SimBlobs(BlobStore):
    """`node.ports.BlobStore` of one node.

    Args:
        swarm: all stores.
        name: ours.
        held: content we hold already.
    """

    def __init__(self, swarm: SimSwarm, name: str, held: dict[Cid, bytes]) -> None:
        self._swarm = swarm
        self._name = name
        self.held = held
        self.connected: list[str] = []
        self.is_down = False

    @property
    def addresses(self) -> Sequence[str]:
        """A made-up multiaddr."""
        return (f"/memory/blobs/p2p/{self._name}",)

    async def put(self, data: bytes) -> Cid:
        """Store and pin.

        Raises:
            BlobStoreDown: the fault ``is_down``.
        """
        self._require_up()
        cid = compute_cid(data)
        self.held[cid] = data
        return cid

    async def get(self, cid: Cid, *, max_bytes: int, seconds: float) -> bytes:
        """Fetch and pin.

        Raises:
            BlobUnavailable: nobody served it within ``seconds``.
            BlobTooLarge: it is longer than ``max_bytes``.
            BlobCorrupt: the fault ``corrupt``.
            BlobStoreDown: the fault ``is_down``.
        """
        self._require_up()
        data = self.held.get(cid)
        if data is None:
            data = await self._fetch(cid, seconds)
        if len(data) > max_bytes:
            raise BlobTooLarge(f"{cid} has {len(data)} bytes, more than {max_bytes}.")
        if cid in self._swarm.faults.corrupt and cid not in self.held:
            raise BlobCorrupt(f"What was served as {cid} are other bytes.", why="The fault corrupt is set.")
        self.held[cid] = data
        return data

    async def _fetch(self, cid: Cid, seconds: float) -> bytes:
        """Content from another store; looks again until ``seconds`` have passed, as a provider may still turn up."""
        swarm = self._swarm
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        needed = swarm.latency + swarm.faults.slow.get(cid, 0.0)
        step = max(swarm.latency, seconds / 16)
        while True:
            left = deadline - loop.time()
            found = swarm.find(cid, self._name)
            if found is not None and needed <= left:
                await asyncio.sleep(needed)
                return found
            if left <= 0:
                raise BlobUnavailable(
                    f"Nobody served {cid} within {seconds:g} s.", hint="Try again; a peer may return."
                )
            await asyncio.sleep(min(step, left))

    async def unpin(self, cid: Cid) -> None:
        """Let go of it; unknown CIDs are ignored."""
        self.held.pop(cid, None)

    async def connect(self, address: str) -> None:
        """Remember the address; everybody reaches everybody here."""
        self.connected.append(address)

    async def close(self) -> None:
        """Stop serving."""
        self.is_down = True

    def _require_up(self) -> None:
        if self.is_down:
            raise BlobStoreDown("The simulated store is down.", hint="Start the node again.")

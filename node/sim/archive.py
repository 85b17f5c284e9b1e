"""A scripted community whose updates, slices and models are real files: histories for audits, without networks and without learning.

Updates are pseudo-random bundles; models are what `node.combine` makes of those accepted. Files lie in a folder under their CIDs.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aggregation.bundle import Schema, Tensors, decode, encode
from node.combine import combine
from node.ports import BlobStore
from node.protocol.cid import cid_from_digest, compute_cid, digest_from_cid
from node.protocol.commitments import RoundScope, aggregate_secret
from node.protocol.errors import BlobCorrupt, BlobTooLarge, BlobUnavailable
from node.protocol.guideline import Guideline
from node.protocol.hashing import keccak256
from node.protocol.types import Cid, Phase
from node.sim.ledger import Deployment, address_of
from node.sim.round_storage import Model
from node.sim.scripted import Script
from node.sim.scripted_votes import Parliament


class FolderBlobs(BlobStore):
    """Files under their CIDs; what is read is verified against its CID.

    Args:
        folder: where they lie; it must exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, data: bytes) -> Cid:
        """Store a file, at once."""
        cid = compute_cid(data)
        self.folder.joinpath(cid).write_bytes(data)
        return cid

    def path(self, cid: Cid) -> Path:
        """Where a file lies."""
        return self.folder / cid

    async def put(self, data: bytes) -> Cid:
        """Store a file."""
        return await asyncio.to_thread(self.keep, data)

    async def get(self, cid: Cid, *, max_bytes: int, seconds: float) -> bytes:  # noqa: ARG002 - the port's parameter
        """Read a file.

        Raises:
            BlobUnavailable: there is none.
            BlobTooLarge: longer than ``max_bytes``.
            BlobCorrupt: its bytes are not those of its CID.
        """
        return await asyncio.to_thread(self._read, cid, max_bytes)

    def _read(self, cid: Cid, max_bytes: int) -> bytes:
        path = self.folder / cid
        if path.exists() and path.stat().st_size > max_bytes:
            raise BlobTooLarge(f"{cid} is longer than {max_bytes} bytes.")
        return self.verified(cid, path.read_bytes() if path.exists() else None)

    @staticmethod
    def verified(cid: Cid, data: bytes | None) -> bytes:
        """Bytes, if they are those of a CID.

        Raises:
            BlobUnavailable: there are none.
            BlobCorrupt: they are others.
        """
        if data is None:
            raise BlobUnavailable(f"Nobody serves {cid}.")
        if compute_cid(data) != cid:
            raise BlobCorrupt(f"{cid} has other bytes.")
        return data

    async def unpin(self, cid: Cid) -> None:
        """Forget a file."""
        self.folder.joinpath(cid).unlink(missing_ok=True)

    async def connect(self, address: str) -> None:
        """There is nobody to dial."""

    @property
    def addresses(self) -> Sequence[str]:
        """Nobody can dial it."""
        return ()

    async def close(self) -> None:
        """Nothing to stop."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the updates are: ``layers`` matrices of ``rows`` by ``columns``."""

    layers: int = 2
    rows: int = 8
    columns: int = 4

    @property
    def schema(self) -> Schema:
        """Names and shapes."""
        return tuple((f"layer.{layer:03}.lora_B", (self.rows, self.columns)) for layer in range(self.layers))

    @property
    def parameters(self) -> int:
        """Parameters of one update."""
        return self.layers * self.rows * self.columns


class Archive(Parliament):
    """As `Parliament`, with files.

    Args:
        size: members.
        blobs: where the files go.
        guideline: how models are made at first; ``founding`` keeps it.
        shape: of the updates.
        seed: of rings and updates.
        changes: of the deployment.
    """

    def __init__(
        self,
        size: int,
        blobs: FolderBlobs,
        guideline: Guideline,
        *,
        shape: Shape | None = None,
        seed: int = 0,
        **changes: Any,
    ) -> None:
        self.blobs = blobs
        self.guideline = self.founding = guideline
        self.shape = shape if shape is not None else Shape()
        genesis = encode(self._random("genesis", 0.1))
        cid = digest_from_cid(blobs.keep(genesis))
        self._checkpoint = genesis
        self._openings: dict[tuple[int, int], dict[str, Any]] = {}
        self._models: dict[int, tuple[bytes, bytes, bytes]] = {}
        deployment = Deployment(
            seats=(address_of("member/0"),),
            guideline_hash=guideline.hash,
            genesis=Model(hashlib.sha256(genesis).digest(), cid),
        )
        super().__init__(size, replace(deployment, **changes), seed=seed)

    def _random(self, label: str, scale: float) -> Tensors:
        stream = np.random.default_rng(int.from_bytes(keccak256(f"archive/{label}".encode())[:16], "big"))
        return {
            name: (scale * stream.standard_normal(shape, dtype=np.float32)).astype(np.float32)
            for name, shape in self.shape.schema
        }

    def update(self, place: int) -> bytes:
        """One member's update of the newest round: a direction that all share, and noise of its own."""
        common = self._random(f"round/{self.round}", 0.01)
        own = self._random(f"update/{self.round}/{place}", 0.002)
        return encode({name: common[name] + own[name] for name in common})

    def opening(self, place: int) -> dict[str, Any]:
        """What opens a member's update commitment: the file exists."""
        key = (self.round, place)
        if key not in self._openings:
            self._openings = {known: value for known, value in self._openings.items() if known[0] == self.round}
            data = self.update(place)
            self._openings[key] = {
                "content_hash": hashlib.sha256(data).digest(),
                "cid": digest_from_cid(self.blobs.keep(data)),
                "samples": 100 + place,
                "salt": self.salt(place, "update"),
            }
        return self._openings[key]

    def slice_opening(self, round_number: int) -> dict[str, bytes]:
        """What opens the steward's commitment: a file of one row."""
        data = b'{"x": [%d], "y": 0}\n' % round_number
        salt = super().slice_opening(round_number)["salt"]
        cid = digest_from_cid(self.blobs.keep(data))
        return {"content_hash": hashlib.sha256(data).digest(), "cid": cid, "salt": salt}

    def amendment(self) -> tuple[bytes, bytes, bytes, bytes]:
        """Half the outer step from the next round on, as files."""
        update = self.guideline.documents["update"]
        slower = {**update, "outer_learning_rate": float(update["outer_learning_rate"]) / 2}
        self.guideline = Guideline({**self.guideline.documents, "update": slower})
        document, combined = self.guideline.document("update"), self.guideline.canonical
        files = (self.blobs.keep(document), self.blobs.keep(combined))
        return (
            hashlib.sha256(document).digest(),
            digest_from_cid(files[0]),
            self.guideline.hash,
            digest_from_cid(files[1]),
        )

    def model(self, round_number: int) -> tuple[bytes, bytes, bytes]:
        """(secret, hash, CID) of the model that the accepted updates make; a made-up one for who attests wrongly."""
        if round_number != self.round:
            return super().model(round_number)
        if round_number not in self._models:
            self._models = {round_number: self._combined(round_number)}
        return self._models[round_number]

    @staticmethod
    def digest_of(data: bytes) -> bytes:
        """A file's CID as it stands on chain."""
        return digest_from_cid(compute_cid(data))

    def _combined(self, number: int) -> tuple[bytes, bytes, bytes]:
        updates: dict[bytes, bytes] = {}
        for index, place in enumerate(self.order()):
            if self.read("resultOf", number, index)[0] == 1:
                data = self.blobs.path(cid_from_digest(self.opening(place)["cid"])).read_bytes()
                updates[bytes.fromhex(self.members[place][2:])] = data
        model = combine(self._checkpoint, updates, self.guideline)
        self._next = model
        scope = RoundScope(self.deployment.chain_id, self.ledger.rounds.address, number)
        return aggregate_secret(scope, model), hashlib.sha256(model).digest(), digest_from_cid(self.blobs.keep(model))

    def play(self, script: Script | None = None) -> Phase:
        """One whole round; a final one moves the checkpoint on."""
        phase = super().play(script)
        if phase is Phase.FINALIZED:
            self._checkpoint = self._next
        return phase

    @property
    def checkpoint(self) -> Tensors:
        """The newest model."""
        return decode(self._checkpoint, max_bytes=self.guideline.update.max_bytes)

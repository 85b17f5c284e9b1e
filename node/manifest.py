"""What identifies one community: chain, contracts, constants and founding files. Written at deployment, read by every node.

Addresses and constants can be checked against the chain (`deploy.roles.verify_roles`); the rest is believed as far as its sender is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from incentives.rewards import EmissionParams
from node.adapters.abi import CONTRACTS
from node.protocol.cid import compute_cid
from node.protocol.errors import ConfigError
from node.protocol.governance import GovernanceParams
from node.protocol.types import Address, Cid, CourtParams, RegistryParams, RoundParams, Scoring
from node.records import from_plain, to_plain

__all__ = [
    "VERSION",
    "Content",
    "GovernanceParams",
    "Manifest",
    "NetworkParams",
    "content",
    "load_manifest",
    "topic_of",
]

VERSION = 1
MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class NetworkParams:
    """All constants of one deployment."""

    rounds: RoundParams
    scoring: Scoring
    court: CourtParams
    registry: RegistryParams
    emission: EmissionParams
    governance: GovernanceParams


@dataclass(frozen=True, slots=True)
class Content:
    """A founding file: its hash as the contracts or the protocol name it, and its CID."""

    hash: bytes
    cid: Cid


@dataclass(frozen=True, slots=True)
class Manifest:
    """One deployment.

    Attributes:
        version: of this format.
        chain_id: EIP-155.
        deployment_block: first block that may hold events of ours.
        contracts: address by contract name.
        code_hashes: Keccak-256 of the runtime code by contract name.
        params: constants.
        committee: seats, in order.
        guardian: account that can pause entry points and cancel proposals.
        guardian_until: when its office ends, seconds since 1970.
        guideline: the developer guideline; Keccak-256 of its canonical bytes.
        documents: its four documents (data, architecture, update, versioning); SHA-256.
        genesis: the founding model; SHA-256.
        public_benchmark: benchmark of unsealed rounds; SHA-256.
        topic: gossip topic.
    """

    version: int
    chain_id: int
    deployment_block: int
    contracts: Mapping[str, Address]
    code_hashes: Mapping[str, bytes]
    params: NetworkParams
    committee: tuple[Address, ...]
    guardian: Address
    guardian_until: int
    guideline: Content
    documents: tuple[Content, ...]
    genesis: Content
    public_benchmark: Content
    topic: str

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(to_plain(self), indent=2) + "\n"

    def write(self, path: Path) -> None:
        """Write ``path`` whole or not at all."""
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(self.to_json(), encoding="utf-8")
        temporary.replace(path)


def topic_of(chain_id: int, round_manager: Address) -> str:
    """Gossip topic of a community: no two share one."""
    return f"commonweight/1/{chain_id}/{round_manager.lower()}"


def load_manifest(path: Path) -> Manifest:
    """Manifest of a file.

    Raises:
        ConfigError: unreadable, too large, an unknown or missing key, a wrong type, or names that do not belong together.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"The manifest {path} cannot be read: {error.strerror}.",
            hint="Name the network's manifest; `python -m deploy` writes one.",
        ) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"The manifest {path} is larger than {MAX_BYTES} bytes.")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The manifest {path} is not JSON: {error}.") from error
    if isinstance(value, dict) and value.get("version", VERSION) != VERSION:
        raise ConfigError(
            f"The manifest {path} has version {value['version']!r}; this node reads version {VERSION}.",
            hint="Update the node.",
        )
    manifest = from_plain(Manifest, value, path.name)
    _check(manifest, path)
    return manifest


def _check(manifest: Manifest, path: Path) -> None:
    for name in ("contracts", "code_hashes"):
        if sorted(getattr(manifest, name)) != sorted(CONTRACTS):
            raise ConfigError(f"{path.name}.{name} must name exactly {', '.join(CONTRACTS)}.")
    hashes = [manifest.guideline.hash, manifest.genesis.hash, manifest.public_benchmark.hash]
    if any(len(one) != 32 for one in (*hashes, *manifest.code_hashes.values())):
        raise ConfigError(f"A hash in {path.name} does not have 32 bytes.")
    if manifest.topic != topic_of(manifest.chain_id, manifest.contracts["RoundManager"]):
        raise ConfigError(f"{path.name}.topic does not belong to its chain and RoundManager.")
    if not manifest.committee:
        raise ConfigError(f"{path.name}.committee is empty.")


def content(data: bytes, digest: bytes) -> Content:
    """A founding file by its bytes: ``digest`` as its kind is named, and the CID that IPFS gives these bytes."""
    return Content(hash=digest, cid=compute_cid(data))

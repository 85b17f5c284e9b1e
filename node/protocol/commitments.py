"""Commitments, attestations and salts, exactly as the contracts compute them (docs/protocol.md, "Hashes").

Every commitment binds chain, contract, round and sender, so a copied one opens for nobody else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from node.protocol.hashing import abi_encode, keccak256
from node.protocol.types import Address

_ATTESTATION_DOMAIN = b"commonweight/attestation/1"
_SALT_DOMAIN = b"commonweight/salt/1"


@dataclass(frozen=True, slots=True)
class RoundScope:
    """What a commitment is bound to besides its sender: chain, contract, round."""

    chain_id: int
    round_manager: Address
    round: int


def update_commitment(
    scope: RoundScope, trainer: Address, *, content_hash: bytes, cid: bytes, samples: int, salt: bytes
) -> bytes:
    """H(abi(chainid, roundManager, round, trainer, contentHash, cid, samples, salt))."""
    return keccak256(
        abi_encode(scope.chain_id, scope.round_manager, scope.round, trainer, content_hash, cid, samples, salt)
    )


def benchmark_commitment(scope: RoundScope, steward: Address, *, content_hash: bytes, cid: bytes, salt: bytes) -> bytes:
    """H(abi(chainid, roundManager, round, steward, contentHash, cid, salt))."""
    return keccak256(abi_encode(scope.chain_id, scope.round_manager, scope.round, steward, content_hash, cid, salt))


def score_commitment(scope: RoundScope, verifier: Address, *, word: int, salt: bytes) -> bytes:
    """H(abi(chainid, roundManager, round, verifier, word, salt))."""
    return keccak256(abi_encode(scope.chain_id, scope.round_manager, scope.round, verifier, word, salt))


def ballot_commitment(
    chain_id: int, court: Address, dispute: int, juror: Address, *, ballot: int, salt: bytes
) -> bytes:
    """H(abi(chainid, court, dispute, juror, ballot, salt))."""
    return keccak256(abi_encode(chain_id, court, dispute, juror, ballot, salt))


def jury_key(block_hash: bytes, dispute: int, court: Address) -> bytes:
    """H(abi(blockhash, dispute, court)): key of the permutation that a dispute's jury is drawn by."""
    return keccak256(abi_encode(block_hash, dispute, court))


def ring_seed(block_hash: bytes, round_number: int, round_manager: Address) -> bytes:
    """H(abi(blockhash, round, roundManager))."""
    return keccak256(abi_encode(block_hash, round_number, round_manager))


def aggregate_secret(scope: RoundScope, checkpoint: bytes) -> bytes:
    """D: only somebody who holds the aggregated checkpoint's bytes can compute it (32 bytes, SHA-256)."""
    prefix = (
        _ATTESTATION_DOMAIN
        + scope.chain_id.to_bytes(32, "big")
        + bytes.fromhex(scope.round_manager[2:])
        + scope.round.to_bytes(32, "big")
    )
    return hashlib.sha256(prefix + checkpoint).digest()


def attestation(round_number: int, attester: Address, *, secret: bytes, model_hash: bytes, cid: bytes) -> bytes:
    """H(abi(round, attester, D, modelHash, cid)): differs for every attester, so it cannot be copied."""
    return keccak256(abi_encode(round_number, attester, secret, model_hash, cid))


def salt_label(scope: RoundScope, purpose: str) -> bytes:
    """Label under which a node derives the salt of one commitment; the same after a restart, unique per round and purpose."""
    return (
        _SALT_DOMAIN
        + scope.chain_id.to_bytes(32, "big")
        + bytes.fromhex(scope.round_manager[2:])
        + scope.round.to_bytes(32, "big")
        + purpose.encode()
    )

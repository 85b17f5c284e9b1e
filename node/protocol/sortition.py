"""Who verifies whom: circulant assignment on a keyed permutation (docs/protocol.md, "Ring").

The permutation is a four-round balanced Feistel network on the smallest even number of bits that holds n, with cycle walking: values that
leave [0, n) are encrypted again until they return. It costs no loop over participants and its inverse is computable, so the contract can
find one update's verifiers, and one verifier's updates, in O(k). Mirrors `contracts/src/libraries/RingShuffle.sol`; n ≤ 65 536.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.protocol.hashing import keccak256

_ROUNDS = 4


def _half_bits(n: int) -> int:
    half = 1
    while 1 << (2 * half) < n:
        half += 1
    return half


def _round_value(seed: bytes, i: int, right: int, mask: int) -> int:
    return int.from_bytes(keccak256(seed + ((i << 128) | right).to_bytes(32, "big")), "big") & mask


def forward(seed: bytes, n: int, index: int) -> int:
    """Ring position of participant ``index`` (both in [0, n))."""
    half = _half_bits(n)
    mask = (1 << half) - 1
    value = index
    while True:
        left, right = value >> half, value & mask
        for i in range(_ROUNDS):
            left, right = right, left ^ _round_value(seed, i, right, mask)
        value = (left << half) | right
        if value < n:
            return value


def inverse(seed: bytes, n: int, position: int) -> int:
    """Participant at ring position ``position``: the inverse of `forward`."""
    half = _half_bits(n)
    mask = (1 << half) - 1
    value = position
    while True:
        left, right = value >> half, value & mask
        for i in reversed(range(_ROUNDS)):
            left, right = right ^ _round_value(seed, i, left, mask), left
        value = (left << half) | right
        if value < n:
            return value


def verifiers_per_update(n: int, max_verifiers: int) -> int:
    """K = min(n − 1, maxVerifiers); 0 for n < 2."""
    return max(0, min(n - 1, max_verifiers))


def assigned_updates(seed: bytes, n: int, verifier: int, k: int) -> list[int]:
    """Indices of the k updates that ``verifier`` scores; entry j is field j of its score word."""
    position = forward(seed, n, verifier)
    return [inverse(seed, n, (position + 1 + j) % n) for j in range(k)]


def verifiers_of(seed: bytes, n: int, update: int, k: int) -> list[tuple[int, int]]:
    """(verifier index, field) of the k fields that score ``update``; the inverse of `assigned_updates`."""
    position = forward(seed, n, update)
    return [(inverse(seed, n, (position - 1 - j) % n), j) for j in range(k)]


def attesters(seed: bytes, n: int, max_attesters: int) -> Sequence[int]:
    """Participant index of every attestation slot: the owners of the first min(n, maxAttesters) ring positions."""
    return [inverse(seed, n, slot) for slot in range(min(n, max_attesters))]

"""Who verifies whom: circulant assignment on a keyed permutation (docs/protocol.md, "Ring").

The permutation is a four-round balanced Feistel network on the smallest even number of bits that holds n, with cycle walking: values that
leave [0, n) are encrypted again until they return. It costs no loop over participants and its inverse is computable, so the contract can
find one update's verifiers, and one verifier's updates, in O(k). Mirrors `contracts/src/libraries/RingShuffle.sol`; n ≤ 65 536.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def has_retry_panel(n: int, k: int) -> bool:
    """Whether the ring holds a second full panel for every update: n ≥ 2k+1."""
    return n >= 2 * k + 1


def assigned_updates(seed: bytes, n: int, verifier: int, k: int, *, retry: bool = False) -> list[int]:
    """Indices of the k updates that ``verifier`` scores; entry j is field j of its score word.

    Those at positions p+1 … p+k after its own p; in the retry p+k+1 … p+2k.
    """
    first = forward(seed, n, verifier) + 1 + (k if retry else 0)
    return [inverse(seed, n, (first + j) % n) for j in range(k)]


def verifiers_of(seed: bytes, n: int, update: int, k: int, *, retry: bool = False) -> list[tuple[int, int]]:
    """(verifier index, field) of the k fields that score ``update``; the inverse of `assigned_updates`."""
    last = forward(seed, n, update) - 1 - (k if retry else 0)
    return [(inverse(seed, n, (last - j) % n), j) for j in range(k)]


def attesters(seed: bytes, n: int, max_attesters: int) -> Sequence[int]:
    """Participant index of every attestation slot: the owners of the first min(n, maxAttesters) ring positions."""
    return [inverse(seed, n, slot) for slot in range(min(n, max_attesters))]


LEAST_JURORS = 3
"""Where fewer would be left, a jury is drawn from all but those who would judge themselves."""


def panel_positions(n: int, k: int, position: int, *, is_retried: bool) -> frozenset[int]:
    """Ring positions that judged the update at ``position``: the first panel, and the retry panel where it was tried again."""
    return frozenset((position - 1 - j) % n for j in range(2 * k if is_retried else k))


@dataclass(frozen=True, slots=True)
class JuryPlan:
    """Who must not sit on a jury, and how many places it is drawn from.

    Attributes:
        excluded: ring positions.
        places: places of the permutation that jurors are taken from.
        is_independent: nobody sits on it who gave the verdict.
    """

    excluded: frozenset[int]
    places: int
    is_independent: bool


def plan_jury(n: int, size: int, involved: frozenset[int], owner: frozenset[int]) -> JuryPlan:
    """The jury of ``size`` without those ``involved``; where fewer than `LEAST_JURORS` would be left, without the ``owner`` only.

    Args:
        n: members on the ring.
        size: jurors wanted.
        involved: positions of all who took part in the verdict, the owner's among them.
        owner: position whose own matter it is; empty for an aggregate.
    """
    if n - len(involved) >= LEAST_JURORS:
        return JuryPlan(involved, min(n, size + len(involved)), is_independent=True)
    return JuryPlan(owner, min(n, size + len(owner)), is_independent=False)


def draw_jury(key: bytes, n: int, plan: JuryPlan) -> dict[int, int]:
    """Ring position of each juror by place: the first places of the permutation under ``key``, minus the excluded."""
    seats = {place: inverse(key, n, place) for place in range(plan.places)}
    return {place: position for place, position in seats.items() if position not in plan.excluded}

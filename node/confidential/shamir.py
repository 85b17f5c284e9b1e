"""Shamir's secret sharing over GF(2^8), byte by byte: any t of n shares give the secret, fewer say nothing about it.

Share x of byte s is ``s + a₁x + … + a_{t-1}x^{t-1}`` with random a; addition is xor, multiplication modulo x⁸+x⁴+x³+x+1 (AES's field). t−1
shares are consistent with every s, each with exactly one polynomial: they are uniform whatever the secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from node.protocol.errors import LocalProtocolError

MAX_SHARES = 255


def _tables() -> tuple[list[int], list[int]]:
    """Powers of the generator 3, twice over, and logarithms."""
    powers, logarithms, value = [0] * 510, [0] * 256, 1
    for exponent in range(255):
        powers[exponent] = powers[exponent + 255] = value
        logarithms[value] = exponent
        value ^= (value << 1) ^ (0x11B if value & 0x80 else 0)
    return powers, logarithms


_POWERS, _LOGARITHMS = _tables()


def _times(a: int, b: int) -> int:
    return _POWERS[_LOGARITHMS[a] + _LOGARITHMS[b]] if a and b else 0


def _over(a: int, b: int) -> int:
    return _POWERS[_LOGARITHMS[a] + 255 - _LOGARITHMS[b]] if a else 0


def split(secret: bytes, threshold: int, shares: int, randomness: bytes) -> dict[int, bytes]:
    """Shares 1 … ``shares`` of a secret, each as long as it.

    Args:
        secret: what is shared.
        threshold: how many shares give it back.
        shares: how many there are, at most 255.
        randomness: ``(threshold - 1) · len(secret)`` uniform bytes, never used again.

    Raises:
        LocalProtocolError: numbers that cannot be.
    """
    if not 1 <= threshold <= shares <= MAX_SHARES or len(randomness) != (threshold - 1) * len(secret):
        raise LocalProtocolError(f"No {shares} shares with threshold {threshold} from {len(randomness)} random bytes.")
    rows = [secret, *(randomness[i * len(secret) : (i + 1) * len(secret)] for i in range(threshold - 1))]
    return {x: bytes(_at(x, column) for column in zip(*rows, strict=True)) for x in range(1, shares + 1)}


def _at(x: int, coefficients: tuple[int, ...]) -> int:
    """Horner's scheme, constant term first."""
    return reduce(lambda value, coefficient: _times(value, x) ^ coefficient, reversed(coefficients), 0)


def join(shares: Mapping[int, bytes]) -> bytes:
    """The secret of exactly as many shares as its threshold, by Lagrange interpolation at 0; of fewer, or false ones, something else.

    Raises:
        LocalProtocolError: no shares, of different lengths, or with numbers that no share has.
    """
    if (
        not shares
        or len({len(share) for share in shares.values()}) != 1
        or not all(0 < x <= MAX_SHARES for x in shares)
    ):
        raise LocalProtocolError("These shares do not belong together.")
    weights = {}
    for x in shares:
        others = [other for other in shares if other != x]
        weights[x] = reduce(_times, (_over(other, other ^ x) for other in others), 1)
    columns = zip(*shares.values(), strict=True)
    return bytes(reduce(int.__xor__, map(_times, weights.values(), column), 0) for column in columns)

"""Keccak-256 and the static subset of Solidity's `abi.encode` that commitments need."""

from __future__ import annotations

from eth_hash.auto import keccak as _keccak

Word = int | bytes | str
"""A static ABI value: unsigned integer, 32 bytes (or fewer, right-padded is refused), or address text."""


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as the EVM computes it, 32 bytes."""
    return bytes(_keccak(data))


def abi_encode(*values: Word) -> bytes:
    """`abi.encode` of static values, 32 bytes each.

    Integers are unsigned big-endian; `bytes` must be exactly 32 long; text must be a ``0x`` address of 20 bytes.

    Raises:
        ValueError: a value is none of these.
    """
    return b"".join(_word(value) for value in values)


def _word(value: Word) -> bytes:
    if isinstance(value, int):
        if not 0 <= value < 1 << 256:
            raise ValueError(f"{value} does not fit in an unsigned 256-bit word")
        return value.to_bytes(32, "big")
    if isinstance(value, bytes):
        if len(value) != 32:
            raise ValueError(f"expected 32 bytes, got {len(value)}")
        return value
    if len(value) == 42 and value.startswith("0x"):
        return bytes(12) + bytes.fromhex(value[2:])
    raise ValueError(f"not an address: {value!r}")

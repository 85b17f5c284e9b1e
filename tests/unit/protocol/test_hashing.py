from __future__ import annotations

from typing import Any

import pytest

from node.protocol.hashing import abi_encode, keccak256

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def test_keccak_is_not_sha3():
    # The published Keccak-256 of the empty string; SHA3-256's would begin with a7ffc6.
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_known_string():
    assert keccak256(b"Transfer(address,address,uint256)").hex().startswith("ddf252ad1be2c89b69c2b068fc378daa")


def test_encodes_each_kind_as_one_word():
    encoded = abi_encode(1, b"\x02" * 32, ADDRESS)
    assert encoded == (1).to_bytes(32, "big") + b"\x02" * 32 + bytes(12) + bytes.fromhex(ADDRESS[2:])
    assert abi_encode() == b""


def test_letter_case_of_an_address_does_not_matter():
    assert abi_encode(ADDRESS) == abi_encode(ADDRESS.lower())


@pytest.mark.parametrize("value", [-1, 1 << 256, b"", b"\x00" * 31, b"\x00" * 33, "0x12", "x" * 42, "0x" + "zz" * 20])
def test_refuses_what_is_no_static_word(value: Any):
    with pytest.raises(ValueError, match=r"."):
        abi_encode(value)


def test_largest_integer_fits():
    assert abi_encode((1 << 256) - 1) == b"\xff" * 32

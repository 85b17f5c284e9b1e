"""The ABI codec: forms of values at the port, and data that does not fit."""

from typing import Any

import pytest
from eth_abi.abi import encode

from node.adapters.abi import CONTRACTS, AbiMismatch, contract_abi, decode_revert, parse_abi
from node.protocol.errors import LocalProtocolError
from node.protocol.hashing import keccak256

LOWER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
CHECKSUMMED = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"

POINT = [{"name": "x", "type": "uint8"}, {"name": "who", "type": "address"}]
EXAMPLE = parse_abi(
    "Example",
    [
        {
            "type": "function",
            "name": "points",
            "inputs": [{"name": "p", "type": "tuple", "components": POINT}],
            "outputs": [{"name": "", "type": "tuple[][2]", "components": POINT}],
        },
        {"type": "function", "name": "points", "inputs": [], "outputs": [{"name": "", "type": "string"}]},
        {"type": "function", "name": "twin", "inputs": [{"name": "a", "type": "uint8"}], "outputs": []},
        {"type": "function", "name": "twin", "inputs": [{"name": "a", "type": "bool"}], "outputs": []},
        {
            "type": "event",
            "name": "Told",
            "inputs": [
                {"name": "who", "type": "address", "indexed": True},
                {"name": "text", "type": "string", "indexed": False},
                {"name": "topic", "type": "string", "indexed": True},
            ],
        },
        {"type": "receive"},
    ],
)
TOLD = keccak256(b"Told(address,string,string)")


def selector(signature: str) -> bytes:
    return keccak256(signature.encode())[:4]


def test_struct_is_given_by_names_or_in_order() -> None:
    data = EXAMPLE.encode_call("points", ({"who": CHECKSUMMED, "x": 3},))
    assert data == selector("points((uint8,address))") + encode(["(uint8,address)"], [(3, CHECKSUMMED)])
    assert EXAMPLE.encode_call("points", ((3, CHECKSUMMED),)) == data


@pytest.mark.parametrize("value", [{"x": 3}, {"x": 3, "who": LOWER, "y": 1}, {"x": 256, "who": LOWER}, 5, None, (3,)])
def test_struct_that_does_not_fit(value: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"Example\.points"):
        EXAMPLE.encode_call("points", (value,))


def test_nested_results() -> None:
    data = encode(["(uint8,address)[][2]"], [[[(1, LOWER), (2, LOWER)], []]])
    row = ({"x": 1, "who": CHECKSUMMED}, {"x": 2, "who": CHECKSUMMED})
    assert EXAMPLE.decode_result("points", 1, data) == (row, ())


def test_overloads_are_told_apart_by_their_number_of_arguments() -> None:
    assert EXAMPLE.encode_call("points", ()) == selector("points()")
    with pytest.raises(LocalProtocolError, match="no function twin of 1"):
        EXAMPLE.encode_call("twin", (1,))


def test_event_keeps_soliditys_order_and_hashes_of_indexed_texts() -> None:
    topics = [TOLD, bytes(12) + bytes.fromhex(LOWER[2:]), b"\x09" * 32]
    name, arguments = EXAMPLE.decode_event(topics, encode(["string"], ["hello"]))
    assert name == "Told"
    assert list(arguments.items()) == [("who", CHECKSUMMED), ("text", "hello"), ("topic", b"\x09" * 32)]


@pytest.mark.parametrize(
    ("topics", "data"),
    [
        ([], b""),
        ([bytes(32)], b""),
        ([TOLD], encode(["string"], ["x"])),
        ([TOLD, b"\xff" * 32, bytes(32)], encode(["string"], ["x"])),
        ([TOLD, bytes(32), bytes(32)], b""),
        ([TOLD, bytes(32), bytes(32)], encode(["bytes"], [b"\xff\xfe"])),
        ([TOLD, bytes(32), bytes(32)], (1 << 255).to_bytes(32, "big")),
    ],
)
def test_event_that_does_not_fit(topics: list[bytes], data: bytes) -> None:
    with pytest.raises(AbiMismatch):
        EXAMPLE.decode_event(topics, data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ("Reverted", ())),
        (selector("Error(string)") + encode(["string"], ["no"]), ("Error", ("no",))),
        (selector("Panic(uint256)") + encode(["uint256"], [0x11]), ("Panic", (0x11,))),
        (selector("NotMinter(address)") + encode(["address"], [LOWER]), ("NotMinter", (CHECKSUMMED,))),
        (selector("WrongPhase(uint8,uint8)") + encode(["uint8", "uint8"], [1, 2]), ("WrongPhase", (1, 2))),
        (b"\x01", ("UnknownError", (b"\x01",))),
        (b"\x01\x02\x03\x04\x05", ("UnknownError", (b"\x01\x02\x03\x04\x05",))),
        (selector("WrongPhase(uint8,uint8)"), ("UnknownError", (selector("WrongPhase(uint8,uint8)"),))),
        (selector("Error(string)") + b"\xff", ("UnknownError", (selector("Error(string)") + b"\xff",))),
    ],
)
def test_reverts(data: bytes, expected: tuple[str, tuple[Any, ...]]) -> None:
    assert decode_revert(data) == expected


def test_every_contract_has_an_abi() -> None:
    for name in CONTRACTS:
        assert contract_abi(name).functions
    with pytest.raises(LocalProtocolError, match="no contract 'Nothing'"):
        contract_abi("Nothing")


def test_no_two_errors_of_ours_share_a_selector() -> None:
    """The same error may be declared in several contracts, but one selector must mean one error."""
    seen: dict[bytes, str] = {}
    for contract in CONTRACTS:
        for digest, entry in contract_abi(contract).errors.items():
            assert seen.setdefault(digest, entry.name) == entry.name

from __future__ import annotations

import json

import pytest

from node.protocol.cid import compute_cid
from node.protocol.errors import RemoteProtocolError
from node.protocol.messages import (
    MAX_ADDRESSES,
    MAX_BYTES,
    Check,
    Hello,
    Message,
    ModelNotice,
    UpdateNotice,
    decode,
    encode,
    validate,
)
from node.protocol.types import Address

ALICE, BOB = Address("0x" + "a1" * 20), Address("0x" + "b0" * 20)
CID = compute_cid(b"content")
PEERS = {ALICE: "peer-a", BOB: "peer-b"}
NOTICE = UpdateNotice(ALICE, 3, CID)


@pytest.mark.parametrize(
    "message", [Hello(ALICE, ("/ip4/1.2.3.4/tcp/1",)), Hello(ALICE, ()), NOTICE, ModelNotice(BOB, 1, CID)]
)
def test_round_trip(message: Message):
    assert decode(encode(message)) == message
    assert encode(decode(encode(message))) == encode(message)


def broken(**changes: object) -> bytes:
    body = json.loads(encode(NOTICE))
    body.update(changes)
    return json.dumps({key: value for key, value in body.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 4000,
        b"{}",
        b" " * (MAX_BYTES + 1),
        b'{"v":1}',
        broken(v=2),
        broken(v=...),
        broken(v=True),
        broken(kind="gift"),
        broken(kind=...),
        broken(kind=["update"]),
        broken(extra=1),
        broken(sender="0x12"),
        broken(sender="x" * 42),
        broken(sender="0x" + "zz" * 20),
        broken(sender=7),
        broken(sender=...),
        broken(round=0),
        broken(round=-1),
        broken(round=1 << 48),
        broken(round=1.5),
        broken(round=True),
        broken(round="3"),
        broken(cid="Qm"),
        broken(cid=CID[:-1] + "0"),
        broken(cid=""),
        broken(cid=5),
        json.dumps({"v": 1, "kind": "hello", "sender": ALICE, "addresses": "x"}).encode(),
        json.dumps({"v": 1, "kind": "hello", "sender": ALICE, "addresses": ["x"] * (MAX_ADDRESSES + 1)}).encode(),
        json.dumps({"v": 1, "kind": "hello", "sender": ALICE, "addresses": ["x" * 257]}).encode(),
        json.dumps({"v": 1, "kind": "hello", "sender": ALICE, "addresses": [1]}).encode(),
        json.dumps({"v": 1, "kind": "hello", "sender": ALICE, "addresses": [], "round": 1}).encode(),
    ],
)
def test_refuses_anything_else(data: bytes):
    with pytest.raises(RemoteProtocolError):
        decode(data)


@pytest.mark.parametrize("sender", ["0x" + "a1  " * 10, "0x" + "a1" * 19 + "  "])
def test_an_address_has_no_blanks(sender: str):
    # bytes.fromhex skips blanks, so it alone would let these through.
    with pytest.raises(RemoteProtocolError):
        decode(broken(sender=sender))


@pytest.mark.parametrize(
    ("message", "author", "expected"),
    [
        (NOTICE, "peer-a", Check.ACCEPT),
        (UpdateNotice(Address("0x" + "ee" * 20), 3, CID), "peer-a", Check.IGNORE),
        (NOTICE, "peer-b", Check.REJECT),
        (UpdateNotice(ALICE, 4, CID), "peer-a", Check.ACCEPT),
        (UpdateNotice(ALICE, 5, CID), "peer-a", Check.IGNORE),
        (UpdateNotice(ALICE, 2, CID), "peer-a", Check.IGNORE),
        (Hello(ALICE, ()), "peer-a", Check.ACCEPT),
        (Hello(ALICE, ()), "peer-b", Check.REJECT),
    ],
)
def test_checks(message: Message, author: str, expected: Check):
    assert validate(message, author=author, peer_ids=PEERS, current_round=3).check is expected


def test_blame_comes_before_age():
    # An impostor's stale message is the impostor's fault, not merely late: the order of the checks decides.
    assert validate(UpdateNotice(ALICE, 1, CID), author="peer-b", peer_ids=PEERS, current_round=3).check is Check.REJECT

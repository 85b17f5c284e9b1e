"""Gossip from anybody: bytes either are a message, or raise exactly RemoteProtocolError."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.protocol.cid import cid_from_digest
from node.protocol.errors import RemoteProtocolError
from node.protocol.messages import MAX_BYTES, Check, Hello, Message, ModelNotice, UpdateNotice, decode, encode, validate
from node.protocol.types import Address

addresses = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex()))
cids = st.binary(min_size=32, max_size=32).map(cid_from_digest)
rounds = st.integers(1, (1 << 48) - 1)
multiaddrs = st.lists(st.text(max_size=60), max_size=8).map(tuple)
messages = st.one_of(
    st.builds(Hello, addresses, multiaddrs),
    st.builds(UpdateNotice, addresses, rounds, cids),
    st.builds(ModelNotice, addresses, rounds, cids),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("v", "kind", "sender", "addresses", "round", "cid")


@given(messages)
def test_round_trip(message: Message):
    data = encode(message)
    assert decode(data) == message


def decodes_or_blames(data: bytes) -> None:
    try:
        message = decode(data)
    except RemoteProtocolError:
        return
    assert decode(encode(message)) == message


@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes):
    decodes_or_blames(data)


@given(messages, st.sampled_from(FIELDS), json_values)
def test_any_field_replaced(message: Message, name: str, value: Any):
    decodes_or_blames(json.dumps({**json.loads(encode(message)), name: value}).encode())


@given(messages, st.integers(0, 200), st.integers(0, 255))
def test_any_byte_replaced(message: Message, place: int, value: int):
    data = bytearray(encode(message))
    data[place % len(data)] = value
    decodes_or_blames(bytes(data))


@given(st.integers(MAX_BYTES + 1, MAX_BYTES * 4))
def test_too_long(size: int):
    with pytest.raises(RemoteProtocolError, match=str(MAX_BYTES)):
        decode(b" " * size)


@given(messages, st.text(max_size=5), st.dictionaries(addresses, st.text(max_size=5), max_size=3), st.integers(0, 9))
def test_nobody_is_blamed_but_an_impostor(message: Message, author: str, peers: dict[Address, str], current: int):
    outcome = validate(message, author=author, peer_ids=peers, current_round=current)
    is_impostor = message.sender in peers and peers[message.sender] != author
    assert (outcome.check is Check.REJECT) == is_impostor
    assert (outcome.check is Check.ACCEPT) <= (message.sender in peers)
    assert bool(outcome.reason) == (outcome.check is not Check.ACCEPT)

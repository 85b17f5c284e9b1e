"""Frames and messages between a node and its hosts: what passes, and what a hostile host cannot smuggle in."""

from itertools import pairwise

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.hosts.framing import MAX_FRAME_BYTES, FrameDecoder, FrameError, encode
from node.hosts.messages import (
    MAX_ITEMS,
    MAX_PAYLOAD_BYTES,
    MAX_TEXT,
    Add,
    Connect,
    Failed,
    Health,
    Message,
    Peers,
    Pin,
    Publish,
    Ready,
    Received,
    Reply,
    StartGossip,
    StartKubo,
    Stop,
    Unpin,
)

MESSAGES: list[Message] = [
    StartGossip("keys/gossip.key", "topic", "127.0.0.1", 0, (), ("/ip4/127.0.0.1/tcp/1/p2p/x",), b"k" * 32),
    StartKubo("repo", "::1", 4001, ("/ip4/192.0.2.1/tcp/4001",), (), b"k" * 32),
    Publish(1, b"x" * MAX_PAYLOAD_BYTES),
    Peers((1 << 63) - 1),
    Connect(2, "/ip4/127.0.0.1/tcp/1"),
    Add(3, "file"),
    Pin(4, "Qm"),
    Unpin(5, "Qm"),
    Stop(),
    Ready("12D3KooW", ("a", "b")),
    Failed(setup=True, what="what", why="", hint="é"),
    Reply(6, "", ()),
    Received("12D3KooW", 7, b""),
    Health(1, 2, 3, 4),
]


def frame(value: object) -> bytes:
    body = msgpack.packb(value)
    return len(body).to_bytes(4, "big") + body


def decode(data: bytes) -> list[Message]:
    return list(FrameDecoder().feed(data))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_survives_the_channel(message: Message):
    assert decode(encode(message)) == [message]


@given(st.lists(st.sampled_from(MESSAGES), max_size=5), st.lists(st.integers(0, 200_000), max_size=8))
def test_frames_may_arrive_in_any_pieces(messages: list[Message], cuts: list[int]):
    stream = b"".join(map(encode, messages))
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    decoder = FrameDecoder()
    assert [message for start, end in pairwise(places) for message in decoder.feed(stream[start:end])] == messages


def test_a_frame_too_long_is_refused_before_it_is_read():
    with pytest.raises(FrameError, match="announced"):
        decode((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))


def test_the_longest_payload_leaves_room_for_the_other_fields():
    author = "é" * MAX_TEXT
    message = Received(author, (1 << 63) - 1, b"x" * MAX_PAYLOAD_BYTES)
    assert decode(encode(message)) == [message]


@pytest.mark.parametrize(
    "message",
    [
        Publish(1, b"x" * (MAX_PAYLOAD_BYTES + 1)),
        Connect(1, "x" * (MAX_TEXT + 1)),
        Reply(1, "", ("x",) * (MAX_ITEMS + 1)),
        Reply(1, "", ("x" * MAX_TEXT,) * 100),
        Peers(-1),
        Peers(1 << 63),
    ],
)
def test_what_the_other_side_would_refuse_is_not_sent(message: Message):
    with pytest.raises(FrameError, match="refused to send"):
        encode(message)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        "Stop",
        ["Unknown"],
        [7],
        [["Stop"]],
        ["Stop", 1],
        ["Peers"],
        ["Peers", "1"],
        ["Peers", True],
        ["Peers", 1.0],
        ["Peers", -1],
        ["Peers", None],
        ["Received", "author", 1, "text instead of bytes"],
        ["Received", b"bytes instead of text", 1, b""],
        ["Reply", 1, "", "not a list"],
        ["Reply", 1, "", [b"not text"]],
        ["Reply", 1, "", [["nested"]]],
        ["Reply", 1, "", ["x"] * (MAX_ITEMS + 1)],
        ["Reply", 1, {"a": 1}, []],
        ["Failed", 1, "", "", ""],
        ["Connect", 1, "x" * (MAX_TEXT + 1)],
        ["Publish", 1, b"x" * (MAX_PAYLOAD_BYTES + 1)],
        ["__class__"],
    ],
)
def test_messages_against_the_rules_are_refused(value: object):
    with pytest.raises(FrameError):
        decode(frame(value))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93\xa4", b"\x91\xa4\xff\xfe\xfd\xfc", b"\xc0\xc0", b"\x91" * 2_000])
def test_bytes_that_are_not_one_message_are_refused(body: bytes):
    with pytest.raises(FrameError):
        decode(len(body).to_bytes(4, "big") + body)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(body: bytes):
    try:
        messages = decode(len(body).to_bytes(4, "big") + body)
    except FrameError:
        return
    assert [encode(message) for message in messages]

"""Frames on the channel between a node and its hosts: four bytes of length (big endian), then msgpack.

Pure (bytes in, messages out), so that asyncio, trio and plain threads share one implementation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgpack

from node.hosts.messages import MAX_ITEMS, MAX_PAYLOAD_BYTES, MAX_TEXT, Message, MessageError, from_wire, to_wire

MAX_FRAME_BYTES: Final = MAX_PAYLOAD_BYTES + 65_536
"""Longest frame body: one payload and generous room for the other fields."""

_HEADER: Final = 4


class FrameError(ValueError):
    """The other side broke the framing; the channel cannot be used any further."""


def encode(message: Message) -> bytes:
    """One frame.

    Raises:
        FrameError: a field is out of range or the frame would be longer than `MAX_FRAME_BYTES`.
    """
    try:
        body: bytes = msgpack.packb(to_wire(message))
    except MessageError as error:
        raise FrameError(f"refused to send: {error}") from error
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"refused to send a frame of {len(body)} bytes")
    return len(body).to_bytes(_HEADER, "big") + body


class FrameDecoder:
    """Bytes in as they arrive, whole messages out. Holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Messages completed by ``data``.

        Raises:
            FrameError: a length beyond `MAX_FRAME_BYTES`, broken msgpack or a message against the rules.
        """
        self._buffer += data
        while len(self._buffer) >= _HEADER:
            length = int.from_bytes(self._buffer[:_HEADER], "big")
            if length > MAX_FRAME_BYTES:
                raise FrameError(f"a frame of {length} bytes was announced; the limit is {MAX_FRAME_BYTES}")
            end = _HEADER + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEADER:end])
            del self._buffer[:end]
            yield _decode(body)


def _decode(body: bytes) -> Message:
    try:
        value = msgpack.unpackb(
            body,
            max_bin_len=MAX_PAYLOAD_BYTES,
            max_str_len=4 * MAX_TEXT,
            max_array_len=MAX_ITEMS,
            max_map_len=0,
            max_ext_len=0,
        )
        return from_wire(value)
    # ValueError covers msgpack's own errors and bad UTF-8; TypeError comes from nested values such as lists of lists.
    except (ValueError, TypeError) as error:
        raise FrameError(f"not a valid message: {error}") from error

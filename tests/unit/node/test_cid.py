"""Content identifiers: known CIDs, the layout, and reading blocks that a liar made."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.protocol.cid import (
    CHUNK_BYTES,
    LINKS_PER_BLOCK,
    FileWalk,
    cid_from_digest,
    compute_cid,
    compute_cid_of_pieces,
    digest_from_cid,
    iter_blocks,
    manifest_block,
    raw_cid_text,
    read_file,
)
from node.protocol.errors import BlobCorrupt, BlobTooLarge, LocalProtocolError, RemoteProtocolError
from node.protocol.types import Cid

# From Kubo 0.22 (`ipfs add`); the small texts' CIDs are known to every IPFS user.
KUBO = {
    b"": "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
    b"hello world\n": "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o",
    b"hello world": "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD",
}
# CIDs of `pattern(size)`: around one chunk, a full block of links, and one byte more.
KUBO_SIZES = [
    (1, "QmeTvrMJT5LjfitxvEhooABGknJJ3e3LmDWHotEuo35zBh"),
    (CHUNK_BYTES - 1, "QmZWdfzLTXirb3ixiLy6DF5UH8B2bTMgMX5bQ9PTEBZw2S"),
    (CHUNK_BYTES, "QmU7j6YWb8cKixmQmxGLoC6X1jBt9HDXAAmDAHh9AhAdsL"),
    (CHUNK_BYTES + 1, "Qme4WiQPvEN3K8YHzCFzkEbmRVKTXpuYNyMrTwHx8X6Aw9"),
    (CHUNK_BYTES * LINKS_PER_BLOCK, "QmYQAxywG8gePeAB9sMk4y6GUKBTYWCNiiFE9ucRbo2j46"),
    (CHUNK_BYTES * LINKS_PER_BLOCK + 1, "Qmb4tN4z8HXfAbCV7CZqZyr8yJzz5xPXi92X1Fg8sPQdo2"),
]


def pattern(size: int) -> bytes:
    """Bytes that differ from chunk to chunk."""
    return b"".join(sha256(b"%d" % number).digest() for number in range(-(-size // 32)))[:size]


def stored(data: bytes) -> tuple[Cid, dict[bytes, bytes]]:
    return compute_cid(data), dict(iter_blocks((data,)))


def block_of(*fields: bytes) -> bytes:
    """A dag-pb block with one UnixFS message of these fields."""
    content = b"".join(fields)
    return b"\x0a" + varint(len(content)) + content


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def named(block: bytes) -> tuple[Cid, dict[bytes, bytes]]:
    digest = sha256(block).digest()
    return cid_from_digest(digest), {digest: block}


# --- computing ---


@pytest.mark.parametrize(("data", "cid"), KUBO.items())
def test_cids_are_those_of_kubo(data: bytes, cid: str):
    assert compute_cid(data) == cid


@pytest.mark.parametrize(("size", "cid"), KUBO_SIZES)
def test_cids_of_larger_files_are_those_of_kubo(size: int, cid: str):
    data = pattern(size)
    assert compute_cid(data) == cid
    blocks = dict(iter_blocks((data,)))
    assert read_file(Cid(cid), blocks.__getitem__, max_bytes=size) == data


@given(st.lists(st.integers(0, 2 * CHUNK_BYTES + 1), max_size=4))
def test_how_a_file_is_cut_into_pieces_does_not_matter(sizes: list[int]):
    data = pattern(sum(sizes))
    pieces = []
    for size in sizes:
        start = sum(map(len, pieces))
        pieces.append(data[start : start + size])
    assert compute_cid_of_pieces(pieces) == compute_cid(data)


@given(st.binary(min_size=32, max_size=32))
def test_text_and_digest_are_the_same_thing(digest: bytes):
    cid = cid_from_digest(digest)
    assert len(cid) == 46
    assert digest_from_cid(cid) == digest


def test_a_digest_of_another_length_is_our_own_bug():
    with pytest.raises(LocalProtocolError):
        cid_from_digest(b"short")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Qm",
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1Aw0H",  # 0 is not base58
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH1",
        "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
        "Qmzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",  # decodes to another hash function
        "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
        "../../../../etc/passwd",
    ],
)
def test_what_is_not_a_cid_is_refused(text: str):
    with pytest.raises(RemoteProtocolError):
        digest_from_cid(text)


def test_the_raw_form_names_the_same_block():
    # CIDv1 of the 12 raw bytes "hello world\n", from the IPFS documentation of --raw-leaves.
    digest = sha256(b"hello world\n").digest()
    assert raw_cid_text(digest) == "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"


def test_a_manifest_links_raw_blocks_and_is_new_with_every_nonce():
    digests = [sha256(b"%d" % number).digest() for number in range(3)]
    name, block = manifest_block(digests, b"nonce")
    assert name == sha256(block).digest()
    assert all(b"\x01\x55\x12\x20" + digest in block for digest in digests)
    assert manifest_block(digests, b"other")[0] != name


# --- reading ---


def test_the_size_limit_is_checked_on_the_root_alone():
    data = pattern(3 * CHUNK_BYTES)
    cid, blocks = stored(data)
    asked: list[bytes] = []

    def load(digest: bytes) -> bytes:
        asked.append(digest)
        return blocks[digest]

    with pytest.raises(BlobTooLarge):
        read_file(cid, load, max_bytes=len(data) - 1)
    assert asked == [digest_from_cid(cid)]
    assert read_file(cid, load, max_bytes=len(data)) == data


@given(st.integers(0, 3), st.integers(0, 10**6), st.integers(1, 255))
def test_any_changed_byte_of_any_block_is_found(block: int, position: int, change: int):
    cid, blocks = stored(pattern(2 * CHUNK_BYTES + 10))
    digest = sorted(blocks)[block]
    damaged = bytearray(blocks[digest])
    damaged[position % len(damaged)] ^= change
    blocks[digest] = bytes(damaged)
    with pytest.raises(BlobCorrupt):
        read_file(cid, blocks.__getitem__, max_bytes=1 << 30)


@pytest.mark.parametrize("cut", [1, 100, CHUNK_BYTES])
def test_a_truncated_block_is_found(cut: int):
    cid, blocks = stored(pattern(2 * CHUNK_BYTES))
    digest = max(blocks, key=lambda name: len(blocks[name]))
    blocks[digest] = blocks[digest][:-cut]
    with pytest.raises(BlobCorrupt):
        read_file(cid, blocks.__getitem__, max_bytes=1 << 30)


LEAF = block_of(b"\x08\x02\x12\x03abc\x18\x03")
LINK = b"\x12\x26\x0a\x22\x12\x20" + sha256(LEAF).digest() + b"\x12\x00"


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"not protobuf at all",
        b"\xff" * 40,
        b"\x0a\x7f\x08\x02",  # a length beyond the end
        block_of(b"\x08\x01"),  # a folder
        block_of(b"\x08\x02"),  # no size
        block_of(b"\x08\x02\x12\x03abc\x18\x02"),  # more content than it states
        block_of(b"\x08\x02\x12\x03abc\x18\x04"),  # less
        block_of(b"\x08\x02\x12\x03abc\x18\x03") + b"\x0a\x00",  # two UnixFS messages
        LINK + LEAF,  # content and a link
        LINK + block_of(b"\x08\x02\x18\x03\x20\x03"),  # a link where a leaf is due
        LINK
        + block_of(b"\x08\x02\x18", varint(CHUNK_BYTES + 3), b"\x20", varint(CHUNK_BYTES), b"\x20\x03"),  # one too few
        b"\x12\x02\x0a\x00" + block_of(b"\x08\x02\x18", varint(CHUNK_BYTES + 3)),  # a link to nothing
        block_of(b"\x08\x02\x18" + b"\xff" * 12),  # an endless number
    ],
)
def test_a_genuine_hash_of_a_strange_block_is_refused(block: bytes):
    cid, blocks = named(block)
    with pytest.raises(BlobCorrupt):
        read_file(cid, blocks.__getitem__, max_bytes=1 << 30)


def test_another_encoding_of_the_same_bytes_is_refused():
    # A genuine UnixFS leaf whose size is written with a needless zero byte: same content, second CID.
    cid, blocks = named(block_of(b"\x08\x02\x12\x03abc\x18\x83\x00"))
    with pytest.raises(BlobCorrupt, match="own content"):
        read_file(cid, blocks.__getitem__, max_bytes=10)


def test_a_huge_stated_size_asks_for_nothing_more():
    cid, blocks = named(block_of(b"\x08\x02\x18", varint(1 << 62)))
    walk = FileWalk(cid, max_bytes=1 << 40)
    with pytest.raises(BlobTooLarge):
        walk.feed(blocks)


def test_a_walk_wants_no_more_at_a_time_than_its_batch():
    data = pattern(7 * CHUNK_BYTES)
    cid, blocks = stored(data)
    walk = FileWalk(cid, max_bytes=len(data), batch=3)
    wanted = []
    while walk.data is None:
        wanted.append(len(walk.wanted))
        walk.feed({digest: blocks[digest] for digest in walk.wanted})
    assert wanted == [1, 3, 3, 1]
    assert walk.data == data


def test_a_file_of_equal_chunks_is_read_from_one_leaf():
    data = bytes(5 * CHUNK_BYTES)
    cid, blocks = stored(data)
    assert len(blocks) == 2
    assert read_file(cid, blocks.__getitem__, max_bytes=len(data)) == data

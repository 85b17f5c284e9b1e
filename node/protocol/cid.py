"""Content identifiers: the CIDv0 of bytes, and reading a UnixFS file block by block without trusting whoever sent it.

A file is cut into chunks of 256 KiB. Each chunk becomes a leaf block; up to 174 blocks of one level are linked by a
block of the next (a balanced tree). A block is a dag-pb message holding a UnixFS message; its name is the SHA-256 of its
bytes. This is what ``ipfs add`` does by default with CIDv0, so other IPFS tools give the same CID for the same bytes.

Only this one layout is accepted (docs/protocol.md): the shape of the tree follows from the file size alone, so a hostile
root block cannot make a reader fetch more blocks than an honest file of that size has.

Formats: dag-pb https://ipld.io/specs/codecs/dag-pb/spec, UnixFS https://specs.ipfs.tech/unixfs, multihash and CIDv0
https://github.com/multiformats/cid.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from node.protocol.errors import BlobCorrupt, BlobTooLarge, LocalProtocolError, RemoteProtocolError
from node.protocol.types import Cid

CHUNK_BYTES = 262_144
"""Payload bytes of a full leaf."""

LINKS_PER_BLOCK = 174
"""Children of a full inner block."""

MAX_BLOCK_BYTES = 1 << 20
"""No block of our layout comes near this; larger ones are refused unread."""

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}
_SHA256_MULTIHASH = b"\x12\x20"  # code sha2-256, length 32
_MAX_VARINT_BITS = 63
_FILE = 2  # UnixFS DataType.File


# --- text and digests -------------------------------------------------------------------------------------------------


def cid_from_digest(digest: bytes) -> Cid:
    """CIDv0 text of a block's SHA-256 (the 32 bytes the contracts keep).

    Raises:
        LocalProtocolError: the digest is not 32 bytes long.
    """
    if len(digest) != 32:
        raise LocalProtocolError(f"A digest has 32 bytes, not {len(digest)}.")
    number = int.from_bytes(_SHA256_MULTIHASH + digest, "big")
    characters = []
    while number:
        number, rest = divmod(number, 58)
        characters.append(_ALPHABET[rest])
    return Cid("".join(reversed(characters)))


def digest_from_cid(cid: str) -> bytes:
    """The 32-byte SHA-256 inside a CIDv0 text.

    Raises:
        RemoteProtocolError: not a CIDv0 (CIDs reach us from peers and people).
    """
    if len(cid) == 46 and cid.startswith("Qm") and all(character in _DIGITS for character in cid):
        number = 0
        for character in cid:
            number = number * 58 + _DIGITS[character]
        if number < 1 << 272:
            raw = number.to_bytes(34, "big")
            if raw.startswith(_SHA256_MULTIHASH):
                return raw[2:]
    raise RemoteProtocolError(
        f"{cid[:64]!r} is not a CIDv0.", hint="A CIDv0 is 46 base58 characters and starts with Qm."
    )


def raw_cid_text(digest: bytes) -> str:
    """CIDv1 text of the same block seen as plain bytes (codec raw, base32): fetching it follows no links."""
    return "b" + b32encode(b"\x01\x55" + _SHA256_MULTIHASH + digest).decode("ascii").lower().rstrip("=")


# --- writing ----------------------------------------------------------------------------------------------------------


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(tag: int, payload: bytes) -> bytes:
    return bytes((tag,)) + _varint(len(payload)) + payload


@dataclass(frozen=True, slots=True)
class _Child:
    digest: bytes
    total: int  # bytes of the block and everything below it ("Tsize")
    size: int  # bytes of the file below it


def _leaf_block(chunk: bytes | memoryview) -> bytes:
    content = b"\x12" + _varint(len(chunk)) + bytes(chunk) if len(chunk) else b""
    return _field(0x0A, b"\x08\x02" + content + b"\x18" + _varint(len(chunk)))


def _inner_block(children: list[_Child]) -> bytes:
    links = b"".join(
        _field(0x12, _field(0x0A, _SHA256_MULTIHASH + child.digest) + b"\x12\x00\x18" + _varint(child.total))
        for child in children
    )
    sizes = b"".join(b"\x20" + _varint(child.size) for child in children)
    return links + _field(0x0A, b"\x08\x02\x18" + _varint(sum(child.size for child in children)) + sizes)


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes | memoryview]:
    """Regroup pieces of any length into chunks of exactly CHUNK_BYTES, the last one shorter; one empty chunk if none."""
    waiting = bytearray()
    any_chunk = False
    for piece in pieces:
        view = memoryview(piece)
        if waiting:
            missing = CHUNK_BYTES - len(waiting)
            waiting += view[:missing]
            view = view[missing:]
            if len(waiting) < CHUNK_BYTES:
                continue
            yield bytes(waiting)
            any_chunk = True
            waiting.clear()
        whole = len(view) - len(view) % CHUNK_BYTES
        for start in range(0, whole, CHUNK_BYTES):
            yield view[start : start + CHUNK_BYTES]
            any_chunk = True
        waiting += view[whole:]
    if waiting or not any_chunk:
        yield bytes(waiting)


def iter_blocks(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Every ``(digest, block)`` of the file made of ``pieces``, children before parents; the last one is the root."""
    level: list[_Child] = []
    for chunk in _chunks(pieces):
        block = _leaf_block(chunk)
        digest = sha256(block).digest()
        level.append(_Child(digest, len(block), len(chunk)))
        yield digest, block
    while len(level) > 1:
        above: list[_Child] = []
        for start in range(0, len(level), LINKS_PER_BLOCK):
            children = level[start : start + LINKS_PER_BLOCK]
            block = _inner_block(children)
            digest = sha256(block).digest()
            total = len(block) + sum(child.total for child in children)
            above.append(_Child(digest, total, sum(child.size for child in children)))
            yield digest, block
        level = above


def compute_cid_of_pieces(pieces: Iterable[bytes]) -> Cid:
    """CIDv0 of a file read in pieces of any length; memory stays at one chunk plus 100 bytes per chunk read."""
    digest = b""
    for digest, _ in iter_blocks(pieces):  # noqa: B007 - the root comes last
        pass
    return cid_from_digest(digest)


def compute_cid(data: bytes) -> Cid:
    """CIDv0 of ``data``: equal to ``ipfs add --cid-version=0`` with its default chunker and layout."""
    return compute_cid_of_pieces((data,))


def manifest_block(digests: Iterable[bytes], nonce: bytes) -> tuple[bytes, bytes]:
    """``(digest, block)`` of a throw-away dag-pb block that links many blocks as raw bytes.

    Pinning it makes an IPFS node fetch exactly these blocks, in parallel, and never what they link to themselves. The
    nonce makes each manifest new, so that no cache of the node knows it.
    """
    links = b"".join(_field(0x12, _field(0x0A, b"\x01\x55" + _SHA256_MULTIHASH + digest)) for digest in digests)
    block = links + _field(0x0A, nonce)
    return sha256(block).digest(), block


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Branch:
    """A block still to be read: its SHA-256, the file bytes below it, and its height above the leaves."""

    digest: bytes
    size: int
    depth: int


@dataclass(frozen=True, slots=True)
class _Parsed:
    links: tuple[bytes, ...]
    sizes: tuple[int, ...]
    content: bytes
    size: int


class _MalformedError(ValueError):
    """The bytes are not a message of the expected kind."""


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift <= _MAX_VARINT_BITS:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise _MalformedError


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Tag and value of each protobuf field; only varints and length-delimited fields occur in our formats."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        if tag & 7 == 0:
            number, at = _read_varint(data, at)
            yield tag, number
        elif tag & 7 == 2:
            length, at = _read_varint(data, at)
            if length > len(data) - at:
                raise _MalformedError
            yield tag, data[at : at + length]
            at += length
        else:
            raise _MalformedError


def _parse_link(data: bytes) -> bytes:
    for tag, value in _fields(data):
        if tag == 0x0A and isinstance(value, bytes) and len(value) == 34 and value.startswith(_SHA256_MULTIHASH):
            return value[2:]
    raise _MalformedError


def _parse_block(block: bytes) -> _Parsed:
    links: list[bytes] = []
    unixfs: bytes | None = None
    for tag, value in _fields(block):
        if tag == 0x12 and isinstance(value, bytes):
            links.append(_parse_link(value))
        elif tag == 0x0A and isinstance(value, bytes) and unixfs is None:
            unixfs = value
        else:
            raise _MalformedError
    kind = size = None
    content = b""
    sizes: list[int] = []
    for tag, value in _fields(unixfs or b""):
        if tag == 0x08:
            kind = value
        elif tag == 0x12 and isinstance(value, bytes):
            content = value
        elif tag == 0x18 and isinstance(value, int):
            size = value
        elif tag == 0x20 and isinstance(value, int):
            sizes.append(value)
        else:
            raise _MalformedError
    if kind != _FILE or size is None:
        raise _MalformedError
    return _Parsed(tuple(links), tuple(sizes), content, size)


def _corrupt(digest: bytes, why: str) -> BlobCorrupt:
    return BlobCorrupt(
        f"Block {cid_from_digest(digest)} is not what its CID promises.",
        why=why,
        hint="Fetch it again from another node; if it is stored here, the disk may be failing.",
    )


def _open_block(digest: bytes, block: bytes) -> _Parsed:
    if sha256(block).digest() != digest:
        raise _corrupt(digest, "The SHA-256 of its bytes differs.")
    if len(block) > MAX_BLOCK_BYTES:
        raise _corrupt(digest, f"It has {len(block)} bytes, more than any block of a file.")
    try:
        return _parse_block(block)
    except _MalformedError as error:
        raise _corrupt(digest, "It is not a UnixFS file block.") from error


def _depth(size: int) -> int:
    """Height of the balanced tree of a file: the least d with size ≤ CHUNK_BYTES · LINKS_PER_BLOCK^d."""
    depth, capacity = 0, CHUNK_BYTES
    while capacity < size:
        depth, capacity = depth + 1, capacity * LINKS_PER_BLOCK
    return depth


def open_root(cid: Cid, block: bytes, *, max_bytes: int) -> Branch:
    """Check the root block and learn the file's size from it before anything else is fetched.

    Raises:
        BlobCorrupt: the bytes differ from the CID or are not a file.
        BlobTooLarge: the file has more than ``max_bytes``.
    """
    digest = digest_from_cid(cid)
    size = _open_block(digest, block).size
    if size > max_bytes:
        raise BlobTooLarge(
            f"{cid} has {size} bytes; the limit here is {max_bytes}.",
            why="The content is larger than its kind may be, or the CID names something else.",
        )
    return Branch(digest, size, _depth(size))


def children(branch: Branch, block: bytes) -> tuple[Branch, ...]:
    """The children of an inner block (``branch.depth > 0``), in file order.

    Raises:
        BlobCorrupt: wrong hash, or another shape than a file of this size has.
    """
    parsed = _open_block(branch.digest, block)
    capacity = CHUNK_BYTES * LINKS_PER_BLOCK ** (branch.depth - 1)
    full, rest = divmod(branch.size, capacity)
    expected = (capacity,) * full + ((rest,) if rest else ())
    if parsed.size != branch.size or parsed.content or parsed.sizes != expected or len(parsed.links) != len(expected):
        raise _corrupt(branch.digest, "Its links are not those of a file of this size.")
    return tuple(Branch(digest, size, branch.depth - 1) for digest, size in zip(parsed.links, expected, strict=True))


def leaf_content(branch: Branch, block: bytes) -> bytes:
    """The file bytes in a leaf (``branch.depth == 0``).

    Raises:
        BlobCorrupt: wrong hash, or not a leaf with exactly ``branch.size`` bytes.
    """
    parsed = _open_block(branch.digest, block)
    if parsed.links or parsed.sizes or parsed.size != branch.size or len(parsed.content) != branch.size:
        raise _corrupt(branch.digest, "It is not a leaf of the size its parent states.")
    return parsed.content


class FileWalk:
    """Reads a file block by block without doing any I/O: say what `wanted` names, until `data` is there.

    Args:
        cid: the file.
        max_bytes: longest content accepted.
        batch: most blocks wanted at a time.

    Attributes:
        wanted: SHA-256 digests of the blocks needed next; empty when done. All blocks ever wanted are as many as an
            honest file of at most ``max_bytes`` has.
        data: the content, once nothing more is wanted.
    """

    def __init__(self, cid: Cid, *, max_bytes: int, batch: int = 256) -> None:
        self._cid = cid
        self._max_bytes = max_bytes
        self._batch = batch
        self._level: list[Branch] = []
        self._done = 0  # branches of this level already expanded
        self._below: list[Branch] = []
        self._parts: list[bytes] = []
        self.wanted: tuple[bytes, ...] = (digest_from_cid(cid),)
        self.data: bytes | None = None

    def feed(self, blocks: Mapping[bytes, bytes]) -> None:
        """Take the wanted blocks, by digest (more may be in ``blocks``).

        Raises:
            BlobCorrupt: a block differs from its digest, or the tree is not the layout of `compute_cid`.
            BlobTooLarge: the file has more than ``max_bytes``.
        """
        if not self._level:
            self._level = [open_root(self._cid, blocks[self.wanted[0]], max_bytes=self._max_bytes)]
        for branch in self._level[self._done : self._done + len(self.wanted)]:
            if branch.depth:
                self._below += children(branch, blocks[branch.digest])
            else:
                self._parts.append(leaf_content(branch, blocks[branch.digest]))
        self._done += len(self.wanted)
        if self._done == len(self._level) and self._below:
            self._level, self._below, self._done = self._below, [], 0
        self.wanted = tuple(branch.digest for branch in self._level[self._done : self._done + self._batch])
        if not self.wanted:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            check_layout(self._cid, data)
            self.data = data


def read_file(cid: Cid, load: Callable[[bytes], bytes], *, max_bytes: int) -> bytes:
    """Read and verify a whole file whose blocks ``load(digest)`` returns. Raises what `FileWalk.feed` and ``load`` do."""
    walk = FileWalk(cid, max_bytes=max_bytes)
    while walk.data is None:
        walk.feed({digest: load(digest) for digest in walk.wanted})
    return walk.data


def check_layout(cid: Cid, data: bytes) -> None:
    """The last word after reading: encoding ``data`` again gives this very CID.

    Raises:
        BlobCorrupt: the blocks were genuine but encoded unusually, so the same bytes have a second CID.
    """
    if compute_cid(data) != cid:
        raise BlobCorrupt(
            f"{cid} is not the CID of its own content.",
            why="It was added with another chunk size, layout or CID version.",
            hint="Add it with the defaults: ipfs add --cid-version=0.",
        )

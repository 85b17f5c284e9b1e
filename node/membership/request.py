"""A newcomer's request ("pull request"): one canonical JSON file on IPFS, signed by its account, named on chain by SHA-256 and CID.

```
{"body": {...}, "signature": "0x…", "version": 2}
```

The body says who asks, on what hardware, with which data, under which guideline, and names a sample update and test sets by CID. The
signature is EIP-712 over the SHA-256 of the body's canonical bytes, bound to chain and registry (`node.membership.signature`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from node.protocol.errors import ConfigError, RemoteProtocolError
from node.protocol.types import Address, Cid
from node.records import from_plain, to_plain
from node.store import sha256

VERSION = 2
MAX_BYTES = 64 * 1024
MAX_TEXT = 2_000
MAX_ENTRIES = 64
"""Most repositories, languages or accelerators a request may list."""
MAX_TEST_SETS = 4


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: account, libp2p peer id (base58 text), X25519 public key, and a name for people."""

    account: Address
    peer_id: str
    encryption_key: bytes
    name: str


@dataclass(frozen=True, slots=True)
class Hardware:
    """What it trains on. Found by itself; ``note`` is the applicant's own."""

    system: str
    machine: str
    python: str
    processors: int
    memory_bytes: int
    device: str
    accelerators: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Source:
    """One repository: name, version, licence (SPDX, or ``own``), and rows used of it."""

    name: str
    version: str
    licence: str
    rows: int


@dataclass(frozen=True, slots=True)
class DataStatement:
    """What the applicant trains on. The code itself stays at home.

    Attributes:
        languages: programming languages, lower case.
        sources: repositories.
        rows: pairs in all.
        length: of their text, bytes.
        near_duplicates: rows that nearly equal another one or a row of the public benchmark (`learning.sources.near_duplicates`).
        secrets: rows in which a key, token or password was found (`node.membership.survey`).
        personal: rows in which an e-mail address, bank account or telephone number was found.
        note: the applicant's own words.
    """

    languages: tuple[str, ...]
    sources: tuple[Source, ...]
    rows: int
    length: int
    near_duplicates: int
    secrets: int
    personal: int
    note: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The guideline that the applicant accepts: hash of the whole (Keccak-256), and of its four documents (SHA-256) by name."""

    epoch: int
    hash: bytes
    documents: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class SampleUpdate:
    """An update trained on the community's model, as it would travel in a round."""

    cid: Cid
    sha256: bytes
    length: int
    parent_model_hash: bytes
    rows: int


@dataclass(frozen=True, slots=True)
class OfferedSet:
    """Rows in the data protocol's format that the applicant offers as a benchmark."""

    name: str
    about: str
    cid: Cid
    sha256: bytes
    length: int
    rows: int


@dataclass(frozen=True, slots=True)
class Body:
    """What is signed. ``sample_updates`` has at most one entry, ``test_sets`` at most four."""

    chain_id: int
    registry: Address
    identity: Identity
    hardware: Hardware
    data: DataStatement
    guideline: Accepted
    sample_updates: tuple[SampleUpdate, ...]
    test_sets: tuple[OfferedSet, ...]

    @property
    def hash(self) -> bytes:
        """SHA-256 of the canonical bytes."""
        return sha256(canonical(to_plain(self)))


@dataclass(frozen=True, slots=True)
class Request:
    """A signed body."""

    version: int
    body: Body
    signature: bytes

    def encode(self) -> bytes:
        """The file's bytes."""
        return canonical(to_plain(self))


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, ASCII, one trailing newline."""
    return (json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n").encode()


def read_json(data: bytes, what: str, max_bytes: int) -> Any:
    """A JSON value from a stranger, in canonical form, with bounded size, texts and lists.

    Raises:
        RemoteProtocolError: says what is wrong; never anything else.
    """
    if len(data) > max_bytes:
        raise RemoteProtocolError(f"The {what} has {len(data)} bytes; at most {max_bytes} are read.")
    try:
        value = json.loads(data, parse_constant=_refuse_number, parse_float=_refuse_number)
        is_canonical = canonical(value) == data
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"The {what} is not JSON.", why=str(error)[:200]) from error
    if not is_canonical:
        raise RemoteProtocolError(f"The {what} is not in canonical form (sorted keys, no spaces, no key twice).")
    _require_bounded(value, what)
    return value


def parse(data: bytes) -> Request:
    """The request in a file from a stranger.

    Raises:
        RemoteProtocolError: says what is wrong; never anything else.
    """
    value = read_json(data, "request", MAX_BYTES)
    if isinstance(value, dict) and value.get("version") != VERSION:
        shown = str(value.get("version"))[:40]
        raise RemoteProtocolError(f"The request has version {shown}; this node reads version {VERSION}.")
    try:
        request = from_plain(Request, value, "request")
    except ConfigError as error:
        raise RemoteProtocolError(error.what, hint=error.hint) from error
    require_exact(request.encode(), data, "request")
    if len(request.body.sample_updates) > 1 or len(request.body.test_sets) > MAX_TEST_SETS:
        raise RemoteProtocolError(f"A request has at most one sample update and {MAX_TEST_SETS} test sets.")
    return request


def require_exact(again: bytes, data: bytes, what: str) -> None:
    """One content, one file: hex digits have two cases, and `bytes.fromhex` skips blanks.

    Raises:
        RemoteProtocolError: the file is another one than we would write.
    """
    if again != data:
        raise RemoteProtocolError(f"The {what} is not in canonical form (hex digits in lower case, without blanks).")


def parse_body(data: bytes) -> Body:
    """An unsigned body, e.g. a draft that a person edited; any layout of JSON.

    Raises:
        ConfigError: it is none.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError("The draft is not JSON.", why=str(error)[:200]) from error
    return from_plain(Body, value, "draft")


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]} is not allowed; a request has whole numbers only")


def _require_bounded(value: Any, what: str) -> None:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str) and (len(one) > MAX_TEXT or not one.isprintable()):
            raise RemoteProtocolError(
                f"A text of the {what} is too long or holds control characters: {one[:40]!r}.",
                hint=f"At most {MAX_TEXT} printable characters.",
            )
        if isinstance(one, list | dict):
            if len(one) > MAX_ENTRIES:
                raise RemoteProtocolError(f"A list of the {what} has {len(one)} entries; at most {MAX_ENTRIES}.")
            waiting += [*one, *one.values()] if isinstance(one, dict) else one
        if isinstance(one, int) and one >= 1 << 63:
            raise RemoteProtocolError(f"A number of the {what} is beyond 63 bits.")

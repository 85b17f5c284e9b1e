r"""A bundle encrypted to the members of its round: one content key, wrapped for each; anybody can open it once that key is published.

```
offset  bytes
     0      8  "cw-env/1"
     8     32  chain id
    40     20  round contract
    60      8  round
    68     20  sender
    88     32  E, the ephemeral X25519 public key
   120     32  digest of the CID of the key's file, "commonweight/content-key/1\n" ‖ K
   152      8  length of the plaintext
   160      2  n, recipients
   162  100·n  each: address (20, ascending), X25519 public key (32), wrapped content key (48)
     …         body: pieces of 1 MiB, each with a tag of 16 bytes

K     content key = HMAC-SHA-256(sender's secret, bytes 0 … 88 ‖ all (address, key) ‖ SHA-256(plaintext))
e     ephemeral private key = HKDF(K, "commonweight/envelope-ephemeral/1"),  E = e·G
wrap  ChaCha20-Poly1305(HKDF(shared(e, recipient's key), "commonweight/envelope-wrap/1" ‖ address), nonce 0, K;
                        associated: SHA-256(bytes 0 … 162 ‖ all (address, key)))
piece i of m: ChaCha20-Poly1305(HKDF(K, "commonweight/envelope-body/1"), nonce = i (11 bytes) ‖ [i = m−1], plaintext;
                        associated: SHA-256(the whole header))
```
Two things follow from K being the only secret. Whoever opened the envelope can compute it again and so check that *every* recipient
can open it: a sender who leaves somebody out is caught by all the others. And the header's CID commits to K before anybody has it, so
whoever publishes the key's file under that CID published the right key. The keys of wraps and body are used once, hence the fixed nonces
(pieces as in STREAM, Hoang et al. 2015: none can be dropped, doubled or moved).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from node.confidential.agreement import KEY_BYTES, agree, hkdf, is_usable, public_key
from node.protocol.cid import compute_cid, digest_from_cid
from node.protocol.commitments import RoundScope
from node.protocol.errors import EnvelopeBroken, EnvelopeClosed, LocalProtocolError
from node.protocol.types import Address

MAGIC = b"cw-env/1"
KEY_FILE = b"commonweight/content-key/1\n"
KEY_FILE_BYTES = len(KEY_FILE) + KEY_BYTES
PIECE = 1 << 20
MAX_RECIPIENTS = (1 << 16) - 1
TAG = 16
_SCOPE = 88
_FIXED = 162
_WHO = 20 + KEY_BYTES
_WRAP = KEY_BYTES + TAG
_ENTRY = _WHO + _WRAP
_NONCE = bytes(12)
_EPHEMERAL, _WRAPPING, _BODY = (b"commonweight/envelope-%s/1" % name for name in (b"ephemeral", b"wrap", b"body"))

Recipient = tuple[Address, bytes]
"""An account and its X25519 public key."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """An encrypted bundle, read but not opened.

    Attributes:
        scope: chain, contract and round that it was made for.
        sender: account that it says it is from.
        ephemeral: public key that the wraps are made with.
        key_digest: of the CID of the file that will hold the content key.
        length: bytes of the plaintext.
        recipients: who can open it, by address.
        wraps: the content key for each of them.
        header: all bytes before the body.
        body: the pieces.
    """

    scope: RoundScope
    sender: Address
    ephemeral: bytes
    key_digest: bytes
    length: int
    recipients: tuple[Recipient, ...]
    wraps: tuple[bytes, ...]
    header: bytes
    body: memoryview


def envelope_bytes(length: int, recipients: int) -> int:
    """Exact length of an envelope around ``length`` bytes."""
    return _FIXED + _ENTRY * recipients + length + TAG * _pieces(length)


def usable_recipients(members: Sequence[Recipient]) -> tuple[Recipient, ...]:
    """Those of the members to whom one can write, by address: who registered no usable key reads nothing until keys are published."""
    return tuple(sorted((who for who in members if is_usable(who[1])), key=lambda who: _raw(who[0])))


# --- enclose -------------------------------------------------------------------------------------------------------------


def enclose(
    plaintext: bytes, scope: RoundScope, sender: Address, recipients: Sequence[Recipient], secret: bytes
) -> tuple[bytes, bytes]:
    """An envelope around ``plaintext``, and its content key. Equal arguments give equal bytes.

    Args:
        plaintext: what travels, at least one byte.
        scope: chain, contract and round.
        sender: whose bundle it is.
        recipients: of `usable_recipients`.
        secret: 32 bytes that only the sender knows.

    Raises:
        LocalProtocolError: nothing to encrypt, or nobody to encrypt it to, or the recipients are not in order.
    """
    addresses = [_raw(address) for address, _ in recipients]
    if not plaintext or not 0 < len(addresses) <= MAX_RECIPIENTS or addresses != sorted(set(addresses)):
        raise LocalProtocolError(
            f"{len(plaintext)} bytes cannot be encrypted to {len(recipients)} recipients in this order.",
            hint="Members register their encryption keys with `commonweight join peer`.",
        )
    people = b"".join(_raw(address) + key for address, key in recipients)
    start = _scope_bytes(scope, sender)
    key = hmac.digest(secret, start + people + hashlib.sha256(plaintext).digest(), "sha256")
    head = start + public_key(hkdf(key, _EPHEMERAL)) + key_digest(key)
    head += len(plaintext).to_bytes(8, "big") + len(recipients).to_bytes(2, "big")
    entries = [_raw(who) + their for who, their in recipients]
    header = head + b"".join(map(bytes.__add__, entries, _wraps(key, recipients, head, people)))
    return b"".join([header, *_encrypt(plaintext, key, header)]), key


def key_file(key: bytes) -> bytes:
    """The file that publishes a content key; its CID stands in the envelope's header."""
    return KEY_FILE + key


def key_digest(key: bytes) -> bytes:
    """Digest of the CID of a key's file."""
    return digest_from_cid(compute_cid(key_file(key)))


def read_key_file(data: bytes) -> bytes:
    """The content key of its file.

    Raises:
        EnvelopeBroken: not what `key_file` writes.
    """
    if len(data) != KEY_FILE_BYTES or not data.startswith(KEY_FILE):
        raise EnvelopeBroken("What was published as a content key is no key's file.")
    return data[len(KEY_FILE) :]


def _wraps(key: bytes, recipients: Sequence[Recipient], head: bytes, people: bytes) -> Iterator[bytes]:
    """The content key for each recipient."""
    private, bound = hkdf(key, _EPHEMERAL), hashlib.sha256(head + people).digest()
    for address, public in recipients:
        yield _wrapper(agree(private, public), address).encrypt(_NONCE, key, bound)


def _wrapper(shared: bytes, address: Address) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(hkdf(shared, _WRAPPING + _raw(address)))


def _encrypt(plaintext: bytes, key: bytes, header: bytes) -> Iterator[bytes]:
    cipher, bound = ChaCha20Poly1305(hkdf(key, _BODY)), hashlib.sha256(header).digest()
    view, last = memoryview(plaintext), _pieces(len(plaintext)) - 1
    for i in range(last + 1):
        yield cipher.encrypt(_piece_nonce(i, last), view[i * PIECE : (i + 1) * PIECE], bound)


def _pieces(length: int) -> int:
    return -(-length // PIECE)


def _piece_nonce(i: int, last: int) -> bytes:
    return i.to_bytes(11, "big") + bytes([i == last])


def _scope_bytes(scope: RoundScope, sender: Address) -> bytes:
    numbers = scope.chain_id.to_bytes(32, "big"), _raw(scope.round_manager), scope.round.to_bytes(8, "big")
    return MAGIC + b"".join(numbers) + _raw(sender)


def _raw(address: str) -> bytes:
    return bytes.fromhex(address[2:])


# --- open -------------------------------------------------------------------------------------------------------------


def read_envelope(data: bytes, addresses: Sequence[Address] = ()) -> Envelope:
    """Parts of an envelope from outside; nothing is decrypted.

    Args:
        data: bytes from anywhere.
        addresses: known accounts, so that the envelope names them as the chain does (EIP-55); others come in lower case.

    Raises:
        EnvelopeBroken: not the layout above.
    """
    if not data.startswith(MAGIC) or len(data) < _FIXED:
        raise EnvelopeBroken("The bundle is not encrypted, though update.confidentiality asks for it.")
    count, length = int.from_bytes(data[160:_FIXED], "big"), int.from_bytes(data[152:160], "big")
    if not length or not count or len(data) != envelope_bytes(length, count):
        raise EnvelopeBroken(f"An envelope around {length} bytes for {count} recipients cannot have {len(data)} bytes.")
    names = {_raw(address): address for address in addresses}
    recipients, wraps = list[Recipient](), list[bytes]()
    end = _FIXED + _ENTRY * count
    for at in range(_FIXED, end, _ENTRY):
        recipients.append((_named(names, data[at : at + 20]), data[at + 20 : at + _WHO]))
        wraps.append(data[at + _WHO : at + _ENTRY])
    order = [_raw(address) for address, _ in recipients]
    if any(before >= after for before, after in pairwise(order)):
        raise EnvelopeBroken("The recipients of an envelope are not in strictly ascending order.")
    if not is_usable(data[88:120]):
        raise EnvelopeBroken("The ephemeral key of an envelope is of small order.")
    scope = RoundScope(
        int.from_bytes(data[8:40], "big"), _named(names, data[40:60]), int.from_bytes(data[60:68], "big")
    )
    return Envelope(
        scope=scope,
        sender=_named(names, data[68:_SCOPE]),
        ephemeral=data[88:120],
        key_digest=data[120:152],
        length=length,
        recipients=tuple(recipients),
        wraps=tuple(wraps),
        header=data[:end],
        body=memoryview(data)[end:],
    )


def _named(names: dict[bytes, Address], raw: bytes) -> Address:
    return names.get(raw) or Address("0x" + raw.hex())


def require_addressed(found: Envelope, scope: RoundScope, sender: Address, recipients: Sequence[Recipient]) -> None:
    """The envelope is this sender's, of this round, for exactly these recipients.

    Raises:
        EnvelopeBroken: names what differs; everybody sees the same.
    """
    if found.header[:_SCOPE] != _scope_bytes(scope, sender):
        raise EnvelopeBroken("The bundle was encrypted for another chain, contract, round or sender.")
    there = {(_raw(address), key) for address, key in found.recipients}
    wanted = {(_raw(address), key) for address, key in recipients}
    if there != wanted:
        missing, extra = sorted(who.hex() for who, _ in wanted - there), sorted(who.hex() for who, _ in there - wanted)
        who = f"0x{missing[0]} is left out" if missing else f"0x{extra[0]} is none of the round's members"
        raise EnvelopeBroken(
            f"The bundle is encrypted to other recipients than the round's {len(wanted)} members: {who}, or with another key.",
            why="Recipients are the members that were active when the round opened, with the keys they had then.",
        )


def unwrap(found: Envelope, me: Address, own_key: bytes, shared_secret: Callable[[bytes], bytes]) -> bytes:
    """The content key, by our own wrap.

    Args:
        found: the envelope.
        me: our account.
        own_key: our present X25519 public key.
        shared_secret: `agreement.agree` under our private key.

    Raises:
        EnvelopeClosed: there is no wrap for us, or it does not open.
    """
    mine = _raw(me)
    for (address, key), wrap in zip(found.recipients, found.wraps, strict=True):
        if _raw(address) != mine:
            continue
        if key != own_key:
            raise EnvelopeClosed(
                "The bundle is encrypted to another encryption key of ours than this node has.",
                why=f"The registry had {key.hex()} when the round opened; this node's is {own_key.hex()}.",
                hint="Register the present one with `commonweight join peer`; it counts from the next round on.",
            )
        bound = hashlib.sha256(found.header[:_FIXED] + _people(found)).digest()
        try:
            return _wrapper(shared_secret(found.ephemeral), address).decrypt(_NONCE, wrap, bound)
        except InvalidTag:
            raise EnvelopeClosed(
                "Our copy of the bundle's content key does not open.",
                why=f"{found.sender} wrapped something else for us.",
                hint="Nothing to do: who can open it sees that, too, and refuses it.",
            ) from None
    raise EnvelopeClosed(
        "The bundle is not encrypted to us.",
        why="We were no active member with a usable encryption key when the round opened.",
        hint="Register one with `commonweight join peer`. Content keys are published once the round is final.",
    )


def open_with(found: Envelope, key: bytes) -> bytes:
    """The plaintext, once everything in the envelope is what its content key makes it, for every recipient.

    Raises:
        EnvelopeBroken: it is not; whoever has the key sees the same.
    """
    if len(key) != KEY_BYTES or key_digest(key) != found.key_digest:
        raise EnvelopeBroken("The content key is not the one whose CID the envelope names.")
    if public_key(hkdf(key, _EPHEMERAL)) != found.ephemeral:
        raise EnvelopeBroken("The envelope's ephemeral key does not follow from its content key.")
    try:
        expected = tuple(_wraps(key, found.recipients, found.header[:_FIXED], _people(found)))
    except ValueError:
        raise EnvelopeBroken("A recipient's key in the envelope is of small order.") from None
    for (address, _), wrap, right in zip(found.recipients, found.wraps, expected, strict=True):
        if not hmac.compare_digest(wrap, right):
            raise EnvelopeBroken(f"The envelope holds no content key that {address} could use.")
    try:
        return b"".join(_decrypt(found, key))
    except InvalidTag:
        raise EnvelopeBroken("The bytes are not those that were encrypted under this content key.") from None


def _decrypt(found: Envelope, key: bytes) -> Iterator[bytes]:
    cipher, bound = ChaCha20Poly1305(hkdf(key, _BODY)), hashlib.sha256(found.header).digest()
    last, step = _pieces(found.length) - 1, PIECE + TAG
    for i in range(last + 1):
        yield cipher.decrypt(_piece_nonce(i, last), found.body[i * step : (i + 1) * step], bound)


def _people(found: Envelope) -> bytes:
    return b"".join(_raw(address) + key for address, key in found.recipients)

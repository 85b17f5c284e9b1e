"""Envelopes: who can open them, who cannot, and every lie a sender could tell in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from node.confidential import envelope
from node.confidential.agreement import agree, hkdf, is_usable, public_key
from node.confidential.envelope import (
    PIECE,
    enclose,
    envelope_bytes,
    key_digest,
    key_file,
    open_with,
    read_envelope,
    read_key_file,
    require_addressed,
    unwrap,
    usable_recipients,
)
from node.protocol.cid import compute_cid, digest_from_cid
from node.protocol.commitments import RoundScope
from node.protocol.errors import BlobCorrupt, BlobUnavailable, EnvelopeBroken, EnvelopeClosed, LocalProtocolError
from node.protocol.types import Address

SCOPE = RoundScope(31337, Address("0x" + "c1" * 20), 7)
PRIVATE = {Address("0x" + bytes([i] * 20).hex()): bytes([i] * 32) for i in (1, 2, 3, 4)}
PEOPLE = tuple((who, public_key(private)) for who, private in PRIVATE.items())
SENDER, READER, *_ = PRIVATE
SECRET = b"s" * 32
TEXT = b"an update" * 100
SMALL_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ((1 << 255) - 20).to_bytes(32, "little"),
]


def enclosed(text: bytes = TEXT, **changes: object) -> tuple[bytes, bytes]:
    arguments = {"scope": SCOPE, "sender": SENDER, "recipients": PEOPLE, "secret": SECRET} | changes
    return enclose(text, **arguments)  # type: ignore[arg-type]


def key_for(data: bytes, who: Address) -> bytes:
    return unwrap(read_envelope(data), who, public_key(PRIVATE[who]), partial(agree, PRIVATE[who]))


@pytest.mark.parametrize("who", PRIVATE)
@pytest.mark.parametrize("length", [1, 15, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
def test_every_recipient_opens_it(who: Address, length: int):
    text = bytes(range(256)) * (length // 256 + 1)
    data, key = enclosed(text[:length])
    assert len(data) == envelope_bytes(length, len(PEOPLE))
    found = read_envelope(data)
    require_addressed(found, SCOPE, SENDER, PEOPLE)
    assert key_for(data, who) == key
    assert open_with(found, key) == text[:length]


def test_equal_arguments_give_equal_bytes_and_any_other_argument_another_key():
    assert enclosed() == enclosed()
    keys = [
        enclosed()[1],
        enclosed(TEXT + b"!")[1],
        enclosed(scope=replace(SCOPE, round=8))[1],
        enclosed(scope=replace(SCOPE, chain_id=1))[1],
        enclosed(scope=replace(SCOPE, round_manager=Address("0x" + "c2" * 20)))[1],
        enclosed(sender=READER)[1],
        enclosed(recipients=PEOPLE[1:])[1],
        enclosed(secret=b"t" * 32)[1],
    ]
    assert len(set(keys)) == len(keys)


def test_nothing_of_the_content_shows():
    data, key = enclosed()
    assert b"update" not in data
    assert key not in data
    assert SECRET not in data


def test_strangers_and_wrong_keys_do_not_open_it():
    data, _ = enclosed()
    stranger = Address("0x" + "99" * 20)
    with pytest.raises(EnvelopeClosed, match="not encrypted to us"):
        unwrap(read_envelope(data), stranger, public_key(bytes(32)), partial(agree, bytes(32)))
    with pytest.raises(EnvelopeClosed, match="another encryption key of ours"):
        unwrap(read_envelope(data), READER, public_key(b"x" * 32), partial(agree, b"x" * 32))
    with pytest.raises(EnvelopeClosed, match="does not open"):
        unwrap(read_envelope(data), READER, public_key(PRIVATE[READER]), partial(agree, b"x" * 32))


def test_what_we_cannot_open_is_unavailable_and_what_is_wrong_for_all_is_corrupt():
    assert issubclass(EnvelopeClosed, BlobUnavailable)
    assert issubclass(EnvelopeBroken, BlobCorrupt)


def test_the_published_key_opens_it_and_its_cid_stands_in_the_header():
    data, key = enclosed()
    found = read_envelope(data)
    assert digest_from_cid(compute_cid(key_file(key))) == found.key_digest == key_digest(key)
    assert open_with(found, read_key_file(key_file(key))) == TEXT


@pytest.mark.parametrize("data", [b"", b"x", key_file(b"k" * 31), key_file(b"k" * 33), b"x" + key_file(b"k" * 32)[1:]])
def test_what_is_no_key_file(data: bytes):
    with pytest.raises(EnvelopeBroken, match="no key's file"):
        read_key_file(data)


@pytest.mark.parametrize("key", [b"k" * 32, b"", b"k" * 33])
def test_another_key_is_named_as_such(key: bytes):
    with pytest.raises(EnvelopeBroken, match="not the one whose CID"):
        open_with(read_envelope(enclosed()[0]), key)


def open_as_reader(data: bytes) -> bytes:
    found = read_envelope(data)
    require_addressed(found, SCOPE, SENDER, PEOPLE)
    return open_with(found, unwrap(found, READER, PEOPLE[1][1], partial(agree, PRIVATE[READER])))


def test_any_changed_bit_is_noticed():
    data, key = enclosed(b"short")
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises((EnvelopeBroken, EnvelopeClosed)):
            open_as_reader(changed)
    assert open_as_reader(data) == open_with(read_envelope(data), key)


def test_pieces_cannot_be_moved_dropped_or_cut():
    data, key = enclosed(bytes(3 * PIECE))
    found = read_envelope(data)
    step = PIECE + 16
    body = data[len(found.header) :]
    pieces = [body[i * step : (i + 1) * step] for i in range(3)]
    for order in ([1, 0, 2], [0, 0, 2], [2, 1, 0]):
        with pytest.raises(EnvelopeBroken, match="not those that were encrypted"):
            open_with(read_envelope(found.header + b"".join(pieces[i] for i in order)), key)
    shorter = (2 * PIECE).to_bytes(8, "big")
    with pytest.raises(EnvelopeBroken):
        open_with(read_envelope(data[:152] + shorter + found.header[160:] + b"".join(pieces[:2])), key)


# --- lies of a sender who knows the content key -----------------------------------------------------------------------


def lie(change: Callable[[bytes], bytes], text: bytes = TEXT) -> tuple[bytes, bytes]:
    """An envelope whose header was changed *before* the body was encrypted, so that the body agrees with it."""
    data, key = enclosed(text)
    header = change(read_envelope(data).header)
    return header + b"".join(envelope._encrypt(text, key, header)), key


def test_a_sender_who_leaves_one_recipient_out_is_caught_by_the_others():
    at = 162 + 2 * 100 + 52  # the third recipient's wrap

    data, key = lie(lambda header: header[:at] + bytes(48) + header[at + 48 :])
    third = PEOPLE[2][0]
    with pytest.raises(EnvelopeClosed, match="does not open"):
        key_for(data, third)
    assert key_for(data, READER) == key
    with pytest.raises(EnvelopeBroken, match=f"no content key that {third}"):
        open_with(read_envelope(data), key)


def test_a_sender_who_wraps_another_key_for_one_recipient_is_caught_by_both():
    data, key = enclosed()
    at = 162 + 100 + 52
    found = read_envelope(data)
    people = envelope._people(found)
    private = hkdf(key, b"commonweight/envelope-ephemeral/1")
    other = list(envelope._wraps(b"o" * 32, PEOPLE, found.header[:162], people))[1]
    assert other != found.wraps[1]
    shared = agree(private, PEOPLE[1][1])
    bound = SHA256_of(found.header[:162] + people)
    forged = envelope._wrapper(shared, READER).encrypt(bytes(12), b"o" * 32, bound)

    data, key = lie(lambda header: header[:at] + forged + header[at + 48 :])
    assert key_for(data, READER) == b"o" * 32
    with pytest.raises(EnvelopeBroken, match="not the one whose CID"):
        open_with(read_envelope(data), key_for(data, READER))
    with pytest.raises(EnvelopeBroken, match="no content key that"):
        open_with(read_envelope(data), key)


def SHA256_of(data: bytes) -> bytes:  # noqa: N802
    import hashlib

    return hashlib.sha256(data).digest()


def test_a_sender_who_names_the_cid_of_another_key():
    data, key = lie(lambda header: header[:120] + key_digest(b"o" * 32) + header[152:])
    with pytest.raises(EnvelopeBroken, match="not the one whose CID"):
        open_with(read_envelope(data), key)


def test_a_sender_whose_ephemeral_key_is_anothers():
    data, key = lie(lambda header: header[:88] + public_key(b"o" * 32) + header[120:])
    with pytest.raises(EnvelopeBroken, match="ephemeral key does not follow"):
        open_with(read_envelope(data), key)


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_keys_of_small_order(point: bytes):
    assert not is_usable(point)
    assert usable_recipients([(SENDER, point), *PEOPLE[1:]]) == PEOPLE[1:]
    data, key = lie(lambda header: header[:88] + point + header[120:])
    with pytest.raises(EnvelopeBroken, match="small order"):
        read_envelope(data)
    data, key = lie(lambda header: header[:182] + point + header[214:])
    with pytest.raises(EnvelopeBroken, match="small order"):
        open_with(read_envelope(data), key)


def test_usable_keys():
    assert all(is_usable(key) for _, key in PEOPLE)
    assert not is_usable(b"")
    assert not is_usable(PEOPLE[0][1] + b"x")
    assert usable_recipients(PEOPLE[::-1]) == PEOPLE


# --- addressing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "sender"),
    [
        (replace(SCOPE, chain_id=1), SENDER),
        (replace(SCOPE, round=8), SENDER),
        (replace(SCOPE, round_manager=Address("0x" + "c2" * 20)), SENDER),
        (SCOPE, READER),
    ],
)
def test_an_envelope_of_elsewhere(scope: RoundScope, sender: Address):
    with pytest.raises(EnvelopeBroken, match="another chain, contract, round or sender"):
        require_addressed(read_envelope(enclosed()[0]), scope, sender, PEOPLE)


def test_recipients_are_exactly_the_rounds_members():
    found = read_envelope(enclosed(recipients=PEOPLE[:3])[0])
    require_addressed(found, SCOPE, SENDER, PEOPLE[:3])
    with pytest.raises(EnvelopeBroken, match=f"{PEOPLE[3][0]} is left out"):
        require_addressed(found, SCOPE, SENDER, PEOPLE)
    with pytest.raises(EnvelopeBroken, match=f"{PEOPLE[2][0]} is none of"):
        require_addressed(found, SCOPE, SENDER, PEOPLE[:2])
    with pytest.raises(EnvelopeBroken, match="with another key"):
        require_addressed(found, SCOPE, SENDER, [*PEOPLE[:2], (PEOPLE[2][0], PEOPLE[0][1])])


def test_addresses_are_compared_whatever_their_case():
    upper = Address("0x" + "AB" * 20)
    data, _ = enclosed(sender=upper, recipients=[*PEOPLE, (upper, PEOPLE[0][1])])
    found = read_envelope(data, [upper])
    assert found.sender == upper
    require_addressed(found, SCOPE, Address(upper.lower()), [*PEOPLE, (upper, PEOPLE[0][1])])


def test_what_cannot_be_encrypted():
    for text, people in ((b"", PEOPLE), (TEXT, ()), (TEXT, PEOPLE[::-1]), (TEXT, (PEOPLE[0], PEOPLE[0]))):
        with pytest.raises(LocalProtocolError, match="cannot be encrypted"):
            enclosed(text, recipients=people)


@pytest.mark.parametrize("cut", [0, 7, 8, 161, 162, 200, -1])
def test_cut_envelopes(cut: int):
    with pytest.raises(EnvelopeBroken):
        read_envelope(enclosed()[0][:cut])


def test_recipients_out_of_order_or_twice():
    data, _ = enclosed()
    first, second = data[162:262], data[262:362]
    for swapped in (second + first, first + first):
        with pytest.raises(EnvelopeBroken, match="ascending"):
            read_envelope(data[:162] + swapped + data[362:])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 400), st.integers(0, 100))
def test_foreign_bytes_give_an_envelope_or_the_documented_error(noise: bytes, at: int, cut: int):
    data, key = enclosed(b"text", recipients=PEOPLE[:1])
    for foreign in (
        noise,
        envelope.MAGIC + noise,
        data[:at] + noise + data[at + len(noise) :],
        data[: len(data) - cut],
    ):
        try:
            open_with(read_envelope(foreign), key)
        except EnvelopeBroken:
            continue
        assert foreign == data


# --- against the formulas, written out once more ----------------------------------------------------------------------


def test_the_formulas_of_the_module_by_hand():
    data, key = enclosed(b"text", recipients=PEOPLE[:2])

    def derive(secret: bytes, info: bytes) -> bytes:
        return HKDF(SHA256(), 32, None, info).derive(secret)

    ephemeral = X25519PrivateKey.from_private_bytes(derive(key, b"commonweight/envelope-ephemeral/1"))
    assert data[88:120] == ephemeral.public_key().public_bytes_raw()
    people = b"".join(bytes.fromhex(who[2:]) + public for who, public in PEOPLE[:2])
    raw = ephemeral.exchange(X25519PublicKey.from_public_bytes(PEOPLE[1][1]))
    pair = b"".join(sorted((data[88:120], PEOPLE[1][1])))
    shared = derive(raw, b"commonweight/x25519-shared/1" + pair)
    wrapping = derive(shared, b"commonweight/envelope-wrap/1" + bytes.fromhex(PEOPLE[1][0][2:]))
    wrap = ChaCha20Poly1305(wrapping).encrypt(bytes(12), key, SHA256_of(data[:162] + people))
    assert data[162 + 152 : 162 + 200] == wrap
    body = ChaCha20Poly1305(derive(key, b"commonweight/envelope-body/1"))
    assert data[362:] == body.encrypt(bytes(11) + b"\x01", b"text", SHA256_of(data[:362]))

"""An update from one keystore to others: who reads it, and how long it may be on its way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node import envelopes
from node.adapters.signer_keystore import KeystoreSigner
from node.confidential.envelope import key_file
from node.protocol.cid import compute_cid
from node.protocol.commitments import RoundScope
from node.protocol.errors import BlobCorrupt, BlobUnavailable, EnvelopeBroken, EnvelopeClosed, KeystoreError
from node.protocol.round import Reveal, Round
from node.protocol.types import Address, Phase
from node.sim.blobs import SimSwarm
from node.sim.community import toy_guideline

SIGNERS = [KeystoreSigner.from_key(bytes([i]) * 32) for i in (1, 2, 3)]
STRANGER = KeystoreSigner.from_key(bytes([9]) * 32)
SCOPE = RoundScope(31337, Address("0x" + "11" * 20), 4)
UPDATE = bytes(range(256)) * 8


def members(signers=SIGNERS):
    return tuple(sorted(((s.address, s.encryption_public_key) for s in signers), key=lambda one: one[0].lower()))


def round_of(phase=Phase.SCORE_COMMIT, who=None):
    zero = bytes(32)
    found = Round(4, SIGNERS[0].address, zero, zero, 1, zero, zero, 3, 1, 1, phase)
    return replace(found, members=members() if who is None else who)


def reveal(signer=SIGNERS[0]):
    return Reveal(0, signer.address, 0, bytes(32), bytes(32), 1)


async def opened(data, found, signer, blobs=None):
    envelope = envelopes.read(data, found, reveal(), SCOPE)
    key = await envelopes.content_key(envelope, found, signer, blobs, seconds=1)
    return envelopes.open_with(envelope, key), key


@pytest.mark.parametrize("reader", SIGNERS)
async def test_every_member_reads_it_its_sender_too(reader):
    data = envelopes.encrypt_update(UPDATE, round_of(), SCOPE, SIGNERS[0])
    assert data == envelopes.encrypt_update(UPDATE, round_of(), SCOPE, SIGNERS[0])
    assert (await opened(data, round_of(), reader))[0] == UPDATE


async def test_a_stranger_reads_it_once_its_key_is_published():
    data = envelopes.encrypt_update(UPDATE, round_of(), SCOPE, SIGNERS[0])
    _, key = await opened(data, round_of(), SIGNERS[1])
    swarm = SimSwarm(latency=0.0)
    blobs = swarm.join("stranger")
    with pytest.raises(EnvelopeClosed, match="join peer"):
        await opened(data, round_of(), STRANGER, blobs)
    with pytest.raises(EnvelopeClosed):
        await opened(data, round_of(Phase.VOIDED), STRANGER, blobs)
    with pytest.raises(BlobUnavailable, match=compute_cid(key_file(key))):
        await opened(data, round_of(Phase.FINALIZED), STRANGER, blobs)
    await swarm.join("member").put(key_file(key))
    assert (await opened(data, round_of(Phase.FINALIZED), STRANGER, blobs))[0] == UPDATE


class Lying:
    """A store that checks nothing."""

    def __init__(self, data):
        self.data = data

    async def get(self, _cid, *, max_bytes, seconds):
        assert max_bytes == len(key_file(bytes(32)))
        return self.data


@pytest.mark.parametrize(
    ("served", "said"), [(b"junk", "no content key"), (key_file(b"o" * 32), "another content key")]
)
async def test_a_store_that_serves_another_key(served, said):
    data = envelopes.encrypt_update(UPDATE, round_of(), SCOPE, SIGNERS[0])
    envelope = envelopes.read(data, round_of(), reveal(), SCOPE)
    with pytest.raises(BlobCorrupt, match=said) as caught:
        await envelopes.published_key(envelope, Lying(served), seconds=1)
    assert not isinstance(caught.value, EnvelopeBroken)
    with pytest.raises(EnvelopeClosed, match="other bytes are served"):  # no fault of the update's
        await opened(data, round_of(Phase.FINALIZED), STRANGER, Lying(served))


def test_recipients_are_those_of_the_rounds_opening():
    data = envelopes.encrypt_update(UPDATE, round_of(), SCOPE, SIGNERS[0])
    for others in (members(SIGNERS[:2]), members([*SIGNERS, STRANGER])):
        with pytest.raises(EnvelopeBroken, match="other recipients"):
            envelopes.read(data, round_of(who=others), reveal(), SCOPE)
    with pytest.raises(EnvelopeBroken, match="another chain, contract, round or sender"):
        envelopes.read(data, round_of(), reveal(SIGNERS[1]), SCOPE)
    # Whoever registered no usable key is passed over by everybody.
    keyless = (*members()[:2], (members()[2][0], bytes(32)))
    envelopes.read(
        envelopes.encrypt_update(UPDATE, round_of(who=keyless), SCOPE, SIGNERS[0]),
        round_of(who=keyless),
        reveal(),
        SCOPE,
    )


def test_an_envelope_may_be_longer_than_what_is_in_it():
    plain, confidential = toy_guideline(max_bytes=5_000), toy_guideline(max_bytes=5_000, confidentiality="members")
    assert envelopes.travel_limit(plain, round_of()) == 5_000
    longest = envelopes.encrypt_update(bytes(5_000), round_of(), SCOPE, SIGNERS[0])
    assert envelopes.travel_limit(confidential, round_of()) == len(longest)
    assert envelopes.is_confidential(confidential)
    assert not envelopes.is_confidential(plain)


def test_the_ports_two_methods_of_a_keystore():
    one, other = SIGNERS[:2]
    assert one.shared_secret(other.encryption_public_key) == other.shared_secret(one.encryption_public_key)
    with pytest.raises(KeystoreError):
        one.shared_secret(bytes(32))

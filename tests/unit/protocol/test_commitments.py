from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from node.protocol.commitments import (
    RoundScope,
    aggregate_secret,
    attestation,
    benchmark_commitment,
    salt_label,
    score_commitment,
    update_commitment,
)
from node.protocol.types import Address

ALICE, BOB = Address("0x" + "a1" * 20), Address("0x" + "b0" * 20)
SCOPE = RoundScope(31_337, Address("0x" + "c0" * 20), 7)
OTHER_SCOPES = [replace(SCOPE, chain_id=1), replace(SCOPE, round_manager=BOB), replace(SCOPE, round=8)]
CONTENT, CID, SALT = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32


def commit(scope: RoundScope = SCOPE, who: Address = ALICE) -> list[bytes]:
    return [
        update_commitment(scope, who, content_hash=CONTENT, cid=CID, samples=5, salt=SALT),
        benchmark_commitment(scope, who, content_hash=CONTENT, cid=CID, salt=SALT),
        score_commitment(scope, who, word=9, salt=SALT),
    ]


@pytest.mark.parametrize("scope", OTHER_SCOPES)
def test_bound_to_chain_contract_and_round(scope: RoundScope):
    assert set(commit()).isdisjoint(commit(scope))


def test_bound_to_the_sender():
    assert set(commit()).isdisjoint(commit(who=BOB))


def test_attestation_is_keyed_by_attester():
    keyed = [attestation(7, who, secret=CONTENT, model_hash=CID, cid=SALT) for who in (ALICE, BOB)]
    assert keyed[0] != keyed[1]


def test_every_argument_counts():
    base = {"content_hash": CONTENT, "cid": CID, "samples": 5, "salt": SALT}
    changes = [{"content_hash": SALT}, {"cid": SALT}, {"samples": 6}, {"salt": CID}]
    values = [update_commitment(SCOPE, ALICE, **{**base, **change}) for change in ({}, *changes)]
    assert len(set(values)) == len(values)


def test_secret_is_the_documented_hash():
    expected = hashlib.sha256(
        b"commonweight/attestation/1" + (31_337).to_bytes(32, "big") + b"\xc0" * 20 + (7).to_bytes(32, "big") + b"model"
    ).digest()
    assert aggregate_secret(SCOPE, b"model") == expected


def test_salt_labels_differ_by_scope_and_purpose():
    labels = [salt_label(scope, purpose) for scope in (SCOPE, *OTHER_SCOPES) for purpose in ("update", "scores")]
    assert len(set(labels)) == len(labels)

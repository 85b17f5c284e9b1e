"""Requests to join from strangers: what is well-formed, and that everything else is refused by name and nothing crashes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from join_requests import (
    DATA,
    ME,
    MODEL,
    OFFER,
    OTHER,
    PEER,
    REGISTRY,
    ROWS,
    SAMPLE,
    body,
    community,
    guideline,
    judge,
    signed,
)

from aggregation.bundle import encode
from node.combine import trainable_schema
from node.membership import request as documents
from node.membership import signature
from node.membership.checks import check_sample, check_test_set, failed
from node.membership.request import (
    Identity,
    Source,
    canonical,
    read_json,
)
from node.membership.review import Review, shortened
from node.membership.review import parse as parse_review
from node.membership.signature import TYPES, domain, message, recover
from node.membership.terms import Terms, is_licence_allowed
from node.protocol.errors import ConfigError, RemoteProtocolError
from node.protocol.guideline import Guideline
from node.records import to_plain
from node.store import sha256


def reasons(made, where=None, signer=ME, **changes):
    return failed(judge(signed(made, signer).encode(), where, **changes)[1])


# --- what is fine -----------------------------------------------------------------------------------------------------


def test_a_good_request_passes_every_check_and_is_read_back():
    request, checks = judge(signed(body()).encode())
    assert request == signed(body())
    assert failed(checks) == []
    assert {"form", "signature", "guideline", "licences", "secrets", "sample update", "test set"} <= {
        c.name for c in checks
    }


def test_the_digest_is_that_of_the_wallets_library():
    from eth_account.messages import encode_typed_data

    from node.protocol.hashing import keccak256

    typed = encode_typed_data(domain(1, REGISTRY), TYPES, message(ME.address, MODEL))
    assert signature.digest(1, REGISTRY, ME.address, MODEL) == keccak256(b"\x19\x01" + typed.header + typed.body)


def test_before_there_is_a_model_nobody_needs_a_sample():
    assert reasons(body(sample_updates=()), community(is_running=False)) == []
    assert reasons(body(sample_updates=())) == ["sample update: missing"]
    lenient = community(guideline=guideline(sample_update=False))
    assert reasons(body(sample_updates=(), guideline=lenient.accepted), lenient) == []


def test_where_the_epoch_is_not_known_only_the_hashes_count():
    assert reasons(body(), community(epoch=0)) == []


# --- what is not ------------------------------------------------------------------------------------------------------


def accepted(**changes):
    return replace(community().accepted, **changes)


def data(**changes):
    return replace(DATA, **changes)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (body(chain_id=2), "community: chain 2"),
        (body(registry=OTHER.address), "community: chain 1, registry 0x"),
        (body(identity=Identity(OTHER.address, PEER, bytes(32), "me")), "identity: account 0x"),
        (body(identity=Identity(ME.address, "elsewhere", bytes(32), "me")), "identity: account"),
        (body(identity=Identity(ME.address, PEER, b"short", "me")), "encryption key: it has 5 bytes"),
        (body(guideline=accepted(epoch=2)), "guideline: it accepts epoch 2"),
        (body(guideline=accepted(hash=MODEL)), "guideline: it accepts epoch 1 (0000"),
        (body(guideline=accepted(documents={**accepted().documents, "data": MODEL})), "guideline: other documents are"),
        (body(guideline=accepted(documents={**accepted().documents, "fifth": MODEL})), "accepted: fifth"),
        (body(data=data(languages=("python", "cobol"))), "languages: cobol not in the data protocol"),
        (body(data=data(languages=())), "languages"),
        (body(data=data(sources=(Source("x", "", "GPL-3.0", 50),))), "licences: x (GPL-3.0)"),
        (body(data=data(sources=(Source("x", "", "unknown", 50),))), "licences: x (unknown)"),
        (body(data=data(sources=())), "licences"),
        (body(data=data(sources=(Source("networkx", "", "MIT", 50),))), "held out: it trains on"),
        (body(data=data(rows=5, sources=(Source("x", "", "MIT", 5),))), "size: 5 rows"),
        (body(data=data(rows=51)), "size: 51 rows"),
        (body(data=data(near_duplicates=1)), "near-duplicates: 1 rows"),
        (body(data=data(secrets=1)), "secrets: 1 rows"),
        (body(data=data(personal=2)), "personal data: 2 rows"),
        (body(sample_updates=(replace(SAMPLE, parent_model_hash=bytes(32)),)), "sample update: 6 bytes on model 0000"),
        (body(sample_updates=(replace(SAMPLE, length=2 << 20),)), "sample update: 2097152 bytes"),
        (body(test_sets=(replace(OFFER, rows=1),)), "test set: arithmetic: 1 rows"),
        (body(test_sets=(replace(OFFER, rows=99_999),)), "test set: arithmetic: 99999 rows"),
        (body(test_sets=(replace(OFFER, length=1 << 30),)), "test set"),
        (body(test_sets=(replace(OFFER, name="x" * 33),)), "test set"),
        (body(test_sets=(replace(OFFER, name=""),)), "test set"),
        (body(test_sets=(replace(OFFER, name="mine"),)), "test set: mine is also among the training data"),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_is_named(made, reason):
    found = reasons(made)
    assert any(reason in one for one in found), found


def test_a_signature_of_somebody_else_or_of_something_else_is_refused():
    assert any("signature: by 0x" in one for one in reasons(body(), signer=OTHER))
    moved = replace(signed(body()), body=body(test_sets=()))
    assert any(one.startswith("signature") for one in failed(judge(moved.encode())[1]))
    for bad in (b"", bytes(65), b"\xff" * 64 + b"\x1b", signed(body()).signature[:64] + b"\0"):
        found = failed(judge(replace(signed(body()), signature=bad).encode())[1])
        assert any(one.startswith("signature: The signature") for one in found), found


def test_a_request_that_somebody_else_sends_is_refused():
    found = reasons(body(), applicant=OTHER.address)
    assert any(one.startswith("identity") for one in found)
    assert any(one.startswith("signature") for one in found)


def test_bytes_that_are_not_those_in_the_transaction():
    request, checks = judge(signed(body()).encode(), request_hash=bytes(32))
    assert request is None
    assert failed(checks) == ["hash: the bytes do not have the hash in the application's transaction"]


def test_a_file_is_read_up_to_its_largest_size_and_no_byte_further():
    data = canonical({"a": "b" * 50})
    assert read_json(data, "file", len(data)) == {"a": "b" * 50}
    with pytest.raises(RemoteProtocolError, match=f"has {len(data)} bytes; at most {len(data) - 1} are read"):
        read_json(data, "file", len(data) - 1)


GOOD = signed(body()).encode()
DEEP = b'{"body":' + b"[" * 30_000 + b"]" * 30_000 + b"}\n"


@pytest.mark.parametrize(
    "hostile",
    [
        b"", b"\n", b"null\n", b"[]\n", b"{}\n", b"3\n", b'"text"\n', b"\xff\xfe", b"\0" * 99, b"{", DEEP, b"[" * 65_000,
        b'{"version":2}\n', b'{"body":{},"signature":"0x","version":2}\n', b"a" * (1 << 20), GOOD[:-1], GOOD[:-5], GOOD + b" ",
        b" " + GOOD, GOOD.replace(b'"rows":50', b'"rows":NaN'), GOOD.replace(b'"rows":50', b'"rows":50.0'),
        GOOD.replace(b'"rows":50', b'"rows":-50'), GOOD.replace(b'"rows":50', b'"rows":' + b"9" * 400),
        GOOD.replace(b'"rows":50', b'"rows":"50"'), GOOD.replace(b'"rows":50', b'"rows":true'), GOOD.replace(b'"rows":50', b'"rows":1e999'),
        GOOD.replace(b'"version":2', b'"version":3'), GOOD.replace(b'"note":""', b'"note":"\\u001b[31m"'),
        GOOD.replace(b'"note":""', b'"note":"' + b"x" * 3_000 + b'"'), GOOD.replace(b'"note":""', b'"extra":"","note":""'),
        GOOD.replace(b'"version":2', b'"version":2,"version":2'), GOOD.replace(ME.address.encode(), ME.address.lower().encode()),
        GOOD.replace(b'"Qm', b'"Xx'), GOOD.replace(b'"note":""', b'"note":"\\ud800"'),
    ],
    ids=range(34),
)  # fmt: skip
def test_a_hostile_document_is_refused_in_words(hostile):
    assert hostile != GOOD
    request, checks = judge(hostile)
    assert request is None
    assert len(failed(checks)) == 1
    assert failed(checks)[0].isprintable()
    assert len(failed(checks)[0]) < 400


def test_any_flipped_byte_is_refused():
    for place in range(0, len(GOOD), 7):
        flipped = bytearray(GOOD)
        flipped[place] ^= 1
        assert failed(judge(bytes(flipped))[1]), place


def test_too_many_of_anything():
    many = tuple(Source(f"r{n}", "", "MIT", 1) for n in range(65))
    assert "entries; at most 64" in reasons(body(data=data(sources=many, rows=65)))[0]
    assert "at most one sample update" in reasons(body(sample_updates=(SAMPLE, SAMPLE)))[0]
    assert "4 test sets" in reasons(body(test_sets=(OFFER,) * 5))[0]


# --- files ------------------------------------------------------------------------------------------------------------

PARENT = {"layer": np.zeros((4, 4), np.float32)}
SCHEMA = trainable_schema(PARENT, guideline())


def update(value=0.5, shape=(4, 4)):
    return encode({"layer": np.full(shape, value, np.float32)})


def test_a_sample_update_is_looked_at_as_in_a_round():
    assert check_sample(update(), sha256(update()), SCHEMA, guideline()).ok
    for bad, why in (
        (update(np.nan), "not_finite"), (update(np.inf), "not_finite"), (update(99.0), "norm"), (update(shape=(4, 5)), "shape"),
        (b"", ""), (b"\xff" * 100, ""), (b"\0" * (2 << 20), ""), (encode({"other": np.zeros(4, np.float32)}), ""),
    ):  # fmt: skip
        check = check_sample(bad, sha256(bad), SCHEMA, guideline())
        assert not check.ok
        assert why in check.detail
    assert "do not have the hash" in check_sample(update(), bytes(32), SCHEMA, guideline()).detail


def rows(*lines):
    data = b"".join(line if isinstance(line, bytes) else canonical(line) for line in lines)
    return data, replace(OFFER, sha256=sha256(data), length=len(data), rows=len(lines))


ROW = {"query": "q", "code": "c", "repository": "tests", "path": "a", "name": "b"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{\n", "is not JSON"), (b"[" * 5_000 + b"\n", "is not JSON"), (b"\xff\n", "is not JSON"), ([1], "exactly the fields"),
        ({**ROW, "more": "x"}, "exactly the fields"), ({**ROW, "code": 3}, "no text"), ({**ROW, "code": "x" * 20_001}, "no text"),
        ({**ROW, "query": "  "}, "has an empty"), ({**ROW, "repository": "mine"}, "which the applicant trains on"),
        ({**ROW, "repository": "networkx"}, "benchmarks are made of"), ({**ROW, "query": "first"}, "repeats an earlier line"),
    ],
)  # fmt: skip
def test_a_broken_row_is_named_by_its_line(line, why):
    data, offer = rows({**ROW, "query": "first"}, line)
    check = check_test_set(data, offer, body(), Terms.of(guideline()))
    assert not check.ok
    assert f"line 2 {why}" in check.detail or why in check.detail
    assert "line 2" in check.detail


def test_a_test_set_with_other_bytes_or_a_cut_end():
    terms = Terms.of(guideline())
    assert check_test_set(ROWS, OFFER, body(), terms).ok
    assert "hash and length" in check_test_set(ROWS + ROWS, OFFER, body(), terms).detail
    cut = ROWS[:-1]
    offer = replace(OFFER, sha256=sha256(cut), length=len(cut))
    assert "whole lines" in check_test_set(cut, offer, body(), terms).detail
    assert "whole lines" in check_test_set(ROWS, replace(OFFER, rows=2), body(), terms).detail


# --- terms, reviews ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("licence", "is_allowed"),
    [
        ("MIT", True), ("mit", True), ("GPL-3.0 OR MIT", True), ("GPL-3.0 AND MIT", False), ("MIT AND MIT", True), ("", False),
        ("(MIT)", True), ("unknown", False), ("MIT WITH GPL-3.0", False), ("MITX", False),
    ],
)  # fmt: skip
def test_licences(licence, is_allowed):
    assert is_licence_allowed(licence, ("MIT", "BSD-3-Clause")) is is_allowed


def test_without_a_list_any_licence_is_allowed_but_none():
    assert is_licence_allowed("GPL-3.0", ())
    assert not is_licence_allowed("", ())


@pytest.mark.parametrize(
    "admission", [{"min_rowz": 1}, {"min_rows": "1"}, {"min_rows": -1}, {"min_rows": True}, {"languages": "x"}]
)
def test_unusable_terms(admission):
    with pytest.raises(ConfigError, match="admission"):
        Terms.of(guideline(**admission))


def test_the_published_schema_has_the_same_keys():
    from node.dao.guideline_schema import Admission

    assert set(Admission.model_fields) == set(asdict(Terms())) - {"held_out"}


def test_the_shipped_guideline_has_terms():
    from deploy.demo import GUIDELINE

    terms = Terms.of(Guideline.parse(GUIDELINE.read_bytes()))
    assert terms.languages == ("python",)
    assert "own" in terms.licences


def test_a_review_is_read_back_and_names_itself_by_its_cid():
    made = Review(1, 3, MODEL, ME.address, "review", "no", "It does not gain.", ("size: 5 rows",), ())
    assert parse_review(made.encode()) == made
    assert made.reason_hash != replace(made, reason="other").reason_hash
    for bad in (b"", b"{}\n", made.encode()[:-2], replace(made, version=2).encode(), replace(made, kind="x").encode()):
        with pytest.raises(RemoteProtocolError):
            parse_review(bad)


def test_reasons_are_shortened_and_made_printable():
    short = shortened(["a\x1b[31mb", "x" * 999, *["y"] * 99])
    assert short[0] == "a\\x1b[31mb"
    assert [len(one) for one in short[:2]] == [10, 300]
    assert len(short) == 16


def test_a_draft_may_be_laid_out_by_hand():
    text = json.dumps(to_plain(body()), indent=4).encode()
    assert documents.parse_body(text) == body()
    with pytest.raises(ConfigError, match="draft"):
        documents.parse_body(b"[")
    assert recover(1, REGISTRY, ME.address, body().hash, signed(body()).signature) == ME.address

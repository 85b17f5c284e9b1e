from __future__ import annotations

import json

import pytest

from node.protocol.errors import ConfigError
from node.protocol.guideline import DOCUMENTS, MAX_BYTES, OUTER_KEYS, Guideline
from node.protocol.hashing import keccak256

UPDATE = {"pipeline": "mean", "outer_learning_rate": 0.7, "max_norm": 10, "max_bytes": 1000}
ADAM = {"outer_kind": "adam", "outer_momentum": 0.9, "outer_second_momentum": 0.99, "outer_epsilon": 1e-3}


def text(**changes: object) -> bytes:
    return json.dumps({**{name: {} for name in DOCUMENTS}, "update": UPDATE, **changes}).encode()


def test_canonical_bytes_do_not_depend_on_writing():
    plain = Guideline.parse(text())
    spaced = Guideline.parse(json.dumps(json.loads(text()), indent=3, sort_keys=True).encode())
    assert plain.canonical == spaced.canonical
    assert Guideline.parse(plain.canonical).canonical == plain.canonical


def test_hash_changes_with_content():
    assert Guideline.parse(text()).hash != Guideline.parse(text(data={"task": "x"})).hash
    assert len(Guideline.parse(text()).hash) == len(keccak256(b""))


def test_update_protocol():
    protocol = Guideline.parse(text()).update
    assert (protocol.pipeline, protocol.outer_learning_rate, protocol.outer_momentum) == ("mean", 0.7, 0.0)
    assert (protocol.max_norm, protocol.max_bytes) == (10.0, 1000)
    assert protocol.compression == "none"


def test_confidentiality():
    assert Guideline.parse(text()).update.confidentiality == "none"
    assert Guideline.parse(text(update={**UPDATE, "confidentiality": "members"})).update.confidentiality == "members"
    for wrong in ("everybody", "", None, True):
        with pytest.raises(ConfigError, match="can be none or members"):
            _ = Guideline.parse(text(update={**UPDATE, "confidentiality": wrong})).update


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "sgd"),
        ({"outer_momentum": 0.0}, "sgd"),
        ({"outer_momentum": 0.9}, "nesterov"),
        ({"outer_kind": "sgd", "outer_second_momentum": 0}, "sgd"),
        ({"outer_kind": "momentum", "outer_momentum": 0.9}, "momentum"),
        ({"outer_kind": "nesterov", "outer_momentum": 0.9}, "nesterov"),
        ({**ADAM, "outer_momentum": 0.0}, "adam"),
        (ADAM, "adam"),
    ],
)
def test_outer_kind(change: dict[str, object], kind: str):
    protocol = Guideline.parse(text(update={**UPDATE, **change})).update
    assert protocol.outer_kind == kind
    assert protocol.outer_momentum == change.get("outer_momentum", 0.0)
    assert protocol.outer_second_momentum == change.get("outer_second_momentum", 0.0)
    assert protocol.outer_epsilon == change.get("outer_epsilon", 0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outer_kind": "adagrad"}, "outer_kind is 'adagrad'.*adam, momentum, nesterov, sgd"),
        ({"outer_kind": None}, "outer_kind is 'None'.*adam, momentum, nesterov, sgd"),
        ({"outer_momentum": -0.1}, "outer_momentum is -0.1.*above 0 and below 1"),
        ({"outer_momentum": 1}, "outer_momentum is 1.0.*above 0 and below 1"),
        ({"outer_momentum": "nan"}, "outer_momentum is nan.*above 0 and below 1"),
        ({"outer_kind": "sgd", "outer_momentum": 0.9}, "outer_momentum is 0.9.*sgd does not use it"),
        ({"outer_kind": "momentum"}, "momentum needs outer_momentum.*above 0 and below 1"),
        ({"outer_kind": "nesterov", "outer_momentum": 0.0}, "outer_momentum is 0.0.*above 0 and below 1"),
        ({"outer_epsilon": 1e-8}, "outer_epsilon is 1e-08.*sgd does not use it"),
        (
            {"outer_momentum": 0.9, "outer_second_momentum": 0.9},
            "outer_second_momentum is 0.9.*nesterov does not use it",
        ),
        ({**ADAM, "outer_momentum": 1.0}, r"outer_momentum is 1.0.*within \[0, 1\)"),
        ({**ADAM, "outer_second_momentum": 1.0}, r"outer_second_momentum is 1.0.*within \[0, 1\)"),
        ({**ADAM, "outer_second_momentum": -1}, r"outer_second_momentum is -1.0.*within \[0, 1\)"),
        ({**ADAM, "outer_epsilon": 0}, "outer_epsilon is 0.0.*above 0 and finite"),
        ({**ADAM, "outer_epsilon": "inf"}, "outer_epsilon is inf.*above 0 and finite"),
        ({"outer_kind": "adam", "outer_momentum": 0.9, "outer_epsilon": 1e-8}, "adam needs outer_second_momentum"),
        ({"outer_kind": "adam", "outer_momentum": 0.9, "outer_second_momentum": 0.99}, "adam needs outer_epsilon"),
        ({"outer_epsilon": []}, "not usable"),
    ],
)
def test_refuses_outer_steps_naming_key_and_allowed_values(change: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        _ = Guideline.parse(text(update={**UPDATE, **change})).update


def test_outer_kinds_are_those_of_the_aggregation():
    from aggregation.outer import SLOTS

    assert OUTER_KEYS.keys() == SLOTS.keys()


def test_compression_is_kept_as_it_is_written():
    assert Guideline.parse(text(update={**UPDATE, "compression": "int8"})).update.compression == "int8"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"\xff\xfe",
        text(extra={}),
        json.dumps({"data": {}}).encode(),
        text(data=3),
        text(data=[]),
        b" " * (MAX_BYTES + 1),
        text(data={"x": float("nan")}),
        text(data={"x": float("inf")}),
        b"[" * 50_000,
    ],
)
def test_refuses_what_is_no_guideline(data: bytes):
    with pytest.raises(ConfigError):
        Guideline.parse(data)


@pytest.mark.parametrize(
    "change",
    [
        {"max_norm": 0},
        {"max_norm": -1},
        {"max_bytes": 0},
        {"outer_learning_rate": 0},
        {"max_norm": "wide"},
        {"max_bytes": None},
        {"max_norm": 10**400},
        {"max_norm": True, "max_bytes": -1},
    ],
)
def test_refuses_unusable_update_documents(change: dict[str, object]):
    with pytest.raises(ConfigError):
        _ = Guideline.parse(text(update={**UPDATE, **change})).update


@pytest.mark.parametrize("missing", ["pipeline", "outer_learning_rate", "max_norm", "max_bytes"])
def test_refuses_missing_fields(missing: str):
    with pytest.raises(ConfigError, match=missing):
        _ = Guideline.parse(text(update={key: value for key, value in UPDATE.items() if key != missing})).update


@pytest.mark.parametrize("field", ["max_norm", "max_bytes", "outer_learning_rate"])
def test_refuses_numbers_beyond_floats(field: str):
    # 1e400 is JSON, and infinity once it is read.
    data = text(update={**UPDATE, field: 123456}).replace(b"123456", b"1e400")
    with pytest.raises(ConfigError):
        _ = Guideline.parse(data).update

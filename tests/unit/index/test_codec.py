"""Event arguments survive the index with their types, and equal ones have equal text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.index.codec import decode, encode
from node.protocol.types import Phase
from node.sim.scripted import Community, Script

LEAVES = st.booleans() | st.integers(-(2**256), 2**256) | st.binary(max_size=40) | st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def same(one, other):
    """Equal in value and type, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5))
def test_what_went_in_comes_out(arguments):
    assert same(decode(encode(arguments)), arguments)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5))
def test_text_is_canonical(arguments):
    turned = dict(reversed(arguments.items()))
    assert encode(turned) == encode(arguments)
    assert encode(decode(encode(arguments))) == encode(arguments)
    assert encode(arguments).isascii()


def test_text_and_bytes_that_look_alike_stay_apart():
    arguments = {"a": "0xff", "b": b"\xff", "c": "xff", "d": "", "e": b"", "f": True, "g": 1, "h": ()}
    assert same(decode(encode(arguments)), arguments)


def test_enums_become_numbers():
    assert decode(encode({"phase": Phase.ATTEST})) == {"phase": 10}
    assert type(decode(encode({"phase": Phase.ATTEST}))["phase"]) is int


@pytest.mark.parametrize("value", [1.5, None, [1], {1, 2}, object()])
def test_other_types_are_refused(value):
    with pytest.raises(TypeError, match="cannot be kept"):
        encode({"value": value})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"a":1.5}',
        '{"a":null}',
        '{"a":"q"}',
        '{"a":""}',
        '{"a":"xzz"}',
        '{"a":' + "[" * 99 + "]" * 99 + "}",
    ],
)
def test_damaged_text_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        decode(text)


def test_deep_nesting_does_not_exhaust_the_stack():
    with pytest.raises(ValueError, match="deep"):
        decode('{"a":' + "[" * 100_000 + "]" * 100_000 + "}")


def test_every_event_of_a_community_survives():
    community = Community(5)
    community.play(Script(no_attest={2}))
    community.claim_all()
    for event in community.events:
        assert decode(encode(event.arguments)) == dict(event.arguments)
        assert json.loads(encode(event.arguments)) is not None

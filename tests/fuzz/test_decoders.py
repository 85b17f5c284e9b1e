"""A few thousand seeded inputs for every decoder, and what Hypothesis makes up; `make fuzz` runs a million."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from fuzz_decoders import decoders
from fuzz_engine import Decoder, Outcome, fuzz, one
from hypothesis import given, settings
from hypothesis import strategies as st


def is_json(data: bytes) -> bool:
    with suppress(ValueError):
        return isinstance(json.loads(data), dict)
    return False


KNOWN = {decoder.name: decoder for decoder in decoders()}
DOCUMENTS = [decoder for decoder in KNOWN.values() if decoder.corpus[0][:1] == b"{" and is_json(decoder.corpus[0])]
KEYS = sorted({key for decoder in DOCUMENTS for key in json.loads(decoder.corpus[0])})
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["0x", "0x00", "yes"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("name", KNOWN)
def test_a_decoder_answers_or_refuses(name):
    outcome = fuzz(KNOWN[name], seed=1, inputs=250, seconds=2.0)
    assert not outcome.crashes, "\n".join(trace for _, trace in outcome.crashes.values())
    assert outcome.accepted


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data):
    for decoder in KNOWN.values():
        with suppress(*decoder.errors):
            decoder.read(data)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_any_document_with_keys_we_know(document):
    for decoder in DOCUMENTS:
        good = json.loads(decoder.corpus[0])
        for value in (document, {**good, **{key: document[key] for key in document if key in good}}):
            with suppress(*decoder.errors):
                decoder.read(json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n")


# --- the engine itself --------------------------------------------------------------------------------------------------


def test_the_engine_notices_what_a_decoder_does_wrong():
    def bad(data: bytes) -> None:
        if data and data[0] > 200:
            raise KeyError(data[0])
        if data != b"good":
            raise ValueError("refused")

    outcome = fuzz(Decoder("bad", bad, (ValueError,), (b"good",)), seed=1, inputs=300)
    assert [place.split()[0] for place in outcome.crashes] == ["KeyError"]
    assert outcome.inputs == 300


def test_the_engine_notices_what_takes_too_long(monkeypatch):
    monkeypatch.setattr("fuzz_engine.MOST_SECONDS", 0.01)
    outcome = Outcome()
    one(Decoder("slow", lambda data: sum(range(2_000_000)), (), (b"",)), b"x", outcome)
    assert list(outcome.crashes) == ["slow"]


def test_the_engine_refuses_a_corpus_of_rubbish():
    with pytest.raises(AssertionError, match="whole corpus"):
        fuzz(Decoder("strict", int, (ValueError,), (b"x",)), seed=1, inputs=1)


def test_equal_seeds_give_equal_inputs():
    seen: list[list[bytes]] = []
    for seed in (1, 1, 2):
        inputs: list[bytes] = []
        fuzz(Decoder("d", inputs.append, (), (b'{"a": [1, 2]}', b"xyz")), seed=seed, inputs=100)
        seen.append(inputs)
    assert seen[0] == seen[1] != seen[2]

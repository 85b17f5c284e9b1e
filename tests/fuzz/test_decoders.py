"""A few thousand seeded inputs for every decoder; `make fuzz` runs a million."""

from __future__ import annotations

import pytest
from fuzz_decoders import decoders
from fuzz_engine import fuzz

KNOWN = {decoder.name: decoder for decoder in decoders()}


@pytest.mark.parametrize("name", KNOWN)
def test_a_decoder_answers_or_refuses(name):
    outcome = fuzz(KNOWN[name], seed=1, inputs=250, seconds=2.0)
    assert not outcome.crashes, "\n".join(trace for _, trace in outcome.crashes.values())
    assert outcome.accepted

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learning.errors import DataError
from learning.tasks.code_search import (
    Pair,
    contrastive_loss,
    decode_pairs,
    encode_pairs,
    mean_reciprocal_rank,
    reciprocal_ranks,
    to_ppm,
)

PAIR = Pair("Sort a list.", "def Func(arg_0):\n    return sorted(arg_0)", "demo", "demo/a.py", "A.sort")
texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40).filter(lambda t: bool(t.strip()))


@given(st.lists(st.builds(Pair, texts, texts, texts, texts, texts), max_size=5))
def test_encoding_round_trips(pairs: list[Pair]) -> None:
    assert decode_pairs(encode_pairs(pairs)) == pairs


def test_encoding_is_canonical() -> None:
    line = encode_pairs([PAIR])
    assert line.startswith(b'{"code":"def Func')
    assert line.endswith(b'"}\n')
    assert list(json.loads(line)) == sorted(json.loads(line))
    assert "ü".encode() in encode_pairs([Pair("ü", "c", "r", "p", "n")])


def broken(**changes: object) -> bytes:
    row = json.loads(encode_pairs([PAIR])) | changes
    return encode_pairs([PAIR]) + json.dumps(row).encode() + b"\n"


@pytest.mark.parametrize(
    "data",
    [
        encode_pairs([PAIR]) + b"{\n",
        encode_pairs([PAIR]) + b"\n",
        encode_pairs([PAIR]) + b"[]\n",
        encode_pairs([PAIR]) + b'"\xff"\n',
        encode_pairs([PAIR]) + b"[" * 100_000 + b"\n",
        encode_pairs([PAIR]) + encode_pairs([PAIR])[:-1],
        broken(query=1),
        broken(extra="x"),
        broken(code=" "),
        broken(code="x" * 20_001),
        broken(name="\ud800"),
    ],
)
def test_broken_line_is_named_by_number(data: bytes) -> None:
    with pytest.raises(DataError, match=r"Line 2\b"):
        decode_pairs(data)


def test_size_limits_are_enforced() -> None:
    data = encode_pairs([PAIR] * 3)
    with pytest.raises(DataError, match="rows"):
        decode_pairs(data, max_rows=2)
    with pytest.raises(DataError, match="bytes"):
        decode_pairs(data, max_bytes=len(data) - 1)
    assert len(decode_pairs(data, max_rows=3, max_bytes=len(data))) == 3


def test_reciprocal_ranks_of_a_known_case() -> None:
    codes = torch.eye(3)
    queries = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.4, 0.0], [0.5, 0.4, 0.3]])
    assert reciprocal_ranks(queries, codes).tolist() == [1.0, 1 / 2, 1 / 3]
    assert to_ppm(mean_reciprocal_rank(queries, codes)) == 611_111


def test_collapsed_model_gets_no_credit_for_ties() -> None:
    same = torch.ones(8, 4) / 2
    assert mean_reciprocal_rank(same, same) == 1 / 8


def test_loss_of_uniform_similarities_is_log_n() -> None:
    same = torch.ones(8, 4) / 2
    assert float(contrastive_loss(same, same, temperature=0.05)) == pytest.approx(math.log(8), abs=1e-6)


def test_loss_falls_when_the_right_codes_are_closest() -> None:
    right = float(contrastive_loss(torch.eye(4), torch.eye(4), temperature=0.1))
    wrong = float(contrastive_loss(torch.eye(4), torch.eye(4).roll(1, 0), temperature=0.1))
    assert right < 0.01
    assert wrong > 5

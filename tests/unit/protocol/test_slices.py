"""The file of a slice: parts go in and come out; what is wrong with the second never touches the first."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from node.protocol.slices import PREFIX, SliceFile, join_slice, split_slice

ROWS = b'{"code":"a","query":"#commonweight/public-update/1"}\n{"code":"b"}\n'


@given(st.binary())
def test_parts_come_out_as_they_went_in(update: bytes):
    data = join_slice(ROWS, update)
    assert split_slice(data) == SliceFile(ROWS, update)
    assert data == ROWS + b"#commonweight/public-update/1\n" + update


@given(st.binary())
def test_a_file_without_a_marker_is_all_rows(data: bytes):
    assume(PREFIX not in data)
    assert split_slice(data) == SliceFile(data)
    assert join_slice(data, None) == data


def test_only_the_first_marker_at_the_start_of_a_line_counts():
    assert split_slice(ROWS) == SliceFile(ROWS)
    inner = b"x\n" + PREFIX + b"1\ny"
    assert split_slice(join_slice(ROWS, inner)).public_update == inner
    assert split_slice(PREFIX + b"1\nabc") == SliceFile(b"", b"abc")


@pytest.mark.parametrize("rest", [b"2\nabc", b"1", b"", b"\nabc", b"01\nabc", b"1 \nabc", b"9" * 100_000 + b"\n"])
def test_an_unknown_version_leaves_the_rows(rest: bytes):
    found = split_slice(ROWS + PREFIX + rest)
    assert (found.rows, found.public_update) == (ROWS, None)
    assert "version" in found.problem
    assert len(found.problem) < 100


@pytest.mark.parametrize("rows", [b"", b"no line break", b'{"a":1}\n' + PREFIX + b"1\n"])
def test_rows_that_would_not_come_out_again_do_not_go_in(rows: bytes):
    with pytest.raises(ValueError, match="rows of a slice"):
        join_slice(rows, b"update")

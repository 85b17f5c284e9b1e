from __future__ import annotations

import numpy as np
import pytest

from benchmarks.peers import memory

STATUS = "Name:\tpython\nVmRSS:\t  2048 kB\nRssAnon:\t    1536 kB\nRssFile:\t     512 kB\n"


def test_anonymous_memory_is_read_in_bytes():
    assert memory.anonymous_bytes(STATUS) == 1536 * 1024


def test_a_process_that_has_ended_has_none():
    with pytest.raises(ValueError, match="has ended"):
        memory.anonymous_bytes("Name:\tpython\nState:\tZ (zombie)\n")


def test_updates_are_written_once_each_and_differ(tmp_path):
    first, second = (np.fromfile(file, np.float32) for file in memory.write_updates(tmp_path, 2, 1000, seed=1))
    assert first.shape == second.shape == (1000,)
    assert not np.array_equal(first, second)

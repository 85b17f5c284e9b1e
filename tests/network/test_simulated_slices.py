"""A steward whose slice cannot be used, in whole rounds: everybody scores on the public benchmark, and nobody but a liar pays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.protocol.cid import compute_cid
from node.protocol.types import Phase, UpdateStatus
from node.sim.clock import run_virtual
from node.sim.community import Community
from node.sim.schedule import SCORING


class Steward(Community):
    """Its stewards open ``spoil(good slice)``."""

    spoil: Callable[[bytes], bytes] = staticmethod(lambda data: data)

    def slice_of(self, number: int) -> bytes:
        return type(self).spoil(super().slice_of(number))


def play(folder: Path, spoil: Callable[[bytes], bytes], hide: Callable[[Community, bytes], None] | None = None) -> Any:
    kind = type("Spoilt", (Steward,), {"spoil": staticmethod(spoil)})

    async def story():
        community = kind(folder, members=5, rounds=1, rules={"scoring": SCORING})
        if hide is not None:
            hide(community, spoil(community.task.benchmark("slice/1")))
        await community.start()
        await community.until(lambda: community.is_over(1))
        state = community.nodes[0].state
        await community.stop()
        return state

    return run_virtual(story())


def judge(state: Any) -> None:
    found = state.rounds[1]
    assert found.is_sealed
    assert found.phase is Phase.FINALIZED
    assert all(found.settled[reveal.index].status is UpdateStatus.ACCEPTED for reveal in found.reveals)
    assert all(member.slashed == 0 for member in state.members.values())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _good: b"no json\n",
        lambda _good: b"",
        lambda good: good[:-20],
        lambda _good: b'{"x": [1.0, "two"], "y": 0}\n' * 50,
        lambda _good: b'{"y": 0}\n' * 50,
        lambda _good: b"\xff\xfe" * 100,
    ],
)
def test_rows_that_are_none_of_the_task(tmp_path, spoil):
    judge(play(tmp_path, spoil))


def test_a_slice_that_the_steward_opens_but_serves_to_nobody(tmp_path):
    judge(play(tmp_path, lambda good: good, lambda c, data: c.swarm.faults.unavailable.add(compute_cid(data))))


def test_a_slice_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("node.sealed.SLICE_MAX_BYTES", 100 - (1 << 20))  # with max_bytes of an update: 100 bytes
    judge(play(tmp_path, lambda good: good))


def test_a_slice_whose_bytes_are_others_than_its_hash_names(tmp_path, monkeypatch):
    monkeypatch.setattr("node.sealed.sha256", lambda _data: bytes(32))
    judge(play(tmp_path, lambda good: good))

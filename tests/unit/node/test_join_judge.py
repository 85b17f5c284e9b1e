"""A judge fetches what a request names: what cannot be had, or is not what it should be, is said; nothing more is fetched than needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from join_requests import ME, OFFER, PEER, ROWS, body, community, guideline, signed

from aggregation.bundle import encode
from node.membership.checks import failed
from node.membership.judge import Judge, model_cid
from node.membership.measure import Gain, gains, with_update
from node.membership.request import SampleUpdate
from node.protocol.cid import compute_cid, digest_from_cid
from node.protocol.errors import BlobCorrupt, BlobStoreDown, BlobTooLarge, BlobUnavailable, TrainingError
from node.protocol.guideline import Guideline
from node.protocol.round import Proposal, Round
from node.protocol.state import Application, State
from node.store import sha256

PARENT = encode({"layer": np.zeros((4, 4), np.float32)})
GOOD = encode({"layer": np.full((4, 4), 0.5, np.float32)})
NAN = encode({"layer": np.full((4, 4), np.nan, np.float32)})


def sample(data=GOOD):
    return SampleUpdate(compute_cid(data), sha256(data), len(data), sha256(PARENT), 9)


class World:
    """Files by CID; what is asked for is remembered."""

    def __init__(self, request, *files, failing=None):
        self.data = signed(request).encode()
        self.files = {compute_cid(one): one for one in (self.data, *files)}
        self.failing = failing or {}
        self.asked = []

    async def get(self, cid, max_bytes):
        self.asked.append(cid)
        if cid in self.failing:
            raise self.failing[cid]
        if cid not in self.files:
            raise BlobUnavailable(f"{cid} was not served within 5 s.")
        if len(self.files[cid]) > max_bytes:
            raise BlobTooLarge(f"{cid} is longer than {max_bytes} bytes.")
        return self.files[cid]

    async def model(self, digest, cid):
        assert (digest, cid) == (sha256(PARENT), digest_from_cid(compute_cid(PARENT)))
        return PARENT

    async def judge(self, *, is_final=True):
        parent = sha256(PARENT), digest_from_cid(compute_cid(PARENT))
        found = Round(1, ME.address, *parent, 1, bytes(32), bytes(32), 1, 1, 1)
        here = community(models={parent[0]})
        judge = Judge(State(rounds={1: found}), here, self.get, self.model, is_final=is_final)
        digest = digest_from_cid(compute_cid(self.data))
        checks = await judge.all_checks(Application(1, ME.address, sha256(self.data), digest, PEER))
        return judge, failed(checks)


def test_a_model_is_found_as_parent_or_as_result_of_a_round():
    parent, result = (bytes([1]) * 32, bytes([2]) * 32), (bytes([3]) * 32, bytes([4]) * 32)
    found = Round(1, ME.address, *parent, 1, bytes(32), bytes(32), 1, 1, 1)
    found = replace(found, proposal=Proposal(ME.address, bytes(32), *result, 3))
    state = State(rounds={1: found})
    assert model_cid(state, parent[0]) == parent[1]
    assert model_cid(state, result[0]) == result[1]
    assert model_cid(state, bytes(32)) is None


async def test_everything_there_and_kept_for_measuring():
    judge, against = await World(body(sample_updates=(sample(),)), GOOD, ROWS).judge()
    assert against == []
    assert (judge.update, judge.parent) == (GOOD, PARENT)
    assert judge.test_sets == {"arithmetic": ROWS}


async def test_a_request_that_nobody_serves():
    world = World(body())
    world.files.clear()
    judge, against = await world.judge()
    assert judge.request is None
    assert against[0].startswith("request: Qm")
    with pytest.raises(BlobUnavailable):  # an automatic reviewer tries again
        await world.judge(is_final=False)


async def test_files_that_are_not_there_too_long_or_damaged():
    wanted = body(sample_updates=(sample(),))
    _judge, against = await World(wanted).judge()
    assert [one.split(":")[0] for one in against] == ["sample update's bytes", "test set arithmetic"]
    failing = {compute_cid(GOOD): BlobTooLarge("too long"), compute_cid(ROWS): BlobCorrupt("damaged")}
    judge, against = await World(wanted, failing=failing).judge(is_final=False)
    assert against == ["sample update's bytes: too long", "test set arithmetic: damaged"]
    assert judge.update is None
    assert judge.test_sets == {}
    with pytest.raises(BlobStoreDown):
        await World(wanted, failing={compute_cid(GOOD): BlobStoreDown("down")}).judge()


async def test_an_update_full_of_nan_is_named_and_not_kept():
    judge, against = await World(body(sample_updates=(sample(NAN),)), NAN, ROWS).judge()
    assert "not_finite" in against[0]
    assert judge.update is None


async def test_nothing_is_fetched_for_who_is_refused_anyway():
    world = World(body(sample_updates=(sample(),), test_sets=(OFFER,), chain_id=2), GOOD, ROWS)
    _judge, against = await world.judge()
    assert any(one.startswith("community") for one in against)
    assert len(world.asked) == 1


# --- measuring --------------------------------------------------------------------------------------------------------


class Meter:
    """A trainer whose loss is the mean of the model's values; one benchmark cannot be read."""

    async def evaluate(self, checkpoint, benchmark):
        from aggregation.bundle import decode

        if benchmark == b"bad":
            raise TrainingError("Line 1 of the data file is not JSON.")
        return {"mrr": float(decode(checkpoint, max_bytes=1 << 20)["layer"].mean()) * len(benchmark)}


async def test_gains_are_those_at_the_verifiers_step():
    found = await gains(Meter(), PARENT, GOOD, {"one": b"x", "two": b"xx", "three": b"bad"}, guideline())
    assert [gain.change("mrr") for gain in found[:2]] == [0.125, 0.25]  # a quarter of the update: the default step
    assert found[2] == Gain("three", {}, {}, "Line 1 of the data file is not JSON.")
    (alone,) = await gains(Meter(), PARENT, None, {"one": b"x"}, guideline())
    assert alone.before == alone.after == {"mrr": 0.0}
    twice = with_update(with_update(PARENT, GOOD, guideline()), GOOD, guideline())
    assert twice == encode({"layer": np.full((4, 4), 0.25, np.float32)})
    asked = guideline().documents
    asked = {**asked, "update": {**asked["update"], "learning": {"eta": 1.0}}}
    assert with_update(PARENT, GOOD, Guideline(asked)) == GOOD

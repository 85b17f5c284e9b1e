"""A running node sees that the guideline changed, and says which line it cannot honour."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from node.config import Config, LearningSection
from node.guideline_watch import GuidelineWatch
from node.protocol.cid import compute_cid, digest_from_cid
from node.protocol.guideline import Guideline

DOCUMENTS = json.loads((Path(__file__).parents[3] / "deploy" / "guidelines" / "code-search.json").read_bytes())
DOCUMENTS["architecture"]["learning"]["base_hash"] = "0" * 64
MINE = Guideline(DOCUMENTS)


class Registry:
    def __init__(self, guideline, epoch):
        self.guideline, self.epoch = guideline, epoch

    async def read(self, call):
        if call.function == "current":
            return self.epoch, self.guideline.hash, {}
        assert (call.function, call.arguments) == ("epochOf", (self.epoch,))
        return {"guidelineCid": digest_from_cid(compute_cid(self.guideline.canonical))}


class Store:
    def __init__(self, data):
        self.data = data
        self.asked = 0

    async def get(self, cid, *, max_bytes, seconds):
        self.asked += 1
        return self.data


def watch(guideline, *, data=None, trains=False, config=None):
    store = Store(guideline.canonical if data is None else data)
    return GuidelineWatch(config or Config(), Registry(guideline, 2), store, MINE.hash, trains), store


def other(**update):
    documents = copy.deepcopy(DOCUMENTS)
    documents["update"] |= update
    return Guideline(documents)


async def test_nothing_is_said_while_it_is_ours():
    found, store = watch(MINE)
    assert await found.look() == {}
    assert store.asked == 0


async def test_one_that_we_can_honour():
    found, store = watch(other(max_norm=6.0))
    shown = await found.look()
    assert (shown["epoch"], shown["refused"]) == (2, [])
    await found.look()
    assert store.asked == 1


@pytest.mark.parametrize(
    ("update", "line"), [({"pipeline": "magic"}, "update.pipeline"), ({"colour": "red"}, "update.colour")]
)
async def test_a_line_that_we_cannot_honour_is_named(update, line):
    found, _ = watch(other(**update))
    (refused,) = (await found.look())["refused"]
    assert refused.startswith(line)


async def test_our_own_data_may_be_what_is_in_the_way():
    documents = copy.deepcopy(DOCUMENTS)
    documents["data"]["held_out"].append("mine")
    config = Config(learning=LearningSection(repositories=("mine",)))
    found, _ = watch(Guideline(documents), config=config)
    assert (await found.look())["refused"][0].startswith("data.held_out")


async def test_other_bytes_than_the_chain_names():
    found, _ = watch(other(max_norm=6.0), data=b"{}")
    assert "does not have the hash" in (await found.look())["refused"][0]

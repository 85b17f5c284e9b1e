"""The hub: one reader of the chain, pages told what changed, resumed where they were, never queued for."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise

import pytest

from node.index.history import History
from node.index.store import EventIndex, Identity
from node.ports import Chain, Head
from node.protocol.errors import ChainError, ConfigError, RpcUnreachable
from node.web import hub as hub_module
from node.web.hub import Hub, Message
from node.web.views import SECTIONS

from .conftest import TOLD, digest, world_of


class Played(Chain):
    """The told history, as far as ``shown``; blocks after it are not there yet."""

    def __init__(self, shown: int = len(TOLD.events)) -> None:
        self.shown, self.is_down, self.fork = shown, False, "a"
        self.extra = 0

    @property
    def known(self):
        """A block is seen whole or not at all."""
        upto = self.shown
        while 0 < upto < len(TOLD.events) and TOLD.events[upto].block == TOLD.events[upto - 1].block:
            upto -= 1
        return TOLD.events[:upto]

    def _hash(self, number):
        return digest(f"{self.fork if number > 300 else 'a'}/{number}")

    async def head(self):
        if self.is_down:
            raise RpcUnreachable("down", why="it sleeps")
        last = self.known[-1].block + self.extra if self.known else self.extra
        return Head(last, self.known[-1].timestamp + self.extra, self._hash(last))

    async def events(self, first, last):
        return [event for event in self.known if first <= event.block <= last]

    async def block_hash(self, number):
        return self._hash(number)


def make_hub(chain, before=None):
    index = EventIndex.open(None, Identity(1, 0, {}, {}))
    history = History(index, chain, 0)

    def build(history, chronicle, head, is_stale):
        made = world_of([], now=head.timestamp)
        from dataclasses import replace

        return replace(
            made, state=history.state, events=history.events, chronicle=chronicle, head=head, is_stale=is_stale
        )

    return Hub(history, build, poll_seconds=0.01, before=before)


@pytest.fixture
def chain():
    """All but the newest events."""
    return Played(len(TOLD.events) - 40)


@pytest.fixture
async def hub(chain):
    made = make_hub(chain)
    assert await made.poll()
    return made


async def take(messages, count):
    async with asyncio.timeout(5):
        return [await anext(messages) for _ in range(count)]


def merged(found):
    sections = {}
    for message in found:
        if message.event == "delta":
            sections |= json.loads(message.data)["sections"]
    return sections


async def test_a_snapshot_has_every_section_and_an_id(hub):
    text, tag = hub.snapshot(list(SECTIONS))
    shown = json.loads(text)
    assert set(shown) == {"version", "id", *SECTIONS}
    assert shown["id"] == hub.id
    assert tag == hub.snapshot(list(SECTIONS))[1]


async def test_a_part_of_a_snapshot_changes_its_tag_only_when_it_changes(hub, chain):
    before = hub.snapshot(["seats"])[1]
    whole = hub.snapshot(list(SECTIONS))[1]
    chain.shown = len(TOLD.events)
    await hub.poll()
    assert hub.snapshot(["seats"])[1] == before
    assert hub.snapshot(list(SECTIONS))[1] != whole
    assert json.loads(hub.snapshot(["seats"])[0])["seats"]


async def test_an_unknown_section_and_an_unseen_chain_are_errors(hub):
    with pytest.raises(ConfigError):
        hub.snapshot(["joke"])
    silent = Played()
    silent.is_down = True
    unseen = make_hub(silent)
    assert not await unseen.poll()
    with pytest.raises(ChainError, match="not answered yet"):
        unseen.snapshot(["live"])
    assert unseen.health()["ok"] is False


async def test_a_page_hears_what_changed_and_ends_up_with_the_snapshot(hub, chain):
    shown = json.loads(hub.snapshot(list(SECTIONS))[0])
    messages = hub.messages(shown["id"])
    chain.shown = len(TOLD.events)
    await hub.poll()
    found = await take(messages, 1)
    changed = merged(found)
    assert "proposals" in changed
    assert "seats" not in changed
    assert found[-1].id == hub.id
    now = json.loads(hub.snapshot(list(SECTIONS))[0])
    assert {**shown, **changed, "id": hub.id} == now


async def test_every_step_brings_a_page_to_the_same_snapshot():
    chain = Played(60)
    hub = make_hub(chain)
    await hub.poll()
    shown = json.loads(hub.snapshot(list(SECTIONS))[0])
    messages = hub.messages(shown["id"])
    for upto in range(100, len(TOLD.events), 150):
        chain.shown = upto
        await hub.poll()
        while shown["id"] != hub.id:
            message = await anext(messages)
            if message.event == "changed":
                for name in json.loads(message.data)["sections"]:
                    shown[name] = json.loads(hub.snapshot([name])[0])[name]
            shown |= merged([message])
            shown["id"] = message.id or shown["id"]
        assert shown == json.loads(hub.snapshot(list(SECTIONS))[0])


async def test_a_page_that_was_away_hears_everything_since_in_one_go(hub, chain):
    seen = hub.id
    for shown in range(len(TOLD.events) - 30, len(TOLD.events) + 1, 10):
        chain.shown = shown
        await hub.poll()
    (message,) = await take(hub.messages(seen), 1)
    assert message.id == hub.id
    assert merged([message])["head"]["events"] == len(TOLD.events)


@pytest.mark.parametrize(
    "since", ["zzzz-1", "{epoch}-999999", "{epoch}-", "{epoch}--1", "{epoch}-²", "x", "-", "{epoch}-1e3"]
)
async def test_an_id_of_another_life_is_answered_with_reset(hub, since):
    epoch = hub.id.partition("-")[0]
    (message,) = await take(hub.messages(since.format(epoch=epoch)), 1)
    assert (message.event, message.data) == ("reset", "{}")
    assert message.id == hub.id


async def test_nothing_is_sent_while_nothing_changes_but_a_heartbeat(hub, monkeypatch):
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.05)
    messages = hub.messages(hub.id)
    await hub.poll()
    (message,) = await take(messages, 1)
    assert message.event == "heartbeat"
    assert message.id == ""


async def test_large_changes_are_named_not_sent(hub, chain, monkeypatch):
    monkeypatch.setattr(hub_module, "MOST_DELTA_BYTES", 2_000)
    seen = hub.id
    chain.shown = len(TOLD.events)
    await hub.poll()
    named, sent = await take(hub.messages(seen), 2)
    assert named.event == "changed"
    assert "proposals" in json.loads(named.data)["sections"]
    assert named.id == ""  # a page that breaks off between the two must hear both again
    assert sent.event == "delta"
    assert len(sent.data) < 2_200
    assert sent.id == hub.id
    assert not set(json.loads(named.data)["sections"]) & set(merged([sent]))


async def test_pages_that_do_not_listen_cost_nothing(hub, chain):
    idle = [hub.messages(hub.id) for _ in range(50)]
    for shown in range(len(TOLD.events) - 40, len(TOLD.events) + 1):
        chain.shown = shown
        await hub.poll()
    for messages in idle:
        (message,) = await take(messages, 1)
        assert message.id == hub.id


async def test_a_silent_chain_is_said_and_so_is_its_return(hub, chain):
    seen = hub.id
    chain.is_down = True
    assert not await hub.poll()
    assert hub.health()["ok"] is False
    (message,) = await take(hub.messages(seen), 1)
    assert set(merged([message])) == {"head"}
    assert merged([message])["head"]["is_stale"] is True
    seen, chain.is_down = hub.id, False
    assert await hub.poll()
    (message,) = await take(hub.messages(seen), 1)
    assert merged([message])["head"]["is_stale"] is False
    assert hub.health()["ok"] is True


async def test_a_mistake_while_looking_does_not_end_the_looking(hub, monkeypatch, caplog):
    seen = hub.id

    async def broken():
        raise RuntimeError("inside")

    honest = hub.history.refresh
    monkeypatch.setattr(History, "refresh", lambda _self: broken())
    assert not await hub.poll()
    (message,) = await take(hub.messages(seen), 1)
    assert merged([message])["head"]["is_stale"] is True
    assert "inside" not in hub.health()["error"]
    monkeypatch.setattr(History, "refresh", lambda _self: honest())
    assert await hub.poll()


async def test_a_silent_chain_is_asked_ever_less_often(hub, chain, monkeypatch):
    chain.is_down, pauses = True, []

    async def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 14:
            raise asyncio.CancelledError

    monkeypatch.setattr(hub_module.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await hub.run()
    assert pauses[0] == 0.02
    assert pauses[-1] == hub_module.MOST_STALE_SECONDS
    assert all(later <= 2 * earlier for earlier, later in pairwise(pauses))


async def test_a_reorganisation_takes_rows_back(chain):
    chain.shown = len(TOLD.events)
    hub = make_hub(chain)
    await hub.poll()
    before = json.loads(hub.snapshot(["proposals", "slashes", "activity"])[0])
    chain.shown, chain.fork = len(TOLD.events) - 30, "b"
    await hub.poll()
    after = json.loads(hub.snapshot(["proposals", "slashes", "activity"])[0])
    assert len(after["proposals"]) < len(before["proposals"])
    assert after["slashes"] == before["slashes"]
    fresh = make_hub(chain)
    await fresh.poll()
    assert {**json.loads(fresh.snapshot(list(SECTIONS))[0]), "id": ""} == {
        **json.loads(hub.snapshot(list(SECTIONS))[0]), "id": ""
    }  # fmt: skip


async def test_closing_ends_every_stream(hub):
    async def drain():
        return [message async for message in hub.messages(hub.id)]

    tasks = [asyncio.create_task(drain()) for _ in range(5)]
    await asyncio.sleep(0.01)
    await hub.close()
    async with asyncio.timeout(2):
        assert await asyncio.gather(*tasks) == [[]] * 5


def test_a_message_travels_on_one_line():
    data = json.dumps({"a": "line\nfeed\r\u2028"})
    assert Message("delta", data, "x-1").encode() == f"id: x-1\nevent: delta\ndata: {data}\n\n".encode()
    assert data.count("\n") == 0

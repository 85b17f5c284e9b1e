"""The index: events are read once, survive a kill, follow a reorganisation, and a damaged or foreign file is never believed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.index.history import INDEX_FILE, History, open_index
from node.index.store import EventIndex, IndexDamaged
from node.index.sync import SHALLOW, STEP, sync
from node.protocol.errors import ChainError, ConfigError, RpcUnreachable, SetupError
from node.protocol.state import InconsistentHistory, State, apply
from node.protocol.types import Address
from node.sim.scripted import Community, Script

from .conftest import IDENTITY, ForkingChain, transfer


def all_of(index):
    found = index.verified()
    assert found is not None
    return found[1]


async def test_events_are_read_once(chain, reopen):
    chain.grow(5_000, every=7)
    index = reopen()
    progress = await sync(index, chain, 1)
    assert progress.added == len(chain.all_events) == 5_000 // 7
    covered = [number for first, last in chain.reads for number in range(first, last + 1)]
    assert covered == list(range(1, 5_001))
    assert all_of(index) == chain.all_events

    chain.reads.clear()
    assert (await sync(index, chain, 1)).added == 0
    assert chain.reads == []
    chain.grow(3)
    await sync(index, chain, 1)
    assert chain.reads == [(5_001, 5_003)]
    assert all_of(index) == chain.all_events


async def test_the_deployment_block_is_where_reading_begins(chain, reopen):
    chain.grow(40)
    index = reopen()
    await sync(index, chain, 31)
    assert [event.block for event in all_of(index)] == list(range(31, 41))


async def test_a_chain_below_the_deployment_block_is_waited_for(chain, reopen):
    chain.grow(3)
    index = reopen()
    assert (await sync(index, chain, 10)).added == 0
    assert index.tip is None


async def test_another_process_goes_on_where_one_stopped(chain, reopen):
    chain.grow(300)
    await sync(reopen(), chain, 1)
    chain.reads.clear()
    chain.grow(10)
    again = reopen()
    assert (await sync(again, chain, 1)).added == 10
    assert chain.reads == [(301, 310)]
    assert all_of(again) == chain.all_events


async def test_what_was_read_before_the_endpoint_failed_is_kept(chain, reopen):
    chain.grow(9_000, every=11)
    chain.fail_after = 2
    index = reopen()
    with pytest.raises(RpcUnreachable):
        await sync(index, chain, 1)
    assert index.tip is not None
    assert index.tip.block == 4_000
    chain.fail_after, resumed_at = None, len(chain.reads)
    await sync(index, chain, 1)
    assert chain.reads[resumed_at][0] == 4_001
    assert all_of(index) == chain.all_events


WRITES_AND_WAITS = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from conftest import IDENTITY, transfer
from node.index.store import EventIndex
index = EventIndex.open(Path({path!r}), IDENTITY)
index.append(None, 10, b"h" * 32, [transfer(block) for block in range(1, 11)])
index._db.execute("BEGIN IMMEDIATE")
index._db.execute("UPDATE events SET block = block + 100")
print("half", flush=True)
time.sleep(60)
"""


def test_kill_9_in_the_middle_of_a_write_leaves_the_last_whole_state(path, reopen, notices):
    code = WRITES_AND_WAITS.format(tests=str(Path(__file__).parent), path=str(path))
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root) as child:
        assert child.stdout.readline() == "half\n"
        child.kill()
    index = reopen()
    assert all_of(index) == [transfer(block) for block in range(1, 11)]
    assert notices == []


# --- reorganisations ---


@pytest.mark.parametrize(("after", "blocks"), [(99, 1), (98, 5), (60, 40), (60, 10), (3, 200), (0, 120)])
async def test_a_reorganisation_is_followed(chain, reopen, after, blocks):
    chain.grow(100, events=2)
    index = reopen()
    await sync(index, chain, 1)
    chain.replace(after, blocks, "b")
    progress = await sync(index, chain, 1)
    assert progress.rolled_back_to is not None
    assert progress.rolled_back_to <= after
    assert after - progress.rolled_back_to <= STEP
    assert all_of(index) == chain.all_events


async def test_a_reorganisation_without_events_of_ours_changes_hashes_only(chain, reopen):
    chain.grow(100, every=50)
    index = reopen()
    await sync(index, chain, 1)
    chain.replace(70, 60, "b", every=50)
    await sync(index, chain, 1)
    assert all_of(index) == chain.all_events
    assert index.tip.hash == chain.hash_of(130)


async def test_a_chain_that_began_anew_is_read_anew(chain, reopen):
    chain.grow(3_000, every=3)
    index = reopen()
    await sync(index, chain, 1)
    other = ForkingChain()
    other.blocks[0] = ("other", [])
    other.grow(50, fork="other")
    progress = await sync(index, other, 1)
    assert progress.rolled_back_to == -1
    assert all_of(index) == other.all_events
    assert other.hashes_asked < 40


async def test_a_long_reorganisation_asks_for_few_hashes(chain, reopen):
    index = reopen()
    for _ in range(100):
        chain.grow(1)
        await sync(index, chain, 1)
    asked = chain.hashes_asked
    chain.replace(2, 150, "b")
    progress = await sync(index, chain, 1)
    assert progress.rolled_back_to == 2
    reads = 150 // STEP + 2
    assert chain.hashes_asked - asked <= 1 + 7 + 2 * reads


async def test_a_chain_replaced_while_it_is_read_is_looked_at_again(chain, reopen):
    chain.grow(20)
    index = reopen()

    def move_once():
        chain.before_answer = None
        chain.replace(10, 15, "b")

    chain.before_answer = move_once
    await sync(index, chain, 1)
    assert all_of(index) == chain.all_events
    assert {event.transaction for event in all_of(index)} == {event.transaction for event in chain.all_events}


async def test_a_chain_that_never_rests_is_an_error(chain, reopen):
    chain.grow(20)
    forks = iter(range(1_000))
    chain.before_answer = lambda: chain.replace(10, 11, f"f{next(forks)}")
    with pytest.raises(ChainError, match="faster than it could be read"):
        await sync(reopen(), chain, 1)


@pytest.mark.parametrize("spoil", ["foreign", "twice", "order"])
async def test_an_endpoint_that_answers_with_other_blocks_is_not_believed(chain, reopen, spoil):
    chain.grow(5)
    honest = chain.events

    async def spoiled(first, last):
        found = list(await honest(first, last))
        return {"foreign": [*found, transfer(999)], "twice": [found[0], *found], "order": found[::-1]}[spoil]

    chain.events = spoiled
    index = reopen()
    with pytest.raises(ChainError):
        await sync(index, chain, 1)
    assert index.tip is None


async def test_few_bookmarks_are_kept_of_a_quiet_chain(chain, reopen):
    index = reopen()
    for _ in range(2 * SHALLOW):
        chain.grow(1, every=10)
        await sync(index, chain, 1)
    points = list(index.bookmarks())
    assert len(points) < SHALLOW + 2 * (SHALLOW // 10) + 3
    assert all_of(index) == chain.all_events
    chain.replace(40, 10, "b", every=10)
    await sync(index, chain, 1)
    assert all_of(index) == chain.all_events


# --- files that must not be believed ---


def damage_middle(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : 2 * len(data) // 3] = os.urandom(2 * len(data) // 3 - len(data) // 3)
    path.write_bytes(data)


def change(path, statement):
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


DAMAGES = {
    "random bytes": damage_middle,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 // 4096 * 4096]),
    "another file": lambda path: path.write_bytes(b"certainly no database\n" * 500),
    "no header": lambda path: path.write_bytes(b"\0" * 100 + path.read_bytes()[100:]),
    "row changed": lambda path: change(path, "UPDATE events SET timestamp = timestamp + 1 WHERE block = 77"),
    "row gone": lambda path: change(path, "DELETE FROM events WHERE block = 77"),
    "row added": lambda path: change(
        path,
        "INSERT INTO events SELECT block, 9, timestamp, transaction_hash, contract, name, arguments FROM events WHERE block = 5 LIMIT 1",
    ),
    "arguments": lambda path: change(path, "UPDATE events SET arguments = '{}' WHERE block = 77"),
    "not JSON": lambda path: change(path, "UPDATE events SET arguments = '{' WHERE block = 77"),
    "not text": lambda path: change(path, "UPDATE events SET arguments = x'00ff' WHERE block = 77"),
    "digest": lambda path: change(path, "UPDATE bookmarks SET digest = x'00' WHERE block = 100"),
    "bookmark gone": lambda path: change(path, "DELETE FROM bookmarks WHERE block = 100"),
    "no table": lambda path: change(path, "DROP TABLE events"),
    "no owner": lambda path: change(path, "DELETE FROM meta"),
    "owner unreadable": lambda path: change(path, "UPDATE meta SET value = '{'"),
}


@pytest.mark.parametrize("how", DAMAGES)
async def test_a_damaged_file_is_read_anew_with_a_message(chain, path, reopen, notices, how):
    chain.grow(100, events=3)
    first = reopen()
    await sync(first, chain, 1)
    first._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    first.close()
    DAMAGES[how](path)
    history = History(reopen(), chain, 1)
    await history.refresh()
    assert history.events == chain.all_events
    assert len(notices) == 1
    assert "damaged" in notices[0]
    assert path.with_name(path.name + ".damaged").exists()
    assert history.state.supply == 300


async def test_damage_under_a_running_process_is_noticed(chain, path, reopen, notices):
    chain.grow(100)
    history = History(reopen(), chain, 1)
    await history.refresh()
    chain.grow(5)
    await sync(history.index, chain, 1)
    change(path, "UPDATE events SET timestamp = 1 WHERE block = 103")
    await history.refresh()
    assert history.events == chain.all_events
    assert len(notices) == 1


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (replace(IDENTITY, chain_id=1), "holds chain 31337; the manifest says chain 1"),
        (replace(IDENTITY, deployment_block=2), "another deployment"),
        (replace(IDENTITY, contracts={"RoundManager": Address("0x" + "33" * 20)}), "another deployment"),
        (replace(IDENTITY, code_hashes={"RoundManager": b"\x08" * 32}), "another deployment"),
    ],
)
async def test_an_index_of_another_community_is_refused_and_left_alone(chain, reopen, notices, other, says):
    chain.grow(10)
    await sync(reopen(), chain, 1)
    with pytest.raises(ConfigError, match=says):
        reopen(other)
    assert notices == []
    assert len(all_of(reopen())) == 10


def test_an_index_of_a_newer_program_is_refused(path, reopen):
    reopen().close()
    change(path, "PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="version 99"):
        reopen()


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SetupError, match="cannot be written"):
        EventIndex.open(tmp_path / "file" / INDEX_FILE, IDENTITY)


async def test_without_a_folder_events_are_kept_in_memory(tmp_path, chain, notices):
    (tmp_path / "file").write_text("x")
    chain.grow(10)
    history = History(open_index(tmp_path / "file", IDENTITY, notice=notices.append), chain, 1)
    await history.refresh()
    assert history.events == chain.all_events
    assert "not kept" in notices[0]


async def test_a_full_disk_keeps_the_last_whole_state(chain, reopen):
    chain.grow(10)
    index = reopen()
    await sync(index, chain, 1)
    (pages,) = index._db.execute("PRAGMA page_count").fetchone()
    index._db.execute(f"PRAGMA max_page_count = {pages + 1}")
    chain.grow(500, events=4)
    with pytest.raises(SetupError, match="full"):
        await sync(index, chain, 1)
    index._db.execute("PRAGMA max_page_count = 1000000")
    kept = all_of(index)
    assert kept == chain.all_events[: len(kept)]
    await sync(index, chain, 1)
    assert all_of(index) == chain.all_events


# --- several at once ---


async def test_two_processes_share_a_file(chain, reopen):
    one, two = reopen(), reopen()
    chain.grow(30)
    chain_of_two = replace(chain, before_answer=None)
    finished = []

    async def other_first():
        if not finished:
            finished.append(await sync(two, chain_of_two, 1))

    honest = chain.events

    async def overtaken(first, last):
        found = await honest(first, last)
        await other_first()
        return found

    chain.events = overtaken
    await sync(one, chain, 1)
    assert all_of(one) == all_of(two) == chain.all_events


def test_an_append_after_another_than_the_tip_is_refused(reopen):
    index = reopen()
    assert index.append(None, 5, b"5" * 32, [transfer(5)])
    stale = index.tip
    assert index.append(stale, 6, b"6" * 32, [transfer(6)])
    assert not index.append(stale, 7, b"7" * 32, [transfer(7)])
    assert not index.append(None, 7, b"7" * 32, [transfer(7)])
    assert [event.block for event in all_of(index)] == [5, 6]


# --- history ---


async def test_history_follows_the_chain(chain, reopen):
    chain.grow(10)
    history = History(reopen(), chain, 1)
    assert await history.refresh() == 10
    assert history.state.supply == 10
    generation = history.generation
    chain.grow(5)
    assert await history.refresh() == 5
    assert history.state.supply == 15
    assert history.generation == generation
    assert history.head.number == 15
    assert await history.refresh() == 0


async def test_history_takes_back_what_a_reorganisation_took_back(chain, reopen):
    chain.grow(10, events=2)
    history = History(reopen(), chain, 1)
    await history.refresh()
    generation = history.generation
    chain.replace(7, 2, "b")
    await history.refresh()
    assert history.events == chain.all_events
    assert history.state.supply == 16
    assert history.generation > generation


async def test_history_notices_that_another_process_followed_a_reorganisation(chain, reopen):
    chain.grow(10, events=2)
    mine, other = History(reopen(), chain, 1), reopen()
    await mine.refresh()
    chain.replace(7, 6, "b")
    await sync(other, chain, 1)
    await mine.refresh()
    assert mine.events == chain.all_events
    assert mine.state.supply == 20


async def test_history_is_as_it_was_while_the_chain_does_not_answer(chain, reopen):
    chain.grow(10)
    history = History(reopen(), chain, 1)
    await history.refresh()
    chain.is_down = True
    with pytest.raises(RpcUnreachable):
        await history.refresh()
    assert history.events == chain.all_events


async def test_an_event_that_cannot_follow_is_met_again_not_skipped(chain, reopen):
    chain.grow(10)
    history = History(reopen(), chain, 1)
    await history.refresh()
    burnt = transfer(11)
    burnt = replace(burnt, arguments={**burnt.arguments, "from": burnt.arguments["to"], "value": 99})
    chain.grow(1)
    chain.blocks[11] = ("a", [burnt])
    for _ in range(2):
        with pytest.raises(InconsistentHistory):
            await history.refresh()
        assert len(history.events) == 10
    chain.replace(10, 2, "b")
    await history.refresh()
    assert history.events == chain.all_events


def test_damage_never_leaves_the_package_as_such():
    assert not issubclass(IndexDamaged, sqlite3.Error)


# --- a community's own history ---


def community_of(seed: int) -> Community:
    """Seven members; rings, verdicts and pay of the rounds differ by seed."""
    community = Community(7, seed=seed)
    community.play(Script(no_attest={seed % 3}))
    community.claim_all()
    community.play(Script(no_reveal={seed % 5}))
    return community


async def test_a_state_follows_a_reorganisation_of_rounds(reopen):
    histories = [community_of(seed).events for seed in (0, 1)]
    shared = next(
        place for place, (one, other) in enumerate(zip(*histories, strict=False)) if one.arguments != other.arguments
    )
    fork_at = histories[0][shared].block - 1
    chain = ForkingChain()

    def show(events, fork):
        chain.height = events[-1].block
        for number in range(chain.height + 1):
            happened = [event for event in events if event.block == number]
            chain.blocks[number] = ("a" if number <= fork_at else fork, happened)

    show(histories[0], "a")
    history = History(reopen(), chain, 0)
    await history.refresh()
    assert history.state == fold(histories[0])

    shared_events = [event for event in histories[0] if event.block <= fork_at]
    other = shared_events + [event for event in histories[1] if event.block > fork_at]
    show(other, "b")
    await history.refresh()
    assert history.state == fold(other) != fold(histories[0])
    assert fork_at > 30
    assert history.state.rounds[1].seed != fold(histories[0]).rounds[1].seed


def fold(events):
    state = State()
    for event in events:
        state = apply(state, event)
    return state

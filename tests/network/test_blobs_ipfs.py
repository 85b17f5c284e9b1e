"""The blob store with real Kubo processes on loopback."""

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import time
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import pytest
import pytest_asyncio

from node.adapters import blobs_ipfs
from node.adapters.blobs_flatfs import FlatFs
from node.adapters.blobs_ipfs import KuboStore
from node.protocol.cid import CHUNK_BYTES, cid_from_digest, compute_cid, iter_blocks
from node.protocol.errors import (
    BlobCorrupt,
    BlobStoreDown,
    BlobTooLarge,
    BlobUnavailable,
    RemoteProtocolError,
    SetupError,
)
from node.protocol.types import Cid

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

KEY = b"k" * 32
LIMIT = 1 << 24
PATIENCE = 20.0

Pair: TypeAlias = tuple[KuboStore, KuboStore]


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that other processes bring about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {PATIENCE} s"
        await asyncio.sleep(0.02)


def disk(store: KuboStore) -> FlatFs:
    return FlatFs(store._root / "repo" / "blocks")


def holds(store: KuboStore, data: bytes) -> int:
    """How many of the blocks of ``data`` lie in the store."""
    return sum(disk(store).path(digest).exists() for digest, _ in iter_blocks((data,)))


def damage(store: KuboStore, digest: bytes, *, keep: int = -1) -> None:
    path = disk(store).path(digest)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:keep])


def inner_block(stated: int, sizes: list[int], links: list[bytes]) -> bytes:
    """A dag-pb block that states a size and links blocks, honestly or not."""

    def varint(number: int) -> bytes:
        out = b""
        while number > 0x7F:
            out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
        return out + bytes([number])

    content = b"\x08\x02\x18" + varint(stated) + b"".join(b"\x20" + varint(size) for size in sizes)
    link = b"".join(b"\x12\x26\x0a\x22\x12\x20" + digest + b"\x12\x00" for digest in links)
    return link + b"\x0a" + varint(len(content)) + content


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    root = tmp_path_factory.mktemp("blobs")
    first = await KuboStore.start(root / "a", swarm_key=KEY)
    second = await KuboStore.start(root / "b", swarm_key=KEY, bootstrap=first.addresses)
    try:
        yield first, second
    finally:
        await asyncio.gather(first.close(), second.close())


@pytest.mark.parametrize("size", [0, 1, 250_000, CHUNK_BYTES + 1, 3_000_000])
async def test_a_blob_travels_from_store_to_store(pair: Pair, size: int):
    first, second = pair
    data = os.urandom(size)
    cid = await first.put(data)
    assert cid == compute_cid(data)
    assert await second.get(cid, max_bytes=max(size, 1), seconds=PATIENCE) == data
    assert await second.get(cid, max_bytes=max(size, 1), seconds=PATIENCE) == data


async def test_several_readers_of_one_blob_do_not_disturb_each_other(pair: Pair):
    giver, taker = pair
    for size in (1_000, 600_000) * 5:
        data = os.urandom(size)
        cid = await giver.put(data)
        read = await asyncio.gather(*(taker.get(cid, max_bytes=LIMIT, seconds=PATIENCE) for _ in range(4)))
        assert read == [data] * 4


async def test_what_nobody_has_is_unavailable_in_time_and_does_no_harm(pair: Pair):
    store, other = pair
    cid = compute_cid(os.urandom(100))
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(BlobUnavailable):
            await store.get(cid, max_bytes=LIMIT, seconds=0.3)
        assert time.monotonic() - began < 3
    assert store._host.unanswered == 3
    data = os.urandom(1_000)
    assert await store.get(await other.put(data), max_bytes=LIMIT, seconds=PATIENCE) == data
    assert store.status.restarts == 0


async def test_a_waiting_reader_is_served_when_the_blob_appears(pair: Pair):
    first, second = pair
    data = os.urandom(400_000)
    reading = asyncio.ensure_future(second.get(compute_cid(data), max_bytes=LIMIT, seconds=PATIENCE))
    await asyncio.sleep(0)
    await first.put(data)
    assert await reading == data


async def test_many_hung_calls_start_kubo_again(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blobs_ipfs, "_MAX_HUNG", 2)
    store, other = pair
    before = store.status.restarts
    for _ in range(4):
        with pytest.raises(BlobUnavailable):
            await store.get(compute_cid(os.urandom(100)), max_bytes=LIMIT, seconds=1)
    assert store.status.restarts > before
    data = os.urandom(1_000)
    assert await store.get(await other.put(data), max_bytes=LIMIT, seconds=PATIENCE) == data


async def test_a_limit_is_enforced_on_the_root_block(pair: Pair):
    first, second = pair
    data = os.urandom(3 * CHUNK_BYTES)
    cid = await first.put(data)
    with pytest.raises(BlobTooLarge):
        await second.get(cid, max_bytes=len(data) - 1, seconds=PATIENCE)
    assert holds(second, data) == 1


async def test_a_root_that_lies_about_what_is_below_fetches_nothing_of_it(pair: Pair):
    liar, victim = pair
    treasure = os.urandom(4 * CHUNK_BYTES)
    links = [digest for digest, _ in iter_blocks((treasure,))][:-1]
    await liar.put(treasure)
    # It states one byte more than a leaf may have, so two children are due; it links four full ones.
    root = inner_block(CHUNK_BYTES + 1, [CHUNK_BYTES, 1, 0, 0], links)
    disk(liar).write(sha256(root).digest(), root)
    with pytest.raises(BlobCorrupt):
        await victim.get(cid_from_digest(sha256(root).digest()), max_bytes=LIMIT, seconds=PATIENCE)
    assert holds(victim, treasure) == 0


async def test_an_inner_block_where_a_leaf_is_due_is_not_followed(pair: Pair):
    liar, victim = pair
    treasure = os.urandom(4 * CHUNK_BYTES)
    links = [digest for digest, _ in iter_blocks((treasure,))][:-1]
    await liar.put(treasure)
    middles = [inner_block(2 * CHUNK_BYTES, [CHUNK_BYTES] * 2, half) for half in (links[:2], links[2:])]
    root = inner_block(CHUNK_BYTES + 1, [CHUNK_BYTES, 1], [sha256(middle).digest() for middle in middles])
    for block in (*middles, root):
        disk(liar).write(sha256(block).digest(), block)
    with pytest.raises(BlobCorrupt):
        await victim.get(cid_from_digest(sha256(root).digest()), max_bytes=LIMIT, seconds=PATIENCE)
    assert holds(victim, treasure) == 0


async def test_a_damaged_copy_is_fetched_again(pair: Pair):
    first, second = pair
    data = os.urandom(3 * CHUNK_BYTES)
    cid = await first.put(data)
    await second.get(cid, max_bytes=LIMIT, seconds=PATIENCE)
    for digest, _ in list(iter_blocks((data,)))[1:]:  # two leaves and the root
        damage(second, digest)
    assert await second.get(cid, max_bytes=LIMIT, seconds=PATIENCE) == data


async def test_a_damaged_copy_that_nobody_can_replace_is_reported(tmp_path: Path):
    async with await KuboStore.start(tmp_path, swarm_key=KEY) as store:
        data = os.urandom(300_000)
        cid = await store.put(data)
        damage(store, next(iter_blocks((data,)))[0])
        with pytest.raises(BlobCorrupt, match="damaged"):
            await store.get(cid, max_bytes=LIMIT, seconds=0.5)
        assert await store.put(data) == cid  # whoever has the content can mend it
        assert await store.get(cid, max_bytes=LIMIT, seconds=PATIENCE) == data
        damage(store, next(iter_blocks((data,)))[0])
        assert await store.put(data) == cid  # also where nobody noticed the damage, Kubo least of all
        assert await store.get(cid, max_bytes=LIMIT, seconds=1) == data


async def test_truncated_content_of_a_peer_never_arrives(pair: Pair):
    first, second = pair
    data = os.urandom(2 * CHUNK_BYTES)
    cid = await first.put(data)
    damage(first, next(iter_blocks((data,)))[0], keep=1_000)
    with pytest.raises(BlobUnavailable):
        await second.get(cid, max_bytes=LIMIT, seconds=0.5)


async def test_a_killed_kubo_comes_back_on_its_port_and_calls_wait_for_it(pair: Pair):
    first, second = pair
    addresses, restarts = second.addresses, second.status.restarts
    data = os.urandom(1_000)
    cid = await first.put(data)
    os.kill(second.status.pid, signal.SIGKILL)
    assert await second.get(cid, max_bytes=LIMIT, seconds=PATIENCE) == data
    os.kill(second.status.pid, signal.SIGKILL)
    more = os.urandom(1_000)
    assert await first.get(await second.put(more), max_bytes=LIMIT, seconds=PATIENCE) == more
    assert second.addresses == addresses
    assert second.status.restarts == restarts + 2


async def test_a_closed_store_is_down(tmp_path: Path):
    store = await KuboStore.start(tmp_path, swarm_key=KEY)
    cid = await store.put(b"x")
    await store.close()
    with pytest.raises(BlobStoreDown):
        await store.put(b"y")
    with pytest.raises(BlobStoreDown):
        await store.get(compute_cid(b"z"), max_bytes=LIMIT, seconds=1)
    assert await store.get(cid, max_bytes=LIMIT, seconds=1) == b"x"  # what is pinned here needs no node


async def test_content_survives_a_restart(tmp_path: Path):
    data = os.urandom(500_000)
    async with await KuboStore.start(tmp_path, swarm_key=KEY) as store:
        cid, addresses = await store.put(data), store.addresses
    async with await KuboStore.start(tmp_path, swarm_key=KEY) as store:
        assert await store.get(cid, max_bytes=LIMIT, seconds=PATIENCE) == data
        assert store.addresses[0].split("/")[-1] == addresses[0].split("/")[-1]


async def test_another_swarm_key_is_shut_out(pair: Pair, tmp_path: Path):
    first, _ = pair
    cid = await first.put(os.urandom(100))
    async with await KuboStore.start(tmp_path, swarm_key=b"x" * 32, bootstrap=first.addresses) as stranger:
        with pytest.raises(BlobUnavailable):
            await stranger.get(cid, max_bytes=LIMIT, seconds=1)


async def test_stores_can_be_introduced_later(pair: Pair, tmp_path: Path):
    first, _ = pair
    data = os.urandom(1_000)
    async with await KuboStore.start(tmp_path, swarm_key=KEY) as newcomer:
        await newcomer.connect(first.addresses[0])
        assert await newcomer.get(await first.put(data), max_bytes=LIMIT, seconds=PATIENCE) == data


async def test_the_repository_is_private(pair: Pair):
    store, _ = pair
    repo = store._root / "repo"
    config = json.loads((repo / "config").read_text())
    assert all(address.startswith("/ip4/127.0.0.1/") for address in config["Bootstrap"])  # none of the public ones
    assert config["Addresses"]["Swarm"][0].startswith("/ip4/127.0.0.1/tcp/")
    assert config["Discovery"]["MDNS"]["Enabled"] is False
    assert config["Routing"]["Type"] == "dhtserver"
    assert config["Swarm"]["Transports"]["Network"]["QUIC"] is False
    assert [stat.S_IMODE((repo / name).stat().st_mode) for name in ("config", "swarm.key")] == [0o600, 0o600]


async def test_a_full_quota_gives_up_what_is_not_pinned_and_then_says_so(tmp_path: Path):
    async with await KuboStore.start(tmp_path, swarm_key=KEY, quota_bytes=1_000_000) as store:
        first, second = os.urandom(400_000), os.urandom(400_000)
        kept, dropped = await store.put(first), await store.put(second)
        with pytest.raises(SetupError, match="quota"):
            await store.put(os.urandom(400_000))
        await store.unpin(dropped)
        third = os.urandom(400_000)
        added = await store.put(third)
        assert holds(store, second) == 0
        assert await store.get(kept, max_bytes=LIMIT, seconds=1) == first
        assert await store.get(added, max_bytes=LIMIT, seconds=1) == third


async def test_a_full_disk_is_named(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    first, second = pair
    cid = await first.put(os.urandom(100))
    full = shutil._ntuple_diskusage(10**9, 10**9, 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(SetupError, match="full"):
        await second.put(os.urandom(100))
    with pytest.raises(SetupError, match="full"):
        await second.get(cid, max_bytes=LIMIT, seconds=PATIENCE)


async def test_a_cancelled_put_leaves_no_file(pair: Pair):
    store, _ = pair
    for pause in (0.0, 0.005, 0.02):
        putting = asyncio.ensure_future(store.put(os.urandom(3_000_000)))
        await asyncio.wait({putting}, timeout=pause)
        putting.cancel()
        await asyncio.wait({putting})
        assert list((store._root / "incoming").glob("*")) == []


async def test_unknown_pins_are_let_go_silently_and_bad_cids_are_refused(pair: Pair):
    store, _ = pair
    await store.unpin(compute_cid(b"never seen"))
    with pytest.raises(RemoteProtocolError):
        await store.get(Cid("../../etc/passwd"), max_bytes=LIMIT, seconds=1)


async def test_a_port_in_use_is_named(pair: Pair, tmp_path: Path):
    port = int(pair[0].addresses[0].split("/")[4])
    with pytest.raises(SetupError, match=str(port)):
        await KuboStore.start(tmp_path / "a", swarm_key=KEY, port=port)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=str(port)):
            await KuboStore.start(tmp_path / "b", swarm_key=KEY, port=port)


async def test_one_folder_serves_one_store(pair: Pair):
    with pytest.raises(SetupError, match="in use"):
        await KuboStore.start(pair[0]._root, swarm_key=KEY)


async def test_a_bad_address_is_refused(tmp_path: Path):
    with pytest.raises(SetupError, match="peer id"):
        await KuboStore.start(tmp_path, swarm_key=KEY, bootstrap=["/ip4/127.0.0.1/tcp/4001"])

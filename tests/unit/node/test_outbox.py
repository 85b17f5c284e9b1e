"""What a command leaves in the outbox is stored by the node and goes away; nothing else does."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from node.config import Config, NodeSection
from node.dao import files as dao_files
from node.dao.files import CommandFiles
from node.outbox import OUTBOX, empty_outbox, serve_outbox
from node.protocol.cid import compute_cid
from node.protocol.errors import BlobStoreDown


class Store:
    def __init__(self, failures=0):
        self.held = {}
        self.failures = failures

    async def put(self, data):
        if self.failures:
            self.failures -= 1
            raise BlobStoreDown("not yet")
        cid = compute_cid(data)
        self.held[cid] = data
        return cid


async def test_files_are_stored_and_removed(tmp_path):
    folder, store = tmp_path / OUTBOX, Store()
    folder.mkdir()
    for data in (b"one", b"two"):
        (folder / compute_cid(data)).write_bytes(data)
    (folder / compute_cid(b"three")).write_bytes(b"something else")
    (folder / f".{compute_cid(b'four')}.x").write_bytes(b"half wri")
    stored = await empty_outbox(folder, store)
    assert sorted(stored) == sorted(store.held) == sorted(map(compute_cid, (b"one", b"two")))
    assert len(list(folder.iterdir())) == 2
    assert await empty_outbox(tmp_path / "absent", store) == []


async def test_a_command_publishes_through_the_running_node(tmp_path):
    store = Store(failures=1)
    serving = asyncio.create_task(serve_outbox(tmp_path / OUTBOX, store, 0.02))
    files = CommandFiles(Config(node=NodeSection(data=tmp_path)), tmp_path / "own")
    async with asyncio.timeout(5):
        assert await files.publish(b"notes") == compute_cid(b"notes")
    assert store.held[compute_cid(b"notes")] == b"notes"
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def test_without_a_node_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(dao_files, "PUBLISH_SECONDS", 0.2)
    files = CommandFiles(Config(node=NodeSection(data=tmp_path)), tmp_path / "own")
    with pytest.raises(BlobStoreDown, match="node run"):
        await files.publish(b"notes")
    assert not list((tmp_path / OUTBOX).iterdir())


async def test_the_public_benchmark_needs_no_network(tmp_path):
    (tmp_path / "public.jsonl").write_bytes(b"rows")
    config = Config()
    config = type(config)(network=type(config.network)(public_benchmark=tmp_path / "public.jsonl"))
    files = CommandFiles(config, tmp_path / "own")
    assert await files.get(compute_cid(b"rows"), max_bytes=10) == b"rows"
    assert files.store is None

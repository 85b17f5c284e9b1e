from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from node.protocol.errors import LocalProtocolError, SetupError
from node.roles.view import AggregateFact, Facts, Fetched, Opening
from node.store import NodeStore, facts_from_json, facts_to_json, sha256, write_atomic

FULL = Facts(
    update=Opening(b"\x01" * 32, b"\x02" * 32, b"\x03" * 32, 17),
    update_stored=True,
    benchmark=Opening(b"\x04" * 32, b"\x05" * 32, b"\x06" * 32),
    benchmark_stored=True,
    fetched={0: (Fetched.VALID, ""), 3: (Fetched.MALFORMED, "norm_exceeded: too long")},
    word=(1 << 139, b"\x07" * 32),
    aggregate=AggregateFact(b"\x08" * 32, b"\x09" * 32, b"\x0a" * 32),
    audience=b"\x0d" * 32,
    keys={0: b"\x0b" * 32, 12: b"\x0c" * 32},
    keys_published=True,
)


@pytest.mark.parametrize("facts", [Facts(), FULL])
def test_facts_survive_a_restart(tmp_path, facts):
    NodeStore(tmp_path).save_facts(7, facts)
    assert NodeStore(tmp_path).load_facts() == {7: facts}
    assert facts_from_json(facts_to_json(facts)) == facts


def test_facts_written_before_there_were_keys_are_read():
    old = {key: value for key, value in facts_to_json(FULL).items() if not key.startswith(("keys", "audience"))}
    assert facts_from_json(old) == replace(FULL, audience=b"", keys={}, keys_published=False)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version": 99}', b"null", b'{"version": 1}'])
def test_damaged_facts_are_set_aside_and_the_others_kept(tmp_path, damage):
    store = NodeStore(tmp_path)
    store.save_facts(1, FULL)
    store.save_facts(2, FULL)
    path = tmp_path / "rounds" / "000001" / "facts.json"
    path.write_bytes(damage)
    assert NodeStore(tmp_path).load_facts() == {2: FULL}
    assert path.with_suffix(".damaged").read_bytes() == damage


def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SetupError, match="is full") as caught:
        write_atomic(path, b"new")
    assert "Free some space" in caught.value.hint
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_other_errors_of_the_disk_pass_through(tmp_path, monkeypatch):
    def broken(_descriptor):
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="I/O error"):
        write_atomic(tmp_path / "file", b"new")


def test_models_are_found_by_hash_and_damaged_ones_forgotten(tmp_path):
    store = NodeStore(tmp_path)
    digest = store.save_model(b"weights")
    assert digest == sha256(b"weights")
    assert store.load_model(digest) == b"weights"
    assert store.load_model(sha256(b"others")) is None
    path = tmp_path / "models" / f"{digest.hex()}.safetensors"
    path.write_bytes(b"weightz")
    assert store.load_model(digest) is None
    assert not path.exists()


def test_a_file_that_our_facts_name_must_be_there(tmp_path):
    with pytest.raises(LocalProtocolError, match="missing"):
        NodeStore(tmp_path).load(3, "update.safetensors")


def test_files_of_a_round_are_kept_apart(tmp_path):
    store = NodeStore(tmp_path)
    store.save(1, "updates/0.safetensors", b"one")
    store.save(2, "updates/0.safetensors", b"two")
    assert store.load(1, "updates/0.safetensors") == b"one"
    assert isinstance(store.root, Path)

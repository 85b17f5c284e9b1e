"""A node's backup: everything that cannot be fetched again, no password, and hostile archives refused whole."""

from __future__ import annotations

import io
import stat
import tarfile

import pytest

from node.adapters.signer_keystore import KeystoreSigner
from node.backup import backup, restore
from node.config import load_config
from node.protocol.errors import ConfigError
from node.runtime import ACCOUNT_FILE, load_signer
from node.store import NodeStore


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "old"
    (folder / "keys").mkdir(parents=True, mode=0o700)
    (folder / "commonweight.toml").write_text("[node]\nname = 'mine'\n")
    password = folder / "keys" / "password"
    password.touch(mode=0o600)
    password.write_text("correct horse")
    KeystoreSigner.create(folder / "keys" / ACCOUNT_FILE, password, scrypt_n=1 << 10)
    store = NodeStore(folder / "data")
    store.save(3, "update.safetensors", b"mine")
    store.save(3, "updates/1.safetensors", b"a peer's")
    (folder / "data" / "privacy.json").write_text("{}")
    return folder


def test_a_restored_node_is_the_same_node(home, tmp_path):
    path = home / "commonweight.toml"
    assert backup(path, load_config(path), tmp_path / "b.tar.gz") == 4
    new = tmp_path / "new"
    assert restore(tmp_path / "b.tar.gz", new) == 4
    assert (new / "data" / "privacy.json").read_text() == "{}"  # what noise spent must not be forgotten
    assert (new / "data" / "rounds" / "000003" / "update.safetensors").read_bytes() == b"mine"
    assert not (new / "data" / "rounds" / "000003" / "updates").exists()
    assert not (new / "keys" / "password").exists()
    assert b"correct horse" not in (tmp_path / "b.tar.gz").read_bytes()
    assert stat.S_IMODE((new / "keys" / ACCOUNT_FILE).stat().st_mode) == 0o600
    password = new / "keys" / "password"
    password.touch(mode=0o600)
    password.write_text("correct horse")
    assert load_signer(load_config(new / "commonweight.toml")).address == load_signer(load_config(path)).address


def test_nothing_is_overwritten(home, tmp_path):
    path, archive = home / "commonweight.toml", tmp_path / "b.tar.gz"
    backup(path, load_config(path), archive)
    with pytest.raises(ConfigError, match="exists already"):
        backup(path, load_config(path), archive)
    with pytest.raises(ConfigError, match="not empty"):
        restore(archive, home)


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/evil", "keys/../../evil", "data/models/x", "keys/link", ".bashrc", "data/rounds/../../../x"],
)
def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path, name):
    archive = tmp_path / "b.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for entry in ("commonweight.toml", name):
            info = tarfile.TarInfo(entry)
            if entry == "keys/link":
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info, io.BytesIO(b""))
    with pytest.raises(ConfigError, match="none of a node's files"):
        restore(archive, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_archive_that_unpacks_to_more_than_a_node_has(tmp_path, monkeypatch):
    monkeypatch.setattr("node.backup.MAX_BYTES", 10)
    archive = tmp_path / "b.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo("commonweight.toml")
        info.size = 11
        tar.addfile(info, io.BytesIO(bytes(11)))
    with pytest.raises(ConfigError, match="larger than"):
        restore(archive, tmp_path / "new")


@pytest.mark.parametrize("content", [b"", b"not a tar", bytes(1000)])
def test_no_archive_at_all(tmp_path, content):
    (tmp_path / "b.tar.gz").write_bytes(content)
    with pytest.raises(ConfigError, match="not a backup"):
        restore(tmp_path / "b.tar.gz", tmp_path / "new")

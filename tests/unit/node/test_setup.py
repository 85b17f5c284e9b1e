"""`commonweight node init`: what it writes, and what it never overwrites."""

from __future__ import annotations

import stat

import pytest

from node.config import load_config
from node.protocol.errors import ConfigError
from node.setup import init, settings_file


def network(tmp_path):
    (tmp_path / "net").mkdir()
    file = tmp_path / "net" / "network.toml"
    file.write_text('[chain]\nrpc = "http://community"\n')
    return file


def test_joining_a_network_writes_settings_password_and_keystore(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    path = home / "commonweight.toml"
    written = init(path, settings_file(path, network(tmp_path), "mine", ["sympy"]))
    resolved = load_config(path)
    assert (resolved.node.name, resolved.learning.repositories) == ("mine", ("sympy",))
    assert resolved.chain.rpc == "http://community"
    assert written["address"].startswith("0x")
    for secret in (resolved.keys.password_file, resolved.keys.folder / "account.json"):
        assert stat.S_IMODE(secret.stat().st_mode) & 0o077 == 0, secret
    assert resolved.keys.password_file.read_text() not in str(written)


def test_an_existing_keystore_is_kept(tmp_path):
    path = tmp_path / "commonweight.toml"
    text = settings_file(path, network(tmp_path), "node", [])
    first = init(path, text)["address"]
    path.unlink()
    assert init(path, text)["address"] == first


def test_an_existing_settings_file_is_never_overwritten(tmp_path):
    path = tmp_path / "commonweight.toml"
    path.write_text("# mine\n")
    with pytest.raises(ConfigError, match="exists already"):
        init(path, settings_file(path, None, "node", []))
    assert path.read_text() == "# mine\n"


def test_a_wrong_network_file_leaves_nothing_behind(tmp_path):
    file = network(tmp_path)
    file.write_text('[keys]\nfolder = "x"\n')
    path = tmp_path / "home.toml"
    with pytest.raises(ConfigError, match=r"keys\.folder"):
        init(path, settings_file(path, file, "node", []))
    assert not path.exists()
    assert not (tmp_path / "keys").exists()


def test_a_missing_network_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no network file at .*nowhere"):
        settings_file(tmp_path / "a.toml", tmp_path / "nowhere.toml", "node", [])


def test_without_a_network_only_the_settings_are_written(tmp_path):
    path = tmp_path / "commonweight.toml"
    assert init(path, settings_file(path, None, "node", [])) == {"settings": str(path)}
    assert [entry.name for entry in tmp_path.iterdir()] == ["commonweight.toml"]

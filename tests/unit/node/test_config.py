from __future__ import annotations

import re

import pytest

from node.config import Config, describe, load_config, template
from node.protocol.errors import ConfigError


def write(tmp_path, text):
    path = tmp_path / "commonweight.toml"
    path.write_text(text)
    return path


def test_defaults_file_environment_and_flags_override_each_other_in_this_order(tmp_path):
    path = write(tmp_path, '[chain]\nrpc = "http://file"\n[pace]\nstagger = 7\npoll_seconds = 2\n')
    resolved = load_config(
        path,
        environment={"COMMONWEIGHT_CHAIN_RPC": "http://env", "COMMONWEIGHT_PACE_STAGGER": "8"},
        flags=["pace.stagger=9"],
    )
    assert resolved.chain.rpc == "http://env"
    assert resolved.pace.stagger == 9
    assert resolved.pace.poll_seconds == 2.0
    assert resolved.pace.fetch_seconds == Config().pace.fetch_seconds


def test_paths_are_relative_to_the_file(tmp_path):
    resolved = load_config(write(tmp_path, '[node]\ndata = "elsewhere"\n'))
    assert resolved.node.data == tmp_path / "elsewhere"
    assert resolved.keys.folder == tmp_path / "keys"


def test_lists_come_from_flags_as_toml(tmp_path):
    resolved = load_config(write(tmp_path, ""), flags=['learning.repositories=["sympy", "./own"]'])
    assert resolved.learning.repositories == ("sympy", "./own")


@pytest.mark.parametrize(
    ("text", "flags", "what", "hint"),
    [
        ("[chain]\nrcp = 'x'\n", [], "unknown key chain.rcp", "Did you mean 'rpc'?"),
        ("[chian]\nrpc = 'x'\n", [], "unknown section [chian]", "Did you mean 'chain'?"),
        ("rpc = 'x'\n", [], "'rpc' is not a section", ""),
        ("[pace]\nstagger = 'soon'\n", [], "pace.stagger is 'soon', expected int", ""),
        ("[pace]\nstagger = true\n", [], "pace.stagger is True, expected int", ""),
        ("[learning]\nrepositories = 'sympy'\n", [], "expected a list of texts", ""),
        ("[ipfs]\nmode = 'cloud'\n", [], "ipfs.mode is 'cloud'", "embedded or rpc"),
        ("[chain\n", [], "is not TOML", ""),
        ("", ["pace.stagger"], "section.key=value", ""),
        ("", ["pace.stagger=["], "not a TOML value", ""),
        ("", ["stagger=1"], "expected a section and a key", "Sections are"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_and_the_nearest_right_one(tmp_path, text, flags, what, hint):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text), flags=flags)
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="There is no configuration"):
        load_config(tmp_path / "none.toml")


def test_foreign_environment_variables_are_left_alone(tmp_path):
    assert load_config(write(tmp_path, ""), environment={"CHAIN_RPC": "http://other"}).chain.rpc == Config().chain.rpc


def test_the_template_resolves_to_the_defaults_also_with_every_line_in_force(tmp_path):
    text = template()
    assert load_config(write(tmp_path, text)) == load_config(write(tmp_path, ""))
    in_force = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    assert in_force != text
    assert load_config(write(tmp_path, in_force)) == load_config(write(tmp_path, ""))


def test_every_setting_is_described():
    assert all(text and name.count(".") == 1 for name, _kind, _default, text in describe())


def network_file(folder, text='[chain]\nrpc = "http://community"\n[p2p]\nbootstrap = ["/ip4/127.0.0.1/tcp/1"]\n'):
    folder.mkdir(exist_ok=True)
    (folder / "network.toml").write_text(text)


def test_a_network_file_lies_between_the_defaults_and_the_operators_own_file(tmp_path):
    network_file(tmp_path / "net", '[chain]\nrpc = "http://community"\n[network]\nmanifest = "m.json"\n')
    path = write(tmp_path, '[network]\nfile = "net/network.toml"\n')
    resolved = load_config(path)
    assert resolved.chain.rpc == "http://community"
    assert resolved.network.manifest == tmp_path / "net" / "m.json"
    assert resolved.network.guideline == tmp_path / "guideline.json"
    assert load_config(path, environment={"COMMONWEIGHT_CHAIN_RPC": "http://env"}).chain.rpc == "http://env"
    path.write_text('[network]\nfile = "net/network.toml"\n[chain]\nrpc = "http://own"\n')
    assert load_config(path).chain.rpc == "http://own"


def test_a_network_file_can_be_named_by_a_flag(tmp_path):
    network_file(tmp_path / "net")
    resolved = load_config(write(tmp_path, ""), flags=["network.file=net/network.toml"])
    assert resolved.p2p.bootstrap == ("/ip4/127.0.0.1/tcp/1",)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[keys]\nfolder = "/stolen"\n', "cannot set keys.folder"),
        ('[learning]\ndevice = "cpu"\n', "cannot set learning.device"),
        ('[network]\nfile = "other.toml"\n', "cannot set network.file"),
        ('[chain]\nrcp = "x"\n', "cannot set chain.rcp"),
        ("[chain\n", "is not TOML"),
        ("[chain]\nrpc = 3\n", "chain.rpc is 3"),
    ],
)
def test_a_network_file_cannot_set_what_is_the_operators_own(tmp_path, text, what):
    network_file(tmp_path / "net", text)
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, '[network]\nfile = "net/network.toml"\n'))
    assert what in str(caught.value)


def test_a_missing_network_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.toml"):
        load_config(write(tmp_path, '[network]\nfile = "gone.toml"\n'))


def test_the_template_sets_what_is_given_and_comments_out_the_rest(tmp_path):
    path = write(tmp_path, template({"learning.repositories": ["sympy"], "pace.stagger": 9}))
    resolved = load_config(path)
    assert resolved.learning.repositories == ("sympy",)
    assert resolved.pace.stagger == 9
    assert resolved.chain == Config().chain

"""The encrypted keystore: what it refuses, what it derives, and that the key never shows."""

import copy
import hmac
import json
import os
import pickle
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_account import Account

from node.adapters.signer_keystore import KeystoreSigner
from node.protocol.errors import KeystoreError, LocalProtocolError

KEY = bytes(range(1, 33))
ADDRESS = "0x6370eF2f4Db3611D657b90667De398a2Cc2a370C"
PASSWORD = "correct horse"
CHEAP = 1 << 10
TRANSACTION = {
    "to": ADDRESS,
    "data": b"",
    "value": 1,
    "gas": 21_000,
    "chainId": 31337,
    "nonce": 0,
    "maxFeePerGas": 2,
    "maxPriorityFeePerGas": 1,
    "type": 2,
}


def ask() -> str:
    return PASSWORD


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "node.json"
    KeystoreSigner.create(path, ask, key=KEY, scrypt_n=CHEAP)
    return path


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_written_key_is_read_back(path: Path):
    signer = KeystoreSigner.load(path, ask)
    assert signer.address == ADDRESS
    assert signer.derive(b"a") == KeystoreSigner.from_key(KEY).derive(b"a")


def test_file_is_private_and_nothing_else_is_left(path: Path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert KEY.hex() not in path.read_text()


def test_new_key_differs_every_time(tmp_path: Path):
    first = KeystoreSigner.create(tmp_path / "a", ask, scrypt_n=CHEAP)
    second = KeystoreSigner.create(tmp_path / "b", ask, scrypt_n=CHEAP)
    assert first.address != second.address


def test_default_cost_is_that_of_production(tmp_path: Path):
    KeystoreSigner.create(tmp_path / "a", ask, key=KEY)
    assert json.loads((tmp_path / "a").read_text())["crypto"]["kdfparams"]["n"] == 1 << 18


def test_other_wallets_can_read_it(path: Path):
    assert Account.decrypt(json.loads(path.read_text()), PASSWORD) == KEY


def test_never_overwrites(path: Path):
    before = path.read_bytes()
    with pytest.raises(KeystoreError, match="already a keystore"):
        KeystoreSigner.create(path, ask, scrypt_n=CHEAP)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_short_password_is_refused(tmp_path: Path):
    with pytest.raises(KeystoreError, match="at least 8"):
        KeystoreSigner.create(tmp_path / "a", lambda: "1234567", scrypt_n=CHEAP)
    assert not (tmp_path / "a").exists()


def test_the_password_changes_and_the_key_stays(path: Path):
    before = json.loads(path.read_text())
    signer = KeystoreSigner.change_password(path, ask, lambda: "battery staple", scrypt_n=CHEAP)
    assert signer.address == ADDRESS
    assert KeystoreSigner.load(path, lambda: "battery staple").derive(b"a") == signer.derive(b"a")
    with pytest.raises(KeystoreError, match="did not open"):
        KeystoreSigner.load(path, ask)
    after = json.loads(path.read_text())
    assert after["crypto"]["kdfparams"]["salt"] != before["crypto"]["kdfparams"]["salt"]
    assert after["crypto"]["cipherparams"]["iv"] != before["crypto"]["cipherparams"]["iv"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (PASSWORD, "1234567", "at least 8"),
        ("wrong horse", "battery staple", "did not open"),
        (PASSWORD, PASSWORD, "is the old one"),
    ],
)
def test_a_password_that_cannot_change_leaves_the_file_as_it_was(path: Path, old: str, new: str, said: str):
    before = path.read_bytes()
    with pytest.raises(KeystoreError, match=said):
        KeystoreSigner.change_password(path, lambda: old, lambda: new, scrypt_n=CHEAP)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_keystore_that_cannot_be_replaced_stays(path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(KeystoreError, match="No space left"):
        KeystoreSigner.change_password(path, ask, lambda: "battery staple", scrypt_n=CHEAP)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("key", [b"", b"\x00" * 32, b"\x01" * 31, b"\xff" * 32])
def test_bytes_that_are_no_key_are_refused_and_not_shown(key: bytes):
    with pytest.raises(KeystoreError) as caught:
        KeystoreSigner.from_key(key)
    shown = "".join(traceback.format_exception(caught.value))
    assert not key or (key.hex() not in shown and repr(key) not in shown)


def test_password_file_is_its_first_line(path: Path, tmp_path: Path):
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\r\nanything\n")
    file.chmod(0o600)
    assert KeystoreSigner.load(path, file).address == ADDRESS


def test_wrong_password(path: Path):
    with pytest.raises(KeystoreError, match="password is wrong") as caught:
        KeystoreSigner.load(path, lambda: "wrong password")
    assert caught.value.hint
    assert "wrong password" not in caught.value.what


def test_missing_keystore_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(KeystoreError, match="keys create"):
        KeystoreSigner.load(tmp_path / "none.json", ask)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_keystore_open_to_others_is_refused(path: Path, mode: int):
    path.chmod(mode)
    with pytest.raises(KeystoreError, match=f"chmod 600 {path}"):
        KeystoreSigner.load(path, ask)


def test_password_file_open_to_others_is_refused(path: Path, tmp_path: Path):
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    file.chmod(0o644)
    with pytest.raises(KeystoreError, match=r"password file .* open to others"):
        KeystoreSigner.load(path, file)


def test_empty_password_file_is_refused(path: Path, tmp_path: Path):
    file = tmp_path / "password"
    file.touch(0o600)
    with pytest.raises(KeystoreError, match="empty"):
        KeystoreSigner.load(path, file)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 16_000,
        b'{"version": 3}',
        b'{"version": 3, "crypto": {"kdf": "scrypt", "kdfparams": {"n": "x", "r": 8, "p": 1, "dklen": 32}}}',
    ],
)
def test_damaged_keystore(path: Path, damage: bytes):
    path.write_bytes(damage)
    with pytest.raises(KeystoreError, match="damaged"):
        KeystoreSigner.load(path, ask)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(version=4),
        lambda d: d["crypto"].update(kdf="pbkdf2"),
        lambda d: d["crypto"].pop("mac"),
        lambda d: d["crypto"].update(ciphertext="zz"),
        lambda d: d["crypto"]["kdfparams"].update(n=1 << 40),
        lambda d: d["crypto"]["kdfparams"].update(r=1 << 30),
        lambda d: d["crypto"]["kdfparams"].update(n=0),
        lambda d: d["crypto"]["kdfparams"].update(n=1000),
        lambda d: d["crypto"]["kdfparams"].update(dklen=1 << 40),
        lambda d: d.update(address="00" * 20),
    ],
)
def test_altered_keystore(path: Path, change: Callable[[dict[str, Any]], None]):
    edit(path, change)
    with pytest.raises(KeystoreError, match="damaged"):
        KeystoreSigner.load(path, ask)


def test_altered_ciphertext_does_not_open(path: Path):
    edit(path, lambda d: d["crypto"].update(ciphertext="00" * 32))
    with pytest.raises(KeystoreError, match="did not open"):
        KeystoreSigner.load(path, ask)


def test_huge_file_is_not_read(path: Path):
    path.write_bytes(b" " * 20_000)
    with pytest.raises(KeystoreError, match="larger than"):
        KeystoreSigner.load(path, ask)


def test_pipe_is_not_waited_for(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(KeystoreError, match="not a regular file"):
        KeystoreSigner.load(pipe, ask)


def test_key_never_shows(path: Path):
    signer = KeystoreSigner.load(path, ask)
    assert repr(signer) == f"KeystoreSigner({ADDRESS})"
    assert not hasattr(signer, "__dict__")
    for shown in (repr(signer), str(signer), f"{signer}"):
        assert KEY.hex() not in shown


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_cannot_be_copied(take: Callable[[object], object]):
    with pytest.raises(TypeError, match="private key"):
        take(KeystoreSigner.from_key(KEY))


def test_derived_secrets_are_fixed():
    signer = KeystoreSigner.from_key(KEY)
    assert signer.derive(b"label") == _reference_derive(KEY, b"label")
    assert signer.derive(b"label") != signer.derive(b"label2")
    assert signer.derive(b"") not in (KEY, signer.encryption_public_key)


def _reference_derive(key: bytes, label: bytes) -> bytes:
    """RFC 5869 with an empty salt and one block of output, then HMAC, in the standard library."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    expanded = hmac.digest(extracted, b"commonweight/derive/1\x01", "sha256")
    return hmac.digest(expanded, label, "sha256")


def test_signed_transaction_recovers_to_our_address():
    signer = KeystoreSigner.from_key(KEY)
    assert Account.recover_transaction(signer.sign_transaction(TRANSACTION)) == ADDRESS


def test_transaction_without_a_field_is_our_bug():
    with pytest.raises(LocalProtocolError, match="cannot be signed"):
        KeystoreSigner.from_key(KEY).sign_transaction({**TRANSACTION, "gas": "many"})


def test_shared_secret_is_equal_on_both_sides_and_nowhere_else():
    ours, theirs, other = (KeystoreSigner.from_key(bytes([n]) * 32) for n in (1, 2, 3))
    shared = ours.shared_secret(theirs.encryption_public_key)
    assert shared == theirs.shared_secret(ours.encryption_public_key)
    assert shared != other.shared_secret(ours.encryption_public_key)
    raw_exchange_of_key = X25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    assert raw_exchange_of_key.public_key().public_bytes_raw() != ours.encryption_public_key


@pytest.mark.parametrize("public", [b"", b"\x00" * 32, b"\x01" * 31])
def test_unusable_encryption_key(public: bytes):
    with pytest.raises(KeystoreError, match="X25519"):
        KeystoreSigner.from_key(KEY).shared_secret(public)


def test_libraries_do_not_loosen_the_recursion_limit() -> None:
    """At their 100 000, nested JSON of a stranger would end the process with a segmentation fault."""
    script = (
        "import json, sys, eth_account\n"
        "assert sys.getrecursionlimit() == 100_000, 'the library has changed: recursion.py may go'\n"
        "import node.adapters.signer_keystore\n"
        "assert sys.getrecursionlimit() == 1000\n"
        "sys.setrecursionlimit(100_000)\n"
        "import node.adapters.chain_evm, eth_account.signers.local, eth_keyfile\n"
        "assert sys.getrecursionlimit() == 1000\n"
        "try: json.loads('[' * 64000)\n"
        "except RecursionError: print('bounded')"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.stdout == "bounded\n", result.stderr


def test_the_command_encrypts_the_key_anew_and_says_what_is_next(tmp_path: Path):
    from typer.testing import CliRunner

    from node import cli
    from node.cli.base import app

    assert cli.__doc__
    for name, text in (("password", PASSWORD), ("new", "battery staple")):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(text + "\n")
    KeystoreSigner.create(tmp_path / "account.json", ask, key=KEY, scrypt_n=CHEAP)
    config = tmp_path / "commonweight.toml"
    config.write_text('[keys]\nfolder = "."\npassword_file = "password"\n')
    done = CliRunner().invoke(app, ["keys", "password", str(tmp_path / "new"), "--json", "-c", str(config)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["address"] == ADDRESS
    again = CliRunner().invoke(app, ["keys", "password", str(tmp_path / "new"), "-c", str(config)])
    assert isinstance(again.exception, KeystoreError)  # `cli.main` makes it exit code 3
    (tmp_path / "new").replace(tmp_path / "password")
    shown = CliRunner().invoke(app, ["keys", "show", "--json", "-c", str(config)])
    assert json.loads(shown.stdout)["address"] == ADDRESS

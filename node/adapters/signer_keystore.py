"""The `Signer` port on an encrypted keystore file (Web3 Secret Storage V3, scrypt): one secp256k1 key, never shown.

Everything else a node keeps secret is derived from that key, so one file and one password are the whole backup:

```
secret(label)   = HMAC-SHA-256(HKDF-SHA-256(key, info = "commonweight/derive/1"), label)
encryption key  = X25519 private key of HKDF-SHA-256(key, info = "commonweight/x25519/1")
```
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from eth_account import Account
from eth_account.signers.local import LocalAccount

from node.adapters.recursion import bound_recursion
from node.confidential.agreement import agree, hkdf, public_key
from node.protocol.errors import KeystoreError, LocalProtocolError
from node.protocol.types import Address

bound_recursion()

_DERIVE_INFO = b"commonweight/derive/1"
_X25519_INFO = b"commonweight/x25519/1"

SCRYPT_N = 1 << 18
"""Default scrypt cost (128·r·N = 256 MiB, about half a second)."""
_MAX_SCRYPT_N = 1 << 20
_MAX_FILE_BYTES = 16 * 1024
_MIN_PASSWORD = 8

PasswordSource = Path | Callable[[], str]
"""A file whose first line is the password (readable by its owner only), or something that asks for it. Never argv."""


class KeystoreSigner:
    """The node's key in memory. Shows its address and nothing else; cannot be copied or pickled."""

    __slots__ = ("__account", "__derivation", "__x25519", "_address")

    def __init__(self, account: LocalAccount) -> None:
        key = bytes(account.key)
        self.__account = account
        self.__derivation = hkdf(key, _DERIVE_INFO)
        self.__x25519 = hkdf(key, _X25519_INFO)
        self._address = Address(str(account.address))

    def __repr__(self) -> str:
        return f"KeystoreSigner({self._address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer holds a private key and cannot be copied or pickled")

    @classmethod
    def create(
        cls, path: Path, password: PasswordSource, *, key: bytes | None = None, scrypt_n: int = SCRYPT_N
    ) -> KeystoreSigner:
        """Make a key (or take ``key``, 32 bytes) and write it encrypted to ``path``, mode 0600, in one step.

        Args:
            path: must not exist: a key is never overwritten.
            password: where the password comes from; at least 8 characters.
            key: an existing private key, e.g. of a development chain.
            scrypt_n: scrypt cost, a power of two.

        Raises:
            KeystoreError: the file exists or cannot be written, or the password or key is unfit.
        """
        secret = _new_password(password)
        account = _account(secrets.token_bytes(32) if key is None else key)
        document = Account.encrypt(account.key, secret, kdf="scrypt", iterations=scrypt_n)
        _write_new(path, json.dumps(document, sort_keys=True).encode() + b"\n")
        return cls(account)

    @classmethod
    def load(cls, path: Path, password: PasswordSource) -> KeystoreSigner:
        """Decrypt the keystore at ``path``.

        Raises:
            KeystoreError: missing, readable by others, damaged, or the password is wrong.
        """
        document = _parse_keystore(path, _read_private(path, "keystore"))
        secret = _read_password(password)
        try:
            key = bytes(Account.decrypt(document, secret))
        except (ValueError, TypeError, KeyError, ArithmeticError, MemoryError) as error:
            if "MAC mismatch" in str(error):
                raise KeystoreError(
                    f"The keystore {path} did not open.",
                    why="The password is wrong (or the file was altered).",
                    hint="Check the password file; the key cannot be recovered without its password.",
                ) from None
            raise _damaged(path, type(error).__name__) from None
        signer = cls(_account(key))
        claimed = str(document.get("address", "")).lower().removeprefix("0x")
        if claimed and claimed != signer.address[2:].lower():
            raise _damaged(path, f"it names the account 0x{claimed} but holds another key")
        return signer

    @classmethod
    def change_password(
        cls, path: Path, old: PasswordSource, new: PasswordSource, *, scrypt_n: int = SCRYPT_N
    ) -> KeystoreSigner:
        """Encrypt the same key under another password, with new salt and initialisation vector; the file changes whole or not at all.

        Copies that were made before (backups) keep the old password.

        Raises:
            KeystoreError: the keystore does not open, cannot be written, or the new password is unfit or the old one.
        """
        secret = _new_password(new)
        signer = cls.load(path, old)
        if secret == _read_password(old):
            raise KeystoreError("The new password is the old one.", hint="Write another one into the new file.")
        key = signer.__account.key  # noqa: SLF001 - our own class
        document = Account.encrypt(key, secret, kdf="scrypt", iterations=scrypt_n)
        temporary = _write_beside(path, json.dumps(document, sort_keys=True).encode() + b"\n")
        try:
            cls.load(temporary, lambda: secret)  # what cannot be opened must not take the place of what can
            temporary.replace(path)
        except OSError as error:
            raise KeystoreError(f"The keystore {path} cannot be replaced: {error.strerror}.") from error
        finally:
            temporary.unlink(missing_ok=True)
        return signer

    @classmethod
    def from_key(cls, key: bytes) -> KeystoreSigner:
        """A signer in memory only, e.g. for the funded accounts of a development chain.

        Raises:
            KeystoreError: not a private key of 32 bytes.
        """
        return cls(_account(key))

    @property
    def address(self) -> Address:
        """Our account, EIP-55 text."""
        return self._address

    @property
    def encryption_public_key(self) -> bytes:
        """The X25519 public key (32 bytes) to register on chain."""
        return public_key(self.__x25519)

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """Raw signed transaction.

        Raises:
            LocalProtocolError: a field is missing or of the wrong kind.
        """
        try:
            return bytes(self.__account.sign_transaction(dict(transaction)).raw_transaction)
        except (TypeError, ValueError, KeyError) as error:
            raise LocalProtocolError(f"A transaction of {self._address} cannot be signed: {error}.") from error

    def sign_typed(self, domain: Mapping[str, Any], types: Mapping[str, Any], message: Mapping[str, Any]) -> bytes:
        """EIP-712 signature: r, s, v, 65 bytes.

        Raises:
            LocalProtocolError: domain, types and message do not belong together.
        """
        try:
            signed = self.__account.sign_typed_data(dict(domain), dict(types), dict(message))
        except (TypeError, ValueError, KeyError) as error:
            raise LocalProtocolError(f"A message of {self._address} cannot be signed: {error}.") from error
        return bytes(signed.signature)

    def derive(self, label: bytes) -> bytes:
        """HMAC-SHA-256 of ``label`` under a key derived from ours: 32 bytes, the same after every restart."""
        return hmac.new(self.__derivation, label, hashlib.sha256).digest()

    def shared_secret(self, peer_public_key: bytes) -> bytes:
        """32 bytes that only we and the owner of ``peer_public_key`` can compute; equal on both sides (`node.confidential.agreement`).

        Raises:
            KeystoreError: not an X25519 public key, or one of small order.
        """
        try:
            return agree(self.__x25519, peer_public_key)
        except ValueError:
            raise KeystoreError("The peer's encryption key is not a usable X25519 public key.") from None


def _account(key: bytes) -> LocalAccount:
    try:
        account: LocalAccount = Account.from_key(key)
    except (ValueError, TypeError):  # the library's message could quote the key: dropped
        raise KeystoreError("These bytes are not a secp256k1 private key.", hint="A key has 32 bytes.") from None
    return account


def _damaged(path: Path, detail: str) -> KeystoreError:
    return KeystoreError(
        f"The keystore {path} is damaged: {detail}.", hint="Restore it from your backup; do not edit the file."
    )


def _parse_keystore(path: Path, data: bytes) -> dict[str, Any]:
    """The JSON object, with a bounded scrypt cost: a planted file must not take all memory."""
    try:
        document = json.loads(data)
        parameters = document["crypto"]["kdfparams"]
        cost = parameters["n"] * parameters["r"] * parameters["p"]
        usable = document["crypto"]["kdf"] == "scrypt" and parameters["dklen"] == 32
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, f"not a V3 keystore ({type(error).__name__})") from None
    if document.get("version") != 3 or not usable:
        raise _damaged(path, "only version 3 with scrypt is read")
    if not isinstance(cost, int) or not 0 < cost <= _MAX_SCRYPT_N * 8:
        raise _damaged(path, "its scrypt cost is out of range")
    return dict(document)


def _read_password(source: PasswordSource) -> str:
    """First line of a file, or what the callable answers."""
    if not isinstance(source, Path):
        return source()
    try:
        text = _read_private(source, "password file").decode()
    except UnicodeDecodeError:
        raise KeystoreError(f"The password file {source} is not UTF-8 text.") from None
    password = text.split("\n", 1)[0].removesuffix("\r")
    if not password:
        raise KeystoreError(f"The password file {source} is empty.", hint="Write the password in its first line.")
    return password


def _read_private(path: Path, kind: str) -> bytes:
    """Bytes of a file that only its owner may read; the permissions are checked on the opened file itself."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeystoreError(
            f"The {kind} {path} cannot be opened: {error.strerror}.",
            hint="Create a key with `commonweight keys create`, or name the right path." if kind == "keystore" else "",
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeystoreError(f"The {kind} {path} is not a regular file.")
        if status.st_mode & 0o077:
            raise KeystoreError(
                f"The {kind} {path} is open to others (mode {stat.S_IMODE(status.st_mode):04o}).",
                hint=f"Run: chmod 600 {path}",
            )
        data = file.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise KeystoreError(f"The {kind} {path} is larger than {_MAX_FILE_BYTES} bytes.")
    return data


def _new_password(source: PasswordSource) -> str:
    secret = _read_password(source)
    if len(secret) < _MIN_PASSWORD:
        raise KeystoreError(
            f"The keystore password has {len(secret)} characters.", hint=f"Use at least {_MIN_PASSWORD}."
        )
    return secret


def _write_new(path: Path, data: bytes) -> None:
    """Create ``path`` whole or not at all, mode 0600, never over an existing file."""
    temporary = _write_beside(path, data)
    try:
        os.link(temporary, path)  # fails if the name is taken, unlike rename
    except FileExistsError:
        raise KeystoreError(
            f"There is already a keystore at {path}.", hint="A key is never overwritten; choose another path."
        ) from None
    except OSError as error:
        raise KeystoreError(f"The keystore {path} cannot be written: {error.strerror}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_beside(path: Path, data: bytes) -> Path:
    """Write a new file of mode 0600 in the folder of ``path``, flushed to disk; its name. Nothing is left where that fails."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise KeystoreError(f"The keystore {path} cannot be written: {error.strerror}.") from error
    return temporary

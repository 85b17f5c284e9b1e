"""`commonweight node init`: a folder from which a node can run: settings, and, to join a network, a keystore."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from node.config import load_config, template
from node.protocol.errors import ConfigError
from node.store import disk_errors, write_atomic


def settings_file(path: Path, network: Path | None, name: str, repositories: Sequence[str]) -> str:
    """Text of a new settings file at ``path``.

    Args:
        path: where it will stand; names of files in it are relative to its folder.
        network: the community's network file; None leaves the defaults.
        name: of the node.
        repositories: data to train on.

    Raises:
        ConfigError: there is no such network file.
    """
    given: dict[str, object] = {}
    if name != "node":
        given["node.name"] = name
    if network is not None:
        if not network.is_file():
            raise ConfigError(
                f"There is no network file at {network}.", hint="A community hands one out; it is called network.toml."
            )
        given["network.file"] = os.path.relpath(network.resolve(), path.resolve().parent)
    if repositories:
        given["learning.repositories"] = list(repositories)
    return template(given)


def init(path: Path, text: str) -> dict[str, str]:
    """Write the settings, check that they can be read, and make a keystore under a random password where the file names a network.

    Returns what was written. An existing keystore or password is kept; an existing settings file is never overwritten.

    Raises:
        ConfigError: the settings file exists, or names a network file that is wrong (nothing is kept then).
        KeystoreError: a keystore exists that the password does not open.
        SetupError: the disk is full or read-only.
    """
    if path.exists():
        raise ConfigError(f"{path} exists already.", hint="Move it away first; it is never overwritten.")
    write_atomic(path, text.encode())
    try:
        config = load_config(path)
    except ConfigError:
        path.unlink()
        raise
    written = {"settings": str(path)}
    if not config.network.file:
        return written
    from node.adapters.signer_keystore import KeystoreSigner  # noqa: PLC0415 - only for a network
    from node.runtime import ACCOUNT_FILE, load_signer  # noqa: PLC0415

    keys = config.keys
    with disk_errors(keys.folder):
        keys.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not keys.password_file.exists():
            keys.password_file.touch(mode=0o600)
            keys.password_file.write_text(secrets.token_urlsafe(24), encoding="utf-8")
            written["password"] = str(keys.password_file)
    account = keys.folder / ACCOUNT_FILE
    signer = load_signer(config) if account.exists() else KeystoreSigner.create(account, keys.password_file)
    return written | {
        "keystore": str(account),
        "address": signer.address,
        "next": f"send gas money to the address, then `commonweight node doctor -c {path}` and `commonweight node run -c {path}`",
    }

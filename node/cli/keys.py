"""`commonweight keys`: encrypted keystores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.base import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    group,
    resolve,
    say,
)

keys_app = group("keys", "Encrypted keystores.")


@keys_app.command("create")
def keys_create(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Make this node's key, encrypted under the password in keys.password_file."""
    from node.adapters.signer_keystore import KeystoreSigner
    from node.runtime import ACCOUNT_FILE

    settings = resolve(config, None)
    settings.keys.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    signer = KeystoreSigner.create(settings.keys.folder / ACCOUNT_FILE, settings.keys.password_file)
    say({"address": signer.address}, as_json=as_json)


@keys_app.command("show")
def keys_show(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """The node's address (checks that the keystore opens)."""
    from node.runtime import load_signer

    say({"address": load_signer(resolve(config, None)).address}, as_json=as_json)


@keys_app.command("password")
def keys_password(
    new_password_file: Annotated[Path, typer.Argument(help="File whose first line is the new password (mode 600).")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Encrypt this node's key under a new password. The address stays; a running node is not disturbed."""
    from node.adapters.signer_keystore import KeystoreSigner
    from node.runtime import ACCOUNT_FILE

    settings = resolve(config, None)
    path = settings.keys.folder / ACCOUNT_FILE
    signer = KeystoreSigner.change_password(path, settings.keys.password_file, new_password_file)
    found = {"address": signer.address, "keystore": str(path), "old_password_file": str(settings.keys.password_file)}
    say(found, as_json=as_json)
    if not as_json:
        say({"next": f"mv {new_password_file} {settings.keys.password_file}, and make a new backup"}, as_json=False)

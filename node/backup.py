"""`commonweight node backup|restore`: what cannot be fetched again, in one archive.

In it: the settings file, the keys folder (keystores are encrypted; the password is left out), the privacy ledger, facts and own files of
every round. Not in it: models, peers' updates, the IPFS repository, logs.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from node.config import Config
from node.privacy import LEDGER
from node.protocol.errors import ConfigError
from node.store import disk_errors, write_atomic

MAX_BYTES = 2 << 30
"""Of a whole archive, unpacked: facts are small, and own updates are bounded by the guideline."""
MAX_FILES = 100_000
_PER_ROUND = ("facts.json", "update.safetensors", "residual.safetensors", "slice.jsonl")


def backup(path: Path, config: Config, archive: Path) -> int:
    """Write the archive; returns the number of files in it. A running node may go on: its files change whole or not at all.

    Args:
        path: the settings file.
        config: the settings in it.
        archive: file to write; an existing one is never overwritten.

    Raises:
        ConfigError: ``archive`` exists, or the settings file cannot be read.
        SetupError: the disk is full or read-only.
    """
    if archive.exists():
        raise ConfigError(f"{archive} exists already.", hint="Name another file.")
    buffer = io.BytesIO()
    count = 0
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, file in _files(path, config):
            try:
                data = file.read_bytes()
            except OSError as error:
                raise ConfigError(f"{file} cannot be read: {error.strerror}.") from error
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            tar.addfile(entry, io.BytesIO(data))
            count += 1
    write_atomic(archive, buffer.getvalue())
    return count


def _files(path: Path, config: Config) -> Iterator[tuple[str, Path]]:
    yield "commonweight.toml", path
    password = config.keys.password_file.resolve()
    for file in sorted(config.keys.folder.rglob("*")):
        if file.is_file() and file.resolve() != password:
            yield f"keys/{file.relative_to(config.keys.folder).as_posix()}", file
    if (config.node.data / LEDGER).exists():
        yield f"data/{LEDGER}", config.node.data / LEDGER
    rounds = config.node.data / "rounds"
    for name in _PER_ROUND:
        for file in sorted(rounds.glob(f"*/{name}")):
            yield f"data/rounds/{file.relative_to(rounds).as_posix()}", file


def restore(archive: Path, folder: Path) -> int:
    """Unpack an archive into ``folder``, which must be empty or absent; returns the number of files.

    Names are checked before anything is written: relative, below ``keys/``, ``data/rounds/`` or the settings file, plain files only.

    Raises:
        ConfigError: the folder is not empty, or this is no archive of ours.
        SetupError: the disk is full or read-only.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty.", hint="Restore into a new folder.")
    try:
        with tarfile.open(archive, "r:gz") as tar:
            contents = _checked(tar)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise ConfigError(
            f"{archive} is not a backup: {error}.", hint="`commonweight node backup` writes one."
        ) from error
    with disk_errors(folder):
        for name, data in contents.items():
            target = folder / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
    return len(contents)


def _checked(tar: tarfile.TarFile) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    total = 0
    for entry in tar:
        name = PurePosixPath(entry.name)
        single = entry.name in ("commonweight.toml", f"data/{LEDGER}")
        known = single or name.parts[:1] == ("keys",) or name.parts[:2] == ("data", "rounds")
        if not entry.isreg() or name.is_absolute() or ".." in name.parts or not known:
            raise tarfile.TarError(f"it holds {entry.name!r}, which is none of a node's files")
        total += entry.size
        if total > MAX_BYTES or len(contents) >= MAX_FILES:
            raise tarfile.TarError("it is larger than a node's backup can be")
        file = tar.extractfile(entry)
        contents[entry.name] = file.read() if file else b""
    if "commonweight.toml" not in contents:
        raise tarfile.TarError("it holds no settings")
    return contents

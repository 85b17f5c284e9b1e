"""A node's own folder: facts and files by round, checkpoints by hash. Every write is whole or not there.

```
root/rounds/000007/facts.json            what we found out about round 7 (node.roles.view.Facts)
root/rounds/000007/update.safetensors    our own update, as it travels (compressed and encrypted, if the guideline says so)
root/rounds/000007/residual.safetensors  what its compression left out, for our next update
root/rounds/000007/slice.jsonl           our slice, as steward
root/rounds/000007/updates/3.safetensors a peer's checked update
root/models/<sha256>.safetensors         checkpoints
root/status.json                         what the node is doing now, for people and tools
```
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from node.protocol.errors import LocalProtocolError, SetupError
from node.roles.view import AggregateFact, Facts, Fetched, Opening

FACTS_VERSION = 2


def sha256(data: bytes) -> bytes:
    """Content hash of a file's bytes."""
    return hashlib.sha256(data).digest()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SetupError(
                f"The disk that holds {path} is full.",
                why="Nothing was written in part: the last complete state is kept.",
                hint="Free some space; the node tries again by itself.",
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES):
            raise SetupError(
                f"{path} cannot be written: {error.strerror}.", hint="Check its owner and mode."
            ) from error
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole: temporary file beside it, flush to disk, rename.

    Raises:
        SetupError: the disk is full or read-only; an older file is kept as it was.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


class NodeStore:
    """Files of one node.

    Args:
        root: its folder, made if absent.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        with disk_errors(root):
            (root / "rounds").mkdir(parents=True, exist_ok=True)
            (root / "models").mkdir(exist_ok=True)

    def _round(self, number: int) -> Path:
        return self.root / "rounds" / f"{number:06d}"

    # --- facts ---

    def load_facts(self) -> dict[int, Facts]:
        """Facts of all rounds, as of before a restart. Damaged files are set aside, not trusted."""
        facts: dict[int, Facts] = {}
        for path in sorted((self.root / "rounds").glob("*/facts.json")):
            try:
                facts[int(path.parent.name)] = facts_from_json(json.loads(path.read_bytes()))
            except (ValueError, RecursionError):
                path.replace(path.with_suffix(".damaged"))
        return facts

    def save_facts(self, number: int, facts: Facts) -> None:
        """Persist the facts of one round."""
        write_atomic(self._round(number) / "facts.json", json.dumps(facts_to_json(facts), indent=1).encode())

    # --- files ---

    def save(self, number: int, name: str, data: bytes) -> None:
        """Keep a file of a round."""
        write_atomic(self._round(number) / name, data)

    def load(self, number: int, name: str) -> bytes:
        """Read back a file of a round.

        Raises:
            LocalProtocolError: it is gone although our facts say we have it.
        """
        path = self._round(number) / name
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise LocalProtocolError(f"{path} is missing although the facts of round {number} name it.") from error

    def save_model(self, data: bytes) -> bytes:
        """Keep a checkpoint; returns its hash."""
        digest = sha256(data)
        path = self.root / "models" / f"{digest.hex()}.safetensors"
        if not path.exists():
            write_atomic(path, data)
        return digest

    def load_model(self, digest: bytes) -> bytes | None:
        """A checkpoint by hash, None if we do not have it or it was damaged on disk."""
        path = self.root / "models" / f"{digest.hex()}.safetensors"
        if not path.exists():
            return None
        data = path.read_bytes()
        if sha256(data) != digest:
            path.unlink()
            return None
        return data

    def save_status(self, status: Mapping[str, Any]) -> None:
        """Publish what the node is doing, for `commonweight node status` and dashboards."""
        write_atomic(self.root / "status.json", json.dumps(status, indent=1).encode())


# --- JSON of facts --------------------------------------------------------------------------------------------------


def _opening_to_json(opening: Opening | None) -> dict[str, Any] | None:
    if opening is None:
        return None
    return {
        "content_hash": opening.content_hash.hex(),
        "cid": opening.cid.hex(),
        "salt": opening.salt.hex(),
        "samples": opening.samples,
    }


def _opening_from_json(value: Mapping[str, Any] | None) -> Opening | None:
    if value is None:
        return None
    return Opening(
        content_hash=bytes.fromhex(value["content_hash"]),
        cid=bytes.fromhex(value["cid"]),
        salt=bytes.fromhex(value["salt"]),
        samples=int(value["samples"]),
    )


def _word_to_json(word: tuple[int, bytes] | None) -> list[str] | None:
    return None if word is None else [hex(word[0]), word[1].hex()]


def _word_from_json(value: Sequence[str]) -> tuple[int, bytes]:
    return int(value[0], 16), bytes.fromhex(value[1])


def facts_to_json(facts: Facts) -> dict[str, Any]:
    """JSON value of facts; the inverse of `facts_from_json`."""
    return {
        "version": FACTS_VERSION,
        "update": _opening_to_json(facts.update),
        "update_stored": facts.update_stored,
        "benchmark": _opening_to_json(facts.benchmark),
        "benchmark_stored": facts.benchmark_stored,
        "fetched": {str(index): [outcome.value, reason] for index, (outcome, reason) in facts.fetched.items()},
        "word": _word_to_json(facts.word),
        "retry_word": _word_to_json(facts.retry_word),
        "ballots": {str(dispute): _word_to_json(ballot) for dispute, ballot in facts.ballots.items()},
        "withheld": facts.withheld,
        "aggregate": None
        if facts.aggregate is None
        else [facts.aggregate.secret.hex(), facts.aggregate.model_hash.hex(), facts.aggregate.cid.hex()],
        "audience": facts.audience.hex(),
        "keys": {str(index): key.hex() for index, key in facts.keys.items()},
        "keys_published": facts.keys_published,
    }


def facts_from_json(value: Mapping[str, Any]) -> Facts:
    """Facts of a JSON value.

    Raises:
        ValueError: it was not written by `facts_to_json` of this version.
    """
    try:
        return _facts(value)
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"no facts: {error!r}") from error


def _facts(value: Mapping[str, Any]) -> Facts:
    if value["version"] != FACTS_VERSION:
        raise ValueError(f"facts of version {value['version']}")
    word, retry, aggregate = value["word"], value["retry_word"], value["aggregate"]
    return Facts(
        update=_opening_from_json(value["update"]),
        update_stored=bool(value["update_stored"]),
        benchmark=_opening_from_json(value["benchmark"]),
        benchmark_stored=bool(value["benchmark_stored"]),
        fetched={int(index): (Fetched(pair[0]), str(pair[1])) for index, pair in value["fetched"].items()},
        word=None if word is None else _word_from_json(word),
        retry_word=None if retry is None else _word_from_json(retry),
        withheld=str(value.get("withheld", "")),
        ballots={int(dispute): _word_from_json(ballot) for dispute, ballot in value["ballots"].items()},
        aggregate=None if aggregate is None else AggregateFact(*(bytes.fromhex(part) for part in aggregate)),
        # Not there in what was written before updates could be encrypted.
        audience=bytes.fromhex(value.get("audience", "")),
        keys={int(index): bytes.fromhex(key) for index, key in value.get("keys", {}).items()},
        keys_published=bool(value.get("keys_published", False)),
    )

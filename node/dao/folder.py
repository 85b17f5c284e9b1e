"""A release as a folder: fetched, hash-checked, written so that transformers and peft load it; and checked against the chain again.

```
README.md                model card                     release.json   what the chain says, and the hash of every file
config.json, model.safetensors, tokenizer…              the whole model, adapter merged in (not with adapter only)
adapter/                 the adapter alone, for peft    NOTES.md       release notes
checkpoint.safetensors   what the chain names by hash   guideline.json, statements/<account>.json
```
Everything but checkpoint, notes, guideline and statements follows from those, the chain and the base model; so `verify` makes it again
and compares.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from aggregation.bundle import decode
from node.combine import model_tensors
from node.dao import files as content
from node.dao.card import Facts, card
from node.dao.desk import Desk
from node.dao.files import NOTES_BYTES, Files
from node.dao.releases import find, scores_of, version_of
from node.membership.request import MAX_BYTES as REQUEST_BYTES
from node.protocol.cid import cid_from_digest, compute_cid
from node.protocol.errors import BlobError, ConfigError, TrainingError
from node.protocol.guideline import Guideline
from node.protocol.hashing import keccak256
from node.protocol.state import State
from node.protocol.types import Address
from node.store import sha256, write_atomic

FORMAT = 1
CHECKPOINT, NOTES, GUIDELINE, STATEMENTS = "checkpoint.safetensors", "NOTES.md", "guideline.json", "statements"


async def facts_of(desk: Desk, state: State, number: int, sources: Mapping[str, bytes]) -> Facts:
    """What the chain and the files that it names say about a release.

    Args:
        desk: the community.
        state: folded from its events.
        number: of the release.
        sources: ``NOTES.md``, ``guideline.json`` and ``statements/<account>.json`` by name, checked already.
    """
    release = find(state.catalogue, number)
    earned = {account: trace.at(release.round) for account, trace in state.credits.earned.items()}
    statements = {Address(Path(name).stem): data for name, data in sources.items() if name.startswith(f"{STATEMENTS}/")}
    return Facts(
        chain_id=desk.manifest.chain_id,
        registry=desk.manifest.contracts["ReleaseRegistry"],
        release=release,
        catalogue=state.catalogue,
        epoch=state.rounds[release.round].epoch,
        guideline=Guideline.parse(sources[GUIDELINE]),
        credits={account: credit for account, credit in earned.items() if credit},
        statements=statements,
        notes=sources[NOTES],
    )


async def gather(desk: Desk, files: Files, number: int) -> dict[str, bytes]:
    """Every source of a release's folder, hash-checked: checkpoint, notes, guideline, and the statements that can be had.

    Raises:
        ConfigError: there is no such release.
        BlobUnavailable, BlobCorrupt: checkpoint, notes or guideline could not be had.
    """
    state = await desk.state()
    release = find(state.catalogue, number)
    guideline = await content.guideline_of(desk, files, state.rounds[release.round].epoch)
    cid, limit = cid_from_digest(release.cid), guideline.update.max_bytes
    found = {
        CHECKPOINT: await content.checkpoint(desk, files, release.model_hash, cid, limit),
        NOTES: await content.fetch(
            files, cid_from_digest(release.notes_cid), release.notes_hash, max_bytes=NOTES_BYTES
        ),
        GUIDELINE: guideline.canonical,
    }
    for account in state.credits.earned:
        application = state.applications.get(state.member(account).application)
        if application is None:
            continue
        with suppress(BlobError):  # one who left may serve it no longer; the card says so
            data = await files.get(cid_from_digest(application.request_cid), max_bytes=REQUEST_BYTES)
            if sha256(data) == application.request_hash:
                found[f"{STATEMENTS}/{account}.json"] = data
    return found


def write(facts: Facts, sources: Mapping[str, bytes], base: Path, folder: Path, *, merged: bool) -> None:
    """Write a release's folder; ``folder`` must not exist, and appears whole or not at all.

    Raises:
        ConfigError: it exists.
        TrainingError: the base model is another one, or the checkpoint is not the guideline's.
    """
    if folder.exists():
        raise ConfigError(f"{folder} exists already.", hint="Name a new folder; nothing is overwritten.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        work = Path(temporary) / "release"
        work.mkdir()
        _fill(facts, sources, base, work, merged=merged)
        work.rename(folder)


def _fill(facts: Facts, sources: Mapping[str, bytes], base: Path, folder: Path, *, merged: bool) -> None:
    from learning.errors import LearningError  # noqa: PLC0415 - torch is loaded only where a folder is written
    from learning.models.export import export_merged, export_peft  # noqa: PLC0415
    from learning.spec import LearningSpec  # noqa: PLC0415

    for name, data in sources.items():
        write_atomic(folder / name, data)
    checkpoint = model_tensors(decode(sources[CHECKPOINT], max_bytes=facts.guideline.update.max_bytes))
    try:
        spec = LearningSpec.from_mapping(facts.guideline.learning)
        export_peft(checkpoint, spec, base, folder / "adapter")
        if merged:
            export_merged(checkpoint, spec, base, folder)
    except LearningError as error:
        raise TrainingError(error.what, why=error.why, hint=error.hint) from error
    for readme in folder.glob("*/README.md"):
        readme.unlink()  # peft's empty template
    write_atomic(folder / "README.md", card(facts).encode())
    write_atomic(folder / "release.json", _record(facts, _hashes(folder), merged=merged))


def _record(facts: Facts, hashes: Mapping[str, str], *, merged: bool) -> bytes:
    release = facts.release
    record = {
        "format": FORMAT,
        "chain_id": facts.chain_id,
        "registry": facts.registry,
        "release": release.number,
        "version": version_of(release),
        "round": release.round,
        "parent": release.parent,
        "epoch": facts.epoch,
        "model_hash": release.model_hash.hex(),
        "cid": cid_from_digest(release.cid),
        "scores_ppm": scores_of(release),
        "credits": {account: str(credit) for account, credit in facts.credits.items()},
        "credit_total": str(release.credit_total),
        "merged": merged,
        "files": dict(sorted(hashes.items())),
    }
    return (json.dumps(record, indent=2, sort_keys=True) + "\n").encode()


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 (hex) of every file below a folder but release.json, by relative path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != "release.json":
            with path.open("rb") as stream:
                found[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


async def fetch_release(desk: Desk, files: Files, number: int, folder: Path, *, merged: bool, yanked: bool) -> Facts:
    """Fetch a release into a new folder.

    Raises:
        ConfigError: no such release, it was taken back (and not ``yanked``), or the folder exists.
        BlobError: something could not be had.
        TrainingError: the base model is not here, or another one.
    """
    state = await desk.state()
    release = find(state.catalogue, number)
    if release.is_yanked and not yanked:
        raise ConfigError(
            f"Release {release.number} was taken back by a vote.", hint="Fetch the latest one, or insist with --yanked."
        )
    if await asyncio.to_thread(folder.exists):
        raise ConfigError(f"{folder} exists already.", hint="Name a new folder; nothing is overwritten.")
    sources = await gather(desk, files, release.number)
    facts = await facts_of(desk, state, release.number, sources)
    base = base_folder(desk, facts.guideline)
    await asyncio.to_thread(write, facts, sources, base, folder, merged=merged)
    return facts


def base_folder(desk: Desk, guideline: Guideline) -> Path:
    """Where the guideline's base model lies on this machine.

    Raises:
        TrainingError: nowhere.
    """
    from learning.errors import LearningError  # noqa: PLC0415 - see _fill
    from learning.models.installed import find_base_model  # noqa: PLC0415

    own = desk.config.learning.base_model
    try:
        return find_base_model(str(guideline.learning["model"]), Path(own) if own else None)
    except LearningError as error:
        raise TrainingError(error.what, why=error.why, hint=error.hint) from error


# --- verifying --------------------------------------------------------------------------------------------------------


async def verify_release(desk: Desk, folder: Path) -> dict[str, Any]:
    """Hold a fetched folder against the chain: sources by their hashes, everything else by making it again.

    Returns:
        ``release``, ``version``, ``is_yanked``, ``checked`` (files) and ``findings``, sentences on what differs.

    Raises:
        ConfigError: it is no release's folder, or of another community.
    """
    record = await asyncio.to_thread(_read_record, folder)
    registry = desk.manifest.contracts["ReleaseRegistry"]
    if (record.get("chain_id"), record.get("registry")) != (desk.manifest.chain_id, registry):
        raise ConfigError(f"{folder} holds a release of another community.", hint="Use that community's manifest.")
    state = await desk.state()
    release = find(state.catalogue, int(record["release"]))
    sources, findings = await asyncio.to_thread(_sources, folder, state, release.number)
    checked = 0
    if not findings:
        facts = await facts_of(desk, state, release.number, sources)
        base = base_folder(desk, facts.guideline)
        checked, findings = await asyncio.to_thread(_compare, facts, sources, base, folder, bool(record.get("merged")))
    return {
        "release": release.number,
        "version": version_of(release),
        "is_yanked": release.is_yanked,
        "checked": checked,
        "findings": findings,
        "ok": not findings,
    }


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / "release.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or record.get("format") != FORMAT or type(record.get("release")) is not int:
        raise ConfigError(
            f"{folder} is no folder of a release: it has no release.json of format {FORMAT}.",
            hint="`commonweight release fetch FOLDER` makes one.",
        )
    return record


def _sources(folder: Path, state: State, number: int) -> tuple[dict[str, bytes], list[str]]:
    """The folder's sources, and what is wrong with them by the chain's hashes."""
    release = state.catalogue.releases[number]
    epoch = state.guidelines.epochs[state.rounds[release.round].epoch]
    found: dict[str, bytes] = {}
    findings = []
    wanted: dict[str, Callable[[bytes], bool]] = {
        CHECKPOINT: lambda data: (
            sha256(data) == release.model_hash and compute_cid(data) == cid_from_digest(release.cid)
        ),
        NOTES: lambda data: sha256(data) == release.notes_hash,
        GUIDELINE: lambda data: keccak256(data) == epoch.guideline_hash,
    }
    for name, is_right in wanted.items():
        data = (folder / name).read_bytes() if (folder / name).is_file() else b""
        if not is_right(data):
            findings.append(f"{name} does not have the hash that the chain names")
        found[name] = data
    for path in sorted((folder / STATEMENTS).glob("*.json")):
        data, account = path.read_bytes(), Address(path.stem)
        application = state.applications.get(state.member(account).application)
        if application is None or sha256(data) != application.request_hash:
            findings.append(f"{STATEMENTS}/{path.name} is not what {account} applied with")
        found[f"{STATEMENTS}/{path.name}"] = data
    return found, findings


def _compare(
    facts: Facts,
    sources: Mapping[str, bytes],
    base: Path,
    folder: Path,
    merged: bool,  # noqa: FBT001 - called through a thread
) -> tuple[int, list[str]]:
    """Make the folder again and compare file by file."""
    with tempfile.TemporaryDirectory(prefix="commonweight-verify-") as temporary:
        again = Path(temporary) / "release"
        again.mkdir()
        _fill(facts, sources, base, again, merged=merged)
        wanted, found = _hashes(again), _hashes(folder)
        if wanted.get("README.md") != found.get("README.md") and facts.release.is_yanked:
            # It may have been fetched before it was taken back.
            kept = replace(facts, release=replace(facts.release, is_yanked=False))
            wanted["README.md"] = sha256(card(kept).encode()).hex()
        findings = [f"{name} is missing" for name in sorted(set(wanted) - set(found))]
        findings += [f"{name} belongs to no release" for name in sorted(set(found) - set(wanted))]
        findings += [
            f"{name} is not what checkpoint, guideline and base model give"
            for name in sorted(set(wanted) & set(found))
            if wanted[name] != found[name]
        ]
        if not findings and (folder / "release.json").read_bytes() != _record(facts, wanted, merged=merged):
            findings.append("release.json says something else than the chain")
        return len(wanted) + 1, findings

"""The guideline in force, others to compare it with, and proposals that change it document by document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from node.config import Config
from node.dao.calls import Action
from node.dao.desk import Desk
from node.dao.files import Files, guideline_of
from node.dao.guideline_schema import Fault
from node.dao.honour import faults_here, faults_of, require_honoured
from node.dao.lines import Change, differences, line_numbers
from node.dao.proposal import amend
from node.protocol.cid import compute_cid
from node.protocol.errors import ConfigError
from node.protocol.guideline import DOCUMENTS, Guideline
from node.protocol.types import Cid
from node.runtime import read_file
from node.store import sha256, write_atomic


async def read_guideline(desk: Desk, files: Files, which: str) -> Guideline:
    """A guideline by what people call it: ``current``, the number of an epoch, or a file.

    Raises:
        ConfigError: no such epoch or file.
        BlobUnavailable: its file could not be had.
    """
    epochs = (await desk.state()).guidelines.epochs
    if which == "current" or which.isdigit():
        number = len(epochs) if which == "current" else int(which)
        if number not in epochs:
            raise ConfigError(f"There is no guideline epoch {number}.", hint=f"They count from 1 to {len(epochs)}.")
        return await guideline_of(desk, files, number)
    return Guideline.parse(read_file(Path(which), "guideline", "Name a file, an epoch, or current."))


def check_file(data: bytes, config: Config, *, here: bool) -> tuple[Guideline, list[tuple[int, Fault]]]:
    """Faults of a guideline's file, each with its line number there (0 where the line is missing).

    Args:
        data: the file.
        config: the node's settings.
        here: also what this machine cannot keep.

    Raises:
        ConfigError: it is no guideline at all.
    """
    guideline = Guideline.parse(data)
    faults = faults_here(guideline, config, trains=True) if here else faults_of(guideline)
    places = line_numbers(data.decode())
    return guideline, [(_place(places, fault.line), fault) for fault in faults]


def _place(places: dict[str, int], line: str) -> int:
    """Line number of the path, or of the nearest object around it."""
    while line and line not in places:
        line = line.rpartition(".")[0]
    return places.get(line, 0)


def amendments(before: Guideline, after: Guideline) -> tuple[list[Action], list[bytes]]:
    """Calls that change one guideline into another, a document each, and the files that they name.

    The registry wants the whole guideline's hash with every document, and it must change; so between two changed documents there is a
    guideline with only the first of them changed.

    Raises:
        ConfigError: they are the same, or an intermediate guideline could not be carried out.
    """
    actions, files = [], []
    documents = dict(before.documents)
    for kind, name in enumerate(DOCUMENTS):
        if before.document(name) == after.document(name):
            continue
        documents = {**documents, name: after.documents[name]}
        step = Guideline(documents)
        data = after.document(name)
        actions.append(amend(kind, (sha256(data), compute_cid(data)), (step.hash, compute_cid(step.canonical))))
        files += [data, step.canonical]
    if not actions:
        raise ConfigError("The guideline is the one in force already; nothing would change.")
    return actions, files


def text_of(changes: list[Change], reason: str) -> str:
    """A proposal's text: the lines that change, and why."""
    listed = "\n".join(f"* {one.line}: {one.before!r} → {one.after!r}" for one in changes)
    names = sorted({one.line.partition(".")[0] for one in changes})
    return (
        f"Guideline: change the {' and '.join(names)} document{'s' * (len(names) > 1)}\n\n{reason}\n\n{listed}".strip()
    )


async def publish_all(files: Files, data: list[bytes]) -> list[Cid]:
    """Publish every file of a change."""
    return [await files.publish(one) for one in data]


async def adopt(desk: Desk, files: Files) -> dict[str, Any]:
    """Write the guideline in force to the node's own file, if the node can honour it.

    Raises:
        ConfigError: it cannot; names the line. The node's file stays as it was.
    """
    guideline = await read_guideline(desk, files, "current")
    require_honoured(guideline, desk.config, trains=True)
    path = desk.config.network.guideline
    before = Guideline.parse(read_file(path, "guideline", "It comes with the network's files."))
    write_atomic(path, guideline.canonical)
    changes = differences(before.documents, guideline.documents)
    return {
        "written": str(path),
        "epoch": len((await desk.state()).guidelines.epochs),
        "hash": "0x" + guideline.hash.hex(),
        "changed": [one.line for one in changes],
    }

"""The GuidelineRegistry as a fold of its events: revisions of the four documents, and the epochs. Part of `node.protocol.state`.

What the documents say is `node.protocol.guideline`'s; here are only their hashes and CIDs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from node.protocol.members import InconsistentHistory, with_entry
from node.protocol.types import ChainEvent, Scoring


class Kind(IntEnum):
    """The four documents (`IGuidelineRegistry.Kind`); numbers equal the contract's."""

    DATA = 0
    ARCHITECTURE = 1
    UPDATE = 2
    VERSIONING = 3


@dataclass(frozen=True, slots=True)
class Document:
    """One revision of a document: SHA-256 of its bytes and CID digest."""

    content_hash: bytes
    cid: bytes
    revision: int
    at: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """Everything in force from ``since`` on: hash (Keccak-256) and CID of the combined file, scoring, a revision of each kind."""

    number: int
    guideline_hash: bytes
    guideline_cid: bytes
    scoring: Scoring
    revisions: tuple[int, ...]
    since: int


@dataclass(frozen=True, slots=True)
class Guidelines:
    """All revisions by kind, from 1, and all epochs by number, from 1."""

    documents: Mapping[Kind, tuple[Document, ...]] = field(default_factory=dict)
    epochs: Mapping[int, Epoch] = field(default_factory=dict)

    @property
    def current(self) -> Epoch | None:
        """The epoch that the next round opens under."""
        return self.epochs.get(len(self.epochs))

    def document_of(self, epoch: int, kind: Kind) -> Document:
        """The revision of a document that was in force in an epoch.

        Raises:
            KeyError, IndexError: there is no such epoch.
        """
        return self.documents[kind][self.epochs[epoch].revisions[kind] - 1]


def _amended(known: Guidelines, event: ChainEvent) -> Guidelines:
    a = event.arguments
    kind = Kind(a["kind"])
    before = known.documents.get(kind, ())
    if a["revision"] != len(before) + 1:
        raise InconsistentHistory(f"Revision {a['revision']} of {kind.name} came after {len(before)}.")
    document = Document(a["contentHash"], a["cid"], a["revision"], event.timestamp)
    return replace(known, documents=with_entry(known.documents, kind, (*before, document)))


def _begun(known: Guidelines, event: ChainEvent) -> Guidelines:
    a = event.arguments
    values, number = a["scoring"], a["epoch"]
    if number != len(known.epochs) + 1:
        raise InconsistentHistory(f"Epoch {number} of the guideline began after {len(known.epochs)}.")
    epoch = Epoch(
        number=number,
        guideline_hash=a["guidelineHash"],
        guideline_cid=a["guidelineCid"],
        scoring=Scoring(values["tau"], values["deltaMin"], values["harmMin"], values["gainCap"]),
        revisions=tuple(a["revisions"]),
        since=event.timestamp,
    )
    return replace(known, epochs=with_entry(known.epochs, number, epoch))


GUIDELINE_HANDLERS: Mapping[str, Callable[[Guidelines, ChainEvent], Guidelines]] = {
    "DocumentAmended": _amended,
    "EpochBegun": _begun,
}
"""Handlers of the GuidelineRegistry's events, by name."""

"""Reference model of GuidelineRegistry: four append-only documents, scoring within constant bounds, one epoch per amendment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from node.protocol.errors import TransactionReverted
from node.protocol.types import Address, Scoring
from node.sim.abi import ZERO_ADDRESS, ZERO_BYTES32, Contract, Log, Transaction, external, view

KINDS = 4
MOST_GAIN = 524_287
LEAST_GAIN = 1


@dataclass(frozen=True, slots=True)
class Document:
    """One revision: hash of its bytes and CID digest."""

    content_hash: bytes
    cid: bytes


@dataclass(frozen=True, slots=True)
class Epoch:
    """What was in force together; revisions count from 1, in the order of kinds."""

    guideline_hash: bytes
    guideline_cid: bytes
    scoring: Scoring
    revisions: tuple[int, ...]
    since: int


class GuidelineRegistry(Contract):
    """The developer guideline and its history.

    Args:
        address: of the contract.
        timelock: the only account that amends.
        founding: first revision of each document: data, architecture, update, versioning.
        guideline: the combined file.
        scoring: founding numbers.
        deployed_at: timestamp of deployment.

    Raises:
        TransactionReverted: a hash or the timelock is zero, or a number is out of its bounds.
    """

    NAME = "GuidelineRegistry"

    def __init__(
        self,
        address: Address,
        timelock: Address,
        *,
        founding: Sequence[Document],
        guideline: Document,
        scoring: Scoring,
        deployed_at: int,
    ) -> None:
        super().__init__(address)
        if timelock == ZERO_ADDRESS:
            raise TransactionReverted("ZeroTimelock")
        for document in (guideline, *founding):
            _check_document(document)
        check_scoring(scoring)
        self._timelock = timelock
        self._documents: list[list[Document]] = [[document] for document in founding]
        self._epochs = [Epoch(guideline.content_hash, guideline.cid, scoring, (1,) * KINDS, deployed_at)]
        self.founding_logs = [
            *(
                Log(self.NAME, "DocumentAmended", _amendment(kind, 1, document))
                for kind, document in enumerate(founding)
            ),
            Log(self.NAME, "EpochBegun", _beginning(1, self._epochs[0])),
        ]

    @external("uint8", "bytes32", "bytes32", "bytes32", "bytes32")
    def amend(  # noqa: PLR0917 - the arguments of the contract
        self,
        transaction: Transaction,
        kind: int,
        content_hash: bytes,
        cid: bytes,
        guideline_hash: bytes,
        guideline_cid: bytes,
    ) -> None:
        """Put a new revision of one document in force, and the combined file that contains it; timelock only."""
        self._check_timelock(transaction)
        _check_document(Document(guideline_hash, guideline_cid))
        before = self._epochs[-1]
        in_force = self._documents[kind][before.revisions[kind] - 1].content_hash
        transaction.require(content_hash != in_force, "SameHash", content_hash, in_force)
        combined = before.guideline_hash
        transaction.require(guideline_hash != combined, "SameHash", guideline_hash, combined)
        document = Document(content_hash, cid)
        _check_document(document)
        transaction.effects()
        self._documents[kind].append(document)
        revisions = tuple(number + (place == kind) for place, number in enumerate(before.revisions))
        transaction.emit_mapping(self.NAME, "DocumentAmended", _amendment(kind, revisions[kind], document))
        self._begin(
            transaction,
            replace(before, guideline_hash=guideline_hash, guideline_cid=guideline_cid, revisions=revisions),
        )

    @external("struct")
    def set_scoring(self, transaction: Transaction, given: Mapping[str, int]) -> None:
        """Put new scoring numbers in force; timelock only."""
        scoring = Scoring(given["tau"], given["deltaMin"], given["harmMin"], given["gainCap"])
        self._check_timelock(transaction)
        check_scoring(scoring)
        before = self._epochs[-1]
        transaction.require(scoring != before.scoring, "SameScoring", astuple(scoring))
        transaction.effects()
        self._begin(transaction, replace(before, scoring=scoring))

    @view()
    def current(self) -> tuple[int, bytes, tuple[int, ...]]:
        """(epoch, guideline hash, scoring) that the next round opens under."""
        epoch = self._epochs[-1]
        return len(self._epochs), epoch.guideline_hash, astuple(epoch.scoring)

    @view("uint256")
    def epoch_of(self, epoch: int) -> tuple[Any, ...]:
        """A past epoch, or the one in force: (guideline hash, CID, scoring, revisions, since)."""
        found = self._epoch(epoch)
        return found.guideline_hash, found.guideline_cid, astuple(found.scoring), found.revisions, found.since

    @view("uint256", "uint8")
    def document_of(self, epoch: int, kind: int) -> tuple[bytes, bytes]:
        """(hash, CID) of the document of a kind that was in force in an epoch."""
        return self.revision_of(kind, self._epoch(epoch).revisions[kind])

    @view("uint8", "uint256")
    def revision_of(self, kind: int, revision: int) -> tuple[bytes, bytes]:
        """(hash, CID) of one revision of a document, from 1."""
        if not 1 <= revision <= len(self._documents[kind]):
            raise TransactionReverted("NoSuchRevision", (kind, revision, len(self._documents[kind])))
        found = self._documents[kind][revision - 1]
        return found.content_hash, found.cid

    def _epoch(self, epoch: int) -> Epoch:
        if not 1 <= epoch <= len(self._epochs):
            raise TransactionReverted("NoSuchEpoch", (epoch, len(self._epochs)))
        return self._epochs[epoch - 1]

    @view()
    def timelock(self) -> Address:
        """The only account that amends."""
        return self._timelock

    def _begin(self, transaction: Transaction, epoch: Epoch) -> None:
        self._epochs.append(replace(epoch, since=transaction.timestamp))
        transaction.emit_mapping(self.NAME, "EpochBegun", _beginning(len(self._epochs), self._epochs[-1]))

    def _check_timelock(self, transaction: Transaction) -> None:
        transaction.require(transaction.sender == self._timelock, "NotTimelock", transaction.sender, self._timelock)


def _amendment(kind: int, revision: int, document: Document) -> dict[str, Any]:
    return {"kind": kind, "revision": revision, "contentHash": document.content_hash, "cid": document.cid}


def _beginning(number: int, epoch: Epoch) -> dict[str, Any]:
    tau, delta_min, harm_min, gain_cap = astuple(epoch.scoring)
    return {
        "epoch": number,
        "guidelineHash": epoch.guideline_hash,
        "guidelineCid": epoch.guideline_cid,
        "scoring": {"tau": tau, "deltaMin": delta_min, "harmMin": harm_min, "gainCap": gain_cap},
        "revisions": epoch.revisions,
    }


def check_scoring(scoring: Scoring) -> None:
    """The constant bounds of every number.

    Raises:
        TransactionReverted: `ParameterOutOfBounds` with the name of the first number outside.
    """
    bounds = (
        ("tau", scoring.tau, 0),
        ("deltaMin", scoring.delta_min, LEAST_GAIN),
        ("harmMin", scoring.harm_min, LEAST_GAIN),
        ("gainCap", scoring.gain_cap, scoring.delta_min),
    )
    for name, value, least in bounds:
        if not least <= value <= MOST_GAIN:
            raise TransactionReverted("ParameterOutOfBounds", (name, value, least, MOST_GAIN))


def _check_document(document: Document) -> None:
    if ZERO_BYTES32 in {document.content_hash, document.cid}:
        raise TransactionReverted("ZeroHash", (document.content_hash, document.cid))

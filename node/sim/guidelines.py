"""Reference model of GuidelineRegistry: four append-only documents, scoring within constant bounds, one epoch per amendment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

from node.protocol.errors import TransactionReverted
from node.protocol.types import Address
from node.sim.abi import ZERO_ADDRESS, ZERO_BYTES32, Contract, Transaction, external, view

KINDS = 4
MOST_GAIN = 524_287
LEAST_GAIN = 1


@dataclass(frozen=True, slots=True)
class Scoring:
    """Scoring numbers in ppm, in the order of `IGuidelineRegistry.Scoring`."""

    tau: int
    delta_min: int
    harm_min: int
    gain_cap: int


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
        transaction.emit(
            self.NAME, "DocumentAmended", kind=kind, revision=revisions[kind], contentHash=content_hash, cid=cid
        )
        self._begin(
            transaction,
            replace(before, guideline_hash=guideline_hash, guideline_cid=guideline_cid, revisions=revisions),
        )

    def set_scoring(self, transaction: Transaction, scoring: Scoring) -> None:
        """Put new scoring numbers in force; timelock only. Takes a struct, so it is called as a method."""
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
    def epoch_of(self, epoch: int) -> Epoch:
        """A past epoch, or the one in force."""
        if not 1 <= epoch <= len(self._epochs):
            raise TransactionReverted("NoSuchEpoch", (epoch, len(self._epochs)))
        return self._epochs[epoch - 1]

    @view("uint256", "uint8")
    def document_of(self, epoch: int, kind: int) -> Document:
        """The document of a kind that was in force in an epoch."""
        return self._documents[kind][self.epoch_of(epoch).revisions[kind] - 1]

    @view("uint8", "uint256")
    def revision_of(self, kind: int, revision: int) -> Document:
        """One revision of a document, from 1."""
        if not 1 <= revision <= len(self._documents[kind]):
            raise TransactionReverted("NoSuchRevision", (kind, revision, len(self._documents[kind])))
        return self._documents[kind][revision - 1]

    @view()
    def timelock(self) -> Address:
        """The only account that amends."""
        return self._timelock

    def _begin(self, transaction: Transaction, epoch: Epoch) -> None:
        self._epochs.append(replace(epoch, since=transaction.timestamp))
        transaction.emit(
            self.NAME,
            "EpochBegun",
            epoch=len(self._epochs),
            guidelineHash=epoch.guideline_hash,
            guidelineCid=epoch.guideline_cid,
            scoring=astuple(epoch.scoring),
            revisions=epoch.revisions,
        )

    def _check_timelock(self, transaction: Transaction) -> None:
        transaction.require(transaction.sender == self._timelock, "NotTimelock", transaction.sender, self._timelock)


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

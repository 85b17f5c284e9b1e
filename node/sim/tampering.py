"""Ways to falsify a history, one at a time: what an audit must find. Events as an endpoint would serve them, files as a gateway would.

Each way takes an honest `Archive` that has played `constitutional` and a round with a fault, and says what is served instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from aggregation.bundle import decode, encode
from node.protocol.cid import cid_from_digest
from node.protocol.types import Address, Call, ChainEvent, Cid
from node.sim.archive import Archive, FolderBlobs
from node.sim.scripted import Script
from node.sim.scripted_chain import RecordedChain
from node.sim.scripted_votes import constitutional
from node.store import sha256

STRANGER = Address("0x" + "5" * 40)
NOBODY = "0x" + "0" * 40


@dataclass(frozen=True, slots=True)
class Served:
    """What an auditor is given: events, and bytes under CIDs other than the true ones (None: nobody serves it)."""

    events: Sequence[ChainEvent]
    files: Mapping[Cid, bytes | None] = field(default_factory=dict)
    answers: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)


class AlteredBlobs(FolderBlobs):
    """The archive's files, some replaced: a gateway that does not even check its own CIDs.

    Args:
        honest: the true files.
        files: what is served instead.
    """

    def __init__(self, honest: FolderBlobs, files: Mapping[Cid, bytes | None]) -> None:
        super().__init__(honest.folder)
        self._files = files

    async def get(self, cid: Cid, *, max_bytes: int, seconds: float) -> bytes:
        """A file, or what is served in its place.

        Raises:
            BlobError: as `FolderBlobs.get`.
        """
        data = self._files.get(cid, b"")
        if cid not in self._files:
            return await super().get(cid, max_bytes=max_bytes, seconds=seconds)
        return self.verified(cid, data)


class AlteredChain(RecordedChain):
    """An endpoint that serves other events, or whose contracts answer otherwise.

    Args:
        archive: the true history.
        served: what is served instead.
    """

    def __init__(self, archive: Archive, served: Served) -> None:
        super().__init__(archive, served.events)
        self._answers = served.answers

    async def read(self, call: Call) -> Any:
        """Result of a view, or another one."""
        answer = await super().read(call)
        change = self._answers.get(call.function)
        return answer if change is None else change(answer)


def honest(archive: Archive) -> Archive:
    """Play what every way of tampering needs: the whole surface of votes, and a round with a slash."""
    constitutional(archive)
    archive.play(Script(is_sealed=False, no_reveal={2}))
    archive.court(0, "slashUnrevealedUpdate", archive.round, archive.members[2])
    archive.claim_all()
    return archive


def _at(events: Sequence[ChainEvent], name: str, nth: int = 0, contract: str = "") -> int:
    found = [place for place, e in enumerate(events) if e.name == name and contract in {"", e.contract}]
    return found[nth]


def _changed(archive: Archive, name: str, nth: int = 0, contract: str = "", **changes: Callable[[Any], Any]) -> Served:
    events = list(archive.events)
    place = _at(events, name, nth, contract)
    values = {key: change(events[place].arguments[key]) for key, change in changes.items()}
    events[place] = replace(events[place], arguments={**events[place].arguments, **values})
    return Served(events)


def _without(archive: Archive, name: str, nth: int = 0) -> Served:
    events = list(archive.events)
    del events[_at(events, name, nth)]
    return Served(events)


def _forged(archive: Archive, contract: str, name: str, after: str, arguments: Mapping[str, Any]) -> Served:
    events = list(archive.events)
    place = _at(events, after)
    made = replace(events[place], contract=contract, name=name, arguments=arguments, transaction=b"\x09" * 32)
    return Served([*events[: place + 1], made, *events[place + 1 :]])


def _other(value: bytes) -> bytes:
    return bytes([value[0] ^ 1, *value[1:]])


def _more(value: int) -> int:
    return value + 1


def _update(archive: Archive) -> Cid:
    return cid_from_digest(archive.events[_at(archive.events, "UpdateRevealed")].arguments["cid"])


def _altered_bundle(archive: Archive) -> Served:
    data = bytearray(archive.blobs.path(_update(archive)).read_bytes())
    data[-1] ^= 1
    return Served(archive.events, {_update(archive): bytes(data)})


def _swapped_bundle(archive: Archive) -> Served:
    """Another update, with the hash and the CID that belong to it."""
    limit = archive.guideline.update.max_bytes
    tensors = decode(archive.blobs.path(_update(archive)).read_bytes(), max_bytes=limit)
    data = encode({name: tensor + np.float32(0.01) for name, tensor in tensors.items()})
    digest, cid = sha256(data), archive.digest_of(data)
    served = _changed(archive, "UpdateRevealed", contentHash=lambda _: digest, cid=lambda _: cid)
    return replace(served, files={cid_from_digest(cid): data})


def _wrong_aggregate(archive: Archive) -> Served:
    other = sha256(b"another model")
    events = list(archive.events)
    for place, event in enumerate(events):
        if event.name in {"AggregateProposed", "RoundFinalized"} and event.arguments["round"] == archive.round:
            events[place] = replace(event, arguments={**event.arguments, "modelHash": other})
    return Served(events)


def _quorum_short(archive: Archive) -> Served:
    number = archive.events[_at(archive.events, "ProposalCreated")].arguments["proposalId"]
    kept = [e for e in archive.events if e.name != "VoteCast" or e.arguments["proposalId"] != number]
    return Served(kept)


def _twice(archive: Archive, name: str) -> Served:
    events = list(archive.events)
    place = _at(events, name)
    return Served([*events[: place + 1], events[place], *events[place + 1 :]])


def _reordered(archive: Archive) -> Served:
    events = list(archive.events)
    first, second = _at(events, "UpdateRevealed"), _at(events, "UpdateRevealed", 1)
    events[first], events[second] = events[second], events[first]
    return Served(events)


def _below_gate(archive: Archive) -> Served:
    def lower(candidate: Mapping[str, Any]) -> dict[str, Any]:
        return {**candidate, "scores": tuple({**score, "ppm": 1} for score in candidate["scores"])}

    return _changed(archive, "ReleasePublished", 1, candidate=lower)


def _slash_without_fault(archive: Archive) -> Served:
    """The account that was slashed had revealed, after all."""
    events = list(archive.events)
    for place, event in enumerate(events):
        if event.name == "Slashed":
            events[place] = replace(event, arguments={**event.arguments, "member": archive.members[0]})
        if event.name == "FaultPunished":
            events[place] = replace(event, arguments={**event.arguments, "account": archive.members[0]})
    return Served(events)


def _late(archive: Archive) -> Served:
    events = list(archive.events)
    place = _at(events, "UpdateCommitted")
    events[place] = replace(events[place], timestamp=events[place].timestamp + 10_000)
    return Served(events)


def _hasty_timelock(archive: Archive) -> Served:
    events = list(archive.events)
    place = _at(events, "CallExecuted")
    events[place] = replace(events[place], timestamp=events[place].timestamp - 4)
    return Served(events)


def _mint(archive: Archive) -> Served:
    given = {"from": NOBODY, "to": STRANGER, "value": 1}
    return _forged(archive, "ContributionToken", "Transfer", "Paid", given)


def _theft(archive: Archive) -> Served:
    given = {"from": archive.ledger.treasury.address, "to": STRANGER, "value": 1}
    return _forged(archive, "ContributionToken", "Transfer", "Paid", given)


def _seat(archive: Archive) -> Served:
    given = {"seat": 0, "holder": STRANGER, "expiresAt": archive.now + 1_000}
    return _forged(archive, "MemberRegistry", "SeatSet", "ReleaseYanked", given)


KINDS: Mapping[str, Callable[[Archive], Served]] = {
    "wrong CID": lambda a: _changed(a, "UpdateRevealed", cid=lambda _: a.events[_at(a.events, "UpdateRevealed", 1)].arguments["cid"]),
    "altered bundle": _altered_bundle,
    "bundle nobody serves": lambda a: Served(a.events, {_update(a): None}),
    "swapped bundle with its own hash and CID": _swapped_bundle,
    "wrong content hash": lambda a: _changed(a, "UpdateRevealed", contentHash=_other),
    "wrong aggregate": _wrong_aggregate,
    "changed score": lambda a: _changed(a, "ScoresRevealed", word=lambda word: word ^ (1 << 15)),
    "wrong median": lambda a: _changed(a, "UpdateSettled", gain=_more),
    "wrong assignment": lambda a: _changed(a, "ScoresCommitted", index=lambda index: index ^ 1),
    "forged seed": lambda a: _changed(a, "SeedDrawn", seed=_other),
    "missing event": lambda a: _without(a, "Attested"),
    "reordered events": _reordered,
    "act after its deadline": _late,
    "reward too high": lambda a: _changed(a, "Claimed", 0, "RewardDistributor", trainerReward=_more),
    "reward claimed twice": lambda a: _twice(a, "Claimed"),
    "extra mint": _mint,
    "slash without fault": _slash_without_fault,
    "vote counted twice": lambda a: _twice(a, "VoteCast"),
    "wrong voting weight": lambda a: _changed(a, "VoteCast", weight=_more),
    "units above the curve": lambda a: _changed(a, "DelegateVotesChanged", newVotes=_more),
    "quorum short": _quorum_short,
    "vote not prolonged": lambda a: _without(a, "ProposalExtended"),
    "timelock too short": _hasty_timelock,
    "call that none may make": lambda a: _changed(a, "ProposalCreated", targets=lambda _: (STRANGER,)),
    "seat given without a vote": _seat,
    "treasury spent without a vote": _theft,
    "release below the gate": _below_gate,
    "release of another model": lambda a: _changed(a, "ReleasePublished", candidate=lambda c: {**c, "modelHash": b"\x09" * 32}),
    "wrong credit": lambda a: _changed(a, "CreditsRolled", creditTotal=_more),
    "revenue overpaid": lambda a: _changed(a, "Claimed", 0, "RevenueSplitter", amount=_more, total=_more),
    "contract that answers otherwise": lambda a: Served(a.events, answers={"totalSupply": _more}),
}  # fmt: skip
"""Every way, by name."""

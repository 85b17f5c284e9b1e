"""Proposals and the votes on them, folded from the governor's events. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from node.dao.calls import Action, decode
from node.dao.proposal import split_description
from node.protocol.errors import ConfigError
from node.protocol.hashing import keccak256
from node.protocol.types import Address, ChainEvent

SUPPORT = ("against", "for", "abstain")
"""Choices by the governor's numbers."""
SPLIT = 255
"""The governor's number for votes that are split."""


@dataclass(frozen=True, slots=True)
class Cast:
    """One vote: how many votes (10⁻¹⁸ units) went against, for, and to abstain; reason; when."""

    voter: Address
    against: int
    favour: int
    abstain: int
    reason: str
    timestamp: int

    @property
    def weight(self) -> int:
        """All of them."""
        return self.against + self.favour + self.abstain


@dataclass(frozen=True, slots=True)
class Ballot:
    """A proposal as proposed, and what happened to it.

    Attributes:
        number: counting from 1 in the order of proposing; for people.
        id: on chain.
        proposer: who proposed it.
        targets: contracts called.
        values: wei sent along, always 0.
        datas: call data.
        description: with the proposer's mark.
        starts: the vote's start: votes count as of this second.
        ends: the vote's end, prolonged if it was.
        casts: votes in order; who splits may vote several times.
        eta: when the timelock lets it be executed; 0 before it is queued.
        is_cancelled: taken back.
        executed_at: when it was executed; 0 before.
    """

    number: int
    id: int
    proposer: Address
    targets: tuple[Address, ...]
    values: tuple[int, ...]
    datas: tuple[bytes, ...]
    description: str
    starts: int
    ends: int
    casts: tuple[Cast, ...] = ()
    eta: int = 0
    is_cancelled: bool = False
    executed_at: int = 0

    @property
    def title(self) -> str:
        """The description's first line."""
        return split_description(self.description)[0]

    @property
    def tally(self) -> tuple[int, int, int]:
        """Votes against, for, abstain."""
        return (
            sum(cast.against for cast in self.casts),
            sum(cast.favour for cast in self.casts),
            sum(cast.abstain for cast in self.casts),
        )

    @property
    def operation(self) -> tuple[tuple[Address, ...], tuple[int, ...], tuple[bytes, ...], bytes]:
        """Arguments of `queue`, `execute` and `cancel`."""
        return self.targets, self.values, self.datas, keccak256(self.description.encode())

    def actions(self, contracts: Mapping[str, Address]) -> list[Action | None]:
        """What it would do; None for a call that none of our contracts has."""
        return [decode(target, data, contracts) for target, data in zip(self.targets, self.datas, strict=True)]


def fold(events: Iterable[ChainEvent]) -> dict[int, Ballot]:
    """Proposals by id, in the order of proposing; events of other contracts are passed over."""
    ballots: dict[int, Ballot] = {}
    for event in events:
        if event.contract != "CommunityGovernor" or "proposalId" not in event.arguments:
            continue
        number = event.arguments["proposalId"]
        if event.name == "ProposalCreated":
            ballots[number] = _created(event, len(ballots) + 1)
        elif number in ballots:
            ballots[number] = _after(ballots[number], event)
    return ballots


def _created(event: ChainEvent, number: int) -> Ballot:
    a = event.arguments
    return Ballot(
        number=number,
        id=a["proposalId"],
        proposer=Address(a["proposer"]),
        targets=tuple(a["targets"]),
        values=tuple(a["values"]),
        datas=tuple(a["calldatas"]),
        description=a["description"],
        starts=a["voteStart"],
        ends=a["voteEnd"],
    )


def _after(ballot: Ballot, event: ChainEvent) -> Ballot:
    a = event.arguments
    match event.name:
        case "VoteCast" | "VoteCastWithParams":
            return replace(ballot, casts=(*ballot.casts, _cast(event)))
        case "ProposalExtended":
            return replace(ballot, ends=a["extendedDeadline"])
        case "ProposalQueued":
            return replace(ballot, eta=a["etaSeconds"])
        case "ProposalCanceled":
            return replace(ballot, is_cancelled=True)
        case "ProposalExecuted":
            return replace(ballot, executed_at=event.timestamp)
    return ballot


def _cast(event: ChainEvent) -> Cast:
    a = event.arguments
    if a["support"] == SPLIT:
        against, favour, abstain = split_of(a["params"])
    else:
        against, favour, abstain = (a["weight"] if a["support"] == choice else 0 for choice in range(3))
    return Cast(Address(a["voter"]), against, favour, abstain, a["reason"], event.timestamp)


def split_params(against: int, favour: int, abstain: int) -> bytes:
    """Parameters of a split vote: three 128-bit integers."""
    return b"".join(part.to_bytes(16, "big") for part in (against, favour, abstain))


def split_of(params: bytes) -> tuple[int, int, int]:
    """Inverse of `split_params`; zeros for anything else."""
    if len(params) != 48:
        return 0, 0, 0
    against, favour, abstain = (int.from_bytes(params[start : start + 16], "big") for start in (0, 16, 32))
    return against, favour, abstain


def shares(votes: int, parts: tuple[float, float, float]) -> tuple[int, int, int]:
    """``votes`` split by percentages of against, for, abstain, rounded down each: together never more than there are.

    Raises:
        ConfigError: a part is negative, or they are more than 100 together.
    """
    if min(parts) < 0 or sum(parts) > 100 or sum(parts) == 0:
        raise ConfigError(
            "The parts of a split vote are percentages, at most 100 together.", hint="E.g. --for 60 --against 40."
        )
    against, favour, abstain = (votes * round(part * 1_000_000) // 100_000_000 for part in parts)
    return against, favour, abstain


def find(ballots: Mapping[int, Ballot], which: str) -> Ballot:
    """A proposal by its number for people, its id, or the first hex digits of its id (``0x…``).

    Raises:
        ConfigError: there is none, or several.
    """
    found = [
        ballot
        for ballot in ballots.values()
        if which in (str(ballot.number), str(ballot.id))
        or (len(which) > 4 and f"0x{ballot.id:064x}".startswith(which.lower()))
    ]
    if len(found) != 1:
        raise ConfigError(
            f"There is no proposal {which!r}." if not found else f"{which!r} begins the id of {len(found)} proposals.",
            hint="`commonweight dao list` shows them.",
        )
    return found[0]

"""What the reference model's RoundCourt stores of a dispute, and the questions it asks of the round and its ring."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.protocol.sortition import JuryPlan, panel_positions, plan_jury
from node.protocol.types import Address, DisputeKind, Outcome, RoundParams, UpdateStatus
from node.sim.round_state import Entry, RoundRecord


@dataclass(slots=True)
class Ballot:
    """One juror's ballot, from its commitment on."""

    entry: Entry = Entry.NONE
    commitment: bytes = b""
    value: int = 0


@dataclass(slots=True)
class Dispute:
    """One dispute; ``jury`` holds ring positions by place, ``status`` and ``gain`` the jury's verdict where it overturned one."""

    number: int
    disputer: Address
    until: int
    seed_block: int
    index: int
    round: int
    participants: int
    position: int
    kind: DisputeKind
    is_retried: bool
    plan: JuryPlan
    commit_end: int = 0
    outcome: Outcome = Outcome.NONE
    places: int = 0
    commits: int = 0
    reveals: int = 0
    status: UpdateStatus = UpdateStatus.PENDING
    gain: int = 0
    key: bytes = b""
    jury: dict[int, int] = field(default_factory=dict)
    ballots: dict[int, Ballot] = field(default_factory=dict)

    def ballot(self, place: int) -> Ballot:
        """The ballot of a place, empty at first."""
        return self.ballots.setdefault(place, Ballot())


def jury_plan(found: RoundRecord, index: int | None, params: RoundParams, size: int) -> JuryPlan:
    """Nobody judges its own update, its own score or its own attestation; ``index`` None: the aggregate."""
    n = len(found.participants)
    if index is None:
        return plan_jury(n, size, frozenset(range(found.slots(params))), frozenset())
    position = found.position_of(index)
    is_retried = found.participants[index].is_retried
    panel = panel_positions(n, found.verifiers(params), position, is_retried=is_retried)
    return plan_jury(n, size, panel | {position}, frozenset({position}))

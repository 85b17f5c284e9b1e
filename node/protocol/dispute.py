"""One dispute as a fold of its events: `fold(dispute, event) -> dispute`. Part of `node.protocol.state`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from node.protocol.members import InconsistentHistory, with_entry
from node.protocol.round import Round
from node.protocol.sortition import JuryPlan, draw_jury, forward, inverse, panel_positions
from node.protocol.types import Address, ChainEvent, CourtParams, DisputeKind, Outcome, RoundParams, UpdateStatus


@dataclass(frozen=True, slots=True)
class Dispute:
    """Everything on chain about one dispute: commitments and ballots by place, status, gain and votes as the jury found them."""

    number: int
    round: int
    disputer: Address
    kind: DisputeKind
    index: int
    is_retried: bool
    is_independent: bool
    seed_block: int
    until: int
    opened_at: int
    touched_at: int = 0
    key: bytes = b""
    places: int = 0
    jurors: int = 0
    commit_end: int = 0
    commits: Mapping[int, bytes] = field(default_factory=dict)
    ballots: Mapping[int, int] = field(default_factory=dict)
    outcome: Outcome = Outcome.NONE
    status: UpdateStatus = UpdateStatus.PENDING
    gain: int = 0
    votes: int = 0

    @property
    def is_over(self) -> bool:
        """Resolved."""
        return self.outcome is not Outcome.NONE

    def draw_end(self, params: CourtParams) -> int:
        """Last moment to draw the jury."""
        return self.until - params.duration + params.draw_duration

    def reveal_end(self, params: CourtParams) -> int:
        """Last moment to open a ballot."""
        return self.commit_end + params.reveal_duration

    def can_reveal(self, now: int, params: CourtParams) -> bool:
        """Whether ballots can be opened at ``now``."""
        has_begun = now > self.commit_end or len(self.commits) == self.jurors
        return bool(self.key) and has_begun and now <= self.reveal_end(params)

    def has_lapsed(self, now: int, params: CourtParams) -> bool:
        """Whether nobody drew the jury, or resolved it, in time."""
        return now > (self.until if self.key else self.draw_end(params))

    def can_resolve(self, now: int, params: CourtParams) -> bool:
        """Whether `resolve` would be heard at ``now``."""
        if self.is_over:
            return False
        if self.has_lapsed(now, params):
            return True
        return bool(self.key) and (len(self.ballots) == self.jurors or now > self.reveal_end(params))

    def jury(self, found: Round, params: RoundParams) -> Mapping[int, int]:
        """Index of each juror by place, in the round ``found``; empty before the draw."""
        if not self.key:
            return {}
        n = len(found.reveals)
        involved, owner = self.parties(found, params)
        plan = JuryPlan(involved if self.is_independent else owner, self.places, self.is_independent)
        return {place: inverse(found.seed, n, position) for place, position in draw_jury(self.key, n, plan).items()}

    def parties(self, found: Round, params: RoundParams) -> tuple[frozenset[int], frozenset[int]]:
        """Ring positions of (all who took part in what is disputed, those whose own matter it is)."""
        n = len(found.reveals)
        if self.kind is DisputeKind.AGGREGATE:
            return frozenset(range(min(n, params.max_attesters))), frozenset()
        position, k = forward(found.seed, n, self.index), found.verifiers(params.max_verifiers)
        owner = frozenset({position})
        return owner | panel_positions(n, k, position, is_retried=self.is_retried), owner


def opened(event: ChainEvent) -> Dispute:
    """The dispute that a DisputeOpened event begins."""
    a = event.arguments
    return Dispute(
        number=a["id"],
        round=a["round"],
        disputer=Address(a["disputer"]),
        kind=DisputeKind(a["kind"]),
        index=a["index"],
        is_retried=a["isRetried"],
        is_independent=a["isIndependent"],
        seed_block=a["seedBlock"],
        until=a["until"],
        opened_at=event.timestamp,
        touched_at=event.timestamp,
    )


def _seed_pinned(found: Dispute, event: ChainEvent) -> Dispute:
    return replace(found, seed_block=event.arguments["seedBlock"])


def _drawn(found: Dispute, event: ChainEvent) -> Dispute:
    a = event.arguments
    if found.key:
        raise InconsistentHistory(f"The jury of dispute {found.number} was drawn twice.")
    return replace(found, key=a["key"], places=a["places"], jurors=a["jurors"], commit_end=a["commitEnd"])


def _committed(found: Dispute, event: ChainEvent) -> Dispute:
    a = event.arguments
    if a["place"] in found.commits:
        raise InconsistentHistory(f"Place {a['place']} of dispute {found.number} committed twice.")
    return replace(found, commits=with_entry(found.commits, a["place"], a["commitment"]))


def _revealed(found: Dispute, event: ChainEvent) -> Dispute:
    a = event.arguments
    if a["place"] not in found.commits or a["place"] in found.ballots:
        raise InconsistentHistory(f"Place {a['place']} of dispute {found.number} opened a ballot out of turn.")
    return replace(found, ballots=with_entry(found.ballots, a["place"], a["ballot"]))


def _resolved(found: Dispute, event: ChainEvent) -> Dispute:
    a = event.arguments
    if found.is_over:
        raise InconsistentHistory(f"Dispute {found.number} ended twice.")
    outcome, status = Outcome(a["outcome"]), UpdateStatus(a["status"])
    return replace(found, outcome=outcome, status=status, gain=a["gain"], votes=a["votes"])


_HANDLERS: Mapping[str, Callable[[Dispute, ChainEvent], Dispute]] = {
    "JurySeedPinned": _seed_pinned,
    "JuryDrawn": _drawn,
    "BallotCommitted": _committed,
    "BallotRevealed": _revealed,
    "DisputeResolved": _resolved,
}


def is_dispute_event(event: ChainEvent) -> bool:
    """Whether the event belongs to a dispute that must have been opened."""
    return event.contract == "RoundCourt" and event.name in _HANDLERS


def fold(found: Dispute, event: ChainEvent) -> Dispute:
    """The dispute after one event that names it.

    Raises:
        InconsistentHistory: the event cannot follow.
    """
    return replace(_HANDLERS[event.name](found, event), touched_at=event.timestamp)

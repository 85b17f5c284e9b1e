"""Who holds a committee seat, who gave it, and until when."""

from __future__ import annotations

import time

from node.explain.core import Explanation, Past, Step, sources
from node.explain.votes import title_of
from node.protocol.errors import ConfigError
from node.protocol.types import ChainEvent

FORMULA = (
    "a seat has a holder until its term expires; the members give it by vote, through the timelock, for at most 365 days",
    "the steward of round r is seat r mod seats; an expired seat has no vote and is no steward",
)


def explain_seat(past: Past, number: int) -> Explanation:
    """The history of one seat, from 0, and who holds it now."""
    given = [event for _, event in past.find("MemberRegistry", "SeatSet", seat=number)]
    if not given:
        raise ConfigError(f"There is no seat {number}.", hint=f"Seats are 0 to {len(past.state.seats) - 1}.")
    steps = [
        Step(
            moment(event.timestamp),
            _by(past, event),
            f"{event.arguments['holder']} until {moment(event.arguments['expiresAt'])}",
        )
        for event in given
    ]
    seat, last = past.state.seats[number], given[-1].arguments
    is_vacant = past.now >= seat.expires_at
    steps.append(
        Step("now", "the term is over" if is_vacant else "the term runs", "vacant" if is_vacant else seat.holder)
    )
    seats = len(past.state.seats)
    coming = max(past.state.rounds, default=0) + 1
    following = coming + (number - coming) % seats
    steps.append(Step("next round as steward", f"the next r with r mod {seats} = {number}", str(following)))
    return Explanation(
        what="seat",
        id=str(number),
        title=f"Committee seat {number}",
        formula=FORMULA,
        steps=tuple(steps),
        computed=f"{seat.holder} until {moment(seat.expires_at)}",
        recorded=f"{last['holder']} until {moment(last['expiresAt'])}",
        sources=sources(*given, *(_decision(past, event) for event in given)),
        notes=(),
    )


def moment(timestamp: int) -> str:
    """A time of the chain, UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(min(timestamp, 253_402_300_799)))


def _decision(past: Past, event: ChainEvent) -> ChainEvent | None:
    """The execution of a proposal in the same transaction."""
    for _, executed in past.find("CommunityGovernor", "ProposalExecuted"):
        if executed.transaction == event.transaction:
            return executed
    return None


def _by(past: Past, event: ChainEvent) -> str:
    executed = _decision(past, event)
    if executed is None:
        return "at the founding"
    return f"by vote: “{title_of(past.state.proposals[executed.arguments['proposalId']])}”"

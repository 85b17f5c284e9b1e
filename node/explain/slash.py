"""Why somebody lost stake: the fault, its evidence, the penalty, and where it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from incentives.slashing import PENALTY_BPS, divide, penalty_up
from node.explain.core import Explanation, Past, Step, cwt, sources
from node.protocol.errors import ConfigError
from node.protocol.state import Round
from node.protocol.types import Address, ChainEvent, Fault

RETRY_SUBJECT = 1 << 16
DISPUTE_SUBJECT = 256
FORMULA = (
    "penalty = min(stake, ⌈stake · basis points / 10 000⌉)",
    "the member's own part of the stake pays first, the unvested part of its grant after it",
    "a proven fault pays its prover ⌊half⌋ of what its own part paid; the rest burns",
    "what those who voted found (Unavailable, Malformed, Harmful) burns whole",
)
_VERDICTS = (Fault.UNAVAILABLE, Fault.MALFORMED, Fault.HARMFUL)

WHY: Mapping[Fault, str] = {
    Fault.UPDATE_NOT_REVEALED: "committed an update and did not open it",
    Fault.VERIFIER_ABSENT: "was to score and committed no scores",
    Fault.SCORES_NOT_REVEALED: "committed scores and did not open them",
    Fault.UNAVAILABLE: "published an update whose bytes could not be had",
    Fault.MALFORMED: "published an update that is none",
    Fault.HARMFUL: "published an update that does agreed damage",
    Fault.WRONG_ATTESTATION: "attested to another model than the right one",
    Fault.ATTESTER_ABSENT: "was to attest and did not, and the round had no quorum",
    Fault.SLICE_NOT_REVEALED: "promised a sealed slice and did not open it",
    Fault.COPY: "sent the same bytes as somebody who committed earlier",
    Fault.FIELD_WRONG: "wrote a field that a jury contradicted",
    Fault.LIE: "wrote the opposite of what a jury found",
    Fault.BALLOT_ABSENT: "was drawn as juror and committed no ballot",
    Fault.BALLOT_NOT_REVEALED: "committed a ballot and did not open it",
}


def fault_name(fault: int) -> str:
    """A fault as docs/protocol.md writes it, e.g. ``WrongAttestation``."""
    return "".join(part.capitalize() for part in Fault(fault).name.split("_"))


def explain_slash(past: Past, number: int) -> Explanation:
    """The ``number``-th penalty, in chain order from 1."""
    penalties = list(past.find("MemberRegistry", "Slashed"))
    if not 1 <= number <= len(penalties):
        raise ConfigError(f"There is no penalty {number}.", hint=f"Penalties so far: {len(penalties)}.")
    place, event = penalties[number - 1]
    a, fault = event.arguments, Fault(event.arguments["fault"])
    member = Address(a["member"])
    before = past.before(place).member(member)
    bps = PENALTY_BPS[fault]
    amount = penalty_up(before.stake, bps)
    own = before.stake - before.unvested
    burned, bounty = divide(amount, own=own, is_proven=fault not in _VERDICTS)
    steps = (
        Step("fault", WHY[fault], fault_name(fault)),
        Step("stake before", "what the events up to then add up to", cwt(before.stake)),
        Step("own part of it", f"{cwt(before.stake)} − {cwt(before.unvested)} unvested", cwt(own)),
        Step("penalty", f"min(stake, ⌈stake · {bps:,} / 10 000⌉)", cwt(amount)),
        Step("to the prover", _bounty_expression(fault, amount, own), cwt(bounty)),
        Step("burned", f"{cwt(amount)} − {cwt(bounty)}", cwt(burned)),
        Step("stake after", f"{cwt(before.stake)} − {cwt(amount)}", cwt(before.stake - amount)),
    )
    punished = _punished(past, event)
    found = past.state.rounds.get(a["round"])
    evidence = _evidence(past, found, fault, member, punished) if found else []
    return Explanation(
        what="slash",
        id=str(number),
        title=f"{member} {WHY[fault]}, in round {a['round']}",
        formula=FORMULA,
        steps=steps,
        computed=_text(amount, burned, bounty, before.stake - amount),
        recorded=_text(a["amount"], a["burned"], a["bounty"], a["stake"]),
        sources=sources(*evidence, punished, event),
        notes=_notes(fault, bounty, a["prover"]),
    )


def _bounty_expression(fault: Fault, amount: int, own: int) -> str:
    if fault in _VERDICTS:
        return "nothing: those who voted must not gain"
    return f"⌊min({cwt(amount)}, {cwt(own)}) / 2⌋"


def _text(amount: int, burned: int, bounty: int, left: int) -> str:
    return f"{cwt(amount)} taken, {cwt(burned)} burned, {cwt(bounty)} to the prover, {cwt(left)} left"


def _notes(fault: Fault, bounty: int, prover: str) -> tuple[str, ...]:
    notes = [f"Proven by {prover}."] if bounty else []
    if fault is Fault.LIE:
        notes.append("A lie takes the whole stake and bans the account.")
    return tuple(notes)


def _punished(past: Past, event: ChainEvent) -> ChainEvent | None:
    """What the court said when it ordered this penalty: it stands in the same transaction."""
    a = event.arguments
    for _, said in past.find("RoundCourt", "FaultPunished", round=a["round"], account=a["member"], fault=a["fault"]):
        if said.transaction == event.transaction and said.arguments["amount"] == a["amount"]:
            return said
    return None


# --- evidence ---------------------------------------------------------------------------------------------------------

Evidence = Sequence[ChainEvent | None]


def _evidence(past: Past, found: Round, fault: Fault, member: Address, punished: ChainEvent | None) -> Evidence:
    """The acts, or the ends of phases without them, that prove the fault."""
    subject = punished.arguments["subject"] if punished is not None else 0
    if fault in _EVIDENCE:
        return _EVIDENCE[fault](past, found, member, subject)
    return _in_dispute(past, found, member, subject)


def _phase_end(past: Past, found: Round) -> Evidence:
    return [event for _, event in past.find("RoundManager", "PhaseChanged", round=found.number)][-1:]


def _update_not_revealed(past: Past, found: Round, member: Address, _subject: int) -> Evidence:
    committed = past.last("RoundManager", "UpdateCommitted", round=found.number, trainer=member)
    return [committed, past.last("RoundManager", "SeedPinned", round=found.number)]


def _verifier(past: Past, found: Round, member: Address, _subject: int) -> Evidence:
    drawn = past.last("RoundManager", "SeedDrawn", round=found.number)
    committed = [
        event for _, event in past.find("RoundManager", "ScoresCommitted", round=found.number, verifier=member)
    ]
    return [drawn, *committed]


def _verdict(past: Past, found: Round, _member: Address, subject: int) -> Evidence:
    settled = past.last("RoundManager", "UpdateSettled", round=found.number, index=subject)
    return [settled, past.last("RoundManager", "UpdateRescored", round=found.number, index=subject)]


def _attester(past: Past, found: Round, member: Address, _subject: int) -> Evidence:
    said = past.last("RoundManager", "Attested", round=found.number, attester=member)
    right = past.last("RoundManager", "AggregateProposed", round=found.number)
    return [said, right, past.last("RoundManager", "RoundVoided", round=found.number)]


def _slice(past: Past, found: Round, _member: Address, _subject: int) -> Evidence:
    return [past.last("RoundManager", "RoundOpened", round=found.number), *_phase_end(past, found)]


def _copy(past: Past, found: Round, _member: Address, subject: int) -> Evidence:
    content = found.reveals[subject].content_hash
    return [event for _, event in past.find("RoundManager", "UpdateRevealed", round=found.number, contentHash=content)]


def _in_dispute(past: Past, found: Round, member: Address, subject: int) -> Evidence:
    number = subject // DISPUTE_SUBJECT
    told = [event for _, event in past.find("RoundManager", "ScoresRevealed", round=found.number, verifier=member)]
    drawn = past.last("RoundCourt", "JuryDrawn", id=number)
    committed = past.last("RoundCourt", "BallotCommitted", id=number, juror=member)
    resolved = past.last("RoundCourt", "DisputeResolved", id=number)
    return [*told, drawn, committed, resolved]


_EVIDENCE: Mapping[Fault, Callable[[Past, Round, Address, int], Evidence]] = {
    Fault.UPDATE_NOT_REVEALED: _update_not_revealed,
    Fault.VERIFIER_ABSENT: _verifier,
    Fault.SCORES_NOT_REVEALED: _verifier,
    Fault.UNAVAILABLE: _verdict,
    Fault.MALFORMED: _verdict,
    Fault.HARMFUL: _verdict,
    Fault.WRONG_ATTESTATION: _attester,
    Fault.ATTESTER_ABSENT: _attester,
    Fault.SLICE_NOT_REVEALED: _slice,
    Fault.COPY: _copy,
}

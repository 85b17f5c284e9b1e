"""The ledger audit of retry panels and the court: an honest history with lies in it adds up, and every kind of tampering is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from incentives.scoring import NOT_SCORED, encode_gain
from node.audit.ledger import replay
from node.protocol.sortition import verifiers_of
from node.protocol.types import Fault, Outcome, Phase
from node.sim.ledger import QUICK_ROUNDS, Deployment, address_of
from node.sim.rules import audit_rules
from node.sim.scripted import DEFAULT_GAIN, Script
from node.sim.scripted_court import CourtCommunity

SIZE, VICTIM = 16, 3
HARM = encode_gain(-50_000)


class Framed(CourtCommunity):
    """In odd rounds four of the victim's verifiers lie about its update, in even ones they say nothing."""

    def word_of(self, place, fields=None, *, retry=False):
        order = self.order()
        panel = [order[i] for i, _ in verifiers_of(self.seed, len(order), order.index(VICTIM), 7)][:4]
        lie = HARM if self.round % 2 else NOT_SCORED
        return super().word_of(place, {VICTIM: lie} if place in panel and not retry else fields, retry=retry)


def history():
    """A lying panel overturned and banned, a starved update retried, a wrong model refused, copies, absences."""
    seats = (address_of("member/0"),)
    params = replace(QUICK_ROUNDS, max_attesters=5, challenge_duration=120)
    community = Framed(SIZE + 4, Deployment(seats=seats, params=params))
    community.play_until_challenge()
    dispute = community.dispute_score(VICTIM, VICTIM)
    jury = list(community.draw_jury(dispute).values())
    community.ballots(dispute, lambda _m: encode_gain(DEFAULT_GAIN), absent=jury[:1], hiding=jury[1:2])
    assert community.resolve(dispute) is Outcome.OVERTURNED
    for j in range(4):
        community.court(9, "slashField", dispute, j)
    places = {member: place for place, member in community.jury(dispute).items()}
    community.court(9, "slashAbsentJuror", dispute, places[jury[0]])
    community.court(9, "slashUnrevealedBallot", dispute, places[jury[1]])

    community.play_until_challenge(Script(wrong_attest=set()))
    upheld = community.dispute_score(7, 5)
    aggregate = community.dispute_aggregate(8)
    assert community.judge(upheld, lambda _m: encode_gain(DEFAULT_GAIN)) is Outcome.UPHELD
    assert community.judge(aggregate, lambda _m: 1) is Outcome.UPHELD
    community.advance()
    community.claim_all()

    community.play_until_challenge()
    aggregate = community.dispute_aggregate(8)
    assert community.judge(aggregate, lambda _m: 2) is Outcome.OVERTURNED
    for slot in range(5):
        community.court(9, "slashAttester", aggregate, slot)
    return community


COMMUNITY = history()
MINTS = 4  # bonds that were made up
EVENTS = tuple(COMMUNITY.events)


def audit(events):
    return replay(list(events), audit_rules(COMMUNITY.ledger), COMMUNITY._block_hash)


def test_a_history_with_lies_and_juries_in_it_adds_up():
    result = audit(EVENTS)
    assert len(result.findings) == MINTS
    assert all("minted" in finding.what for finding in result.findings)
    faults = {event.arguments["fault"] for event in EVENTS if event.name == "FaultPunished"}
    assert faults == {Fault.LIE, Fault.BALLOT_ABSENT, Fault.BALLOT_NOT_REVEALED, Fault.WRONG_ATTESTATION}
    assert any(event.name == "PhaseChanged" and event.arguments["phase"] == Phase.RETRY_SETTLE for event in EVENTS)
    assert result.state.supply == COMMUNITY.read("totalSupply", contract="ContributionToken")


def index_of(name, nth):
    return [i for i, event in enumerate(EVENTS) if event.name == name][nth]


def changed(name, nth=0, **arguments):
    at = index_of(name, nth)
    event = EVENTS[at]
    values = {key: change(event.arguments[key]) for key, change in arguments.items()}
    return (*EVENTS[:at], replace(event, arguments={**event.arguments, **values}), *EVENTS[at + 1 :])


def without(name, nth=0):
    at = index_of(name, nth)
    return (*EVENTS[:at], *EVENTS[at + 1 :])


def twice(name, nth=0):
    at = index_of(name, nth)
    return (*EVENTS[: at + 1], EVENTS[at], *EVENTS[at + 1 :])


def late(name, nth=0):
    at = index_of(name, nth)
    return (*EVENTS[:at], replace(EVENTS[at], timestamp=EVENTS[at].timestamp + 100_000), *EVENTS[at + 1 :])


def more(value):
    return value + 1


def other(value):
    return bytes([value[0] ^ 1, *value[1:]])


def stranger(_value):
    return address_of("stranger")


RETRY_SETTLED = next(
    nth
    for nth, event in enumerate(event for event in EVENTS if event.name == "UpdateSettled")
    if event.timestamp
    > next(e.timestamp for e in EVENTS if e.name == "PhaseChanged" and e.arguments["phase"] == Phase.RETRY_SETTLE)
)

TAMPERINGS = {
    "a retried verdict's gain": changed("UpdateSettled", RETRY_SETTLED, gain=more),
    "a retried verdict's status": changed("UpdateSettled", RETRY_SETTLED, status=lambda _status: 2),
    "a retried verdict missing": without("UpdateSettled", RETRY_SETTLED),
    "jury's key": changed("JuryDrawn", key=other),
    "jury's size": changed("JuryDrawn", jurors=more),
    "jury's places": changed("JuryDrawn", places=more),
    "time for ballots": changed("JuryDrawn", commitEnd=more),
    "jury drawn too late": late("JuryDrawn"),
    "dispute's seed block": changed("DisputeOpened", seedBlock=more),
    "dispute's end": changed("DisputeOpened", until=more),
    "dispute's independence": changed("DisputeOpened", isIndependent=lambda value: not value),
    "dispute's panel": changed("DisputeOpened", isRetried=lambda value: not value),
    "challenge prolonged": changed("DeadlineExtended", deadline=more),
    "a ballot": changed("BallotRevealed", ballot=lambda _ballot: HARM),
    "a ballot that says nothing": changed("BallotRevealed", ballot=lambda _ballot: 3),
    "a ballot too late": late("BallotCommitted"),
    "another juror": changed("BallotCommitted", juror=stranger),
    "outcome": changed("DisputeResolved", outcome=lambda _outcome: 1),
    "jury's gain": changed("DisputeResolved", gain=more),
    "jury's votes": changed("DisputeResolved", votes=more),
    "outcome of the model": changed("DisputeResolved", 3, outcome=lambda _outcome: 1),
    "new verdict's gain": changed("UpdateRescored", gain=more),
    "new verdict's weight": changed("UpdateRescored", weight=more),
    "new verdict twice": twice("UpdateRescored"),
    "new verdict missing": without("UpdateRescored"),
    "a round voided without a jury": without("DisputeResolved"),
    "why a round was voided": changed("RoundVoided", reason=lambda _reason: 3),
    "who was guilty": changed("FaultPunished", account=stranger),
    "which fault": changed("FaultPunished", fault=lambda _fault: Fault.FIELD_WRONG),
    "which act": changed("FaultPunished", subject=more),
    "who is paid for it": changed("FaultPunished", prover=stranger),
    "a fault twice": twice("FaultPunished"),
    "a slash without a reason": without("FaultPunished"),
    "an innocent banned": changed("Banned", account=lambda _account: COMMUNITY.members[9]),
    "a ban's burn": changed("Banned", burned=more),
    "an attester's slash": changed("FaultPunished", -1, subject=lambda slot: slot - 1),
    "a bond not burned": without("DisputeResolved", 1),
    "verifier's reward after a retry": changed("Claimed", 2, verifierReward=more),
}


@pytest.mark.parametrize("kind", TAMPERINGS)
def test_tampering_is_found(kind):
    tampered = TAMPERINGS[kind]
    assert tampered != EVENTS
    assert [finding for finding in audit(tampered).findings if "minted" not in finding.what] or (
        len(audit(tampered).findings) > MINTS
    ), kind


def test_the_disputer_is_paid_and_nobody_else():
    """Both events of the last slash name another prover: they agree with each other, and not with the rules."""
    at = {index_of(name, -1) for name in ("Slashed", "FaultPunished")}
    tampered = [
        replace(event, arguments={**event.arguments, "prover": address_of("stranger")}) if i in at else event
        for i, event in enumerate(EVENTS)
    ]
    assert any("not guilty of WRONG_ATTESTATION" in finding.what for finding in audit(tampered).findings)

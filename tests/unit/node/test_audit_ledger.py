"""The ledger audit: nothing is found in an honest history with faults in it, and every kind of tampering is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from incentives.scoring import MALFORMED, encode_gain
from node.audit.ledger import replay
from node.protocol.state import apply
from node.protocol.types import ChainEvent, Phase
from node.sim.rules import audit_rules
from node.sim.scripted import Community, Script


def history():
    """Two rounds: one with poison, garbage and an absent attester, one with a trainer who does not reveal."""
    community = Community(7)
    community.play(Script(fields={1: MALFORMED, 2: encode_gain(-500_000)}, no_attest={3}))
    community.claim_all()
    for place in (1, 2):
        community.call(community.members[0], "slashVerdict", 1, community.order().index(place), contract="RoundCourt")
    community.play(Script(no_reveal={4}))
    community.call(community.members[0], "slashUnrevealedUpdate", 2, community.members[4], contract="RoundCourt")
    community.claim_all()
    return community


COMMUNITY = history()
EVENTS = tuple(COMMUNITY.events)


def audit(events):
    return replay(list(events), audit_rules(COMMUNITY.ledger), COMMUNITY._block_hash)


def test_an_honest_history_with_faults_in_it_adds_up():
    result = audit(EVENTS)
    assert result.findings == []
    assert result.checked["verdicts"] == 13
    assert result.checked["slashes"] == 3 * 5
    assert result.checked["faults"] == 3 * 2
    assert result.state.supply == COMMUNITY.read("totalSupply", contract="ContributionToken")
    assert result.checked["seeds"] == 4
    assert result.checked["phase changes"] == 32


def index_of(name, nth=0):
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


def more(value):
    return value + 1


def other(value):
    return bytes([value[0] ^ 1, *value[1:]])


TAMPERINGS = {
    "verdict's gain": changed("UpdateSettled", gain=more),
    "verdict's weight": changed("UpdateSettled", weight=more),
    "verdict's status": changed("UpdateSettled", status=lambda status: 2 if status == 1 else 1),
    "a revealed score": changed("ScoresRevealed", word=lambda word: word ^ (1 << 15)),
    "ring seed": changed("SeedDrawn", seed=other),
    "sealing": changed("SeedDrawn", isSealed=lambda is_sealed: not is_sealed),
    "parent model": changed("RoundOpened", 1, parentModelHash=other),
    "guideline": changed("RoundOpened", guidelineHash=other),
    "model at the end": changed("RoundFinalized", modelHash=other),
    "attestation": changed("Attested", attestation=other),
    "attestation count": changed("AggregateProposed", votes=more),
    "trainer's reward": changed("Claimed", trainerReward=more),
    "verifier's reward": changed("Claimed", verifierReward=more),
    "attester's reward": changed("Claimed", attesterReward=more),
    "treasury's share": changed("TreasuryClaimed", amount=more),
    "slash": changed("Slashed", amount=more),
    "division of a slash": changed("Slashed", burned=more),
    "airdrop": changed("Admitted", grant=more),
    "mint": changed("Transfer", value=more),
    "a phase skipped": changed("PhaseChanged", phase=more),
    "a deadline stretched": changed("PhaseChanged", deadline=more),
    "a phase ended before its time": without("UpdateCommitted", 6),
    "missing verdict": without("UpdateSettled"),
    "missing review": without("Reviewed"),
    "missing slash": without("Slashed"),
    "missing claim": without("Claimed"),
    "a claim twice": twice("Claimed"),
    "a vote twice": twice("Reviewed"),
    "a mint twice": twice("Transfer"),
    "a late commit": changed("UpdateCommitted"),  # replaced below
}
_late = EVENTS[index_of("UpdateCommitted")]
TAMPERINGS["a late commit"] = tuple(
    replace(event, timestamp=event.timestamp + 1_000_000) if event is _late else event for event in EVENTS
)


@pytest.mark.parametrize("kind", TAMPERINGS)
def test_tampering_is_found(kind):
    tampered = TAMPERINGS[kind]
    assert tampered != EVENTS
    assert audit(tampered).findings, kind


def test_the_first_difference_comes_first_and_names_its_transaction():
    tampered = changed("UpdateSettled", gain=more)
    first = audit(tampered).findings[0]
    event: ChainEvent = EVENTS[index_of("UpdateSettled")]
    assert "verdict on update" in first.what
    assert (first.block, first.transaction) == (event.block, "0x" + event.transaction.hex())


def test_the_fold_of_any_prefix_is_a_state():
    from node.protocol.state import State

    state = State()
    for event in EVENTS:
        state = apply(state, event)
    assert state == audit(EVENTS).state


def test_a_phase_that_ended_before_its_deadline_with_somebody_missing_is_found():
    """In round 2 one trainer never revealed, so Reveal had to run to its deadline; here it ends sooner."""
    at = next(
        i
        for i, event in enumerate(EVENTS)
        if event.name == "PhaseChanged" and event.arguments["round"] == 2 and event.arguments["phase"] == Phase.SEED
    )
    hasty = replace(EVENTS[at], timestamp=EVENTS[at].timestamp - 1_000)
    findings = audit((*EVENTS[:at], hasty, *EVENTS[at + 1 :])).findings
    assert [finding.what for finding in findings] == ["phase of round 2 after REVEAL: recorded SEED, computed None."]

"""The auditor on votes, releases and revenue: an honest history has no finding, and every kind of tampering is found where it happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from node.audit.base import LedgerAudit
from node.audit.ledger import Replay, replay
from node.audit.view import flat
from node.audit.views import expected_views
from node.protocol.calls import OWN_SETTINGS, PROPOSABLE
from node.protocol.state import State, apply
from node.protocol.types import Address, ChainEvent
from node.sim.rules import audit_rules
from node.sim.scripted_votes import Parliament, constitutional

COMMUNITY = constitutional(Parliament(8))
EVENTS = tuple(COMMUNITY.events)
RULES = audit_rules(COMMUNITY.ledger)
STRANGER = Address("0x" + "5" * 40)
B32 = b"\x09" * 32


def audited(events: Sequence[ChainEvent]) -> LedgerAudit:
    return replay(events, RULES, COMMUNITY.block_hash)


def place_of(name: str, nth: int = 0, contract: str = "") -> int:
    return [place for place, event in enumerate(EVENTS) if event.name == name and contract in {"", event.contract}][nth]


Change = Callable[[Any], Any]


def changed(name: str, nth: int = 0, contract: str = "", **changes: Change) -> tuple[ChainEvent, ...]:
    """The history with some arguments of one event changed."""
    at = place_of(name, nth, contract)
    values = {key.rstrip("_"): change(EVENTS[at].arguments[key.rstrip("_")]) for key, change in changes.items()}
    other = replace(EVENTS[at], arguments={**EVENTS[at].arguments, **values})
    return (*EVENTS[:at], other, *EVENTS[at + 1 :])


def without(name: str, nth: int = 0, contract: str = "") -> tuple[ChainEvent, ...]:
    at = place_of(name, nth, contract)
    return (*EVENTS[:at], *EVENTS[at + 1 :])


def twice(name: str, nth: int = 0) -> tuple[ChainEvent, ...]:
    at = place_of(name, nth)
    return (*EVENTS[: at + 1], EVENTS[at], *EVENTS[at + 1 :])


def later(name: str, seconds: int, nth: int = 0) -> tuple[ChainEvent, ...]:
    at = place_of(name, nth)
    return (*EVENTS[:at], replace(EVENTS[at], timestamp=EVENTS[at].timestamp + seconds), *EVENTS[at + 1 :])


def forged(name: str, contract: str, after: str, **arguments: Any) -> tuple[ChainEvent, ...]:
    """One event more, in a transaction of its own."""
    at = place_of(after)
    given = {key.rstrip("_"): value for key, value in arguments.items()}
    made = replace(EVENTS[at], contract=contract, name=name, arguments=given, transaction=B32)
    return (*EVENTS[: at + 1], made, *EVENTS[at + 1 :])


def early(name: str, before: str) -> tuple[ChainEvent, ...]:
    """An event moved before another one, with its transaction and block."""
    at, to = place_of(name), place_of(before)
    rest = (*EVENTS[:at], *EVENTS[at + 1 :])
    return (*rest[:to], EVENTS[at], *rest[to:])


def scaled(params: bytes) -> bytes:
    """Parts of a split vote, nine times as much."""
    parts = [9 * int.from_bytes(params[start : start + 16], "big") for start in (0, 16, 32)]
    return b"".join(part.to_bytes(16, "big") for part in parts)


def without_votes() -> tuple[ChainEvent, ...]:
    """The first proposal passes, though nobody voted."""
    number = EVENTS[place_of("ProposalCreated")].arguments["proposalId"]
    return tuple(event for event in EVENTS if event.name != "VoteCast" or event.arguments["proposalId"] != number)


def more(value: int) -> int:
    return value + 1


def less(value: int) -> int:
    return value - 1


def other(value: bytes) -> bytes:
    return bytes([value[0] ^ 1, *value[1:]])


def with_candidate(**changes: Any) -> Change:
    return lambda candidate: {**candidate, **changes}


def with_score(ppm: int) -> Change:
    return lambda candidate: {**candidate, "scores": ({**candidate["scores"][0], "ppm": ppm},)}


SECOND = 1  # the second release
TAMPERINGS: dict[str, tuple[tuple[ChainEvent, ...], str]] = {
    "a vote counted twice": (twice("VoteCast"), "weight of the vote"),
    "a vote that weighs too much": (changed("VoteCast", weight=more), "weight of the vote"),
    "a vote that weighs too little": (changed("VoteCast", weight=less), "weight of the vote"),
    "a vote of a stranger": (changed("VoteCast", voter=lambda _: STRANGER), "weight of the vote"),
    "a split vote beyond its weight": (
        changed("VoteCastWithParams", weight=lambda w: w * 9, params=scaled),
        "were left",
    ),
    "a vote after the end": (later("VoteCast", 100), "standing of the proposal"),
    "a quorum that was short": (without_votes(), "votes of"),
    "an extension that is missing": (without("ProposalExtended"), "not prolonged"),
    "an extension that is too long": (changed("ProposalExtended", extendedDeadline=more), "vote prolonged"),
    "a vote that ends early": (changed("ProposalCreated", voteEnd=less), "time to vote"),
    "another proposal under an id": (changed("ProposalCreated", proposalId=more), "id of the proposal"),
    "a call that none may make": (changed("ProposalCreated", targets=lambda _: (STRANGER,)), "which none may"),
    "a proposer without votes": (changed("ProposalCreated", proposer=lambda _: COMMUNITY.members[7]), "but needs"),
    "a proposal queued too soon to wait": (changed("ProposalQueued", etaSeconds=less), "can be executed"),
    "an operation that waits less": (changed("CallScheduled", delay=less), "less than the timelock's delay"),
    "an operation with another call": (changed("CallScheduled", data=lambda d: d + b"\0" * 32), "calls of the operation"),
    "an operation executed too soon": (later("CallExecuted", -4), "before its time"),
    "an operation by nobody": (without("ProposalQueued"), "scheduled by no proposal"),
    "a cancelled operation that lives": (without("Cancelled"), "outlived"),
    "a call without its effect": (without("BenchmarkAdded"), "had no effect"),
    "an effect without its call": (without("CallExecuted"), "never made it"),
    "a seat given by nobody": (
        forged("SeatSet", "MemberRegistry", "ReleaseYanked", seat=0, holder=STRANGER, expiresAt=9), "never made it"
    ),
    "a payment to another": (changed("Paid", to=lambda _: STRANGER), "never made it"),
    "a role of the timelock": (
        forged("RoleGranted", "TimelockController", "Allowed", role=B32, account=STRANGER, sender=STRANGER), "gave the role"
    ),
    "a call that proposals were let make": (changed("Allowed", selector=other), "were let call"),
    "a setting at deployment": (changed("VotingPeriodSet", newVotingPeriod=more), "first voting period"),
    "a shorter timelock": (changed("MinDelayChange", newDuration=less), "timelock's delay"),
    "a locked amount": (changed("Locked", amount=more), "locked"),
    "units above the curve": (
        changed("DelegateVotesChanged", newVotes=more), "voting units of"
    ),
    "a delegation to a stranger": (changed("DelegateChanged", 4, toDelegate=lambda _: STRANGER), "is no member"),
    "an unlock that is free too soon": (changed("UnlockStarted", freeAt=less), "unlock delay"),
    "an eviction without its unlock": (without("UnlockStarted", 1), "nothing was unlocked"),
    "a pause too long": (changed("Paused", until=lambda u: u + 10**7), "longer than a guardian may"),
    "a pause that was not counted": (changed("Paused", paused=less), "seconds that"),
    "a pause not given back": (changed("Unpaused", paused=more), "given back"),
    "another guardian": (changed("Replaced", current=lambda _: STRANGER), "first guardian"),
    "an amended document": (changed("DocumentAmended", 4, contentHash=other), "never made it"),
    "a scoring number": (
        changed("EpochBegun", 2, scoring=lambda s: {**s, "tau": s["tau"] + 1}), "never made it"
    ),
    "a founding guideline": (changed("EpochBegun", guidelineHash=other), "founding guideline"),
    "a vote for scores by another": (changed("ScoresAttested", attester=lambda _: STRANGER), "who voted for scores"),
    "a vote for scores counted twice": (changed("ScoresAttested", votes=more), "votes for scores"),
    "credits rolled wrong": (changed("CreditsRolled", creditTotal=more), "credits up to round"),
    "a release's credits": (changed("ReleasePublished", creditTotal=more), "credits of release"),
    "a release of another model": (changed("ReleasePublished", candidate=with_candidate(modelHash=B32)), "model of release"),
    "a release under another CID": (changed("ReleasePublished", candidate=with_candidate(cid=B32)), "model of release"),
    "a release below the gate": (
        changed("ReleasePublished", SECOND, candidate=with_score(400_000)), "below the"
    ),
    "a release with scores of its own": (changed("ReleasePublished", candidate=with_score(500_001)), "attesters' votes"),
    "a release on no parent": (changed("ReleasePublished", SECOND, candidate=with_candidate(parent=0)), "parent of release"),
    "a release nobody decided": (
        tuple(event for event in EVENTS if event.name != "CallExecuted" or event.block != EVENTS[place_of("ReleasePublished")].block),
        "never made it",
    ),
    "a yank nobody decided": (
        forged("ReleaseYanked", "ReleaseRegistry", "ReleasePublished", release=1, reasonHash=B32), "never made it"
    ),
    "revenue overpaid": (
        changed("Claimed", contract="RevenueSplitter", amount=more, total=more), "revenue of release"
    ),
    "revenue to a stranger": (
        changed("Claimed", contract="RevenueSplitter", account=lambda _: STRANGER), "revenue of release"
    ),
    "a deposit that did not arrive": (changed("Deposited", amount=more, total=more), "moved"),
    "a treasury emptied": (
        forged("Transfer", "ContributionToken", "Paid", from_=RULES.contracts["Treasury"], to=STRANGER, value=1), "moved 1"
    ),
    "a mint to a stranger": (
        forged("Transfer", "ContributionToken", "Paid", from_="0x" + "0" * 40, to=STRANGER, value=1), "minted 1"
    ),
    "an allowance exceeded": (changed("Approval", value=lambda _: 1), "had let it take"),
    "a vote before its proposal": (early("VoteCast", "ProposalCreated"), "cannot follow"),
    "blocks in another order": (early("ReleaseYanked", "ReleasePublished"), "cannot follow"),
}  # fmt: skip


def test_an_honest_history_of_the_whole_surface_has_no_finding() -> None:
    result = audited(EVENTS)
    assert result.findings == []
    for subject in (
        "votes", "proposals", "proposal quorums", "extensions", "timelock", "decisions", "locks", "voting units", "delegations",
        "evictions", "guardian", "pauses", "guidelines", "releases", "release gates", "scores of releases", "credits", "revenue",
        "allowances", "roles", "settings", "mints, burns and payments",
    ):  # fmt: skip
        assert result.checked[subject], subject


@pytest.mark.parametrize("kind", TAMPERINGS)
def test_tampering_is_found_and_named(kind: str) -> None:
    events, says = TAMPERINGS[kind]
    assert events != EVENTS
    findings = audited(events).findings
    assert any(says in finding.what for finding in findings), [finding.what for finding in findings]


def test_the_first_difference_names_its_block_and_transaction() -> None:
    first = audited(changed("VoteCast", weight=more)).findings[0]
    event = EVENTS[place_of("VoteCast")]
    assert (first.block, first.transaction) == (event.block, "0x" + event.transaction.hex())


def test_i22_the_model_answers_as_the_events_add_up() -> None:
    """Replay equals storage, on the reference model: cheap, so that every change of either meets it."""
    checked = Replay(RULES, COMMUNITY.block_hash)
    checked.run(EVENTS)
    views = list(expected_views(checked.state, RULES, checked.money.allowance, now=COMMUNITY.now))
    wrong = [view.call for view in views if flat(COMMUNITY.ledger.read(view.call)) != flat(view.expected)]
    assert wrong == []
    assert len(views) > 600


def test_the_fold_does_not_depend_on_the_checks() -> None:
    state = State()
    for event in EVENTS:
        state = apply(state, event)
    assert state == audited(EVENTS).state


def test_the_list_of_what_proposals_may_call_is_the_one_that_is_deployed() -> None:
    from deploy.plan import PROPOSABLE as DEPLOYED
    from deploy.plan import selector
    from node.protocol.calls import selector_of

    assert [(contract, signature.split("(")[0]) for contract, signature in PROPOSABLE] == list(DEPLOYED)
    assert all(
        selector_of(signature) == selector(contract, signature.split("(")[0]) for contract, signature in PROPOSABLE
    )
    assert all(
        selector_of(signature) == selector("CommunityGovernor", signature.split("(")[0]) for signature in OWN_SETTINGS
    )

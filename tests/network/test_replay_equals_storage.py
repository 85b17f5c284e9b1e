"""I22: the state folded from the events equals what the contracts have stored, view by view, over the whole surface.

Every call is made on the reference model and on the compiled contracts alike, so this also holds the models of vault, governor,
timelock, guardian, releases, revenue and guideline against the contracts: outcome, error with its arguments, events in order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace

import pytest
from twin import Evm, Twin

from deploy.anvil import Anvil
from incentives.rewards import CWT
from incentives.scoring import encode_gain
from node.adapters.chain_evm import EvmChain
from node.audit.base import AuditRules
from node.audit.report import AuditReport, audit
from node.audit.view import View, flat
from node.audit.views import expected_views
from node.protocol.errors import TransactionReverted
from node.protocol.state import InconsistentHistory, State, apply
from node.protocol.types import ChainEvent
from node.sim.ledger import QUICK_ROUNDS, Deployment, address_of
from node.sim.round_storage import Model
from node.sim.rules import audit_rules
from node.sim.scripted import DEFAULT_GAIN, Script
from node.sim.scripted_votes import RELEASES, VAULT, constitutional

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SURFACE = {
    "Locked", "UnlockStarted", "Withdrawn", "Evicted", "DelegateChanged", "DelegateVotesChanged", "ProposalCreated", "VoteCast",
    "VoteCastWithParams", "ProposalExtended", "ProposalQueued", "ProposalExecuted", "ProposalCanceled", "CallScheduled", "CallSalt",
    "CallExecuted", "Cancelled", "RoleGranted", "MinDelayChange", "VotingDelaySet", "QuorumNumeratorUpdated", "Allowed", "Paused",
    "Unpaused", "Replaced", "DocumentAmended", "EpochBegun", "SeatSet", "BenchmarkAdded", "ScoresAttested", "CreditsRolled",
    "ReleasePublished", "ReleaseYanked", "Deposited", "Claimed", "TreasuryClaimed", "Paid", "Bonded", "ExitStarted", "Exited",
    "RoundFinalized", "RoundVoided", "Slashed", "FaultPunished", "DisputeOpened", "DisputeResolved", "BallotRevealed", "Approval",
}  # fmt: skip
"""Events that the play must have made, or the test shows nothing of them."""


def deployment() -> Deployment:
    return Deployment(
        seats=(address_of("member/0"),),
        params=replace(QUICK_ROUNDS, challenge_duration=60, dispute_duration=600),
        guideline_hash=b"\x01" * 32,
        genesis=Model(b"\x03" * 32, b"\x04" * 32),
        min_bond=10 * CWT,
    )


def played(url: str) -> tuple[Twin, AuditRules]:
    """The whole surface, refusals and a court case included."""
    with contextlib.closing(Evm(url)) as evm:
        twin = Twin(evm, 8, deployment(), 1)
        constitutional(twin)
        for place in (0, 3, 7):
            twin.quietly(twin.call, twin.members[place], "unlock", 10**30, contract=VAULT)
            twin.quietly(twin.call, twin.members[place], "withdraw", contract=VAULT)
            twin.quietly(twin.call, twin.members[place], "evict", twin.members[1], contract=VAULT)
            twin.quietly(twin.call, twin.members[place], "yank", 1, bytes(32), contract=RELEASES)
            twin.quietly(twin.call, twin.members[place], "pause", 1, twin.now + 5, contract="Guardian")
        twin.play(Script(is_sealed=False, no_reveal={2}, no_attest={1}))
        twin.court(0, "slashUnrevealedUpdate", twin.round, twin.members[2])
        twin.play(Script(no_attest=range(8)))
        twin.play_until_challenge(Script())
        case = disputed(twin)
        twin.advance()
        twin.claim_all()
        assert case
        assert len(twin.reverts) >= 4
        return twin, audit_rules(twin.ledger, guideline_hash=b"\x01" * 32)


def disputed(twin: Twin) -> int:
    """A dispute that the jury does not share; the bond is the disputer's own money."""
    twin.call(twin.members[4], "approve", twin.ledger.court.address, 10 * CWT, contract="ContributionToken")
    case = int(twin.court(4, "disputeScore", twin.round, 0) or 0)
    twin.judge(case, lambda _: encode_gain(DEFAULT_GAIN))
    return case


async def audited(url: str, twin: Twin, rules: AuditRules) -> tuple[AuditReport, list[ChainEvent]]:
    async with await EvmChain.connect(url, rules.chain_id, twin.evm.at) as chain:
        head = await chain.head()
        events = list(await chain.events(twin.first_block, head.number))
        return await audit(chain, rules, first_block=twin.first_block, models=None), events


async def test_i22_replay_equals_storage(anvil: Anvil) -> None:
    twin, rules = await asyncio.to_thread(played, anvil.url)
    report, events = await audited(anvil.url, twin, rules)
    names = {event.name for event in events}
    assert names >= SURFACE, SURFACE - names
    assert report.findings == []
    asked = Counter(view.call.contract for view in views_of(events, rules, twin.now))
    assert report.checked["views of the contracts"] >= sum(asked.values()) > 900
    assert set(asked) == set(twin.evm.at) - {"Treasury"}  # what the treasury has is the token's to say


def views_of(events: list[ChainEvent], rules: AuditRules, now: int) -> list[View]:
    state = State()
    for event in events:
        state = apply(state, event)
    return list(expected_views(state, rules, lambda _owner, _spender: None, now=now))


async def test_i22_an_event_that_is_left_out_is_found(anvil: Anvil) -> None:
    """The comparison can fail: without any one of these, a later event cannot follow or a view contradicts the fold."""
    twin, rules = await asyncio.to_thread(played, anvil.url)
    _, events = await audited(anvil.url, twin, rules)
    with contextlib.closing(Evm(anvil.url)) as evm:
        evm.at = twin.evm.at
        for name in (
            "Locked",
            "VoteCast",
            "ReleaseYanked",
            "Deposited",
            "Paused",
            "EpochBegun",
            "CreditsRolled",
            "Allowed",
        ):
            last = max(place for place, event in enumerate(events) if event.name == name)
            assert is_found(evm, rules, [*events[:last], *events[last + 1 :]], twin.now), name


def is_found(evm: Evm, rules: AuditRules, events: list[ChainEvent], now: int) -> bool:
    try:
        views = views_of(events, rules, now)
    except InconsistentHistory:
        return True
    return any(_answer(evm, view) != flat(view.expected) for view in views)


def _answer(evm: Evm, view: View) -> object:
    try:
        return flat(evm.read(view.call))
    except TransactionReverted as error:
        return error.error

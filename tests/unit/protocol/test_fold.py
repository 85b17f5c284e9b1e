"""The fold of every event of every contract: nothing is forgotten, and what each says ends up where it is looked for."""

from __future__ import annotations

from typing import Any

import pytest

from node.adapters.abi import CONTRACTS, contract_abi
from node.protocol.governance import Entry, Operation, OperationState, Pause, TimelockCall
from node.protocol.guidelines import Kind
from node.protocol.state import IGNORED, InconsistentHistory, Lock, ProposalState, State, apply, is_folded
from node.protocol.trace import Trace
from node.protocol.types import Address, ChainEvent, MemberStatus, Scoring

ANNA, BERT, CARL = (Address("0x" + letter * 40) for letter in "123")
NOBODY = Address("0x" + "0" * 40)
B32 = b"\x07" * 32


class History:
    """Events one after another, a second apart, each in a block and a transaction of its own unless told otherwise."""

    def __init__(self) -> None:
        self.state = State()
        self.now = 100

    def says(self, contract: str, name: str, /, *, transaction: bytes = b"", **arguments: Any) -> State:
        self.now += 1
        given = {key.rstrip("_"): value for key, value in arguments.items()}
        identity = transaction or self.now.to_bytes(32, "big")
        event = ChainEvent(contract, name, given, self.now, self.now, identity, 0)
        self.state = apply(self.state, event)
        return self.state

    def vault(self, name: str, **arguments: Any) -> State:
        return self.says("VotingVault", name, **arguments)

    def governor(self, name: str, **arguments: Any) -> State:
        return self.says("CommunityGovernor", name, **arguments)

    def admit(self, *accounts: Address) -> None:
        for number, account in enumerate(accounts, len(self.state.applications) + 1):
            key = {"requestHash": B32, "requestCid": B32, "peerId": b"peer", "encryptionKey": B32}
            self.says("MemberRegistry", "Applied", application=number, applicant=account, **key)
            self.says("MemberRegistry", "Admitted", application=number, member=account, grant=5)

    def lock(self, account: Address, amount: int, units: int) -> None:
        """As the vault says it: the first lock delegates to oneself."""
        before = self.state.locks.get(account, Lock()).amount
        if account not in self.state.delegates:
            self.vault("DelegateChanged", delegator=account, fromDelegate=NOBODY, toDelegate=account)
        self.shift(self.state.delegates[account], units)
        self.vault("Locked", account=account, amount=amount, locked=before + amount)

    def shift(self, delegate: Address, units: int) -> None:
        votes = self.state.vault.delegated.get(delegate, Trace()).latest
        self.vault("DelegateVotesChanged", delegate=delegate, previousVotes=votes, newVotes=votes + units)


@pytest.fixture
def history() -> History:
    return History()


def all_events() -> list[tuple[str, str]]:
    return [(name, entry.name) for name in CONTRACTS for entry in contract_abi(name).events.values()]


@pytest.mark.parametrize(("contract", "name"), all_events())
def test_every_event_of_every_contract_is_folded_or_ignored_for_a_reason(contract: str, name: str) -> None:
    assert is_folded(contract, name) != ((contract, name) in IGNORED), "add a handler, or a reason not to"


def test_nothing_is_ignored_that_no_contract_emits() -> None:
    assert set(IGNORED) <= set(all_events())
    assert len(all_events()) > 80


def test_a_trace_answers_for_every_moment() -> None:
    trace = Trace().push(10, 5).push(20, 7).push(20, 8)
    assert [trace.at(key) for key in (9, 10, 19, 20, 99)] == [0, 5, 5, 8, 8]
    with pytest.raises(ValueError, match="after one of 20"):
        trace.push(19, 1)


def test_a_sum_is_the_same_in_every_order() -> None:
    amounts = [(5, 10), (2, 1), (9, 4), (5, 3)]
    forward, backward = Trace(), Trace()
    for key, amount in amounts:
        forward = forward.add(key, amount)
    for key, amount in reversed(amounts):
        backward = backward.add(key, amount)
    assert forward == backward
    assert [forward.at(key) for key in (1, 2, 4, 5, 8, 9)] == [0, 1, 1, 14, 14, 18]


def opening(number: int) -> dict[str, Any]:
    return {
        "round": number, "opener": ANNA, "parentModelHash": B32, "parentModelCid": B32, "epoch": 1, "guidelineHash": B32,
        "benchmarkCommitment": B32, "expected": 2, "deadline": 999,
    }  # fmt: skip


def test_a_round_keeps_the_members_and_keys_it_opened_with(history: History) -> None:
    history.admit(BERT, ANNA)
    state = history.says("RoundManager", "RoundOpened", **opening(1))
    assert state.rounds[1].members == ((ANNA, B32), (BERT, B32))
    history.says("MemberRegistry", "PeerUpdated", member=ANNA, peerId=b"peer", encryptionKey=bytes(32))
    history.admit(CARL)
    history.says("MemberRegistry", "ExitStarted", member=BERT, exitAt=500)
    assert history.state.rounds[1].members == ((ANNA, B32), (BERT, B32))
    state = history.says("RoundManager", "RoundOpened", **opening(2))
    assert state.rounds[2].members == ((ANNA, bytes(32)), (CARL, B32))


def test_who_became_active_with_the_opening_is_none_of_its_members(history: History) -> None:
    history.admit(ANNA, BERT)
    history.now -= 1
    assert history.says("RoundManager", "RoundOpened", **opening(1)).rounds[1].members == ((ANNA, B32),)


def test_locked_tokens_become_units_that_follow_a_delegate(history: History) -> None:
    history.admit(ANNA, BERT)
    history.lock(ANNA, 400, 300)
    early = history.now
    history.lock(BERT, 100, 100)
    history.vault("DelegateChanged", delegator=ANNA, fromDelegate=ANNA, toDelegate=BERT)
    history.shift(ANNA, -300)
    history.shift(BERT, 300)
    assert history.state.vault.shifted == 0
    history.shift(BERT, -60)
    history.vault("UnlockStarted", account=ANNA, amount=100, locked=300, leaving=100, freeAt=history.now + 50)
    state = history.state
    assert state.units == {ANNA: 240, BERT: 100}
    assert state.locks[ANNA] == Lock(300, 100, state.locks[ANNA].free_at)
    assert state.delegates == {ANNA: BERT, BERT: BERT}
    assert state.vault.delegated_at(ANNA, early) == 300
    assert state.vault.delegated_at(ANNA, history.now) == 0
    assert (state.total_at(early), state.total_at(history.now)) == (300, 340)
    assert state.votes_at(ANNA, early) == 30  # a tenth of all at most
    assert state.votes_at(CARL, early) == 0
    assert history.vault("Withdrawn", account=ANNA, amount=100).locks[ANNA].leaving == 0


def test_votes_of_who_is_no_member_any_more_are_none(history: History) -> None:
    history.admit(ANNA)
    history.lock(ANNA, 50, 50)
    assert history.state.votes_at(ANNA, history.now) == 5
    history.says("MemberRegistry", "ExitStarted", member=ANNA, exitAt=1)
    assert history.state.votes_at(ANNA, history.now) == 5
    history.says("MemberRegistry", "Banned", account=ANNA, burned=0)
    assert history.state.member(ANNA).status is MemberStatus.BANNED
    assert history.state.votes_at(ANNA, history.now) == 0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Locked", {"account": ANNA, "amount": 5, "locked": 6}),
        ("UnlockStarted", {"account": ANNA, "amount": 5, "locked": 0, "leaving": 5, "freeAt": 0}),
        ("Withdrawn", {"account": ANNA, "amount": 5}),
        ("DelegateChanged", {"delegator": ANNA, "fromDelegate": BERT, "toDelegate": ANNA}),
        ("DelegateVotesChanged", {"delegate": ANNA, "previousVotes": 1, "newVotes": 2}),
    ],
)
def test_what_cannot_follow_in_the_vault_is_refused(history: History, name: str, arguments: dict[str, Any]) -> None:
    before = history.state
    with pytest.raises(InconsistentHistory):
        history.vault(name, **arguments)
    assert history.state is before


def proposed(history: History, number: int = 9) -> None:
    history.governor("QuorumNumeratorUpdated", oldQuorumNumerator=0, newQuorumNumerator=10)
    history.lock(CARL, 1000, 1000)
    history.governor(
        "ProposalCreated", proposalId=number, proposer=ANNA, targets=(BERT,), values=(0,), signatures=("",),
        calldatas=(b"call",), voteStart=200, voteEnd=300, description="why",
    )  # fmt: skip


def vote(history: History, voter: Address, support: int, weight: int, params: bytes = b"") -> None:
    given: dict[str, Any] = {"voter": voter, "proposalId": 9, "support": support, "weight": weight, "reason": "so"}
    if params:
        history.governor("VoteCastWithParams", **given, params=params)
    else:
        history.governor("VoteCast", **given)


def test_votes_add_up_whole_and_split(history: History) -> None:
    proposed(history)
    vote(history, ANNA, 1, 70)
    vote(history, BERT, 255, 6, b"".join(part.to_bytes(16, "big") for part in (1, 2, 3)))
    vote(history, BERT, 0, 4)
    found = history.state.proposals[9]
    assert (found.against, found.in_favour, found.abstain) == (5, 72, 3)
    bert = found.voters[BERT]
    assert (bert.weight, bert.against, bert.in_favour, bert.abstain) == (10, 5, 2, 3)
    assert found.voters[ANNA].support == 1
    with pytest.raises(InconsistentHistory, match="says"):
        vote(history, CARL, 255, 7, bytes(48))


def test_a_proposal_runs_through_the_governors_states(history: History) -> None:
    proposed(history)
    state = history.state.proposal_state
    assert [state(9, now, 1) for now in (200, 201, 300, 301)] == [
        ProposalState.PENDING,
        ProposalState.ACTIVE,
        ProposalState.ACTIVE,
        ProposalState.DEFEATED,
    ]
    vote(history, ANNA, 1, 60)
    assert history.state.proposal_state(9, 301, 1) is ProposalState.DEFEATED  # 60 of 100
    vote(history, BERT, 2, 40)
    assert history.state.proposal_state(9, 301, 1) is ProposalState.SUCCEEDED
    assert history.state.proposal_state(9, 301, 101) is ProposalState.DEFEATED  # the floor
    history.governor("ProposalExtended", proposalId=9, extendedDeadline=400)
    assert history.state.proposal_state(9, 400, 1) is ProposalState.ACTIVE
    history.says(
        "TimelockController", "CallScheduled", id=B32, index=0, target=BERT, value=0, data=b"call", predecessor=bytes(32), delay=50
    )  # fmt: skip
    eta = history.now + 50
    history.governor("ProposalQueued", proposalId=9, etaSeconds=eta)
    assert history.state.proposal_state(9, 401, 1) is ProposalState.QUEUED
    other = apply(history.state, ChainEvent("TimelockController", "Cancelled", {"id": B32}, 999, 999, B32, 0))
    assert other.proposal_state(9, 401, 1) is ProposalState.CANCELLED
    call: dict[str, Any] = {"id": B32, "index": 0, "target": BERT, "value": 0, "data": b"call"}
    history.says("TimelockController", "CallExecuted", **call)
    assert history.state.proposal_state(9, 401, 1) is ProposalState.EXECUTED  # on the timelock directly
    history.governor("ProposalExecuted", proposalId=9)
    assert history.state.proposals[9].is_executed


def test_equal_votes_are_a_defeat(history: History) -> None:
    proposed(history)
    vote(history, ANNA, 1, 60)
    vote(history, BERT, 0, 60)
    assert history.state.proposal_state(9, 301, 1) is ProposalState.DEFEATED


def test_a_cancelled_proposal(history: History) -> None:
    proposed(history)
    history.governor("ProposalCanceled", proposalId=9)
    assert history.state.proposal_state(9, 201, 1) is ProposalState.CANCELLED


def test_an_operation_waits_then_is_ready_then_done() -> None:
    operation = Operation((TimelockCall(BERT, 0, b""),), bytes(32), ready_at=50, delay=10)
    assert [operation.state(now) for now in (49, 50)] == [OperationState.WAITING, OperationState.READY]


def test_the_timelock_makes_only_calls_that_were_scheduled(history: History) -> None:
    with pytest.raises(InconsistentHistory, match="nobody scheduled"):
        history.says("TimelockController", "CallExecuted", id=B32, index=0, target=BERT, value=0, data=b"")


def test_settings_roles_and_the_guardian(history: History) -> None:
    history.governor("VotingDelaySet", oldVotingDelay=0, newVotingDelay=5)
    history.governor("Allowed", target=BERT, selector=b"abcd")
    history.says("TimelockController", "MinDelayChange", oldDuration=0, newDuration=7)
    history.says("TimelockController", "RoleGranted", role=B32, account=ANNA, sender=BERT)
    history.says("TimelockController", "RoleGranted", role=B32, account=CARL, sender=BERT)
    history.says("TimelockController", "RoleRevoked", role=B32, account=ANNA, sender=BERT)
    history.says("Guardian", "Replaced", former=NOBODY, current=ANNA)
    history.says("Guardian", "Paused", entry=2, until=500, paused=80)
    law = history.state.governance
    assert (law.settings.voting_delay, law.min_delay, law.roles[B32], law.guardian) == (5, 7, frozenset({CARL}), ANNA)
    assert law.settings.allowed == {(BERT, b"abcd")}
    assert [law.is_paused(Entry.LOCK, now) for now in (499, 500)] == [True, False]
    history.says("Guardian", "Unpaused", entry=2, paused=3)
    assert history.state.governance.pauses[Entry.LOCK] == Pause(history.now, 3)


def test_documents_and_epochs(history: History) -> None:
    for kind in range(4):
        history.says(
            "GuidelineRegistry", "DocumentAmended", kind=kind, revision=1, contentHash=bytes([kind] * 32), cid=B32
        )
    numbers = {"tau": 1, "deltaMin": 2, "harmMin": 3, "gainCap": 4}
    begun: dict[str, Any] = {"guidelineHash": B32, "guidelineCid": B32, "scoring": numbers}
    history.says("GuidelineRegistry", "EpochBegun", epoch=1, revisions=(1, 1, 1, 1), **begun)
    history.says("GuidelineRegistry", "DocumentAmended", kind=2, revision=2, contentHash=b"n" * 32, cid=B32)
    history.says("GuidelineRegistry", "EpochBegun", epoch=2, revisions=(1, 1, 2, 1), **begun)
    state = history.state
    assert state.scoring_of(2, Scoring(9, 9, 9, 9)) == Scoring(1, 2, 3, 4)
    assert state.scoring_of(3, Scoring(9, 9, 9, 9)) == Scoring(9, 9, 9, 9)
    assert state.guidelines.document_of(1, Kind.UPDATE).content_hash == b"\x02" * 32
    assert state.guidelines.document_of(2, Kind.UPDATE).content_hash == b"n" * 32
    assert state.guidelines.current == state.epochs[2]
    with pytest.raises(InconsistentHistory, match="Revision 2"):
        history.says("GuidelineRegistry", "DocumentAmended", kind=2, revision=2, contentHash=B32, cid=B32)


def candidate(parent: int, number: int, score: int) -> dict[str, Any]:
    return {
        "parent": parent, "version": {"major": 1, "minor": number, "patch": 0}, "round": number, "modelHash": B32, "cid": B32,
        "notesHash": B32, "notesCid": B32, "scores": ({"benchmark": B32, "ppm": score},),
    }  # fmt: skip


def publish(history: History, release: int, parent: int, transaction: bytes = b"") -> None:
    history.says(
        "ReleaseRegistry", "ReleasePublished", transaction=transaction, release=release, round=release,
        candidate=candidate(parent, release, 500), creditTotal=77,
    )  # fmt: skip


def open_rounds(history: History, count: int) -> None:
    for number in range(1, count + 1):
        opening: dict[str, Any] = {
            "opener": ANNA, "parentModelHash": B32, "parentModelCid": B32, "epoch": 1, "guidelineHash": B32,
            "benchmarkCommitment": B32, "expected": 1, "deadline": 1,
        }  # fmt: skip
        history.says("RoundManager", "RoundOpened", round=number, **opening)


def test_yanking_leaves_the_line_that_the_contract_leaves(history: History) -> None:
    open_rounds(history, 3)
    for number in (1, 2, 3):
        publish(history, number, number - 1)
    reason = {"reasonHash": B32}
    history.says("ReleaseRegistry", "ReleaseYanked", release=2, **reason)
    state = history.state
    assert state.catalogue.latest == 3
    assert (state.releases[1].following, state.releases[3].before) == (3, 1)
    assert state.releases[2].is_yanked
    history.says("ReleaseRegistry", "ReleaseYanked", release=3, **reason)
    assert history.state.catalogue.latest == 1
    assert history.state.catalogue.lineage(3) == (3, 2, 1)
    with pytest.raises(InconsistentHistory, match="yanked twice"):
        history.says("ReleaseRegistry", "ReleaseYanked", release=3, **reason)


def test_a_release_belongs_to_the_proposal_that_carried_it_out(history: History) -> None:
    open_rounds(history, 2)
    publish(history, 1, 0, transaction=b"\x01" * 32)
    proposed(history)
    publish(history, 2, 1, transaction=b"\x02" * 32)
    history.governor("ProposalExecuted", proposalId=9, transaction=b"\x02" * 32)
    assert [(r.proposal, r.proposer) for r in history.state.releases.values()] == [(0, NOBODY), (9, ANNA)]


def test_benchmarks_in_the_contracts_order(history: History) -> None:
    names = [letter * 32 for letter in (b"a", b"b", b"c", b"d")]
    for name in names:
        history.says("ReleaseRegistry", "BenchmarkAdded", name=name, contentHash=B32, cid=B32)
    state = history.says("ReleaseRegistry", "BenchmarkRetired", name=names[1])
    assert state.catalogue.active == (names[0], names[3], names[2])
    assert not state.benchmarks[names[1]].is_active


def test_votes_for_scores_and_rolled_credits(history: History) -> None:
    open_rounds(history, 1)
    attested: dict[str, Any] = {"round": 1, "attester": ANNA, "scoresHash": B32}
    history.says("ReleaseRegistry", "ScoresAttested", slot=4, votes=1, **attested)
    with pytest.raises(InconsistentHistory, match="voted twice"):
        history.says("ReleaseRegistry", "ScoresAttested", slot=4, votes=2, **attested)
    history.says("ReleaseRegistry", "CreditsRolled", round=1, creditTotal=50)
    state = history.state
    assert state.catalogue.score_votes[1, B32] == {4}
    assert (state.credit_total_at(0), state.credit_total_at(1), state.credit_total_at(2)) == (0, 50, None)


def test_credits_by_round_and_the_treasurys_share(history: History) -> None:
    open_rounds(history, 2)
    for number, reward in ((2, 7), (1, 5)):
        history.says(
            "RewardDistributor", "Claimed", round=number, index=0, member=ANNA, trainerReward=reward, verifierReward=1,
            attesterReward=0,
        )  # fmt: skip
    history.says("RewardDistributor", "TreasuryClaimed", round=1, treasury=BERT, amount=3)
    state = history.state
    assert [state.credits_at(ANNA, number) for number in (0, 1, 2, 9)] == [0, 6, 14, 14]
    assert (state.credits.minted_in(1), state.credits.minted_in(2)) == (9, 8)
    assert state.rewards[ANNA] == 14


def test_revenue_payments_and_approvals(history: History) -> None:
    history.says("RevenueSplitter", "Deposited", release=1, token=CARL, from_=ANNA, amount=10, total=10)
    history.says("RevenueSplitter", "Claimed", release=1, token=CARL, account=BERT, amount=4, total=4)
    history.says("Treasury", "Paid", token=CARL, to=ANNA, amount=6)
    history.says("ContributionToken", "Approval", owner=ANNA, spender=BERT, value=8)
    state = history.state
    assert state.revenue.deposited == {(1, CARL): 10}
    assert state.revenue.paid == {(1, CARL, BERT): 4}
    assert [(payment.to, payment.amount) for payment in state.payments] == [(ANNA, 6)]
    assert state.approvals == {(ANNA, BERT): 8}
    with pytest.raises(InconsistentHistory, match="in all"):
        history.says("RevenueSplitter", "Claimed", release=1, token=CARL, account=BERT, amount=4, total=9)

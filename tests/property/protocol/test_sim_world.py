"""Any sequence of acts on the reference model: nothing is created or lost, nothing half-done, every round ends."""

from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from incentives.rewards import CWT
from incentives.scoring import MALFORMED, UNAVAILABLE, encode_gain
from node.protocol.errors import TransactionReverted
from node.protocol.types import Call, Fault, Phase
from node.sim.abi import Contract
from node.sim.ledger import QUICK_ROUNDS, Deployment, address_of
from node.sim.registry_storage import RegistryWiring
from node.sim.scripted import Community, Script
from node.sim.scripted_court import CourtCommunity

SIZE = 4
TOKEN, REGISTRY, DISTRIBUTOR, COURT = "ContributionToken", "MemberRegistry", "RewardDistributor", "RoundCourt"
PLACES = st.integers(0, SIZE - 1)
SCORING = (Phase.SCORE_COMMIT, Phase.SCORE_REVEAL, Phase.RETRY_COMMIT, Phase.RETRY_REVEAL)

SUBSETS = st.sets(PLACES)
FIELDS = st.sampled_from([0, MALFORMED, UNAVAILABLE, encode_gain(5_000), encode_gain(10), encode_gain(-9_000)])
scripts = st.builds(
    Script,
    no_commit=SUBSETS,
    no_reveal=SUBSETS,
    no_scores=SUBSETS,
    hide_scores=SUBSETS,
    no_attest=SUBSETS,
    wrong_attest=SUBSETS,
    is_sealed=st.booleans(),
    fields=st.dictionaries(PLACES, FIELDS),
    lies=st.dictionaries(PLACES, st.integers(0, (1 << 140) - 1)),
)


def snapshot(community: Community) -> dict[str, Any]:
    """All storage of the five contracts, detached; which contracts they know is no storage."""
    ledger = community.ledger
    contracts = (ledger.token, ledger.registry, ledger.rounds, ledger.court, ledger.distributor)
    return {
        contract.NAME: {
            name: copy.deepcopy(value)
            for name, value in vars(contract).items()
            if not isinstance(value, Contract | RegistryWiring)
        }
        for contract in contracts
    }


def check_conservation(community: Community) -> None:
    token, zero = community.ledger.token, "0x" + "00" * 20
    moves = [event.arguments for event in community.events if event.name == "Transfer"]
    minted = sum(move["value"] for move in moves if move["from"] == zero)
    burned = sum(move["value"] for move in moves if move["to"] == zero)
    supply = token.total_supply()
    assert supply == minted - burned == sum(token.balances.values())
    assert min(token.balances.values()) >= 0
    assert token.balance_of(community.ledger.registry.address) == community.ledger.registry.total_stake()
    slashes = [event.arguments for event in community.events if event.name == "Slashed"]
    assert all(cut["burned"] + cut["bounty"] == cut["amount"] for cut in slashes)
    assert sum(cut["amount"] for cut in slashes) <= SIZE * 100 * CWT + minted
    eligible = sum(
        community.read("isEligible", member, community.now + 1, contract=REGISTRY) for member in community.members
    )
    assert community.read("eligibleCount", contract=REGISTRY) == eligible


class World(RuleBasedStateMachine):
    """Members act well, badly, early, late, or not at all."""

    @initialize(seed=st.integers(0, 9), most=st.sampled_from([1, 7]))
    def start(self, seed: int, most: int) -> None:
        # With one verifier each, even a ring of three holds a second panel.
        seats = (address_of("member/0"),)
        params = replace(QUICK_ROUNDS, max_verifiers=most, max_attesters=2 if most == 1 else 31)
        self.community = CourtCommunity(SIZE, Deployment(seats=seats, params=params), seed=seed)
        self.phases: dict[int, Phase] = {}

    def act(self, place: int, function: str, *arguments: object, contract: str = "RoundManager") -> None:
        """One member's call. Refused, it must have been refused by the checks alone, and have changed nothing."""
        community, sender = self.community, self.community.members[place]
        before = snapshot(community)
        try:
            community.call(sender, function, *arguments, contract=contract)
        except TransactionReverted:
            call = Call(contract, function, arguments)
            with pytest.raises(TransactionReverted):
                community.ledger.execute(sender, call, number=community.block, timestamp=community.now)
            assert snapshot(community) == before

    def quietly(self, act: Any, *arguments: object) -> None:
        """A scripted act, refused or not."""
        before = snapshot(self.community)
        try:
            act(*arguments)
        except TransactionReverted:
            assert snapshot(self.community) == before

    @property
    def phase(self) -> Phase:
        return self.community.phase

    @rule()
    def open_round(self) -> None:
        if self.community.now <= self.community.read("phaseOf", self.community.round)[1] + 600:
            self.quietly(self.community.open_round)
        else:
            self.act(0, "openRound", bytes(32))

    @precondition(lambda self: self.community.read("phaseOf", self.community.round)[0] >= Phase.FINALIZED)
    @rule(script=scripts)
    def play(self, script: Script) -> None:
        self.quietly(self.community.play, script)

    @rule(place=PLACES)
    def commit(self, place: int) -> None:
        self.quietly(self.community.commit, place)

    @rule(place=PLACES)
    def reveal(self, place: int) -> None:
        self.quietly(self.community.reveal, place)

    @rule()
    def reveal_slice(self) -> None:
        self.quietly(self.community.reveal_slice)

    @precondition(lambda self: self.phase in SCORING)
    @rule(data=st.data())
    def score(self, data: st.DataObject) -> None:
        retry = self.phase in (Phase.RETRY_COMMIT, Phase.RETRY_REVEAL)
        place = data.draw(st.sampled_from(self.community.order()))
        fields = st.sampled_from([0, MALFORMED, UNAVAILABLE, encode_gain(5_000), encode_gain(-9_000)])
        word = self.community.word_of(place, {other: data.draw(fields) for other in range(SIZE)}, retry=retry)
        self.quietly(partial(self.community.commit_scores, retry=retry), place, word)
        self.quietly(partial(self.community.reveal_scores, retry=retry), place, word)

    @rule(indices=st.lists(st.integers(0, SIZE), max_size=5).map(tuple))
    def settle(self, indices: tuple[int, ...]) -> None:
        self.act(0, "settle", self.community.round, indices)

    @precondition(lambda self: self.phase is Phase.ATTEST)
    @rule(place=PLACES, is_wrong=st.booleans())
    def attest(self, place: int, *, is_wrong: bool) -> None:
        if place in self.community.slots():
            self.quietly(lambda: self.community.attest(place, is_wrong=is_wrong))
        self.quietly(self.community.propose)

    @rule(sender=PLACES, place=PLACES)
    def accuse(self, sender: int, place: int) -> None:
        number = self.community.round
        accuse = partial(self.act, sender, contract=COURT)
        accuse("slashUnrevealedUpdate", number, self.community.members[place])
        accuse("slashUnrevealedSlice", number)
        for function in ("slashAbsentVerifier", "slashUnrevealedScores"):
            accuse(function, number, place, False)
            accuse(function, number, place, True)
        for function in ("slashWrongAttestation", "slashAbsentAttester", "slashVerdict"):
            accuse(function, number, place)

    @precondition(lambda self: self.phase is Phase.CHALLENGE)
    @rule(sender=PLACES, place=PLACES, is_score=st.booleans())
    def dispute(self, sender: int, place: int, *, is_score: bool) -> None:
        self.quietly(self.community.fund_bond, sender)
        if is_score:
            self.act(sender, "disputeScore", self.community.round, place, contract=COURT)
        else:
            self.act(sender, "disputeAggregate", self.community.round, contract=COURT)

    @precondition(lambda self: self.community.read("disputeCount", contract=COURT))
    @rule(data=st.data(), ballot=st.sampled_from([1, 2, encode_gain(5_000), encode_gain(-9_000)]))
    def trial(self, data: st.DataObject, ballot: int) -> None:
        number = data.draw(st.integers(1, self.community.read("disputeCount", contract=COURT)))
        absent = data.draw(SUBSETS)
        self.quietly(self.community.draw_jury, number)
        with suppress(TransactionReverted):
            self.community.ballots(number, lambda _member: ballot, absent=absent)
        self.quietly(self.community.resolve, number)
        for place in range(SIZE):
            for function in ("slashField", "slashAttester", "slashAbsentJuror", "slashUnrevealedBallot"):
                self.act(0, function, number, place, contract=COURT)

    @rule(number=st.integers(0, 3), index=PLACES)
    def claim(self, number: int, index: int) -> None:
        self.act(0, "claim", number, index, contract=DISTRIBUTOR)
        self.act(0, "claimTreasury", number, contract=DISTRIBUTOR)

    @rule(place=PLACES, amount=st.integers(0, 50 * CWT))
    def bond(self, place: int, amount: int) -> None:
        self.act(place, "approve", self.community.ledger.registry.address, amount, contract=TOKEN)
        self.act(place, "bond", amount, contract=REGISTRY)

    @rule(place=PLACES)
    def leave(self, place: int) -> None:
        self.act(place, "startExit", contract=REGISTRY)
        self.act(place, "finishExit", contract=REGISTRY)

    @rule(seconds=st.sampled_from([1, 30, 130, 700]))
    def wait(self, seconds: int) -> None:
        self.community.wait(seconds)

    @rule()
    def advance(self) -> None:
        self.quietly(self.community.advance)

    @invariant()
    def phases_only_grow(self) -> None:
        number, phase = self.community.round, self.phase
        assert phase >= self.phases.get(number, Phase.NONE)
        self.phases[number] = phase

    @invariant()
    def money_is_conserved(self) -> None:
        check_conservation(self.community)
        for number in range(1, self.community.round + 1):
            minted = self.community.read("mintedIn", number, contract=DISTRIBUTOR)
            phase = self.community.read("phaseOf", number)[0]
            assert minted <= self.community.read("emission", number, contract=DISTRIBUTOR)
            assert minted == 0 or phase == Phase.FINALIZED

    @invariant()
    def the_court_holds_the_bonds_of_running_disputes(self) -> None:
        token, court = self.community.ledger.token, self.community.ledger.court
        assert token.balance_of(court.address) == court.total_bonds()

    @invariant()
    def every_fault_is_punished_once(self) -> None:
        punished = [
            (one["round"], Fault.FIELD_WRONG if one["fault"] == Fault.LIE else one["fault"], one["subject"])
            for one in (event.arguments for event in self.community.events if event.name == "FaultPunished")
        ]
        assert len(set(punished)) == len(punished) == sum(e.name == "Slashed" for e in self.community.events)

    @invariant()
    def counters_equal_counts(self) -> None:
        settled = [event.arguments for event in self.community.events if event.name == "UpdateSettled"]
        rescored = [event.arguments for event in self.community.events if event.name == "UpdateRescored"]
        finalized = [event.arguments for event in self.community.events if event.name == "RoundFinalized"]
        for end in finalized:
            last = {one["index"]: one for one in (*settled, *rescored) if one["round"] == end["round"]}
            mine = list(last.values())
            assert end["accepted"] == sum(verdict["status"] == 1 for verdict in mine)
            assert end["sumWeight"] == sum(verdict["weight"] for verdict in mine)

    def teardown(self) -> None:
        """Whatever happened, time alone ends the round within 12 steps."""
        if self.community.round == 0:
            return
        for _ in range(12):
            if self.phase in (Phase.FINALIZED, Phase.VOIDED):
                return
            self.community.advance()
        assert self.phase in (Phase.FINALIZED, Phase.VOIDED)


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@settings(max_examples=60, deadline=None)
@given(st.lists(scripts, min_size=1, max_size=3))
def test_every_script_ends_and_conserves(played: list[Script]) -> None:
    community = Community(SIZE)
    for script in played:
        phase = community.play(script)
        assert phase in (Phase.FINALIZED, Phase.VOIDED)
        if phase is Phase.FINALIZED:
            community.claim_all()
            minted = community.read("mintedIn", community.round, contract=DISTRIBUTOR)
            assert minted <= community.read("emission", community.round, contract=DISTRIBUTOR)
        check_conservation(community)

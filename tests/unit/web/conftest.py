"""A community with a past in everything that the page shows: faults, a dispute, a running round, votes, releases, newcomers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from incentives.rewards import CWT
from incentives.scoring import MALFORMED, encode_gain
from incentives.voting import voting_units
from node.adapters.abi import CONTRACTS, contract_abi
from node.explain import Terms
from node.ports import Head
from node.protocol.state import Lock, State, apply
from node.protocol.types import Address, ChainEvent, Outcome
from node.sim.ledger import QUICK_ROUNDS, Deployment, address_of
from node.sim.scripted import DEFAULT_GAIN, Script
from node.sim.scripted_court import CourtCommunity
from node.web.chronicle import Chronicle
from node.web.serve import decoder
from node.web.world import Local, Viewer, World

NOBODY = Address("0x" + "0" * 40)
LINEAR = 1_000 * CWT
FLOOR = 100 * CWT
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u2028\"';--"
AT = {name: address_of(f"contract/{name}") for name in CONTRACTS}
ADDRESSES = AT
GOVERNANCE = {
    "voting_delay": 5, "voting_period": 60, "timelock_delay": 5, "quorum_percent": 10, "unlock_delay": 300
}  # fmt: skip
SCORES_ONE = ((b"code-search/go".ljust(32, b"\0"), 287_900), (b"code-search/python".ljust(32, b"\0"), 412_300))
SCORES_TWO = ((b"code-search/go".ljust(32, b"\0"), 281_400), (b"code-search/python".ljust(32, b"\0"), 431_850))


def digest(label: str) -> bytes:
    return hashlib.sha256(label.encode()).digest()


@dataclass
class Told:
    """Events one after another, from a played community on; each in a block and a transaction of its own unless told otherwise."""

    events: list[ChainEvent]
    now: int
    ahead: int  # of the height: the clock
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        for event in self.events:
            self.state = apply(self.state, event)

    def says(self, contract: str, name: str, /, *, same: bool = False, **arguments: Any) -> ChainEvent:
        last = self.events[-1]
        if not same:
            self.now += 1
        given = {key.rstrip("_"): value for key, value in arguments.items()}
        identity = last.transaction if same else digest(f"{contract}/{name}/{self.now}")
        place = (last.block, last.log_index + 1) if same else (self.now - self.ahead, 0)
        event = ChainEvent(contract, name, given, place[0], self.now, identity, place[1])
        self.state = apply(self.state, event)
        self.events.append(event)
        return event

    def lock(self, account: Address, amount: int) -> None:
        before = self.state.locks.get(account, Lock()).amount
        if account not in self.state.delegates:
            self.says("VotingVault", "DelegateChanged", delegator=account, fromDelegate=NOBODY, toDelegate=account)
        units = voting_units(before + amount, LINEAR) - voting_units(before, LINEAR)
        self.shift(self.state.delegates[account], units)
        self.says("VotingVault", "Locked", account=account, amount=amount, locked=before + amount, same=True)

    def delegate(self, account: Address, to: Address) -> None:
        units, former = self.state.units[account], self.state.delegates[account]
        self.says("VotingVault", "DelegateChanged", delegator=account, fromDelegate=former, toDelegate=to)
        self.shift(former, -units, same=True)
        self.shift(to, units, same=True)

    def shift(self, delegate: Address, units: int, *, same: bool = False) -> None:
        trace = self.state.vault.delegated.get(delegate)
        votes = trace.latest if trace else 0
        self.says(
            "VotingVault",
            "DelegateVotesChanged",
            delegate=delegate,
            previousVotes=votes,
            newVotes=votes + units,
            same=same,
        )

    def propose(self, proposer: Address, description: str, calls: list[tuple[str, str, tuple[Any, ...]]]) -> int:
        number = int.from_bytes(digest(description), "big")
        data = tuple(contract_abi(contract).encode_call(function, given) for contract, function, given in calls)
        self.says(
            "CommunityGovernor",
            "ProposalCreated",
            proposalId=number,
            proposer=proposer,
            targets=tuple(AT[contract] for contract, _, _ in calls),
            values=(0,) * len(calls),
            signatures=("",) * len(calls),
            calldatas=data,
            voteStart=self.now + 6,
            voteEnd=self.now + 66,
            description=description,
        )
        return number

    def vote(self, number: int, voter: Address, support: int, reason: str = "") -> None:
        weight = self.state.votes_at(voter, self.state.proposals[number].snapshot)
        self.says(
            "CommunityGovernor",
            "VoteCast",
            voter=voter,
            proposalId=number,
            support=support,
            weight=weight,
            reason=reason,
        )

    def queue(self, number: int) -> None:
        found = self.state.proposals[number]
        operation = digest(f"operation/{number}")
        for place, (target, data) in enumerate(zip(found.targets, found.calldatas, strict=True)):
            self.says(
                "TimelockController", "CallScheduled", id=operation, index=place, target=target, value=0, data=data,
                predecessor=bytes(32), delay=5, same=place > 0,
            )  # fmt: skip
        self.says("CommunityGovernor", "ProposalQueued", proposalId=number, etaSeconds=self.now + 5, same=True)

    def execute(self, number: int, *effects: tuple[str, str, Mapping[str, Any]]) -> None:
        """As OpenZeppelin says it: what each call does, that the timelock made it, and the governor last."""
        found = self.state.proposals[number]
        operation = found.operation
        self.now += 1
        for place, (target, data) in enumerate(zip(found.targets, found.calldatas, strict=True)):
            if place < len(effects):
                contract, name, arguments = effects[place]
                self.says(contract, name, **arguments)
            self.says(
                "TimelockController", "CallExecuted", id=operation, index=place, target=target, value=0, data=data,
                same=place < len(effects),
            )  # fmt: skip
        self.says("CommunityGovernor", "ProposalExecuted", proposalId=number, same=True)

    def wait(self, seconds: int) -> None:
        self.now += seconds


def candidate(parent: int, number: int, community: CourtCommunity, scores: Any, minor: int) -> dict[str, Any]:
    _secret, model_hash, cid = community.model(number)
    return {
        "parent": parent,
        "version": {"major": 1, "minor": minor, "patch": 0},
        "round": number,
        "modelHash": model_hash,
        "cid": cid,
        "notesHash": digest("notes"),
        "notesCid": digest("notes cid"),
        "scores": tuple({"benchmark": name, "ppm": ppm} for name, ppm in scores),
    }


def play() -> CourtCommunity:
    """Round 1 with faults, 2 without, 3 voided, 4 with an upheld dispute, 5 unsealed, 6 running."""
    params = replace(QUICK_ROUNDS, challenge_duration=60)
    seats = (address_of("member/0"), address_of("member/1"), address_of("member/2"))
    community = CourtCommunity(8, Deployment(seats=seats, threshold=2, params=params))
    sender = community.members[0]
    community.play(Script(fields={1: MALFORMED, 2: encode_gain(-500_000), 4: encode_gain(3)}, wrong_attest={3}))
    community.claim_all()
    community.court(0, "slashVerdict", 1, community.order().index(1))
    community.court(5, "slashWrongAttestation", 1, community.slots()[3])
    community.play(Script(fields={0: encode_gain(12_000)}))
    community.claim_all()
    community.play(Script(no_reveal={1, 2, 3, 4, 5, 6, 7}))
    community.court(6, "slashUnrevealedUpdate", 3, community.members[1])
    community.play_until_challenge()
    dispute = community.dispute_score(6, 5)
    assert community.judge(dispute, lambda _m: encode_gain(DEFAULT_GAIN)) is Outcome.UPHELD
    community.advance()
    community.claim_all()
    community.play(Script(is_sealed=False))
    for index in (0, 1, 2):
        community.call(sender, "claim", 5, index, contract="RewardDistributor")
    for number, name in enumerate(("newcomer/1", "newcomer/2")):
        arguments = (digest(name), digest(name + "/cid"), f"peer-{name}".encode(), bytes(32))
        community.call(address_of(name), "applyToJoin", *arguments, contract="MemberRegistry")
        if number == 0:
            community.call(sender, "review", 9, True, digest("reason"), contract="MemberRegistry")
    _begin_round(community)
    return community


def _begin_round(community: CourtCommunity) -> None:
    """A round in ScoreReveal, with half the words open."""
    community.open_round()
    for place in range(7):
        community.commit(place)
    community.advance()
    for place in range(7):
        community.reveal(place)
    community.reveal_slice()
    community.advance()
    community.advance()
    words = {place: community.word_of(place) for place in community.order()}
    for place, word in words.items():
        community.commit_scores(place, word)
    community.advance()
    for place in community.order()[:3]:
        community.reveal_scores(place, words[place])


def tell() -> tuple[CourtCommunity, Told]:
    """What the community decided meanwhile, told after the rounds (the order of contracts' events is free)."""
    community = play()
    told = Told(list(community.events), community.now, community.now - community.block)
    a, b, c, d = community.members[:4]
    for member, amount in ((a, 1_500), (b, 900), (c, 400), (d, 50)):
        told.lock(member, amount * CWT)
    told.delegate(d, c)
    told.says("ReleaseRegistry", "CreditsRolled", round=1, creditTotal=_credits(told, 1))
    told.says("ReleaseRegistry", "CreditsRolled", round=2, creditTotal=_credits(told, 2))
    for name, _ in SCORES_ONE:
        told.says("ReleaseRegistry", "BenchmarkAdded", name=name, contentHash=digest("rows"), cid=digest("rows cid"))
    for number, (parent, round_, scores) in enumerate(((0, 1, SCORES_ONE), (1, 2, SCORES_TWO)), start=1):
        given = candidate(parent, round_, community, scores, number)
        title = f"# Release 1.{number}.0\n\nNotes. #proposer={a.lower()}"
        made = told.propose(a, title, [("ReleaseRegistry", "publish", ({**given, "scores": scores},))])
        told.wait(7)
        told.vote(made, a, 1, "measured it")
        told.vote(made, b, 1)
        told.vote(made, c, 2)
        told.wait(70)
        told.queue(made)
        told.wait(6)
        published = {"release": number, "round": round_, "candidate": given, "creditTotal": _credits(told, round_)}
        told.execute(made, ("ReleaseRegistry", "ReleasePublished", published))
    scoring = {"tau": 5_000, "deltaMin": 2_000, "harmMin": 80_000, "gainCap": 200_000}
    queued = told.propose(b, f"Raise the least gain {HOSTILE}", [("GuidelineRegistry", "setScoring", (scoring,))])
    told.wait(7)
    told.vote(queued, a, 1)
    told.vote(queued, b, 0, HOSTILE)
    told.vote(queued, c, 1)
    told.wait(70)
    told.queue(queued)
    told.says("RevenueSplitter", "Deposited", release=1, token=AT["ContributionToken"], from_=a, amount=100, total=100)
    told.says("RevenueSplitter", "Claimed", release=1, token=AT["ContributionToken"], account=a, amount=7, total=7)
    running = told.propose(
        c, "Pay for a benchmark\nbecause", [("Treasury", "pay", (AT["ContributionToken"], d, 5 * CWT))]
    )
    told.wait(7)
    told.vote(running, c, 1)
    return community, told


def _credits(told: Told, number: int) -> int:
    return sum(trace.at(number) for trace in told.state.credits.earned.values())


def terms_of(deployment: Deployment) -> Terms:
    return Terms(
        chain_id=deployment.chain_id,
        contracts=AT,
        rounds=deployment.params,
        scoring=deployment.scoring,
        court=deployment.court,
        registry=deployment.registry,
        emission=deployment.emission,
        linear_up_to=LINEAR,
        quorum_floor=FLOOR,
        max_regression=20_000,
    )


COMMUNITY, TOLD = tell()


def world_of(events: list[ChainEvent] | None = None, *, now: int | None = None, **changes: Any) -> World:
    chosen = TOLD.events if events is None else events
    state, chronicle = State(), Chronicle()
    for event in chosen:
        state = apply(state, event)
        chronicle.add(event)
    moment = TOLD.now if now is None else now
    made = World(
        state=state,
        events=chosen,
        chronicle=chronicle,
        head=Head(moment, moment, digest(f"block/{moment}")),
        terms=terms_of(COMMUNITY.deployment),
        governance=GOVERNANCE,
        name="local network",
        is_testnet=True,
        decode=decoder(AT),
        viewer=Viewer("wallet", None, None),
        local=Local(),
    )
    return replace(made, **changes)


@pytest.fixture(scope="session")
def world() -> World:
    audit = {"ok": True, "at": 5, "blocks": [1, 7], "checked": {"events": 10**6}, "findings": []}
    evaluations = {"name": "mrr", "unit": "", "values": {"0": 0.18, "1": 0.29}}
    request = {"hardware": "x", "repositories": ["r"], "rows": 3, "sample_gain": 4, "test_set": None}
    node = {
        "name": "n",
        "address": "0x",
        "roles": ["trainer"],
        "round": 6,
        "phase": "ATTEST",
        "running": [],
        "failing": {},
    }
    local = Local(audit, evaluations, {9: request})
    return world_of(
        viewer=Viewer("sign", COMMUNITY.members[1], {**node, "error": "", "secret": "not shown"}), local=local
    )

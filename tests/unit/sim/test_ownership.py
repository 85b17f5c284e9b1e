"""GuidelineRegistry, ReleaseRegistry and RevenueSplitter on the reference model: every rule of the contracts' interfaces."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, replace
from typing import Any

import pytest

from incentives.rewards import CWT
from node.protocol.hashing import keccak256
from node.protocol.types import Address, Phase, Scoring
from node.sim.abi import ZERO_ADDRESS, Contract, Transaction
from node.sim.guidelines import Document, GuidelineRegistry
from node.sim.ledger import address_of
from node.sim.releases import Candidate, ReleaseRegistry, Scores, Standing
from node.sim.scripted import Community, Script
from node.sim.splitter import RevenueSplitter

Refused = Callable[..., AbstractContextManager[None]]
TIMELOCK = address_of("timelock")
STRANGER = address_of("stranger")
DISTRIBUTOR, TOKEN = "RewardDistributor", "ContributionToken"
FIRST, SECOND = b"code-search".ljust(32, b"\0"), b"pass-at-1".ljust(32, b"\0")
NAME = keccak256(b"name")


def made_up(label: str) -> bytes:
    return keccak256(label.encode())


@dataclass
class Released:
    """A community of 5 with releases on top, and the steps to one."""

    community: Community
    releases: ReleaseRegistry
    splitter: RevenueSplitter

    def send(self, sender: Address, contract: Contract, method: str, *arguments: Any) -> Any:
        self.community.wait(1)
        transaction = Transaction(sender, self.community.block, self.community.now, lambda _: b"")
        return getattr(contract, method)(transaction, *arguments)

    def decide(self, method: str, *arguments: Any) -> Any:
        return self.send(TIMELOCK, self.releases, method, *arguments)

    def rolled_round(self, script: Script | None = None) -> int:
        assert self.community.play(script) is Phase.FINALIZED
        self.community.claim_all()
        self.send(STRANGER, self.releases, "roll_credits", self.community.round)
        return self.community.round

    def vote(self, number: int, scores: Scores, votes: int = 5) -> None:
        rounds = self.community.ledger.rounds
        for slot in range(votes):
            attester = rounds.attestation_of(number, slot)[0]
            value = self.releases.hash_of(number, scores)
            self.send(attester, self.releases, "attest_scores", number, slot, value)

    def candidate(self, number: int, scores: Scores) -> Candidate:
        model = self.community.read("roundOf", number)[-2:]
        version = (1, self.releases.count(), 0)
        notes = (made_up("notes"), made_up("notes cid"))
        return Candidate(self.releases.latest(), version, number, *model, *notes, scores)

    def ready(self, first: int = 500_000, second: int = 500_000) -> Candidate:
        scores = ((FIRST, first), (SECOND, second))
        number = self.rolled_round()
        self.vote(number, scores, 4)
        return self.candidate(number, scores)

    def release(self, first: int = 500_000, second: int = 500_000) -> int:
        return int(self.decide("publish", self.ready(first, second)))


@pytest.fixture
def released(community: Community) -> Released:
    ledger = community.ledger
    made = Released(community, ledger.releases, ledger.splitter)
    for name in (FIRST, SECOND):
        made.decide("add_benchmark", name, made_up("hash"), made_up("cid"))
    return made


# --- releases ---------------------------------------------------------------------------------------------------------


def test_a_release(released: Released):
    candidate = released.ready()
    assert released.decide("publish", candidate) == 1
    assert released.releases.latest() == released.releases.count() == 1
    found = released.releases.release_of(1)
    assert (found[:4], found[7:9]) == ((0, 0, 0, candidate.round), (candidate.model_hash, candidate.cid))
    number, total = released.releases.ownership_of(1)
    assert (number, total) == (candidate.round, 5 * 1_900 * CWT)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"parent": 1}, "NoSuchRelease"),
        ({"version": (0, 0, 0)}, "VersionNotAbove"),
        ({"round": 0}, "RoundNotLater"),
        ({"round": 9}, "NotFinalized"),
        ({"model_hash": bytes(32)}, "NotTheRoundsModel"),
        ({"cid": bytes(32)}, "NotTheRoundsModel"),
        ({"scores": ((FIRST, 900_000), (SECOND, 500_000))}, "ScoresNotAttested"),
        ({"notes_hash": bytes(32)}, "ZeroHash"),
    ],
)
def test_refused_candidates(released: Released, refused: Refused, change: dict[str, Any], error: str):
    candidate = released.ready()
    with refused(error):
        released.decide("publish", replace(candidate, **change))


def test_only_the_timelock_decides_and_not_while_paused(released: Released, refused: Refused):
    candidate = released.ready()
    with refused("NotTimelock", STRANGER, TIMELOCK):
        released.send(STRANGER, released.releases, "publish", candidate)
    guardian = released.community.ledger.guardian
    released.send(address_of("brake"), guardian, "pause", 3, released.community.now + 1_000)
    with refused("PublishPaused"):
        released.decide("publish", candidate)


def test_the_parent_is_the_latest(released: Released, refused: Refused):
    released.release()
    released.release()
    candidate = released.ready()
    with refused("NotLatest", 1, 2):
        released.decide("publish", replace(candidate, parent=1))
    released.decide("yank", 2, made_up("reason"))
    with refused("Yanked", 2):
        released.decide("publish", candidate)
    with refused("Yanked", 2):
        released.decide("yank", 2, made_up("reason"))
    assert released.decide("publish", replace(candidate, parent=1)) == 3
    with refused("NoSuchRelease", 4, 3):
        released.decide("yank", 4, made_up("reason"))


def test_the_gate(released: Released, refused: Refused):
    released.release(500_000, 3_000)
    with refused("Regressed", FIRST, 494_999, 495_000):
        released.decide("publish", released.ready(494_999, 3_000))
    assert released.decide("publish", released.ready(495_000, 0)) == 2


def test_scores(released: Released, refused: Refused):
    one = ((FIRST, 1),)
    number = released.rolled_round()
    for scores, error in (
        (one, "MissingScore"),
        (((SECOND, 1), (FIRST, 1)), "ScoresNotAscending"),
        (((FIRST, 1_000_001), (SECOND, 1)), "ScoreOutOfBounds"),
        (tuple((bytes([place] * 32), 1) for place in range(1, 34)), "TooManyScores"),
    ):
        released.vote(number, scores)
        with refused(error):
            released.decide("publish", released.candidate(number, scores))
    released.decide("retire_benchmark", SECOND)
    assert released.decide("publish", released.candidate(number, one)) == 1
    released.decide("retire_benchmark", FIRST)
    number = released.rolled_round()
    released.vote(number, one)
    with refused("NoActiveBenchmark"):
        released.decide("publish", released.candidate(number, one))


def test_votes(released: Released, refused: Refused):
    released.community.play(Script(wrong_attest={4}))
    number = released.community.round
    rounds, value = released.community.ledger.rounds, made_up("scores")
    liar = released.community.slots()[4]
    assert released.releases.votes_of(number, value) == (0, 3)
    for slot in range(5):
        attester = rounds.attestation_of(number, slot)[0]
        if slot == liar:
            with refused("NotCorrect", number, slot):
                released.send(attester, released.releases, "attest_scores", number, slot, value)
            continue
        with refused("NotAttester", STRANGER, attester):
            released.send(STRANGER, released.releases, "attest_scores", number, slot, value)
        released.send(attester, released.releases, "attest_scores", number, slot, value)
        with refused("AlreadyAttested", number, slot, value):
            released.send(attester, released.releases, "attest_scores", number, slot, value)
    assert released.releases.votes_of(number, value) == (4, 3)
    with refused("NotFinalized", 7, 0):
        released.send(STRANGER, released.releases, "attest_scores", 7, 0, value)


def test_credits_are_rolled_once_all_have_claimed(released: Released, refused: Refused):
    community = released.community
    community.play()
    with refused("ClaimsMissing", 1):
        released.send(STRANGER, released.releases, "roll_credits", 1)
    community.claim_all()
    released.send(STRANGER, released.releases, "roll_credits", 1)
    assert released.releases.credit_total_at(1) == 5 * 1_900 * CWT
    with refused("RoundNotEnded", 2, 0):
        released.send(STRANGER, released.releases, "roll_credits", 2)
    with refused("CreditsNotRolled", 2, 1):
        released.releases.credit_total_at(2)
    community.play(Script(no_attest=range(5)))
    released.send(STRANGER, released.releases, "roll_credits", 2)
    assert released.releases.credit_total_at(2) == released.releases.credit_total_at(1)


def test_benchmarks(released: Released, refused: Refused):
    with refused("WrongStanding", FIRST, Standing.ACTIVE, Standing.UNKNOWN):
        released.decide("add_benchmark", FIRST, NAME, NAME)
    with refused("WrongStanding", NAME, Standing.UNKNOWN, Standing.ACTIVE):
        released.decide("retire_benchmark", NAME)
    with refused("ZeroHash", bytes(32), NAME):
        released.decide("add_benchmark", NAME, bytes(32), NAME)
    with refused("ZeroHash", bytes(32), NAME):
        released.decide("add_benchmark", bytes(32), NAME, NAME)
    for place in range(14):
        released.decide("add_benchmark", bytes([place + 1] * 32), NAME, NAME)
    with refused("TooManyBenchmarks", 16):
        released.decide("add_benchmark", NAME, NAME, NAME)
    released.decide("retire_benchmark", FIRST)
    with refused("WrongStanding", FIRST, Standing.RETIRED, Standing.UNKNOWN):
        released.decide("add_benchmark", FIRST, NAME, NAME)


@pytest.mark.parametrize(("timelock", "regression", "error"), [(STRANGER, 0, "Wired"), (TIMELOCK, 100_001, "Param")])
def test_releases_deployment(community: Community, timelock: Address, regression: int, error: str):
    ledger = community.ledger
    with pytest.raises(Exception, match=error):
        ReleaseRegistry(
            STRANGER,
            ledger.rounds,
            ledger.distributor,
            guardian=ledger.guardian,
            timelock=timelock,
            max_regression=regression,
            chain_id=1,
        )


# --- revenue ----------------------------------------------------------------------------------------------------------


def test_revenue(released: Released, refused: Refused):
    released.release()
    community, splitter, token = released.community, released.splitter, released.community.ledger.token
    payer, member = community.members[0], community.members[3]
    community.call(payer, "approve", splitter.address, 2**256 - 1, contract=TOKEN)
    with refused("NothingToClaim"):
        released.send(STRANGER, splitter, "claim", 1, token.address, member)
    assert released.send(payer, splitter, "deposit", 1, token.address, 1_001) == 1_001
    assert splitter.claimable(1, token.address, member) == 200
    balance = token.balance_of(member)
    assert released.send(STRANGER, splitter, "claim", 1, token.address, member) == 200
    assert token.balance_of(member) == balance + 200
    released.send(payer, splitter, "deposit", 1, token.address, 4)
    assert released.send(STRANGER, splitter, "claim", 1, token.address, member) == 1
    assert splitter.paid_of(1, token.address, member) == 201
    assert splitter.deposited_of(1, token.address) == 1_005
    with refused("NothingArrived", token.address, 0):
        released.send(payer, splitter, "deposit", 1, token.address, 0)
    with refused("NoSuchRelease", 2, 1):
        released.send(payer, splitter, "deposit", 2, token.address, 1)
    with refused("AddressEmptyCode", STRANGER):
        released.send(payer, splitter, "deposit", 1, STRANGER, 1)


def claim_rest(community: Community, number: int) -> None:
    for index in range(5):
        if not community.read("isClaimed", number, index, contract=DISTRIBUTOR):
            community.call(STRANGER, "claim", number, index, contract=DISTRIBUTOR)


def test_shares_are_frozen_and_exact(released: Released):
    community = released.community
    late = None
    for number in (1, 2):
        community.play()
        order = community.order()
        if number == 1:
            late = order.index(1)
    community.call(STRANGER, "claim", 2, community.order().index(1), contract=DISTRIBUTOR)
    community.call(STRANGER, "claim", 1, late, contract=DISTRIBUTOR)
    scores = ((FIRST, 1), (SECOND, 1))
    claim_rest(community, 1)
    released.send(STRANGER, released.releases, "roll_credits", 1)
    released.vote(1, scores)
    released.decide("publish", released.candidate(1, scores))
    shares = [released.splitter.share_of(1, member) for member in community.members]
    assert shares == [(1_900 * CWT, 5 * 1_900 * CWT)] * 5
    claim_rest(community, 2)
    assert community.read("creditAt", community.members[0], 2, contract=DISTRIBUTOR) == 2 * 1_900 * CWT
    assert shares == [released.splitter.share_of(1, member) for member in community.members]


# --- guideline --------------------------------------------------------------------------------------------------------

FOUNDING = Scoring(300, 100, 1_000, 20_000)


def guidelines(**changes: Any) -> GuidelineRegistry:
    documents = tuple(Document(made_up(f"document {kind}"), made_up("cid")) for kind in range(4))
    arguments: dict[str, Any] = {
        "timelock": TIMELOCK,
        "founding": documents,
        "guideline": Document(made_up("guideline"), made_up("cid")),
        "scoring": FOUNDING,
        "deployed_at": 5,
    }
    return GuidelineRegistry(address_of("guidelines"), **arguments | changes)


def send(contract: GuidelineRegistry, method: str, *arguments: Any, sender: Address = TIMELOCK) -> list[str]:
    transaction = Transaction(sender, 1, 9, lambda _: b"")
    getattr(contract, method)(transaction, *arguments)
    return [log.name for log in transaction.logs]


def test_amendments(refused: Refused):
    registry = guidelines()
    arguments = (2, made_up("next"), NAME, made_up("combined"), NAME)
    assert send(registry, "amend", *arguments) == ["DocumentAmended", "EpochBegun"]
    assert registry.current() == (2, made_up("combined"), (300, 100, 1_000, 20_000))
    assert registry.epoch_of(2)[3] == (1, 1, 2, 1)
    assert (registry.epoch_of(1)[-1], registry.epoch_of(2)[-1]) == (5, 9)
    assert registry.document_of(1, 2)[0] == made_up("document 2")
    assert registry.document_of(2, 2) == registry.revision_of(2, 2) == (made_up("next"), NAME)
    with refused("SameHash"):
        send(registry, "amend", *arguments)
    with refused("SameHash"):
        send(registry, "amend", 1, *arguments[1:])
    with refused("NotTimelock", STRANGER, TIMELOCK):
        send(registry, "amend", *arguments, sender=STRANGER)
    with refused("ZeroHash"):
        send(registry, "amend", 1, bytes(32), NAME, NAME, NAME)
    with refused("NoSuchEpoch", 3, 2):
        registry.epoch_of(3)
    with refused("NoSuchRevision", 2, 3, 2):
        registry.revision_of(2, 3)


def struct(scoring: Scoring) -> dict[str, int]:
    return dict(zip(("tau", "deltaMin", "harmMin", "gainCap"), astuple(scoring), strict=True))


def test_i17_scoring_stays_within_its_bounds(refused: Refused):
    registry = guidelines()
    assert send(registry, "set_scoring", struct(Scoring(0, 1, 1, 1))) == ["EpochBegun"]
    assert registry.current() == (2, made_up("guideline"), (0, 1, 1, 1))
    with refused("SameScoring"):
        send(registry, "set_scoring", struct(Scoring(0, 1, 1, 1)))
    for name, scoring in (
        ("tau", Scoring(524_288, 1, 1, 1)),
        ("deltaMin", Scoring(0, 0, 1, 1)),
        ("harmMin", Scoring(0, 1, 0, 1)),
        ("gainCap", Scoring(0, 2, 1, 1)),
    ):
        with pytest.raises(Exception, match=name):
            send(registry, "set_scoring", struct(scoring))
        with pytest.raises(Exception, match=name):
            guidelines(scoring=scoring)


def test_guideline_deployment(refused: Refused):
    with refused("ZeroTimelock"):
        guidelines(timelock=ZERO_ADDRESS)
    with refused("ZeroHash"):
        guidelines(guideline=Document(bytes(32), NAME))

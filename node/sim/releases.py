"""Reference model of ReleaseRegistry: votes for scores, rolled credits, the gate that a release passes, yanking, benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from incentives.ownership import BEST_SCORE, least_score, score_quorum
from node.protocol.errors import TransactionReverted
from node.protocol.governance import Entry
from node.protocol.hashing import abi_encode, keccak256
from node.protocol.types import Address, Phase
from node.sim.abi import ZERO_BYTES32, Contract, Transaction, external, view
from node.sim.distributor import RewardDistributor
from node.sim.registry_storage import Guardian
from node.sim.round_hooks import RoundManager

MAX_BENCHMARKS = 16
MAX_SCORES = 32
MOST_REGRESSION = 100_000
MOST_ATTESTERS = 31


class Standing(IntEnum):
    """Whether a benchmark counts."""

    UNKNOWN = 0
    ACTIVE = 1
    RETIRED = 2


Version = tuple[int, int, int]
Scores = tuple[tuple[bytes, int], ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a proposal asks to publish, in the order of `IReleaseRegistry.Candidate`; scores by ascending name."""

    parent: int
    version: Version
    round: int
    model_hash: bytes
    cid: bytes
    notes_hash: bytes
    notes_cid: bytes
    scores: Scores

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Candidate:
        """A candidate from the struct of the call."""
        version, scores = given["version"], given["scores"]
        return cls(
            given["parent"],
            (version["major"], version["minor"], version["patch"]),
            given["round"],
            given["modelHash"],
            given["cid"],
            given["notesHash"],
            given["notesCid"],
            tuple((score["benchmark"], score["ppm"]) for score in scores),
        )

    @property
    def struct(self) -> dict[str, Any]:
        """The struct by Solidity's names."""
        major, minor, patch = self.version
        return {
            "parent": self.parent,
            "version": {"major": major, "minor": minor, "patch": patch},
            "round": self.round,
            "modelHash": self.model_hash,
            "cid": self.cid,
            "notesHash": self.notes_hash,
            "notesCid": self.notes_cid,
            "scores": tuple({"benchmark": name, "ppm": ppm} for name, ppm in self.scores),
        }


@dataclass(slots=True)
class Release:
    """A release as published, its neighbours among those that stand, and whether it was taken back."""

    candidate: Candidate
    credit_total: int
    published_at: int
    scores_hash: bytes
    before: int
    following: int = 0
    is_yanked: bool = False


def scores_hash(chain_id: int, registry: Address, round_number: int, scores: Scores) -> bytes:
    """H(abi(chainid, registry, round, (bytes32 benchmark, uint32 ppm)[])): what attesters vote for."""
    body = b"".join(abi_encode(name, ppm) for name, ppm in scores)
    return keccak256(abi_encode(chain_id, registry, round_number, 4 * 32, len(scores)) + body)


class ReleaseRegistry(Contract):
    """Versions of the model and their owners.

    Args:
        address: of the contract.
        rounds: whose models are released.
        distributor: where credits are read.
        guardian: what can pause publishing.
        timelock: the only account that decides; the registry's.
        max_regression: how far a score may fall below the parent's, ppm.
        chain_id: of the chain.

    Raises:
        TransactionReverted: wired elsewhere, or the regression is out of its bounds.
    """

    NAME = "ReleaseRegistry"

    def __init__(
        self,
        address: Address,
        rounds: RoundManager,
        distributor: RewardDistributor,
        *,
        guardian: Guardian,
        timelock: Address,
        max_regression: int,
        chain_id: int,
    ) -> None:
        super().__init__(address)
        if rounds.timelock != timelock:
            raise TransactionReverted("WiredElsewhere", (rounds.timelock, timelock))
        if not 0 <= max_regression <= MOST_REGRESSION:
            raise TransactionReverted("ParameterOutOfBounds", ("maxRegression", max_regression, 0, MOST_REGRESSION))
        self._rounds = rounds
        self._distributor = distributor
        self._timelock = timelock
        self._max_regression = max_regression
        self._chain_id = chain_id
        self._releases: list[Release] = []
        self._voters: dict[tuple[int, bytes], set[int]] = {}
        self._totals = [0]
        self._guardian = guardian
        self._benchmarks: dict[bytes, tuple[Standing, bytes, bytes]] = {}
        self._active: list[bytes] = []

    @external("uint256", "uint8", "bytes32")
    def attest_scores(self, transaction: Transaction, round_number: int, slot: int, value: bytes) -> None:
        """Vote for the scores of a finalised round's model."""
        self._check_finalized(transaction, round_number)
        attester, _, is_correct = self._rounds.attestation_of(round_number, slot)
        transaction.require(transaction.sender == attester, "NotAttester", transaction.sender, attester)
        transaction.require(is_correct, "NotCorrect", round_number, slot)
        voters = self._voters.get((round_number, value), set())
        transaction.require(slot not in voters, "AlreadyAttested", round_number, slot, value)
        transaction.effects()
        self._voters[round_number, value] = voters | {slot}
        transaction.emit(
            self.NAME,
            "ScoresAttested",
            round=round_number,
            slot=slot,
            attester=attester,
            scoresHash=value,
            votes=len(voters) + 1,
        )

    @external("uint256")
    def roll_credits(self, transaction: Transaction, round_number: int) -> None:
        """Add up the credits of the next rounds, up to and with this one; anyone may call."""
        totals = list(self._totals)
        for number in range(len(totals), round_number + 1):
            totals.append(totals[-1] + self._final_credits_of(transaction, number))
        transaction.effects()
        for number in range(len(self._totals), len(totals)):
            transaction.emit(self.NAME, "CreditsRolled", round=number, creditTotal=totals[number])
        self._totals = totals

    @external("struct")
    def publish(self, transaction: Transaction, given: Mapping[str, Any] | Candidate) -> int:
        """Publish a release; timelock only."""
        candidate = given if isinstance(given, Candidate) else Candidate.of(given)
        self._check_timelock(transaction)
        transaction.require(not self._guardian.is_paused(Entry.PUBLISH), "PublishPaused")
        self._check_successor(transaction, candidate)
        self._check_attested_model(transaction, candidate)
        total = self.credit_total_at(candidate.round)
        transaction.require(total, "NoCredits", candidate.round)
        _check_hashes(transaction, candidate.notes_hash, candidate.notes_cid)
        _check_scores(transaction, candidate.scores)
        self._check_regression(transaction, candidate)
        transaction.effects()
        value = self.hash_of(candidate.round, candidate.scores)
        self._releases.append(Release(candidate, total, transaction.timestamp, value, candidate.parent))
        number = len(self._releases)
        if candidate.parent:
            self._release(candidate.parent).following = number
        transaction.emit(
            self.NAME,
            "ReleasePublished",
            release=number,
            round=candidate.round,
            candidate=candidate.struct,
            creditTotal=total,
        )
        return number

    @external("uint32", "bytes32")
    def yank(self, transaction: Transaction, release: int, reason_hash: bytes) -> None:
        """Take a release back; timelock only."""
        self._check_timelock(transaction)
        found = self._release(release)
        transaction.require(not found.is_yanked, "Yanked", release)
        transaction.effects()
        found.is_yanked = True
        if found.before:
            self._release(found.before).following = found.following
        if found.following:
            self._release(found.following).before = found.before
        transaction.emit(self.NAME, "ReleaseYanked", release=release, reasonHash=reason_hash)

    @external("bytes32", "bytes32", "bytes32")
    def add_benchmark(self, transaction: Transaction, name: bytes, content_hash: bytes, cid: bytes) -> None:
        """Measure later releases by one benchmark more; timelock only."""
        self._check_timelock(transaction)
        _check_hashes(transaction, content_hash, cid)
        transaction.require(name != ZERO_BYTES32, "ZeroHash", name, cid)
        standing = self.standing_of(name)
        transaction.require(standing is Standing.UNKNOWN, "WrongStanding", name, standing, Standing.UNKNOWN)
        transaction.require(len(self.active_benchmarks()) < MAX_BENCHMARKS, "TooManyBenchmarks", MAX_BENCHMARKS)
        transaction.effects()
        self._benchmarks[name] = (Standing.ACTIVE, content_hash, cid)
        self._active.append(name)
        transaction.emit(self.NAME, "BenchmarkAdded", name=name, contentHash=content_hash, cid=cid)

    @external("bytes32")
    def retire_benchmark(self, transaction: Transaction, name: bytes) -> None:
        """Measure later releases without a benchmark; timelock only."""
        self._check_timelock(transaction)
        standing = self.standing_of(name)
        transaction.require(standing is Standing.ACTIVE, "WrongStanding", name, standing, Standing.ACTIVE)
        transaction.effects()
        self._benchmarks[name] = (Standing.RETIRED, *self._benchmarks[name][1:])
        self._active[self._active.index(name)] = self._active[-1]  # the contract moves the last one into the gap
        self._active.pop()
        transaction.emit(self.NAME, "BenchmarkRetired", name=name)

    @view()
    def latest(self) -> int:
        """The latest release that is not yanked; 0 where there is none."""
        standing = (number for number, release in enumerate(self._releases, 1) if not release.is_yanked)
        return max(standing, default=0)

    @view()
    def count(self) -> int:
        """How many releases were published."""
        return len(self._releases)

    @view("uint256")
    def release_of(self, release: int) -> tuple[Any, ...]:
        """A release, yanked or not, as `IReleaseRegistry.Release` orders it."""
        found = self._release(release)
        candidate = found.candidate
        return (
            candidate.parent,
            found.before,
            found.following,
            candidate.round,
            candidate.version,
            found.published_at,
            found.is_yanked,
            candidate.model_hash,
            candidate.cid,
            found.scores_hash,
            candidate.notes_hash,
            candidate.notes_cid,
            found.credit_total,
        )

    def _release(self, release: int) -> Release:
        if not 1 <= release <= len(self._releases):
            raise TransactionReverted("NoSuchRelease", (release, len(self._releases)))
        return self._releases[release - 1]

    @view("uint256")
    def ownership_of(self, release: int) -> tuple[int, int]:
        """(round, credit total) that shares are computed from."""
        found = self._release(release)
        return found.candidate.round, found.credit_total

    @view("uint256", "bytes32")
    def score_of(self, release: int, benchmark: bytes) -> tuple[bool, int]:
        """(whether it was measured, ppm)."""
        scores = dict(self._releases[release - 1].candidate.scores) if 1 <= release <= len(self._releases) else {}
        return benchmark in scores, scores.get(benchmark, 0)

    @view("uint256", "bytes32")
    def voters_of(self, round_number: int, value: bytes) -> int:
        """Bit of each slot that voted for scores."""
        return sum(1 << slot for slot in self._voters.get((round_number, value), ()))

    @view("bytes32")
    def benchmark_of(self, name: bytes) -> tuple[int, bytes, bytes]:
        """(standing, hash, CID) of a benchmark."""
        return self._benchmarks.get(name, (Standing.UNKNOWN, ZERO_BYTES32, ZERO_BYTES32))

    @view("uint256", "bytes32")
    def votes_of(self, round_number: int, value: bytes) -> tuple[int, int]:
        """(votes, votes needed) of scores."""
        return len(self._voters.get((round_number, value), ())), score_quorum(self._correct_attesters(round_number))

    @view()
    def active_benchmarks(self) -> list[bytes]:
        """Names of the active benchmarks."""
        return list(self._active)

    @view("uint256")
    def credit_total_at(self, round_number: int) -> int:
        """Credits of all members from rounds up to this one."""
        if round_number > self.rolled_to():
            raise TransactionReverted("CreditsNotRolled", (round_number, self.rolled_to()))
        return self._totals[round_number]

    @view()
    def rolled_to(self) -> int:
        """Latest round whose credits are rolled up."""
        return len(self._totals) - 1

    def hash_of(self, round_number: int, scores: Scores) -> bytes:
        """What attesters vote for."""
        return scores_hash(self._chain_id, self.address, round_number, scores)

    def standing_of(self, name: bytes) -> Standing:
        """Whether a benchmark counts."""
        return Standing(self.benchmark_of(name)[0])

    def _final_credits_of(self, transaction: Transaction, round_number: int) -> int:
        phase = self._rounds.phase_of(round_number)[0]
        if phase == Phase.VOIDED:
            return 0
        transaction.require(phase == Phase.FINALIZED, "RoundNotEnded", round_number, phase)
        amount, is_complete = self._distributor.credits_in(round_number)
        transaction.require(is_complete, "ClaimsMissing", round_number)
        return amount

    def _check_successor(self, transaction: Transaction, candidate: Candidate) -> None:
        parent_round = 0
        if candidate.parent:
            parent = self._release(candidate.parent)
            transaction.require(not parent.is_yanked, "Yanked", candidate.parent)
            parent_round = parent.candidate.round
        transaction.require(candidate.parent == self.latest(), "NotLatest", candidate.parent, self.latest())
        last = self._releases[-1].candidate.version if self._releases else (0, 0, 0)
        transaction.require(candidate.version > last, "VersionNotAbove", candidate.version, last)
        transaction.require(candidate.round > parent_round, "RoundNotLater", candidate.round, parent_round)

    def _check_attested_model(self, transaction: Transaction, candidate: Candidate) -> None:
        self._check_finalized(transaction, candidate.round)
        model = self._rounds.round_of(candidate.round)[-2:]
        given = (candidate.model_hash, candidate.cid)
        transaction.require(given == model, "NotTheRoundsModel", *given, *model)
        value = self.hash_of(candidate.round, candidate.scores)
        votes, needed = self.votes_of(candidate.round, value)
        transaction.require(votes >= needed, "ScoresNotAttested", value, votes, needed)

    def _check_regression(self, transaction: Transaction, candidate: Candidate) -> None:
        active = self.active_benchmarks()
        transaction.require(active, "NoActiveBenchmark")
        scores = dict(candidate.scores)
        before = dict(self._releases[candidate.parent - 1].candidate.scores) if candidate.parent else {}
        for name in active:
            transaction.require(name in scores, "MissingScore", name)
            if name in before:
                least = least_score(before[name], self._max_regression)
                transaction.require(scores[name] >= least, "Regressed", name, scores[name], least)

    def _correct_attesters(self, round_number: int) -> int:
        correct = 0
        for slot in range(MOST_ATTESTERS):
            try:
                correct += self._rounds.attestation_of(round_number, slot)[2]
            except TransactionReverted:  # no more attesters
                break
        return correct

    def _check_finalized(self, transaction: Transaction, round_number: int) -> None:
        phase = self._rounds.phase_of(round_number)[0]
        transaction.require(phase == Phase.FINALIZED, "NotFinalized", round_number, phase)

    def _check_timelock(self, transaction: Transaction) -> None:
        transaction.require(transaction.sender == self._timelock, "NotTimelock", transaction.sender, self._timelock)


def _check_hashes(transaction: Transaction, content_hash: bytes, cid: bytes) -> None:
    transaction.require(ZERO_BYTES32 not in {content_hash, cid}, "ZeroHash", content_hash, cid)


def _check_scores(transaction: Transaction, scores: Scores) -> None:
    transaction.require(len(scores) <= MAX_SCORES, "TooManyScores", len(scores), MAX_SCORES)
    previous = ZERO_BYTES32
    for name, ppm in scores:
        transaction.require(name > previous, "ScoresNotAscending", name, previous)
        transaction.require(ppm <= BEST_SCORE, "ScoreOutOfBounds", name, ppm, BEST_SCORE)
        previous = name

"""A scripted community that governs itself: locks, proposals, votes, releases, revenue; on top of `node.sim.scripted`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from incentives.rewards import CWT
from node.adapters.abi import contract_abi
from node.protocol.governance import Support
from node.protocol.hashing import keccak256
from node.protocol.types import Address, Call
from node.sim.scripted import Script
from node.sim.scripted_court import CourtCommunity

VAULT, GOVERNOR, TOKEN, RELEASES, SPLITTER = (
    "VotingVault", "CommunityGovernor", "ContributionToken", "ReleaseRegistry", "RevenueSplitter",
)  # fmt: skip
FOUNDED = b"code-search".ljust(32, b"\0")


@dataclass(frozen=True, slots=True)
class Motion:
    """One proposal as its four arguments."""

    targets: tuple[Address, ...]
    values: tuple[int, ...]
    calldatas: tuple[bytes, ...]
    description: str

    @property
    def hashed(self) -> tuple[tuple[Address, ...], tuple[int, ...], tuple[bytes, ...], bytes]:
        """As `queue`, `execute` and `cancel` want it."""
        return self.targets, self.values, self.calldatas, keccak256(self.description.encode())


class Parliament(CourtCommunity):
    """A community whose members lock what they earned and decide by vote."""

    def lock(self, place: int, amount: int) -> None:
        """One member approves and locks."""
        member, vault = self.members[place], self.ledger.vault.address
        self.call(member, "approve", vault, amount, contract=TOKEN)
        self.call(member, "lock", amount, contract=VAULT)

    def motion(self, *calls: Call, why: str = "") -> Motion:
        """A proposal of some calls."""
        at = self.ledger.addresses
        targets = tuple(at[call.contract] for call in calls)
        datas = tuple(contract_abi(call.contract).encode_call(call.function, call.arguments) for call in calls)
        return Motion(targets, (0,) * len(calls), datas, why or f"motion at {self.now}")

    def propose_motion(self, place: int, motion: Motion) -> int:
        """One member proposes; the proposal's id. Its vote has begun afterwards."""
        arguments = (motion.targets, motion.values, motion.calldatas, motion.description)
        number = int(self.call(self.members[place], "propose", *arguments, contract=GOVERNOR))
        self.wait(int(self.read("votingDelay", contract=GOVERNOR)))
        return number

    def vote(self, place: int, number: int, support: int = Support.FOR, reason: str = "") -> None:
        """One member votes with everything."""
        if reason:
            self.call(self.members[place], "castVoteWithReason", number, int(support), reason, contract=GOVERNOR)
        else:
            self.call(self.members[place], "castVote", number, int(support), contract=GOVERNOR)

    def split(self, place: int, number: int, against: int, in_favour: int, abstain: int) -> None:
        """One member splits its votes."""
        params = b"".join(part.to_bytes(16, "big") for part in (against, in_favour, abstain))
        function = "castVoteWithReasonAndParams"
        self.call(self.members[place], function, number, 255, "split", params, contract=GOVERNOR)

    def end_vote(self, number: int, *, early: int = 0) -> None:
        """Wait until the vote is over, or ``early`` seconds less."""
        self.wait(max(0, int(self.read("proposalDeadline", number, contract=GOVERNOR)) - self.now - early))

    def queue(self, motion: Motion) -> None:
        """Hand it to the timelock."""
        self.call(self.members[0], "queue", *motion.hashed, contract=GOVERNOR)

    def carry_out(self, motion: Motion) -> None:
        """Wait for the timelock, and execute."""
        self.wait(int(self.read("getMinDelay", contract="TimelockController")))
        self.call(self.members[0], "execute", *motion.hashed, contract=GOVERNOR)

    def decide(self, *calls: Call, voters: tuple[int, ...] = (0, 1, 2), why: str = "") -> int:
        """A proposal from beginning to end; its id."""
        motion = self.motion(*calls, why=why)
        number = self.propose_motion(voters[0], motion)
        for place in voters:
            self.vote(place, number)
        self.end_vote(number)
        self.queue(motion)
        self.carry_out(motion)
        return number

    def amendment(self) -> tuple[bytes, bytes, bytes, bytes]:
        """(hash, CID) of another update document, and of the combined file with it; made up, for nobody reads them here."""
        document, cid, combined, combined_cid = (keccak256(f"amendment/{part}".encode()) for part in range(4))
        return document, cid, combined, combined_cid

    def rolled_round(self, script: Script | None = None) -> int:
        """A round whose claims are made and credits rolled; its number."""
        self.play(script)
        self.claim_all()
        self.call(self.members[0], "rollCredits", self.round, contract=RELEASES)
        return self.round

    def attest_scores(self, number: int, scores: Mapping[bytes, int], slots: int) -> None:
        """The first slots of a round vote for scores."""
        value = self.ledger.releases.hash_of(number, tuple(scores.items()))
        for slot in range(slots):
            attester = self.read("attestationOf", number, slot)[0]
            self.call(attester, "attestScores", number, slot, value, contract=RELEASES)

    def candidate(self, number: int, scores: Mapping[bytes, int]) -> dict[str, Any]:
        """A release of a round's model on the latest one."""
        model = self.read("roundOf", number)[-2:]
        return {
            "parent": self.read("latest", contract=RELEASES),
            "version": {"major": 1, "minor": self.read("count", contract=RELEASES), "patch": 0},
            "round": number,
            "modelHash": model[0],
            "cid": model[1],
            "notesHash": keccak256(b"notes"),
            "notesCid": keccak256(b"notes cid"),
            "scores": tuple({"benchmark": name, "ppm": ppm} for name, ppm in scores.items()),
        }

    def release(self, score: int, *, voters: tuple[int, ...] = (0, 1, 2)) -> int:
        """A round, and its model released; the release's number."""
        scores = {FOUNDED: score}
        number = self.rolled_round()
        self.attest_scores(number, scores, len(self.slots()))
        self.decide(Call(RELEASES, "publish", (self.candidate(number, scores),)), voters=voters)
        return int(self.read("latest", contract=RELEASES))

    def deposit(self, place: int, release: int, amount: int) -> None:
        """One member pays into a release."""
        member = self.members[place]
        self.call(member, "approve", self.ledger.splitter.address, amount, contract=TOKEN)
        self.call(member, "deposit", release, self.ledger.token.address, amount, contract=SPLITTER)


def constitutional(community: Parliament) -> Parliament:
    """Play the whole surface: votes of every kind, seats, guideline, releases, revenue, pauses, an eviction.

    The community needs seven members or more. What it leaves behind has something of everything that an auditor looks at.
    """
    community.play()
    community.claim_all()
    for place, amount in ((0, 1_100), (1, 900), (2, 700), (3, 40)):
        community.lock(place, amount * CWT)
    community.call(community.members[3], "delegate", community.members[4], contract=VAULT)
    community.decide(Call(RELEASES, "addBenchmark", (FOUNDED, keccak256(b"slice"), keccak256(b"cid"))))
    community.call(community.members[0], "rollCredits", 1, contract=RELEASES)
    first = community.release(500_000)
    _more_votes(community)
    _settings(community)
    community.release(497_000)
    _revenue(community, first)
    _leaving(community)
    _guardian(community)
    community.decide(Call(RELEASES, "yank", (2, keccak256(b"reason"))))
    return community


def _more_votes(community: Parliament) -> None:
    """A proposal that fails, one with split votes and a late quorum, one that is cancelled while it is queued."""
    fails = community.motion(Call(RELEASES, "retireBenchmark", (FOUNDED,)), why="nobody wants this")
    number = community.propose_motion(1, fails)
    community.vote(0, number, Support.AGAINST, "no")
    community.vote(1, number)
    community.end_vote(number)
    seat = (0, community.members[0], community.now + 1_000_000)
    late = community.motion(Call("MemberRegistry", "setSeat", seat), why="a new term")
    number = community.propose_motion(0, late)
    weight = int(community.read("getVotes", community.members[2], contract=VAULT))
    community.split(2, number, weight // 4, weight // 4, 0)
    community.split(2, number, 0, 0, weight // 4)
    community.end_vote(number, early=5)
    community.vote(0, number)
    community.vote(1, number)
    community.end_vote(number)
    community.queue(late)
    community.carry_out(late)
    dropped = community.motion(Call("Treasury", "pay", (community.ledger.token.address, community.members[5], CWT)))
    number = community.propose_motion(0, dropped)
    community.vote(0, number)
    community.vote(1, number)
    community.end_vote(number)
    community.queue(dropped)
    arguments = (community.ledger.governor.address, *dropped.hashed)
    community.call(community.deployment.brake, "cancel", *arguments, contract="Guardian")
    withdrawn = community.motion(Call("Guardian", "unpause", (0,)), why="withdrawn before the vote")
    values = (withdrawn.targets, withdrawn.values, withdrawn.calldatas, withdrawn.description)
    community.call(community.members[1], "propose", *values, contract=GOVERNOR)
    community.call(community.members[1], "cancel", *withdrawn.hashed, contract=GOVERNOR)


def _settings(community: Parliament) -> None:
    """Governor's settings, guideline, scoring and treasury, by vote."""
    law = community.deployment.governance
    scoring = community.deployment.scoring
    numbers = {
        "tau": scoring.tau + 1,
        "deltaMin": scoring.delta_min,
        "harmMin": scoring.harm_min,
        "gainCap": scoring.gain_cap,
    }
    pay = (community.ledger.token.address, community.members[5], 3 * CWT)
    community.decide(
        Call(GOVERNOR, "setVotingDelay", (law.voting_delay + 1,)),
        Call(GOVERNOR, "updateQuorumNumerator", (law.quorum_percent + 2,)),
        Call("Treasury", "pay", pay),
    )
    community.decide(Call("GuidelineRegistry", "amend", (2, *community.amendment())))
    community.decide(Call("GuidelineRegistry", "setScoring", (numbers,)))


def _revenue(community: Parliament, release: int) -> None:
    """Deposits of a release, and claims between them."""
    token = community.ledger.token.address
    community.deposit(4, release, 1_001)
    for member in community.members[:3]:
        community.call(community.members[0], "claim", release, token, member, contract=SPLITTER)
    community.deposit(5, release, 77_777)
    community.call(community.members[0], "claim", release, token, community.members[1], contract=SPLITTER)


def _leaving(community: Parliament) -> None:
    """An unlock and its withdrawal, a bond, an exit, an eviction."""
    members, delay = community.members, community.deployment.governance.unlock_delay
    community.call(members[0], "unlock", 100 * CWT, contract=VAULT)
    community.wait(delay)
    community.call(members[0], "withdraw", contract=VAULT)
    community.call(members[6], "approve", community.ledger.registry.address, 5 * CWT, contract=TOKEN)
    community.call(members[6], "bond", 5 * CWT, contract="MemberRegistry")
    community.lock(6, 10 * CWT)
    community.call(members[6], "startExit", contract="MemberRegistry")
    community.wait(community.deployment.exit_delay)
    community.call(members[6], "finishExit", contract="MemberRegistry")
    community.call(members[0], "evict", members[6], contract=VAULT)


def _guardian(community: Parliament) -> None:
    """A pause, given back, and the office to another account by vote."""
    brake = community.deployment.brake
    community.call(brake, "pause", 2, community.now + 5_000, contract="Guardian")
    community.wait(10)
    community.call(brake, "unpause", 2, contract="Guardian")
    community.call(brake, "pause", 0, community.now + 90_000, contract="Guardian")
    community.decide(Call("Guardian", "replace", (community.members[5],)))

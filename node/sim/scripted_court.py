"""A scripted community that goes to court: disputes, juries and ballots, act by act. For tests, audits and figures."""

from __future__ import annotations

from collections.abc import Callable, Collection

from node.protocol.commitments import ballot_commitment
from node.protocol.types import Outcome
from node.sim.scripted import Community

Vote = Callable[[int], int]
"""What a member (by number) writes on its ballot."""


class CourtCommunity(Community):
    """As `Community`, with the acts of disputers and jurors."""

    def court(self, sender: int, function: str, *arguments: object) -> int | None:
        """One call of the court by a member; its result."""
        result: int | None = self.call(self.members[sender], function, *arguments, contract="RoundCourt")
        return result

    def fund_bond(self, place: int) -> None:
        """Give a member what a dispute's bond takes, and let the court take it."""
        minter, member, bond = self.ledger.distributor.address, self.members[place], self.deployment.court.bond
        self.call(minter, "mint", member, bond, contract="ContributionToken")
        self.call(member, "approve", self.ledger.court.address, bond, contract="ContributionToken")

    def dispute_score(self, disputer: int, place: int) -> int:
        """``disputer`` disputes the verdict on the update of ``place``; the dispute's number."""
        self.fund_bond(disputer)
        return int(self.court(disputer, "disputeScore", self.round, self.order().index(place)) or 0)

    def dispute_aggregate(self, disputer: int) -> int:
        """``disputer`` disputes the model of the newest round; the dispute's number."""
        self.fund_bond(disputer)
        return int(self.court(disputer, "disputeAggregate", self.round) or 0)

    def draw_jury(self, dispute: int) -> dict[int, int]:
        """Draw the jury once its block is mined: member by place."""
        self.wait(self.deployment.court.seed_delay_blocks)
        self.court(0, "drawJury", dispute)
        return self.jury(dispute)

    def jury(self, dispute: int) -> dict[int, int]:
        """Member by place of a drawn jury."""
        found = self.ledger.court.dispute(dispute)
        order = self.order()
        return {place: order[self.ledger.rounds.ring(found.round).index_at(at)] for place, at in found.jury.items()}

    def ballots(self, dispute: int, vote: Vote, *, absent: Collection[int] = (), hiding: Collection[int] = ()) -> None:
        """Jurors commit and reveal; members ``absent`` do not commit, those ``hiding`` do not reveal."""
        voting = {place: member for place, member in self.jury(dispute).items() if member not in absent}
        court = self.ledger.court.address
        for place, member in voting.items():
            commitment = ballot_commitment(
                self.deployment.chain_id,
                court,
                dispute,
                self.members[member],
                ballot=vote(member),
                salt=self.salt(member, f"ballot/{dispute}"),
            )
            self.court(member, "commitBallot", dispute, place, commitment)
        if len(voting) < len(self.jury(dispute)):
            self.wait_until(self.ledger.court.dispute(dispute).commit_end)
        for place, member in voting.items():
            if member not in hiding:
                self.court(member, "revealBallot", dispute, place, vote(member), self.salt(member, f"ballot/{dispute}"))

    def resolve(self, dispute: int) -> Outcome:
        """End a dispute, waiting for the time to reveal where somebody did not."""
        found = self.ledger.court.dispute(dispute)
        if found.reveals < len(found.jury):
            self.wait_until(found.commit_end + self.deployment.court.reveal_duration)
        self.court(0, "resolve", dispute)
        return found.outcome

    def judge(self, dispute: int, vote: Vote) -> Outcome:
        """A whole trial in which every juror votes."""
        self.draw_jury(dispute)
        self.ballots(dispute, vote)
        return self.resolve(dispute)

    def wait_until(self, moment: int) -> None:
        """Let time pass until ``moment``, where that lies ahead."""
        self.wait(max(0, moment - self.now))

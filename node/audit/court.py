"""Replays the court: who was guilty of what, who sat on which jury, what it found, and what followed from that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from incentives import scoring, slashing
from incentives.scoring import Tally, Verdict
from node.audit.base import ZERO, AuditRules, BlockHash, ReplayBase
from node.audit.guilt import Charge, is_guilty
from node.protocol.commitments import jury_key
from node.protocol.sortition import draw_jury, plan_jury
from node.protocol.state import Dispute
from node.protocol.types import Address, DisputeKind, Fault, Outcome, Phase, UpdateStatus, VoidReason

BURNED_WHOLE = (Fault.UNAVAILABLE, Fault.MALFORMED, Fault.HARMFUL)
SEED_WINDOW = 256
WRONG = 2


@dataclass(frozen=True, slots=True)
class _Slash:
    """A slash whose reason the court has not told yet."""

    member: Address
    round: int
    fault: int
    amount: int
    prover: Address


class CourtReplay(ReplayBase):
    """Checks of the RoundCourt's events, of its hooks' events, and of slashes."""

    def __init__(self, rules: AuditRules, block_hash: BlockHash) -> None:
        super().__init__(rules, block_hash)
        self.slashes: list[_Slash] = []
        self.overturned: dict[bytes, int] = {}
        self.rescored: set[int] = set()
        self.void_reasons: dict[int, VoidReason] = {}

    # --- penalties ---

    def _on_Slashed(self, a: Mapping[str, Any]) -> None:  # noqa: N802 - named after the event
        member = self.state.member(a["member"])
        fault = Fault(a["fault"])
        amount = slashing.penalty_up(member.stake, slashing.PENALTY_BPS[a["fault"]])
        self.equal("slashes", a["amount"], amount, f"{fault.name} of {a['member']}")
        is_proven = fault not in BURNED_WHOLE
        divided = slashing.divide(amount, own=member.stake - member.unvested, is_proven=is_proven)
        self.equal("slashes", (a["burned"], a["bounty"]), divided, f"division of the slash of {a['member']}")
        self.equal("slashes", a["stake"], member.stake - amount, f"stake of {a['member']} after the slash")
        self.equal("slashes", a["prover"] != ZERO, is_proven, f"whether {fault.name} of {a['member']} has a prover")
        self.owe("MemberRegistry", ZERO, a["burned"])
        if a["bounty"]:
            self.owe("MemberRegistry", a["prover"], a["bounty"])
        self.slashes.append(_Slash(a["member"], a["round"], a["fault"], a["amount"], a["prover"]))

    def _on_FaultPunished(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        told = _Slash(a["account"], a["round"], a["fault"], a["amount"], a["prover"])
        last = self.slashes.pop() if self.slashes else None
        self.equal("slashes", told, last, f"reason of the slash of {a['account']}")
        fault = Fault(a["fault"])
        key = Fault.FIELD_WRONG if fault is Fault.LIE else fault
        is_new = (int(key), a["subject"]) not in found.punished
        self.expect("faults", is_new, f"{a['account']} was punished twice for {fault.name} in round {a['round']}.")
        guilty = is_guilty(self, found, Charge(fault, a["account"], a["subject"], a["prover"]))
        self.expect("faults", guilty, f"{a['account']} is not guilty of {fault.name} in round {a['round']}.")

    # --- disputes ---

    def _on_DisputeOpened(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found, now, params = self.round(a), self.event.timestamp, self.rules.court_params
        where = f"dispute {a['id']}"
        in_time = found.phase is Phase.CHALLENGE and now <= found.challenge_end
        self.expect("disputes", in_time, f"{where} was opened outside Challenge, or after its own end.")
        self.equal("disputes", a["seedBlock"], self.event.block + params.seed_delay_blocks, f"seed block of {where}")
        self.equal("disputes", a["until"], now + params.duration, f"end of {where}")
        others = [self.state.disputes[number] for number in found.disputes]
        kind = DisputeKind(a["kind"])
        same = [other for other in others if other.kind is kind]
        if kind is DisputeKind.AGGREGATE:
            self.expect("disputes", not same, f"{where} is about an aggregate that was disputed before.")
            self.equal("disputes", a["isRetried"], False, f"panel of {where}")
        else:
            again = any(other.index == a["index"] for other in same)
            self.expect("disputes", not again, f"{where} is about a verdict that was disputed before.")
            self.expect("disputes", len(same) < params.max_disputes, f"{where} is one too many.")
            verdict = found.settled.get(a["index"])
            retried = verdict is not None and verdict.is_retried
            self.equal("disputes", a["isRetried"], retried, f"panel of {where}")
            awaits = found.has_retry(self.rules.params.max_verifiers) and not retried
            moot = (UpdateStatus.UNAVAILABLE, *((UpdateStatus.UNSCORED,) if awaits else ()))
            judged = verdict is not None and verdict.status not in moot
            self.expect("disputes", judged, f"{where} is about a verdict that no jury can judge.")
        n = len(found.reveals)
        involved, owner = _opening(a).parties(found, self.rules.params)
        plan = plan_jury(n, params.jury_size, involved, owner)
        self.equal("juries", a["isIndependent"], plan.is_independent, f"independence of the jury of {where}")

    def _on_DeadlineExtended(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        newest = self.state.disputes.get(len(self.state.disputes))
        is_due = newest is not None and newest.round == a["round"] and newest.opened_at == self.event.timestamp
        until = newest.until if newest is not None and is_due else None
        self.equal("disputes", a["deadline"], until, f"Challenge of round {a['round']} prolonged to")

    def _on_JurySeedPinned(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        dispute = self.state.disputes[a["id"]]
        is_gone = self.event.block - dispute.seed_block > SEED_WINDOW
        self.expect("juries", is_gone, f"dispute {a['id']} pinned another seed although its block was known.")
        expected = self.event.block + self.rules.court_params.seed_delay_blocks
        self.equal("juries", a["seedBlock"], expected, f"seed block of dispute {a['id']}")

    def _on_JuryDrawn(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        dispute, now, params = self.state.disputes[a["id"]], self.event.timestamp, self.rules.court_params
        found, where = self.state.rounds[dispute.round], f"dispute {a['id']}"
        self.expect("juries", now <= dispute.draw_end(params), f"the jury of {where} was drawn too late.")
        self.expect("juries", self.event.block > dispute.seed_block, f"the jury of {where} was drawn too early.")
        block_hash = self.block_hash(dispute.seed_block)
        if block_hash is None:
            self.result.checked["seeds not checked (block hash no longer served)"] += 1
        else:
            self.equal(
                "seeds", a["key"], jury_key(block_hash, a["id"], self.rules.court), f"key of the jury of {where}"
            )
        n = len(found.reveals)
        involved, owner = dispute.parties(found, self.rules.params)
        plan = plan_jury(n, params.jury_size, involved, owner)
        jurors = len(draw_jury(a["key"], n, plan))
        self.equal("juries", (a["places"], a["jurors"]), (plan.places, jurors), f"size of the jury of {where}")
        self.equal("juries", a["commitEnd"], now + params.commit_duration, f"time for the ballots of {where}")

    def _on_BallotCommitted(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        dispute = self.state.disputes[a["id"]]
        self._seated(dispute, a)
        in_time = self.event.timestamp <= dispute.commit_end
        self.expect("ballots", in_time, f"A ballot of dispute {a['id']} was committed too late.")

    def _on_BallotRevealed(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        dispute = self.state.disputes[a["id"]]
        self._seated(dispute, a)
        in_time = dispute.can_reveal(self.event.timestamp, self.rules.court_params)
        self.expect("ballots", in_time, f"A ballot of dispute {a['id']} was opened out of time.")
        self.expect("ballots", _says(dispute.kind, a["ballot"]), f"A ballot of dispute {a['id']} says nothing.")

    def _seated(self, dispute: Dispute, a: Mapping[str, Any]) -> None:
        found = self.state.rounds[dispute.round]
        index = dispute.jury(found, self.rules.params).get(a["place"])
        juror = None if index is None else found.reveals[index].trainer
        self.equal("ballots", a["juror"], juror, f"juror at place {a['place']} of dispute {a['id']}")

    def _on_DisputeResolved(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        dispute, now, params = self.state.disputes[a["id"]], self.event.timestamp, self.rules.court_params
        self.expect("disputes", dispute.can_resolve(now, params), f"Dispute {a['id']} ended out of time.")
        recorded = (Outcome(a["outcome"]), UpdateStatus(a["status"]), a["gain"], a["votes"])
        self.equal("disputes", recorded, self._outcome(dispute), f"outcome of dispute {a['id']}")
        if recorded[0] in (Outcome.UPHELD, Outcome.LAPSED):
            self.owe("RoundCourt", ZERO, params.bond)
        else:
            self.owe("RoundCourt", dispute.disputer, params.bond)
        if recorded[0] is Outcome.OVERTURNED:
            self.overturned[self.event.transaction] = a["id"]

    def _outcome(self, dispute: Dispute) -> tuple[Outcome, UpdateStatus, int, int]:
        if dispute.has_lapsed(self.event.timestamp, self.rules.court_params):
            return Outcome.LAPSED, UpdateStatus.PENDING, 0, 0
        found = self.state.rounds[dispute.round]
        if dispute.kind is DisputeKind.AGGREGATE:
            return self._aggregate_outcome(dispute)
        jury = dispute.jury(found, self.rules.params)
        verdict = scoring.tally([dispute.ballots.get(place, 0) for place in jury], self.tally_params(found))
        if verdict.verdict is Verdict.UNSCORED:
            return Outcome.NO_MAJORITY, UpdateStatus.PENDING, 0, verdict.votes
        before = found.settled[dispute.index]
        settled = Tally(Verdict(before.status), before.gain, before.votes, before.weight)
        if scoring.is_upheld(verdict, settled, self.scoring_of(found).tau):
            return Outcome.UPHELD, UpdateStatus.PENDING, 0, verdict.votes
        return Outcome.OVERTURNED, UpdateStatus(verdict.verdict), verdict.gain, verdict.votes

    @staticmethod
    def _aggregate_outcome(dispute: Dispute) -> tuple[Outcome, UpdateStatus, int, int]:
        wrong = sum(ballot == WRONG for ballot in dispute.ballots.values())
        right, need = len(dispute.ballots) - wrong, dispute.jurors // 2 + 1
        if wrong >= need:
            return Outcome.OVERTURNED, UpdateStatus.PENDING, 0, wrong
        outcome = Outcome.UPHELD if right >= need else Outcome.NO_MAJORITY
        return outcome, UpdateStatus.PENDING, 0, max(right, wrong)

    # --- what a jury changes ---

    def _on_UpdateRescored(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        dispute = self._by_jury()
        recorded = (a["round"], a["index"], UpdateStatus(a["status"]), a["gain"])
        jury = None if dispute is None else (dispute.round, dispute.index, dispute.status, dispute.gain)
        is_new = dispute is not None and dispute.number not in self.rescored
        self.expect("verdicts", is_new, f"update {a['index']} of round {a['round']} was rescored twice.")
        self.rescored.add(dispute.number if dispute is not None else 0)
        self.equal("verdicts", recorded, jury, f"new verdict on update {a['index']} of round {a['round']}")
        is_accepted = a["status"] == UpdateStatus.ACCEPTED
        weight = min(a["gain"], self.scoring_of(found).gain_cap) if is_accepted else 0
        self.equal("verdicts", a["weight"], weight, f"new weight of update {a['index']} of round {a['round']}")

    def _on_UpdateForfeited(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        mine = found.reveals[a["index"]]
        copied = any(
            other.content_hash == mine.content_hash and other.sequence < mine.sequence for other in found.reveals
        )
        is_due = copied and found.phase is Phase.CHALLENGE
        self.expect("faults", is_due, f"Update {a['index']} of round {a['round']} was forfeited but copies nobody's.")

    def unfinished(self) -> Iterator[str]:
        """What the court began and never finished, at the end of the history."""
        for slash in self.slashes:
            yield f"{slash.member} was slashed in round {slash.round}, but the court never said why."
        for dispute in self.state.disputes.values():
            is_overturned = dispute.outcome is Outcome.OVERTURNED and dispute.kind is DisputeKind.SCORE
            if is_overturned and dispute.number not in self.rescored:
                yield f"The jury of dispute {dispute.number} overturned a verdict, but it was never replaced."

    def _by_jury(self) -> Dispute | None:
        """The dispute that a jury overturned in this transaction."""
        return self.state.disputes.get(self.overturned.get(self.event.transaction, 0))

    def may_court_void(self, number: int) -> bool:
        """Whether this transaction overturned something that a round cannot stand without."""
        dispute = self._by_jury()
        if dispute is None or dispute.round != number:
            return False
        if dispute.kind is DisputeKind.AGGREGATE:
            return True
        found = self.state.rounds[number]
        accepted = {reveal.index for reveal in found.accepted}
        return accepted != {reveal.index for reveal in found.aggregated}


def _opening(a: Mapping[str, Any]) -> Dispute:
    return Dispute(
        a["id"], a["round"], a["disputer"], DisputeKind(a["kind"]), a["index"], a["isRetried"], a["isIndependent"],
        a["seedBlock"], a["until"], 0,
    )  # fmt: skip


def _says(kind: DisputeKind, ballot: int) -> bool:
    if kind is DisputeKind.AGGREGATE:
        return ballot in (1, WRONG)
    sentinels = (scoring.UNAVAILABLE, scoring.MALFORMED)
    return ballot in sentinels or scoring.FIRST_NUMERIC <= ballot <= scoring.FIELD_MASK

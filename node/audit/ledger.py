"""Replays the event history against the rules of docs/protocol.md: phases, ring, medians, court, rewards, balances.

Pure: events and constants in, findings out. Trusts no event for what it can compute itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from incentives import rewards, scoring
from node.audit.base import ZERO, AuditRules, BlockHash, Check, Finding, LedgerAudit
from node.audit.court import CourtReplay
from node.audit.decisions import DecisionChecks
from node.audit.governing import GovernorChecks
from node.audit.guardian import GuardianChecks
from node.audit.membership import MembershipChecks
from node.audit.money import MoneyChecks
from node.audit.pay import rewards_of
from node.audit.releases import GuidelineChecks, ReleaseChecks, RevenueChecks
from node.audit.votes import VaultChecks
from node.protocol.commitments import attestation, ring_seed
from node.protocol.phases import duration_of, next_step
from node.protocol.sortition import attesters, verifiers_of
from node.protocol.state import InconsistentHistory, Round, apply
from node.protocol.types import ChainEvent, Fault, Phase, UpdateStatus, VoidReason

__all__ = ["AuditRules", "BlockHash", "Finding", "LedgerAudit", "Replay", "replay"]


class Replay(CourtReplay, MembershipChecks):
    """The checks of rounds and money, on top of those of the court and of the membership."""

    def __init__(self, rules: AuditRules, block_hash: BlockHash) -> None:
        CourtReplay.__init__(self, rules, block_hash)
        MembershipChecks.__init__(self, rules.registry, rules.committee)
        self.money = MoneyChecks(self)
        groups = (
            VaultChecks,
            GovernorChecks,
            GuardianChecks,
            DecisionChecks,
            GuidelineChecks,
            ReleaseChecks,
            RevenueChecks,
        )
        self.groups = (self.money, *(group(self) for group in groups))
        self.handlers: dict[tuple[str, str], list[Check]] = {}
        for group in self.groups:
            for key, check in group.handlers().items():
                self.handlers.setdefault(key, []).append(check)

    @property
    def happened(self) -> ChainEvent:
        """The event under check."""
        return self.event

    def run(self, events: Iterable[ChainEvent]) -> LedgerAudit:
        """The whole history; nothing after an event that cannot follow is looked at."""
        if all(self.feed(event) for event in events):
            self.finish()
        return self.result

    def feed(self, event: ChainEvent) -> bool:
        """Check one event and fold it; whether it could follow."""
        if self.current is not None and event.transaction != self.current.transaction:
            self._settle()
        self.current = event
        try:
            for check in self._checks_of(event):
                check(event.arguments)
            self.result.state = apply(self.result.state, event)
        except (InconsistentHistory, KeyError, IndexError, ValueError) as error:
            self.expect("history", False, f"{event.name} cannot follow the history: {error}")
            return False
        self.result.checked["events"] += 1
        return True

    def _checks_of(self, event: ChainEvent) -> Iterator[Check]:
        own = None if event.contract == "RevenueSplitter" else getattr(self, f"_on_{event.name}", None)
        if own is not None:
            yield own
        yield from self.handlers.get((event.contract, event.name), ())

    def _settle(self) -> None:
        for group in self.groups:
            group.settle()

    def finish(self) -> None:
        """The history is over."""
        if self.current is None:
            return
        self._settle()
        for what in self.unfinished():
            self.expect("court", False, what)

    def _on_Banned(self, a: Mapping[str, Any]) -> None:  # noqa: N802 - named after the event
        lied = any((a["account"], int(Fault.LIE)) in found.slashed for found in self.state.rounds.values())
        self.expect("bans", lied, f"{a['account']} was banned without a lie.")
        super()._on_Banned(a)

    # --- rounds ---

    def _on_RoundOpened(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        self.equal("lineage", a["parentModelHash"], self.latest_model, f"parent model of round {a['round']}")
        bond = self.rules.registry.min_bond
        eligible = sum(self.state.members[account].stake >= bond for account in self.state.active)
        self.equal("eligible members", a["expected"], eligible, f"eligible members of round {a['round']}")
        if a["benchmarkCommitment"] != bytes(32):
            self.equal("stewards", a["opener"], self.steward(a["round"]), f"steward of sealed round {a['round']}")

    def _on_PhaseChanged(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found, now, phase = self.round(a), self.event.timestamp, Phase(a["phase"])
        params = self.rules.params
        step = next_step(
            found.phase,
            found.counters(params.max_verifiers),
            deadline=found.deadline,
            now=now,
            block=self.event.block,
            min_participants=params.min_participants,
        )
        is_proposed = found.phase is Phase.ATTEST and found.proposal is not None
        due = Phase.CHALLENGE if is_proposed else step.phase if step else None
        if found.phase is Phase.CHALLENGE and self.may_court_void(found.number):
            due = Phase.VOIDED
        if phase is Phase.VOIDED:
            self.void_reasons[found.number] = step.reason if step else VoidReason.COURT_VOIDED
        self.equal("phase changes", phase, due, f"phase of round {found.number} after {found.phase.name}")
        deadline = 0 if phase is Phase.SEED else now + duration_of(phase, params)
        self.equal("phase changes", a["deadline"], deadline, f"deadline of {phase.name} in round {found.number}")

    def _on_UpdateCommitted(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        self.in_phase(self.round(a), Phase.COMMIT)

    def _on_UpdateRevealed(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        self.in_phase(found, Phase.REVEAL)
        sequence = found.commits.get(a["trainer"], (0, b""))[0]
        self.equal("reveals", a["sequence"], sequence, f"commit order of {a['trainer']} in round {found.number}")

    def _on_SeedDrawn(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        block_hash = self.block_hash(found.seed_block)
        if block_hash is None:
            self.result.checked["seeds not checked (block hash no longer served)"] += 1
        else:
            computed = ring_seed(block_hash, found.number, self.rules.round_manager)
            self.equal("seeds", a["seed"], computed, f"ring seed of round {found.number}")
        self.equal("seeds", a["isSealed"], found.benchmark is not None, f"sealing of round {found.number}")

    def _on_ScoresCommitted(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        self.in_phase(found, Phase.SCORE_COMMIT, Phase.RETRY_COMMIT)
        self.equal(
            "scores", a["verifier"], found.reveals[a["index"]].trainer, f"verifier {a['index']} of round {found.number}"
        )

    def _on_ScoresRevealed(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        self.in_phase(found, Phase.SCORE_REVEAL, Phase.RETRY_REVEAL)
        commits = found.retry_commits if found.phase is Phase.RETRY_REVEAL else found.score_commits
        self.expect("scores", a["index"] in commits, f"Index {a['index']} revealed scores it never committed.")

    def _on_UpdateSettled(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        self.in_phase(found, Phase.SETTLE, Phase.RETRY_SETTLE)
        result = self._tally_of(found, a["index"], retry=found.phase is Phase.RETRY_SETTLE)
        recorded = (UpdateStatus(a["status"]), a["gain"], a["votes"], a["weight"])
        computed = (UpdateStatus(result.verdict), result.gain, result.votes, result.weight)
        self.equal("verdicts", recorded, computed, f"verdict on update {a['index']} of round {found.number}")

    def _tally_of(self, found: Round, index: int, *, retry: bool) -> scoring.Tally:
        """Verdict on one update, from the revealed score words of one of its panels."""
        n, k = len(found.reveals), found.verifiers(self.rules.params.max_verifiers)
        fields = [
            scoring.word_field(found.words(retry=retry).get(verifier, 0), j)
            for verifier, j in verifiers_of(found.seed, n, index, k, retry=retry)
        ]
        return scoring.tally(fields, self.tally_params(found))

    def _on_AggregateProposed(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        slots = min(len(found.reveals), self.rules.params.max_attesters)
        votes = sum(
            keyed == attestation(found.number, who, secret=a["secret"], model_hash=a["modelHash"], cid=a["cid"])
            for who, keyed in found.attestations.values()
        )
        self.equal("quorums", a["votes"], votes, f"attestations of round {found.number}")
        self.expect(
            "quorums", votes * 3 > slots * 2, f"Round {found.number} closed with {votes} of {slots} attestations."
        )

    def _on_Attested(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        owners = attesters(found.seed, len(found.reveals), self.rules.params.max_attesters)
        owner = found.reveals[owners[a["slot"]]].trainer
        self.equal("attestations", a["attester"], owner, f"owner of slot {a['slot']} in round {found.number}")

    def _on_RoundVoided(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found, reason = self.round(a), VoidReason(a["reason"])
        due = self.void_reasons.get(found.number)
        self.equal("rounds", reason, due, f"why round {found.number} ended without a model")

    def _on_RoundFinalized(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        recorded = (a["accepted"], a["sumWeight"])
        self.equal("rounds", recorded, (len(found.accepted), found.sum_weight), f"totals of round {found.number}")
        self.latest_model = a["modelHash"]

    # --- money ---

    def _on_Claimed(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        recorded = (a["trainerReward"], a["verifierReward"], a["attesterReward"])
        computed = rewards_of(found, a["index"], self.rules, self.scoring_of(found))
        self.equal("rewards", recorded, computed, f"rewards of index {a['index']} in round {found.number}")
        self.owe(ZERO, a["member"], sum(recorded))

    def _on_TreasuryClaimed(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        emitted = rewards.emission(a["round"], self.rules.emission)
        self.equal("rewards", a["amount"], rewards.treasury_reward(emitted), f"treasury share of round {a['round']}")
        self.equal(
            "rewards", a["treasury"], self.rules.contracts["Treasury"], f"receiver of round {a['round']}'s share"
        )
        self.owe(ZERO, "Treasury", a["amount"])


def replay(events: Iterable[ChainEvent], rules: AuditRules, block_hash: BlockHash) -> LedgerAudit:
    """Hold a history against the rules."""
    return Replay(rules, block_hash).run(events)

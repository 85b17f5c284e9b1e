"""Replays the event history against the rules of docs/protocol.md: phases, ring, medians, slashes, rewards, balances.

Pure: events and constants in, findings out. Trusts no event for what it can compute itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from incentives import rewards, scoring, slashing
from node.audit.membership import MembershipChecks
from node.protocol.commitments import attestation, ring_seed
from node.protocol.phases import next_step
from node.protocol.sortition import assigned_updates, attesters, verifiers_of, verifiers_per_update
from node.protocol.state import InconsistentHistory, Round, State, apply
from node.protocol.types import Address, ChainEvent, Fault, Phase, RegistryParams, RoundParams, UpdateStatus

ZERO = Address("0x" + "00" * 20)


@dataclass(frozen=True, slots=True)
class AuditRules:
    """Constants of the deployment that the history is held against."""

    chain_id: int
    round_manager: Address
    params: RoundParams
    emission: rewards.EmissionParams
    registry: RegistryParams
    genesis_model_hash: bytes
    guideline_hash: bytes
    committee: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not add up, and where."""

    what: str
    block: int
    transaction: str


@dataclass(slots=True)
class LedgerAudit:
    """Result of a replay: final state, what was checked how often, what was wrong (in chain order)."""

    state: State = field(default_factory=State)
    checked: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


BlockHash = Callable[[int], bytes | None]
"""Hash of a block by height; None where the endpoint no longer has it."""


class _Replay(MembershipChecks):
    """One pass over the history. Checks look at the state *before* the event."""

    def __init__(self, rules: AuditRules, block_hash: BlockHash) -> None:
        super().__init__(rules.registry, rules.committee)
        self.rules = rules
        self.block_hash = block_hash
        self.result = LedgerAudit()
        self.latest_model = rules.genesis_model_hash
        # Every mint and burn must be explained by an event of ours in the same transaction: amounts by transaction.
        self.explained: Counter[bytes] = Counter()
        self.moved: Counter[bytes] = Counter()
        self.event: ChainEvent | None = None

    def expect(self, subject: str, truth: bool, what: str) -> None:  # noqa: FBT001 - the verdict itself
        self.result.checked[subject] += 1
        if not truth:
            assert self.event is not None
            where = self.event
            self.result.findings.append(Finding(what, where.block, "0x" + where.transaction.hex()))

    def equal(self, subject: str, recorded: Any, computed: Any, what: str) -> None:
        self.expect(subject, recorded == computed, f"{what}: recorded {_show(recorded)}, computed {_show(computed)}.")

    def run(self, events: Sequence[ChainEvent]) -> LedgerAudit:
        for event in events:
            self.event = event
            check = getattr(self, f"_on_{event.name}", None)
            try:
                if check is not None:
                    check(event.arguments)
                self.result.state = apply(self.result.state, event)
            except (InconsistentHistory, KeyError, IndexError, ValueError) as error:
                self.expect("history", False, f"{event.name} cannot follow the history: {error}")
                return self.result
            self.result.checked["events"] += 1
        self._totals()
        return self.result

    def round(self, arguments: Mapping[str, Any]) -> Round:
        return self.result.state.rounds[arguments["round"]]

    def in_phase(self, found: Round, phase: Phase) -> None:
        assert self.event is not None
        timely = found.phase is phase and self.event.timestamp <= found.deadline
        self.expect(
            "phases", timely, f"{self.event.name} of round {found.number} outside {phase.name} or after its deadline."
        )

    @property
    def state(self) -> State:
        return self.result.state

    @property
    def happened(self) -> ChainEvent:
        assert self.event is not None
        return self.event

    # --- rounds ---

    def _on_RoundOpened(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        self.equal("lineage", a["parentModelHash"], self.latest_model, f"parent model of round {a['round']}")
        self.equal("guidelines", a["guidelineHash"], self.rules.guideline_hash, f"guideline of round {a['round']}")
        if a["benchmarkCommitment"] != bytes(32):
            self.equal("stewards", a["opener"], self.steward(a["round"]), f"steward of sealed round {a['round']}")

    def _on_PhaseChanged(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        assert self.event is not None
        found, now, phase = self.round(a), self.event.timestamp, Phase(a["phase"])
        params = self.rules.params
        step = next_step(
            found.phase,
            found.counters,
            deadline=found.deadline,
            now=now,
            block=self.event.block,
            min_participants=params.min_participants,
        )
        is_proposed = found.phase is Phase.ATTEST and found.proposal is not None
        due = Phase.CHALLENGE if is_proposed else step.phase if step else None
        self.equal("phase changes", phase, due, f"phase of round {found.number} after {found.phase.name}")
        deadline = 0 if phase is Phase.SEED else now + _duration(phase, params)
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
        self.in_phase(found, Phase.SCORE_COMMIT)
        self.equal(
            "scores", a["verifier"], found.reveals[a["index"]].trainer, f"verifier {a['index']} of round {found.number}"
        )

    def _on_ScoresRevealed(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        self.in_phase(found, Phase.SCORE_REVEAL)
        self.expect(
            "scores", a["index"] in found.score_commits, f"Index {a['index']} revealed scores it never committed."
        )

    def _on_UpdateSettled(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        result = tally_of(found, a["index"], self.rules.params)
        recorded = (UpdateStatus(a["status"]), a["gain"], a["votes"], a["weight"])
        computed = (UpdateStatus(result.verdict), result.gain, result.votes, result.weight)
        self.equal("verdicts", recorded, computed, f"verdict on update {a['index']} of round {found.number}")

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

    def _on_RoundFinalized(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        recorded = (a["accepted"], a["sumWeight"])
        self.equal("rounds", recorded, (len(found.accepted), found.sum_weight), f"totals of round {found.number}")
        self.latest_model = a["modelHash"]

    # --- money ---

    def explain(self, amount: int) -> None:
        assert self.event is not None
        self.explained[self.event.transaction] += amount

    def _on_Transfer(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        assert self.event is not None
        if a["from"] == ZERO:
            self.moved[self.event.transaction] += a["value"]
        if a["to"] == ZERO:
            self.moved[self.event.transaction] -= a["value"]

    def _on_Slashed(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        member = self.result.state.member(a["member"])
        stake = member.stake
        amount = slashing.penalty_up(stake, slashing.PENALTY_BPS[a["fault"]])
        fault = Fault(a["fault"])
        is_proven = fault not in (Fault.UNAVAILABLE, Fault.MALFORMED, Fault.HARMFUL)
        self.equal("slashes", a["amount"], amount, f"{fault.name} of {a['member']}")
        # Only the member's own part, which goes first, pays a bounty.
        _, bounty = slashing.divide(min(amount, stake - member.unvested), is_proven=is_proven)
        divided = (amount - bounty, bounty)
        self.equal("slashes", (a["burned"], a["bounty"]), divided, f"division of the slash of {a['member']}")
        self.equal("slashes", a["stake"], stake - amount, f"stake of {a['member']} after the slash")
        self.expect(
            "slashes", _is_guilty(self.round(a), a, self.rules.params), f"{a['member']} is not guilty of {fault.name}."
        )
        self.explain(-a["burned"])

    def _on_Claimed(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        found = self.round(a)
        recorded = (a["trainerReward"], a["verifierReward"], a["attesterReward"])
        computed = rewards_of(found, a["index"], self.rules)
        self.equal("rewards", recorded, computed, f"rewards of index {a['index']} in round {found.number}")
        self.explain(sum(recorded))

    def _on_TreasuryClaimed(self, a: Mapping[str, Any]) -> None:  # noqa: N802
        emitted = rewards.emission(a["round"], self.rules.emission)
        self.equal("rewards", a["amount"], rewards.treasury_reward(emitted), f"treasury share of round {a['round']}")
        self.explain(a["amount"])

    def _totals(self) -> None:
        for transaction in set(self.moved) | set(self.explained):
            recorded, computed = self.moved[transaction], self.explained[transaction]
            self.result.checked["mints and burns"] += 1
            if recorded != computed:
                what = f"A transaction minted (or burned) {recorded}, its events explain {computed}."
                self.result.findings.append(Finding(what, self.result.state.block, "0x" + transaction.hex()))


def _duration(phase: Phase, params: RoundParams) -> int:
    """Seconds a phase lasts at most; 0 for one that has no deadline."""
    return {
        Phase.REVEAL: params.reveal_duration,
        Phase.SCORE_COMMIT: params.score_duration,
        Phase.SCORE_REVEAL: params.score_duration,
        Phase.SETTLE: params.settle_duration,
        Phase.ATTEST: params.attest_duration,
        Phase.CHALLENGE: params.challenge_duration,
    }.get(phase, 0)


def tally_of(found: Round, index: int, params: RoundParams) -> scoring.Tally:
    """Verdict on one update, from the revealed score words."""
    n = len(found.reveals)
    fields = [
        scoring.word_field(found.score_words.get(verifier, 0), j)
        for verifier, j in verifiers_of(found.seed, n, index, verifiers_per_update(n, params.max_verifiers))
    ]
    return scoring.tally(fields, scoring.TallyParams(params.tau, params.delta_min, params.harm_min, params.gain_cap))


def rewards_of(found: Round, index: int, rules: AuditRules) -> tuple[int, int, int]:
    """(trainer, verifier, attester) reward of one ring member of a finalised round."""
    own = found.settled.get(index)
    if found.phase is not Phase.FINALIZED or (own and own.status in (UpdateStatus.MALFORMED, UpdateStatus.HARMFUL)):
        return (0, 0, 0)
    n, emitted = len(found.reveals), rewards.emission(found.number, rules.emission)
    k = verifiers_per_update(n, rules.params.max_verifiers)
    word = found.score_words.get(index, 0)
    correct = sum(
        update in found.settled
        and scoring.agrees(scoring.word_field(word, j), tally_of(found, update, rules.params), rules.params.tau)
        for j, update in enumerate(assigned_updates(found.seed, n, index, k))
    )
    trainer = rewards.trainer_reward(
        emitted,
        weight=own.weight if own and own.status is UpdateStatus.ACCEPTED else 0,
        sum_weight=found.sum_weight,
        weight_target=rules.emission.weight_target,
        is_sealed=found.is_sealed,
    )
    verifier = rewards.verifier_reward(emitted, correct=correct, participants=n, verifiers=k)
    return trainer, verifier, _attester_reward(found, index, emitted, rules)


def _attester_reward(found: Round, index: int, emitted: int, rules: AuditRules) -> int:
    owners = attesters(found.seed, len(found.reveals), rules.params.max_attesters)
    proposal = found.proposal
    if proposal is None or index not in owners or owners.index(index) not in found.attestations:
        return 0
    who, keyed = found.attestations[owners.index(index)]
    right = attestation(found.number, who, secret=proposal.secret, model_hash=proposal.model_hash, cid=proposal.cid)
    return rewards.attester_reward(emitted, attesters=len(owners)) if keyed == right else 0


def _is_guilty(found: Round, a: Mapping[str, Any], params: RoundParams) -> bool:
    fault, member = Fault(a["fault"]), Address(a["member"])
    reveal = found.reveal_of(member)
    if fault is Fault.UPDATE_NOT_REVEALED:
        return member in found.commits and reveal is None and found.phase > Phase.REVEAL
    if reveal is None:
        return False
    if fault is Fault.VERIFIER_ABSENT:
        return reveal.index not in found.score_commits and found.phase > Phase.SCORE_REVEAL
    if fault is Fault.SCORES_NOT_REVEALED:
        return (
            reveal.index in found.score_commits
            and reveal.index not in found.score_words
            and found.phase > Phase.SCORE_REVEAL
        )
    if fault is Fault.WRONG_ATTESTATION:
        proposal = found.proposal
        return proposal is not None and any(
            who == member
            and keyed
            != attestation(found.number, who, secret=proposal.secret, model_hash=proposal.model_hash, cid=proposal.cid)
            for who, keyed in found.attestations.values()
        )
    return tally_of(found, reveal.index, params).verdict.name == fault.name


def _show(value: Any) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple):
        return "(" + ", ".join(_show(entry) for entry in value) + ")"
    return str(getattr(value, "name", value))


def replay(events: Sequence[ChainEvent], rules: AuditRules, block_hash: BlockHash) -> LedgerAudit:
    """Hold a history against the rules."""
    return _Replay(rules, block_hash).run(events)

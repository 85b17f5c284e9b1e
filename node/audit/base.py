"""What every part of the ledger audit stands on: the rules, the findings, and one pass over the events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from incentives import rewards
from incentives.scoring import TallyParams
from node.protocol.state import Round, State
from node.protocol.types import Address, ChainEvent, CourtParams, Phase, RegistryParams, RoundParams, Scoring

ZERO = Address("0x" + "00" * 20)


@dataclass(frozen=True, slots=True)
class AuditRules:
    """Constants of the deployment that the history is held against."""

    chain_id: int
    round_manager: Address
    court: Address
    params: RoundParams
    court_params: CourtParams
    scoring: Scoring
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


class ReplayBase:
    """One pass over the history. Checks look at the state *before* the event."""

    def __init__(self, rules: AuditRules, block_hash: BlockHash) -> None:
        self.rules = rules
        self.block_hash = block_hash
        self.result = LedgerAudit()
        self.latest_model = rules.genesis_model_hash
        # Every mint and burn must be explained by an event of ours in the same transaction: amounts by transaction.
        self.explained: Counter[bytes] = Counter()
        self.moved: Counter[bytes] = Counter()
        self.current: ChainEvent | None = None

    @property
    def event(self) -> ChainEvent:
        """The event under check."""
        assert self.current is not None
        return self.current

    @property
    def state(self) -> State:
        """The network before the event under check."""
        return self.result.state

    def expect(self, subject: str, truth: bool, what: str) -> None:  # noqa: FBT001 - the verdict itself
        """Count one check of ``subject``, and note ``what`` where it failed."""
        self.result.checked[subject] += 1
        if not truth:
            where = self.event
            self.result.findings.append(Finding(what, where.block, "0x" + where.transaction.hex()))

    def equal(self, subject: str, recorded: Any, computed: Any, what: str) -> None:
        """Expect that the chain recorded what we compute."""
        self.expect(subject, recorded == computed, f"{what}: recorded {show(recorded)}, computed {show(computed)}.")

    def round(self, arguments: Mapping[str, Any]) -> Round:
        """The round that an event names."""
        return self.state.rounds[arguments["round"]]

    def in_phase(self, found: Round, *phases: Phase) -> None:
        """Expect that the event came in one of ``phases``, before its deadline."""
        timely = found.phase in phases and self.event.timestamp <= found.deadline
        names = " or ".join(phase.name for phase in phases)
        self.expect(
            "phases", timely, f"{self.event.name} of round {found.number} outside {names} or after its deadline."
        )

    def explain(self, amount: int) -> None:
        """The event minted (or, negative, burned) this much."""
        self.explained[self.event.transaction] += amount

    def scoring_of(self, found: Round) -> Scoring:
        """How the verdicts of a round are reached: as its guideline epoch says."""
        return self.state.scoring_of(found.epoch, self.rules.scoring)

    def tally_params(self, found: Round) -> TallyParams:
        """The same, for `incentives.scoring`."""
        scoring = self.scoring_of(found)
        return TallyParams(scoring.tau, scoring.delta_min, scoring.harm_min, scoring.gain_cap)


def show(value: Any) -> str:
    """A value for people."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple):
        return "(" + ", ".join(show(entry) for entry in value) + ")"
    return str(getattr(value, "name", value))

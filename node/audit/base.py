"""What every part of the ledger audit stands on: the rules, the findings, and one pass over the events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from incentives import rewards
from incentives.scoring import TallyParams
from node.protocol.governance import GovernanceParams
from node.protocol.state import Round, State
from node.protocol.types import Address, ChainEvent, CourtParams, Phase, RegistryParams, RoundParams, Scoring

ZERO = Address("0x" + "00" * 20)


@dataclass(frozen=True, slots=True)
class AuditRules:
    """Constants of the deployment that the history is held against.

    Attributes:
        chain_id: EIP-155.
        contracts: address by contract name, all thirteen.
        params: the rounds' constants.
        court_params: the court's.
        scoring: founding scoring numbers.
        emission: the emission's.
        registry: the registry's.
        governance: of votes, releases and the guardian.
        genesis_model_hash: SHA-256 of the founding model.
        guideline_hash: Keccak-256 of the founding guideline.
        committee: first holders of the seats.
        guardian: account that holds the guardian's office at first.
        guardian_until: when the office ends.
    """

    chain_id: int
    contracts: Mapping[str, Address]
    params: RoundParams
    court_params: CourtParams
    scoring: Scoring
    emission: rewards.EmissionParams
    registry: RegistryParams
    governance: GovernanceParams
    genesis_model_hash: bytes
    guideline_hash: bytes
    committee: tuple[Address, ...]
    guardian: Address
    guardian_until: int

    @property
    def round_manager(self) -> Address:
        """Address of the RoundManager."""
        return self.contracts["RoundManager"]

    @property
    def court(self) -> Address:
        """Address of the RoundCourt."""
        return self.contracts["RoundCourt"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not add up, and where."""

    what: str
    block: int
    transaction: str

    def __str__(self) -> str:
        where = f"block {self.block}, transaction {self.transaction}" if self.transaction else f"block {self.block}"
        return f"{self.what} ({where})"


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
        # What events of the transaction under way say was moved, by (from, to); zero mints and burns.
        self.owed: Counter[tuple[Address, Address]] = Counter()
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

    def owe(self, source: str, to: str, amount: int) -> None:
        """The event says that this much moved. A source or receiver is a contract's name or an account; `ZERO` mints and burns."""
        at = self.rules.contracts
        self.owed[at.get(source, Address(source)), at.get(to, Address(to))] += amount

    def scoring_of(self, found: Round) -> Scoring:
        """How the verdicts of a round are reached: as its guideline epoch says."""
        return self.state.scoring_of(found.epoch, self.rules.scoring)

    def tally_params(self, found: Round) -> TallyParams:
        """The same, for `incentives.scoring`."""
        scoring = self.scoring_of(found)
        return TallyParams(scoring.tau, scoring.delta_min, scoring.harm_min, scoring.gain_cap)


Check = Callable[[Mapping[str, Any]], None]


class Checks:
    """A group of checks of one pass. `handlers` are called before their event is folded, `settle` after each transaction.

    Args:
        replay: the pass.
    """

    def __init__(self, replay: ReplayBase) -> None:
        self.replay = replay
        self.rules = replay.rules
        self.expect = replay.expect
        self.equal = replay.equal

    @property
    def state(self) -> State:
        """The network before the event under check; in `settle`, after the transaction."""
        return self.replay.state

    @property
    def event(self) -> ChainEvent:
        """The event under check."""
        return self.replay.event

    @property
    def now(self) -> int:
        """Its time."""
        return self.replay.event.timestamp

    def handlers(self) -> Mapping[tuple[str, str], Check]:
        """Checks by (contract, event)."""
        raise NotImplementedError

    def settle(self) -> None:
        """The transaction is over: hold together what its events said."""


def show(value: Any) -> str:
    """A value for people."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple):
        return "(" + ", ".join(show(entry) for entry in value) + ")"
    return str(getattr(value, "name", value))

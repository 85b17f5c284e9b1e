"""What an explanation is made of, and how numbers are written in one: exact, with their unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from incentives.rewards import CWT, EmissionParams
from node.protocol.errors import ConfigError
from node.protocol.state import Round, State, apply
from node.protocol.types import Address, ChainEvent, CourtParams, RegistryParams, RoundParams, Scoring


@dataclass(frozen=True, slots=True)
class Terms:
    """Constants of the deployment that formulas need; amounts in 10⁻¹⁸ CWT, regression in ppm."""

    chain_id: int
    contracts: Mapping[str, Address]
    rounds: RoundParams
    scoring: Scoring
    court: CourtParams
    registry: RegistryParams
    emission: EmissionParams
    linear_up_to: int
    quorum_floor: int
    max_regression: int


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the calculation: what, how, and what comes out."""

    label: str
    expression: str
    value: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where on chain an input or the result stands."""

    event: str
    contract: str
    block: int
    transaction: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why something is as it is.

    Attributes:
        what: its kind.
        id: which one.
        title: one sentence.
        formula: the rules, in words and symbols (docs/protocol.md).
        steps: the calculation.
        computed: the result, from the inputs.
        recorded: what the chain says; None where it has recorded nothing (yet).
        sources: the transactions, in chain order.
        notes: what a reader might stumble over.
    """

    what: str
    id: str
    title: str
    formula: tuple[str, ...]
    steps: tuple[Step, ...]
    computed: str
    recorded: str | None
    sources: tuple[Source, ...]
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool | None:
        """Whether the chain recorded what the formula gives."""
        return None if self.recorded is None else self.computed == self.recorded

    def to_json(self) -> dict[str, Any]:
        """JSON values (docs/web-api.md)."""
        return {**asdict(self), "agrees": self.agrees}


@dataclass(slots=True)
class Past:
    """Everything that happened: events, the state they fold to, the constants they are judged by."""

    events: Sequence[ChainEvent]
    state: State
    terms: Terms
    now: int = 0
    _before: dict[int, State] = field(default_factory=dict)

    def find(self, contract: str, name: str, /, **arguments: Any) -> Iterator[tuple[int, ChainEvent]]:
        """(place, event) of every event of a kind whose arguments are as given, in chain order."""
        for place, event in enumerate(self.events):
            is_kind = event.name == name and event.contract == contract
            if is_kind and all(event.arguments.get(key) == value for key, value in arguments.items()):
                yield place, event

    def last(self, contract: str, name: str, /, **arguments: Any) -> ChainEvent | None:
        """The newest such event."""
        found = None
        for _, event in self.find(contract, name, **arguments):
            found = event
        return found

    def before(self, place: int) -> State:
        """The network just before an event, folded anew."""
        if place not in self._before:
            state = State()
            for event in self.events[:place]:
                state = apply(state, event)
            self._before[place] = state
        return self._before[place]

    def at(self, moment: int) -> State:
        """The network after everything up to a moment in seconds."""
        place = next((place for place, event in enumerate(self.events) if event.timestamp > moment), len(self.events))
        return self.before(place)

    def round(self, number: int) -> Round:
        """A round.

        Raises:
            ConfigError: there is none of that number.
        """
        if number not in self.state.rounds:
            raise ConfigError(f"There is no round {number}.", hint=f"Rounds so far: {len(self.state.rounds)}.")
        return self.state.rounds[number]

    def scoring_of(self, found: Round) -> Scoring:
        """How the verdicts of a round are reached."""
        return self.state.scoring_of(found.epoch, self.terms.scoring)


def require_index(found: Round, index: int) -> Address:
    """The trainer of one update.

    Raises:
        ConfigError: the round has no such update.
    """
    if not 0 <= index < len(found.reveals):
        raise ConfigError(
            f"Round {found.number} has no update {index}.",
            hint=f"Its updates are 0 to {len(found.reveals) - 1}."
            if found.reveals
            else "Nobody revealed an update in it.",
        )
    return found.reveals[index].trainer


def sources(*events: ChainEvent | None) -> tuple[Source, ...]:
    """The events that are there, in chain order, each once."""
    present = {(e.block, e.log_index): e for e in events if e is not None}
    return tuple(Source(e.name, e.contract, e.block, "0x" + e.transaction.hex()) for _, e in sorted(present.items()))


def cwt(amount: int) -> str:
    """An exact amount: every digit that is there, no others."""
    whole, part = divmod(abs(amount), CWT)
    fraction = f"{part:018d}".rstrip("0")
    return f"{'−' * (amount < 0)}{whole:,}{'.' + fraction if fraction else ''} CWT"


def ppm(value: int) -> str:
    """A ratio or gain."""
    return f"{value:,} ppm".replace("-", "−")

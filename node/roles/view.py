"""What a role sees: the chain's state, what this node found out by itself, and who it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from node.protocol.commitments import RoundScope
from node.protocol.state import Round, State
from node.protocol.types import Address, CourtParams, RoundParams, Scoring


class Fetched(StrEnum):
    """What came of fetching one update."""

    VALID = "valid"
    MALFORMED = "malformed"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Opening:
    """Content that was, or will be, committed to: hash and CID digest of the bytes, the salt, and the sample count."""

    content_hash: bytes
    cid: bytes
    salt: bytes
    samples: int = 0


@dataclass(frozen=True, slots=True)
class AggregateFact:
    """The checkpoint this node computed for a round."""

    secret: bytes
    model_hash: bytes
    cid: bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What this node found out about one round. Survives restarts.

    Attributes:
        update: our trained update, kept private until the reveal phase.
        update_stored: its bytes are published.
        withheld: why our update of this round stays with us; empty if it does not.
        benchmark: the slice we committed to as steward.
        benchmark_stored: its bytes are published.
        fetched: what came of each revealed update, by index, with the reason where it was refused.
        word: our score word, and its salt.
        retry_word: our word for the retry panel, and its salt.
        ballots: our ballot in each dispute of this round, and its salt.
        aggregate: the checkpoint we computed.
        audience: `Round.audience` that our update was encrypted for; empty where it travels as it is.
        keys: content keys of the encrypted updates that we could open, by index.
        keys_published: they are published.
    """

    update: Opening | None = None
    update_stored: bool = False
    benchmark: Opening | None = None
    benchmark_stored: bool = False
    fetched: Mapping[int, tuple[Fetched, str]] = field(default_factory=dict)
    word: tuple[int, bytes] | None = None
    retry_word: tuple[int, bytes] | None = None
    ballots: Mapping[int, tuple[int, bytes]] = field(default_factory=dict)
    aggregate: AggregateFact | None = None
    audience: bytes = b""
    keys: Mapping[int, bytes] = field(default_factory=dict)
    keys_published: bool = False
    withheld: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """Everything a decision may depend on.

    Attributes:
        state: fold of all events so far.
        facts: local facts by round number.
        me: our account.
        now: timestamp of the newest block, seconds.
        block: its height.
        params: constants of the rounds.
        court_params: constants of the disputes.
        scoring: how verdicts are reached under the founding guideline.
        chain_id: of the chain.
        round_manager: address of the contract that commitments are bound to.
        court: address of the contract that ballots are bound to.
        stagger: seconds between the ranks of those who may do a thing that only one needs to do.
    """

    state: State
    facts: Mapping[int, Facts]
    me: Address
    now: int
    block: int
    params: RoundParams
    court_params: CourtParams
    scoring: Scoring
    chain_id: int
    round_manager: Address
    court: Address
    stagger: int

    @property
    def round(self) -> Round | None:
        """The newest round, if any."""
        return self.state.current

    def scope(self, number: int) -> RoundScope:
        """What commitments of that round are bound to."""
        return RoundScope(self.chain_id, self.round_manager, number)

    def scoring_of(self, found: Round) -> Scoring:
        """How the verdicts of a round are reached: as its guideline epoch says."""
        return self.state.scoring_of(found.epoch, self.scoring)

    def facts_of(self, number: int) -> Facts:
        """Our facts about a round, empty at first."""
        return self.facts.get(number, Facts())

    def is_my_turn(self, salt: int, since: int) -> bool:
        """Whether we should do now what anyone may do: ranks follow each other `stagger` seconds apart from ``since``.

        The order rotates with ``salt``; strangers rank last. So usually one transaction is sent, and a vanished node only costs time.
        """
        members = self.state.active
        rank = (members.index(self.me) - salt) % len(members) if self.me in members else len(members)
        return self.now >= since + rank * self.stagger

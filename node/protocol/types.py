"""The nouns of the protocol. Plain, immutable, comparable; no behaviour beyond conversion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NewType

Address = NewType("Address", str)
"""Account, EIP-55 checksummed text ``0x…``. Sorting addresses means sorting their 20 bytes (`address_key`)."""

Cid = NewType("Cid", str)
"""CIDv0 text, ``Qm…``."""

PPM = 1_000_000
"""Gains and ratios are integers of parts per million."""


def address_key(address: Address) -> bytes:
    """The 20 bytes of an address: the canonical order of participants."""
    return bytes.fromhex(address[2:])


class Phase(IntEnum):
    """Phases of a round (docs/protocol.md); numbers equal the contract's."""

    NONE = 0
    COMMIT = 1
    REVEAL = 2
    SEED = 3
    SCORE_COMMIT = 4
    SCORE_REVEAL = 5
    SETTLE = 6
    RETRY_COMMIT = 7
    RETRY_REVEAL = 8
    RETRY_SETTLE = 9
    ATTEST = 10
    CHALLENGE = 11
    FINALIZED = 12
    VOIDED = 13


class UpdateStatus(IntEnum):
    """Verdict on one update; numbers equal the contract's."""

    PENDING = 0
    ACCEPTED = 1
    REJECTED = 2
    UNSCORED = 3
    UNAVAILABLE = 4
    MALFORMED = 5
    HARMFUL = 6


class MemberStatus(IntEnum):
    """Standing of an account; numbers equal the contract's."""

    NONE = 0
    APPLIED = 1
    PROBATION = 2
    ACTIVE = 3
    EXITING = 4
    BANNED = 5


class Fault(IntEnum):
    """What a member can be slashed for; numbers equal the contract's."""

    UPDATE_NOT_REVEALED = 1
    VERIFIER_ABSENT = 2
    SCORES_NOT_REVEALED = 3
    UNAVAILABLE = 4
    MALFORMED = 5
    HARMFUL = 6
    WRONG_ATTESTATION = 7
    ATTESTER_ABSENT = 8
    SLICE_NOT_REVEALED = 9
    COPY = 10
    FIELD_WRONG = 11
    LIE = 12
    BALLOT_ABSENT = 13
    BALLOT_NOT_REVEALED = 14


class VoidReason(IntEnum):
    """Why a round ended without a model; numbers equal the contract's."""

    NONE = 0
    TOO_FEW_COMMITS = 1
    TOO_FEW_REVEALS = 2
    NOTHING_ACCEPTED = 3
    NO_QUORUM = 4
    COURT_VOIDED = 5


@dataclass(frozen=True, slots=True)
class Call:
    """One contract call: contract and function by name, positional arguments."""

    contract: str
    function: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class ChainEvent:
    """One log entry of our contracts, decoded: Solidity's event name and argument names."""

    contract: str
    name: str
    arguments: Mapping[str, Any]
    block: int
    timestamp: int
    transaction: bytes
    log_index: int


@dataclass(frozen=True, slots=True)
class Scoring:
    """`GuidelineRegistry.Scoring`: how verdicts are reached, ppm. Belongs to a guideline epoch; a round keeps what it opened under.

    Attributes:
        tau: two gains agree when they differ by at most this.
        delta_min: least gain of an accepted update.
        harm_min: a gain of −harm_min or less is harmful.
        gain_cap: most weight one update can have.
    """

    tau: int
    delta_min: int
    harm_min: int
    gain_cap: int


@dataclass(frozen=True, slots=True)
class RegistryParams:
    """`MemberRegistry.Params`: amounts in 10⁻¹⁸ CWT, times in seconds (docs/protocol.md).

    Attributes:
        threshold: approvals that admit.
        veto_threshold: vetoes that refuse an approved application.
        min_bond: least stake of an eligible member.
        grant: minted into a newcomer's stake.
        grant_budget: most that all grants together ever mint.
        exit_delay: from `startExit` to `finishExit`; longer than the longest round.
        veto_window: from approval to admission; 0: the approving review admits.
        seat_term: of the first holders of the committee's seats.
        admission_burst: admissions at once, after a quiet time.
        admissions_per_day: in the long run.
    """

    threshold: int
    veto_threshold: int
    min_bond: int
    grant: int
    grant_budget: int
    exit_delay: int
    veto_window: int
    seat_term: int
    admission_burst: int
    admissions_per_day: int


@dataclass(frozen=True, slots=True)
class RoundParams:
    """`RoundManager.Params`: durations in seconds (docs/protocol.md)."""

    open_window: int
    commit_duration: int
    reveal_duration: int
    score_duration: int
    settle_duration: int
    attest_duration: int
    challenge_duration: int
    dispute_duration: int
    seed_delay_blocks: int
    min_participants: int
    max_verifiers: int
    max_attesters: int


@dataclass(frozen=True, slots=True)
class CourtParams:
    """`RoundCourt.Params` (docs/protocol.md, "Disputes"): the bond in 10⁻¹⁸ CWT, durations in seconds."""

    bond: int
    jury_size: int
    max_disputes: int
    seed_delay_blocks: int
    draw_duration: int
    commit_duration: int
    reveal_duration: int
    resolve_duration: int

    @property
    def duration(self) -> int:
        """Longest that one dispute takes: what it prolongs a Challenge by."""
        return self.draw_duration + self.commit_duration + self.reveal_duration + self.resolve_duration


class DisputeKind(IntEnum):
    """What is disputed; numbers equal the contract's."""

    SCORE = 0
    AGGREGATE = 1


class Outcome(IntEnum):
    """How a dispute ended; numbers equal the contract's."""

    NONE = 0
    UPHELD = 1
    OVERTURNED = 2
    NO_MAJORITY = 3
    LAPSED = 4

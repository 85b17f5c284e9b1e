"""What to tell people: whether a dispute is open and worth its bond, and what a contract's refusal means. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import cache
from importlib import resources
from string import Formatter
from typing import Any

from incentives.rewards import CWT
from incentives.scoring import (
    FIRST_NUMERIC,
    MALFORMED,
    UNAVAILABLE,
    Tally,
    TallyParams,
    Verdict,
    decode_gain,
    is_upheld,
    tally,
    word_field,
)
from node.adapters.abi import CONTRACTS, contract_abi
from node.protocol.dispute import Dispute
from node.protocol.errors import TransactionReverted
from node.protocol.sortition import assigned_updates, plan_jury
from node.protocol.state import Round, State
from node.protocol.types import (
    Address,
    CourtParams,
    DisputeKind,
    Fault,
    MemberStatus,
    Outcome,
    Phase,
    RoundParams,
    Scoring,
    UpdateStatus,
    VoidReason,
)
from node.roles.juror import RIGHT, aggregate_ballot
from node.roles.view import Facts


@dataclass(frozen=True, slots=True)
class Court:
    """What the court's rules depend on besides the history: constants, and the newest block's time."""

    params: RoundParams
    court: CourtParams
    scoring: Scoring
    now: int


@dataclass(frozen=True, slots=True)
class Advice:
    """What to know before putting up a bond.

    Attributes:
        can: the court would take the dispute now.
        worth: what this node found contradicts what was decided.
        jurors: seats of the jury, the excluded ones not counted (at most one in a large ring).
        is_independent: nobody sits on the jury who gave the verdict; only such a jury finds lies.
        bond: what is lost where the jury disagrees, 10⁻¹⁸ CWT.
        seconds: left to open the dispute.
        decided: what stands.
        ours: what this node found.
        reasons: why (not), in sentences.
    """

    can: bool
    worth: bool
    jurors: int
    is_independent: bool
    bond: int
    seconds: int
    decided: str
    ours: str
    reasons: tuple[str, ...]


def field_text(field: int) -> str:
    """What a field of a score word says."""
    if field == UNAVAILABLE:
        return "unavailable"
    if field == MALFORMED:
        return "malformed"
    return f"{decode_gain(field):+,} ppm" if field >= FIRST_NUMERIC else "nothing"


def our_field(found: Round, index: int, me: Address, facts: Facts, max_verifiers: int) -> int:
    """Field about the update ``index`` in one of our words; 0 where we did not score it."""
    mine = found.reveal_of(me)
    if mine is None:
        return 0
    n, k = len(found.reveals), found.verifiers(max_verifiers)
    for retry, known in ((False, facts.word), (True, facts.retry_word)):
        assigned = assigned_updates(found.seed, n, mine.index, k, retry=retry) if k and found.seed else []
        if known is not None and index in assigned:
            return word_field(known[0], assigned.index(index))
    return 0


def advise_score(state: State, found: Round, index: int, me: Address, facts: Facts, rules: Court) -> Advice:  # noqa: PLR0917
    """Advice on disputing the verdict on update ``index``, which has one."""
    verdict = found.settled[index]
    field = our_field(found, index, me, facts, rules.params.max_verifiers)
    params = TallyParams(rules.scoring.tau, rules.scoring.delta_min, rules.scoring.harm_min, rules.scoring.gain_cap)
    settled = Tally(Verdict(verdict.status), verdict.gain, verdict.votes, verdict.weight)
    says = tally([field], params)
    differs = field_text(field) != "nothing" and not is_upheld(says, settled, rules.scoring.tau)
    reasons = list(_obstacles(state, found, DisputeKind.SCORE, index, rules))
    awaits = verdict.status is UpdateStatus.UNSCORED and not verdict.is_retried
    if verdict.status is UpdateStatus.UNAVAILABLE:
        reasons.append("Availability cannot be disputed: it is about a time that has passed.")
    if awaits and found.has_retry(rules.params.max_verifiers):
        reasons.append("The retry left this update unsettled; there is no verdict to judge.")
    can = not reasons
    if field_text(field) == "nothing":
        reasons.append("This node did not score the update, so it cannot say who is right.")
    elif differs:
        reasons.append("An honest jury will find what this node found and overturn the verdict.")
    else:
        reasons.append("An honest jury will uphold the verdict, and the bond burns.")
    decided = f"{verdict.status.name.lower()}, {verdict.gain:+,} ppm, {verdict.votes} votes"
    dispute = _draft(found, DisputeKind.SCORE, index, is_retried=verdict.is_retried)
    return _advice(found, dispute, rules, can=can, worth=differs, decided=decided, ours=field_text(field), why=reasons)


def advise_aggregate(state: State, found: Round, facts: Facts, rules: Court) -> Advice:
    """Advice on disputing the model of a round that has one."""
    reasons = list(_obstacles(state, found, DisputeKind.AGGREGATE, 0, rules))
    can, differs, ours = not reasons, False, "nothing"
    if facts.aggregate is None or found.proposal is None:
        reasons.append("This node has not computed the aggregate, so it cannot say who is right.")
    else:
        ours, differs = facts.aggregate.model_hash.hex(), aggregate_ballot(found, facts.aggregate) != RIGHT
        reasons.append(
            "An honest jury will compute what this node computed and void the round."
            if differs
            else "The model is what this node computed: a jury will uphold it, and the bond burns."
        )
    decided = found.proposal.model_hash.hex() if found.proposal else "no model"
    dispute = _draft(found, DisputeKind.AGGREGATE, 0, is_retried=False)
    return _advice(found, dispute, rules, can=can, worth=differs, decided=decided, ours=ours, why=reasons)


def _obstacles(state: State, found: Round, kind: DisputeKind, index: int, rules: Court) -> list[str]:
    reasons: list[str] = []
    if found.phase is not Phase.CHALLENGE:
        reasons.append(f"Round {found.number} is in {found.phase.name}; disputes open in CHALLENGE only.")
    elif rules.now > found.challenge_end:
        reasons.append(f"The time to dispute ended {rules.now - found.challenge_end} s ago.")
    others = [state.disputes[number] for number in found.disputes]
    same = [other for other in others if other.kind is kind]
    if any(kind is DisputeKind.AGGREGATE or other.index == index for other in same):
        reasons.append("It is disputed already.")
    elif kind is DisputeKind.SCORE and len(same) >= rules.court.max_disputes:
        reasons.append(f"The round has {len(same)} disputes of scores already, the most there may be.")
    return reasons


def _draft(found: Round, kind: DisputeKind, index: int, *, is_retried: bool) -> Dispute:
    nobody = Address("0x" + "00" * 20)
    return Dispute(0, found.number, nobody, kind, index, is_retried, True, 0, 0, 0)


def _advice(
    found: Round, dispute: Dispute, rules: Court, *, can: bool, worth: bool, decided: str, ours: str, why: Sequence[str]
) -> Advice:
    n = len(found.reveals)
    involved, owner = dispute.parties(found, rules.params) if found.seed else (frozenset[int](), frozenset[int]())
    plan = plan_jury(n, rules.court.jury_size, involved, owner)
    return Advice(
        can=can,
        worth=worth,
        jurors=min(rules.court.jury_size, n - len(plan.excluded)),
        is_independent=plan.is_independent,
        bond=rules.court.bond,
        seconds=max(0, found.challenge_end - rules.now) if found.phase is Phase.CHALLENGE else 0,
        decided=decided,
        ours=ours,
        reasons=tuple(why),
    )


# --- refusals ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a custom error means: what happened, why, what to try; braces name arguments (``refusals.toml`` beside the ABIs)."""

    what: str
    why: str
    hint: str


_NAMES: Mapping[str, type[IntEnum] | tuple[str, ...]] = {
    "phase": Phase,
    "member": MemberStatus,
    "verdict": UpdateStatus,
    "fault": Fault,
    "void": VoidReason,
    "kind": DisputeKind,
    "outcome": Outcome,
    "entry": ("none", "committed", "revealed"),
    "seal": ("unsealed", "committed", "revealed"),
    "application": ("none", "open", "approved", "refused", "in probation"),
    "standing": ("unknown", "active", "retired"),
    "pausable": ("joining of newcomers", "opening of rounds", "locking of tokens", "publishing of releases"),
}
"""Ways to show a number of an enum. The others: ``time`` (seconds since 1970), ``cwt`` (10⁻¹⁸ tokens), ``text`` (bytes32)."""

_AFTER_9999 = 253_402_300_800


@cache
def refusals() -> Mapping[str, Refusal]:
    """Every refusal, by the error's name, or ``Contract.Name`` where two contracts mean different ones by it."""
    text = resources.files("node.adapters.abi").joinpath("refusals.toml").read_text("utf-8")
    return {name: Refusal(*entry) for name, entry in tomllib.loads(text).items()}


def explained(error: TransactionReverted) -> TransactionReverted:
    """``error`` in words, with its cause and a way on; itself where it is none of our contracts' or was explained before."""
    for contract in CONTRACTS:
        for entry in contract_abi(contract).errors.values():
            if entry.name != error.error or len(entry.inputs) != len(error.arguments):
                continue
            found = refusals().get(f"{contract}.{entry.name}") or refusals().get(entry.name)
            if found is None or error.why:
                return error
            values = dict(zip((one["name"] for one in entry.inputs), error.arguments, strict=True))
            told = TransactionReverted(error.error, error.arguments, call=error.call, hint=error.hint or found.hint)
            told.what = f"{told.what} {fill(found.what, values)}"
            told.why = found.why
            return told
    return error


def fill(text: str, values: Mapping[str, Any]) -> str:
    """``text`` with the arguments put in; raises KeyError where it names an argument or a way to show it that is unknown."""
    pieces = []
    for before, name, way, _ in Formatter().parse(text):
        pieces.append(before + ("" if name is None else _shown(values[name], way or "")))
    return "".join(pieces)


def _shown(value: Any, way: str) -> str:
    if way == "time" and 0 < value < _AFTER_9999:
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if way == "cwt":
        return f"{value / CWT:,.2f} CWT"
    if way == "text":
        return bytes(value).rstrip(b"\0").decode("ascii", "backslashreplace")
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if way in {"", "time"}:
        return str(value)
    names = _NAMES[way]
    if not 0 <= value < len(names):
        return str(value)
    return names[value] if isinstance(names, tuple) else names(value).name.replace("_", " ").lower()

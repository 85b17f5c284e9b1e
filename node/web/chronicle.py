"""What the state forgets and a person wants to see: when, in which transaction, who. A fold of events, kept beside the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from node.explain.slash import fault_name
from node.protocol.types import ChainEvent, Fault, Phase
from node.web.words import activity_of

MOST_ACTIVITY = 60
MOST_REWARDS = 200


@dataclass(frozen=True, slots=True)
class When:
    """An event's place."""

    at: int
    block: int
    transaction: str

    @classmethod
    def of(cls, event: ChainEvent) -> When:
        """Where an event stands."""
        return cls(event.timestamp, event.block, "0x" + event.transaction.hex())

    def row(self) -> dict[str, Any]:
        """As columns of a row."""
        return {"at": self.at, "block": self.block, "transaction": self.transaction}


@dataclass(slots=True)
class Chronicle:
    """Rows in the order of events.

    Attributes:
        timelines: phases of each round as they came.
        claims: paid rewards, the treasury's among them (index None).
        slashes: penalties, numbered from 1.
        reviews: votes on each application.
        applied: when each application came.
        fates: how each application ended.
        votes: votes on each proposal.
        executed: when a proposal was carried out.
        events_at_end: events up to the end of the last round that is over.
        activity: events that a person may care about, newest last.
    """

    timelines: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    claims: list[dict[str, Any]] = field(default_factory=list)
    claimed: dict[tuple[int, int], int] = field(default_factory=dict)
    slashes: list[dict[str, Any]] = field(default_factory=list)
    reviews: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    applied: dict[int, int] = field(default_factory=dict)
    fates: dict[int, str] = field(default_factory=dict)
    votes: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    executed: dict[int, int] = field(default_factory=dict)
    events: int = 0
    events_at_end: int = 0
    activity: list[dict[str, Any]] = field(default_factory=list)
    subjects: dict[tuple[bytes, str, int], int] = field(default_factory=dict)

    def add(self, event: ChainEvent) -> None:
        """Take in the next event."""
        self.events += 1
        handler = _HANDLERS.get((event.contract, event.name))
        if handler is not None:
            handler(self, event.arguments, event)
        told = activity_of(event)
        if told is not None:
            actor, text = told
            self.activity.append(
                {
                    **When.of(event).row(),
                    "event": event.name,
                    "contract": event.contract,
                    "round": event.arguments.get("round"),
                    "actor": actor,
                    "text": text,
                }
            )
            del self.activity[:-MOST_ACTIVITY]


# --- rounds ---


def _phase(known: Chronicle, a: Mapping[str, Any], event: ChainEvent) -> None:
    name = {"RoundOpened": Phase.COMMIT, "RoundFinalized": Phase.FINALIZED, "RoundVoided": Phase.VOIDED}.get(event.name)
    phase = name if name is not None else Phase(a["phase"])
    line = known.timelines.setdefault(a["round"], [])
    if not line or line[-1]["phase"] != phase.name:
        line.append({"phase": phase.name, **When.of(event).row()})
    if phase in (Phase.FINALIZED, Phase.VOIDED):
        known.events_at_end = known.events


# --- money ---


def _claim(known: Chronicle, a: Mapping[str, Any], event: ChainEvent) -> None:
    parts = {key: a[f"{key}Reward"] for key in ("trainer", "verifier", "attester")}
    total = sum(parts.values())
    known.claimed[a["round"], a["index"]] = total
    shown = {key: str(value) for key, value in parts.items()}
    who = {"round": a["round"], "index": a["index"], "member": a["member"]}
    _pay(known, event, {**who, **shown, "total": str(total)})


def _treasury(known: Chronicle, a: Mapping[str, Any], event: ChainEvent) -> None:
    parts = {"trainer": "0", "verifier": "0", "attester": "0"}
    who = {"round": a["round"], "index": None, "member": a["treasury"]}
    _pay(known, event, {**who, **parts, "total": str(a["amount"])})


def _pay(known: Chronicle, event: ChainEvent, row: dict[str, Any]) -> None:
    known.claims.append({**row, **When.of(event).row()})
    del known.claims[:-MOST_REWARDS]


def _punished(known: Chronicle, a: Mapping[str, Any], event: ChainEvent) -> None:
    key = (event.transaction, a["account"], a["fault"])
    known.subjects[key] = a["subject"]
    for row in known.slashes[-4:]:  # the registry's event comes first where the court calls it first
        if (row["transaction"], row["member"], row["fault_code"]) == (
            "0x" + event.transaction.hex(),
            a["account"],
            a["fault"],
        ):
            row["subject"] = a["subject"]


def _slashed(known: Chronicle, a: Mapping[str, Any], event: ChainEvent) -> None:
    known.slashes.append(
        {
            "number": len(known.slashes) + 1,
            "round": a["round"],
            "member": a["member"],
            "fault": fault_name(a["fault"]),
            "fault_code": int(Fault(a["fault"])),
            "subject": known.subjects.get((event.transaction, a["member"], a["fault"])),
            "amount": str(a["amount"]),
            "burned": str(a["burned"]),
            "bounty": str(a["bounty"]),
            "prover": a["prover"],
            "stake_after": str(a["stake"]),
            **When.of(event).row(),
        }
    )


# --- members ---


def _applied(known: Chronicle, a: Mapping[str, Any], event: ChainEvent) -> None:
    known.applied[a["application"]] = event.timestamp


def _reviewed(known: Chronicle, a: Mapping[str, Any], event: ChainEvent) -> None:
    row = {"reviewer": a["reviewer"], "approve": bool(a["approve"]), "reason_hash": "0x" + a["reasonHash"].hex()}
    where = When.of(event)
    known.reviews.setdefault(a["application"], []).append({**row, "at": where.at, "transaction": where.transaction})


def _fate(known: Chronicle, a: Mapping[str, Any], event: ChainEvent) -> None:
    known.fates[a["application"]] = "admitted" if event.name == "Admitted" else "rejected"


# --- votes ---


def _voted(known: Chronicle, a: Mapping[str, Any], event: ChainEvent) -> None:
    sides = {0: "against", 1: "for", 2: "abstain"}
    known.votes.setdefault(a["proposalId"], []).append(
        {
            "voter": a["voter"],
            "support": sides.get(a["support"], "split"),
            "weight": str(a["weight"]),
            "reason": a["reason"],
            **When.of(event).row(),
        }
    )


def _executed(known: Chronicle, a: Mapping[str, Any], event: ChainEvent) -> None:
    known.executed[a["proposalId"]] = event.timestamp


_HANDLERS = {
    ("RoundManager", "RoundOpened"): _phase,
    ("RoundManager", "PhaseChanged"): _phase,
    ("RoundManager", "RoundFinalized"): _phase,
    ("RoundManager", "RoundVoided"): _phase,
    ("RewardDistributor", "Claimed"): _claim,
    ("RewardDistributor", "TreasuryClaimed"): _treasury,
    ("RoundCourt", "FaultPunished"): _punished,
    ("MemberRegistry", "Slashed"): _slashed,
    ("MemberRegistry", "Applied"): _applied,
    ("MemberRegistry", "Reviewed"): _reviewed,
    ("MemberRegistry", "Admitted"): _fate,
    ("MemberRegistry", "Rejected"): _fate,
    ("CommunityGovernor", "VoteCast"): _voted,
    ("CommunityGovernor", "VoteCastWithParams"): _voted,
    ("CommunityGovernor", "ProposalExecuted"): _executed,
}

"""Events in words: (who, what it did), for the list of what happened. Texts of others are quoted and cut, never interpreted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from incentives.rewards import CWT
from node.explain.slash import fault_name
from node.protocol.types import ChainEvent, DisputeKind, Outcome, Phase, UpdateStatus, VoidReason

MOST_QUOTED = 80

Told = tuple[str | None, str]


def activity_of(event: ChainEvent) -> Told | None:
    """(actor, what happened); None for what no person asks about."""
    words = _WORDS.get((event.contract, event.name))
    return None if words is None else words(event.arguments)


def quoted(text: str) -> str:
    """Somebody's text on one line, cut, in quotation marks."""
    line = " ".join(text.split())
    return f"“{line if len(line) <= MOST_QUOTED else line[: MOST_QUOTED - 1] + '…'}”"


def amount(units: int) -> str:
    """An amount to hundredths, halves away from zero, "<0.01" for less: news, not accounts (`node.explain` has every digit)."""
    hundredths = (abs(units) * 100 + CWT // 2) // CWT
    if units and not hundredths:
        return "<0.01"
    whole, part = divmod(hundredths, 100)
    return f"{'−' * (units < 0)}{whole:,}{f'.{part:02d}' if part else ''}"


def cwt(units: int) -> str:
    """`amount` of tokens."""
    return f"{amount(units)} CWT"


def title_of(description: str) -> str:
    """First line of a proposal's description, without marks of headings and the proposer's mark."""
    text = description.partition("#proposer=")[0].strip()
    return text.partition("\n")[0].strip("# ").strip()[:200]


def _phase(a: Mapping[str, Any]) -> Told:
    return None, f"round {a['round']} entered {Phase(a['phase']).name}"


def _settled(a: Mapping[str, Any]) -> Told:
    status = UpdateStatus(a["status"]).name.lower()
    return a["trainer"], f"its update in round {a['round']} is {status}, gain {a['gain']:,} ppm"


def _dispute(a: Mapping[str, Any]) -> Told:
    what = f"the verdict on update {a['index']}" if a["kind"] == DisputeKind.SCORE else "the model"
    return a["disputer"], f"disputed {what} of round {a['round']}"


def _reviewed(a: Mapping[str, Any]) -> Told:
    return a["reviewer"], f"{'approved' if a['approve'] else 'refused'} application {a['application']}"


def _voted(a: Mapping[str, Any]) -> Told:
    side = {0: "against", 1: "for", 2: "as abstaining on"}.get(a["support"], "with split weight on")
    reason = f", {quoted(a['reason'])}" if a["reason"] else ""
    return a["voter"], f"voted {side} a proposal with {amount(a['weight'])} votes{reason}"


def _published(a: Mapping[str, Any]) -> Told:
    version = a["candidate"]["version"]
    text = f"{version['major']}.{version['minor']}.{version['patch']}"
    return None, f"release {a['release']}, version {text}, was published: the model of round {a['round']}"


def _claimed(a: Mapping[str, Any]) -> Told:
    total = a["trainerReward"] + a["verifierReward"] + a["attesterReward"]
    return a["member"], f"was paid {cwt(total)} for round {a['round']}"


_WORDS: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Told]] = {
    ("RoundManager", "RoundOpened"): lambda a: (a["opener"], f"opened round {a['round']}"),
    ("RoundManager", "PhaseChanged"): _phase,
    ("RoundManager", "UpdateCommitted"): lambda a: (a["trainer"], f"committed an update in round {a['round']}"),
    ("RoundManager", "UpdateRevealed"): lambda a: (a["trainer"], f"opened its update in round {a['round']}"),
    ("RoundManager", "ScoresCommitted"): lambda a: (a["verifier"], f"committed scores in round {a['round']}"),
    ("RoundManager", "ScoresRevealed"): lambda a: (a["verifier"], f"opened its scores in round {a['round']}"),
    ("RoundManager", "UpdateSettled"): _settled,
    ("RoundManager", "Attested"): lambda a: (a["attester"], f"attested to the model of round {a['round']}"),
    ("RoundManager", "AggregateProposed"): lambda a: (a["proposer"], f"closed round {a['round']}: {a['votes']} attest"),
    ("RoundManager", "RoundFinalized"): lambda a: (
        None,
        f"round {a['round']} was finalised with {a['accepted']} accepted updates",
    ),
    ("RoundManager", "RoundVoided"): lambda a: (
        None,
        f"round {a['round']} was voided: {VoidReason(a['reason']).name.replace('_', ' ').lower()}",
    ),
    ("RoundCourt", "DisputeOpened"): _dispute,
    ("RoundCourt", "DisputeResolved"): lambda a: (
        None,
        f"dispute {a['id']} ended: {Outcome(a['outcome']).name.replace('_', ' ').lower()}",
    ),
    ("MemberRegistry", "Applied"): lambda a: (a["applicant"], f"asked to join, application {a['application']}"),
    ("MemberRegistry", "Reviewed"): _reviewed,
    ("MemberRegistry", "Vetoed"): lambda a: (a["reviewer"], f"vetoed application {a['application']}"),
    ("MemberRegistry", "ProbationStarted"): lambda a: (a["applicant"], "is on probation"),
    ("MemberRegistry", "Admitted"): lambda a: (a["member"], f"was admitted, with a grant of {cwt(a['grant'])}"),
    ("MemberRegistry", "Rejected"): lambda a: (a["applicant"], "was not admitted"),
    ("MemberRegistry", "Slashed"): lambda a: (
        a["member"],
        f"was slashed {cwt(a['amount'])} for {fault_name(a['fault'])}",
    ),
    ("MemberRegistry", "Banned"): lambda a: (a["account"], "was banned"),
    ("MemberRegistry", "ExitStarted"): lambda a: (a["member"], "asked to leave"),
    ("MemberRegistry", "Exited"): lambda a: (a["member"], "left"),
    ("MemberRegistry", "SeatSet"): lambda a: (a["holder"], f"was given committee seat {a['seat']}"),
    ("RewardDistributor", "Claimed"): _claimed,
    ("VotingVault", "Locked"): lambda a: (a["account"], f"locked {cwt(a['amount'])} for votes"),
    ("VotingVault", "UnlockStarted"): lambda a: (a["account"], f"takes {cwt(a['amount'])} out of the vault"),
    ("VotingVault", "DelegateChanged"): lambda a: (a["delegator"], f"lets {a['toDelegate']} vote with its units"),
    ("CommunityGovernor", "ProposalCreated"): lambda a: (
        a["proposer"],
        f"proposed {quoted(title_of(a['description']))}",
    ),
    ("CommunityGovernor", "VoteCast"): _voted,
    ("CommunityGovernor", "VoteCastWithParams"): _voted,
    ("CommunityGovernor", "ProposalQueued"): lambda _a: (None, "a proposal entered the timelock"),
    ("CommunityGovernor", "ProposalExecuted"): lambda _a: (None, "a proposal was carried out"),
    ("CommunityGovernor", "ProposalCanceled"): lambda _a: (None, "a proposal was cancelled"),
    ("ReleaseRegistry", "ReleasePublished"): _published,
    ("ReleaseRegistry", "ReleaseYanked"): lambda a: (None, f"release {a['release']} was taken back"),
    ("ReleaseRegistry", "ScoresAttested"): lambda a: (
        a["attester"],
        f"attested benchmark scores of round {a['round']}",
    ),
    ("RevenueSplitter", "Deposited"): lambda a: (a["from"], f"deposited revenue for release {a['release']}"),
    ("GuidelineRegistry", "EpochBegun"): lambda a: (None, f"guideline epoch {a['epoch']} began"),
    ("Treasury", "Paid"): lambda a: (a["to"], "was paid from the treasury"),
    ("Guardian", "Paused"): lambda _a: (None, "the guardian paused an entry point"),
    ("Guardian", "Unpaused"): lambda _a: (None, "a pause ended"),
}

"""What a run showed: `summary.json`, and the claims that decide the demo's exit code."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.localnet import Member
from deploy.watch import Watcher
from node.audit.pay import rewards_of
from node.protocol.state import Round
from node.protocol.types import Phase, UpdateStatus
from node.queries import audit_rules

LOADED_ALIKE = 1e-4
"""Largest difference between embeddings of the merged model and of base and adapter: both round float32 sums differently."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Something the demo says happened. ``required`` ones decide the exit code; the others are goals, reported either way."""

    text: str
    holds: bool
    required: bool = True


@dataclass(frozen=True, slots=True)
class GasUse:
    """One transaction's gas: function called, round it was for, gas used."""

    function: str
    round: int
    gas: int


def summarise(
    watcher: Watcher,
    *,
    duration: float,
    gas: Sequence[GasUse],
    baselines: Mapping[str, Any] | None,
    audit: Mapping[str, Any],
    settings: Mapping[str, Any],
    release: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The summary as JSON values (docs/demo.md lists the keys)."""
    state, metrics = watcher.state, watcher.metrics
    members = watcher.net.members
    rounds = [_round(watcher, found, gas) for _, found in sorted(state.rounds.items())]
    singles = (baselines or {}).get("single_clients", {})
    last = max(metrics, default=0)
    return {
        "duration_s": round(duration, 1),
        "settings": dict(settings),
        "rounds": rounds,
        "rewards": {m.address: str(state.rewards.get(m.address, 0)) for m in members},
        "stakes": {m.address: str(state.member(m.address).stake) for m in members},
        "why": {m.address: _why(watcher, m) for m in members},
        "attacker": [m.address for m in members if m.is_attacker],
        "names": {m.address: m.name for m in members},
        "repositories": {m.address: list(m.repositories) for m in members},
        "baseline": {
            "pretrained": metrics.get(0),
            "single_clients": singles,
            "federated": metrics.get(last),
            "centralised": (baselines or {}).get("centralised"),
        },
        "gas": _mean_gas(gas),
        "release": release,
        "audit": {"ok": audit["ok"], "checked": audit["checked"], "findings": audit["findings"]},
    }


def _round(watcher: Watcher, found: Round, gas: Sequence[GasUse]) -> dict[str, Any]:
    hashes = watcher.model_hashes(found.number)
    return {
        "round": found.number,
        "phase": found.phase.name,
        "sealed": found.is_sealed,
        "metric_before": watcher.metrics.get(found.number - 1),
        "metric_after": watcher.metrics.get(found.number),
        "accepted": [reveal.trainer for reveal in found.accepted],
        "rejected": [
            {"addr": reveal.trainer, "reason": _reason(watcher, found, reveal.index)}
            for reveal in found.reveals
            if reveal not in found.accepted
        ],
        "gains_ppm": {r.trainer: found.settled[r.index].gain for r in found.reveals if r.index in found.settled},
        "model_hash": found.proposal.model_hash.hex() if found.proposal else None,
        "model_hashes": hashes,
        "distinct_model_hashes": len(set(hashes.values())),
        "attestations": len(found.attestations),
        "seconds": found.touched_at - found.opened_at,
        "gas": _mean_gas([use for use in gas if use.round == found.number]),
    }


def _reason(watcher: Watcher, found: Round, index: int) -> str:
    verdict = found.settled.get(index)
    if verdict is None:
        return "not settled in time"
    status = verdict.status.name.lower()
    if verdict.status not in (UpdateStatus.MALFORMED, UpdateStatus.UNAVAILABLE):
        return f"{status}: median gain {verdict.gain:+,} ppm, {verdict.votes} verifiers agree"
    form = [
        refused[str(index)]
        for member in watcher.net.members
        if str(index) in (refused := member.status().get("refused", {}).get(str(found.number), {}))
    ]
    return f"{status}: {form[0]}" if form else f"{status}, say {verdict.votes} verifiers"


def _why(watcher: Watcher, member: Member) -> list[dict[str, Any]]:
    """What a member earned in each round, by role, and the verdict it rests on; amounts in 10⁻¹⁸ CWT."""
    rules = audit_rules(watcher.net.manifest)
    lines = []
    for number, found in sorted(watcher.state.rounds.items()):
        reveal = found.reveal_of(member.address)
        if reveal is None:
            continue
        verdict = found.settled.get(reveal.index)
        trainer, verifier, attester = rewards_of(
            found, reveal.index, rules, watcher.state.scoring_of(found.epoch, rules.scoring)
        )
        lines.append(
            {
                "round": number,
                "verdict": verdict.status.name if verdict else "PENDING",
                "gain_ppm": verdict.gain if verdict else None,
                "weight_ppm": verdict.weight if verdict else None,
                "trainer": str(trainer),
                "verifier": str(verifier),
                "attester": str(attester),
            }
        )
    return lines


def _by_updates(summary: Mapping[str, Any], account: str) -> int:
    return sum(int(line["trainer"]) for line in summary["why"][account])


def _by_checking(summary: Mapping[str, Any], account: str) -> int:
    return sum(int(line["verifier"]) + int(line["attester"]) for line in summary["why"][account])


def _mean_gas(gas: Sequence[GasUse]) -> dict[str, int]:
    by_function: defaultdict[str, list[int]] = defaultdict(list)
    for use in gas:
        by_function[use.function].append(use.gas)
    return {function: round(statistics.mean(used)) for function, used in sorted(by_function.items())}


def better_alone(summary: Mapping[str, Any]) -> list[str]:
    """One sentence about each client that does better alone than the federation, best first."""
    base = summary["baseline"]
    federated = base["federated"]
    if federated is None:
        return []
    ranked = sorted(base["single_clients"].items(), key=lambda entry: -entry[1])
    return [
        f"{summary['names'][address]} does better alone: {value:.4f} against {federated:.4f}"
        for address, value in ranked
        if value >= federated
    ]


def release_claims(summary: Mapping[str, Any], attackers: Sequence[str]) -> list[Claim]:
    """What the demo says about its release; all false where there was none."""
    release = summary["release"]
    release = None if release is None or "error" in release else release
    last = summary["rounds"][-1]["model_hash"] if summary["rounds"] else None
    proposal = release["proposal"] if release else {}
    loaded = release["loaded"] if release else {}
    owned = {account: int(credit) for account, credit in release["credits"].items()} if release else {}
    return [
        Claim(
            "the members voted with converted tokens to release the last round's model, and the timelock published it",
            release is not None
            and release["model_hash"] == last
            and proposal["decided_this_release"]
            and int(proposal["for"]) > int(proposal["against"])
            and int(proposal["for"]) + int(proposal["abstain"]) >= int(proposal["quorum"]) > 0
            and not set(proposal["votes"]) & set(attackers),
        ),
        Claim(
            "every file of the fetched release is what the chain says",
            release is not None and release["verified"]["ok"] and release["verified"]["checked"] > 0,
        ),
        Claim(
            "transformers and peft load the release, and it answers",
            release is not None and loaded["right"] == loaded["asked"] > 0 and loaded["peft_difference"] < LOADED_ALIKE,
        ),
        Claim(
            "the shares of the release add up to the whole, and an attacker's is what it earned without its updates",
            release is not None
            and sum(owned.values()) == int(release["credit_total"]) > 0
            and all(
                owned.get(account, 0) <= int(summary["rewards"][account]) - _by_updates(summary, account)
                for account in attackers
            ),
        ),
    ]


def claims(summary: Mapping[str, Any], members: Sequence[Member], *, grant: int, rounds: int) -> list[Claim]:
    """Everything the demo says happened, each checked against the summary."""
    attackers = [member.address for member in members if member.is_attacker]
    honest = [member.address for member in members if not member.is_attacker]
    played = summary["rounds"]
    rewards = {address: int(amount) for address, amount in summary["rewards"].items()}
    base = summary["baseline"]
    found = [
        Claim(
            f"all {rounds} rounds finalised",
            len(played) == rounds and all(r["phase"] == Phase.FINALIZED.name for r in played),
        ),
        Claim(
            f"all {len(members)} nodes computed the same model in every round, the one on chain",
            all(
                set(r["model_hashes"].values()) == {r["model_hash"]} and len(r["model_hashes"]) == len(members)
                for r in played
            ),
        ),
        Claim("every round was scored on a sealed slice", all(r["sealed"] for r in played)),
        Claim("every honest node earned a reward", all(rewards[address] > 0 for address in honest)),
        Claim("the audit rebuilt every balance and model from the chain and IPFS alone", summary["audit"]["ok"]),
        *release_claims(summary, attackers),
    ]
    if attackers:
        stakes = summary["stakes"]
        found += [
            Claim(
                "no poisoned update was accepted",
                all(address not in r["accepted"] for r in played for address in attackers),
            ),
            Claim(
                "the attackers' updates earned 0; what else they got is pay for checking others truthfully",
                all(_by_updates(summary, address) == 0 for address in attackers)
                and all(rewards[address] == _by_checking(summary, address) for address in attackers),
            ),
            Claim(
                "every attacker earned less than half of what the least honest client did",
                all(2 * rewards[bad] < rewards[good] for bad in attackers for good in honest),
            ),
            Claim("the attackers lost stake", all(int(stakes[address]) < grant for address in attackers)),
        ]
    if base["federated"] is not None and base["pretrained"] is not None:
        found.append(Claim("the federated model beats the pretrained one", base["federated"] > base["pretrained"]))
    singles = [base["single_clients"][a] for a in honest if a in base["single_clients"]]
    found.append(Claim("every honest client was also measured training alone", len(singles) == len(honest)))
    if singles and base["federated"] is not None:
        found += [
            Claim(
                "the federated model beats the mean of the honest clients training alone",
                base["federated"] > statistics.mean(singles),
            ),
            Claim(
                "the federated model beats every honest client training alone",
                base["federated"] > max(singles),
                required=False,
            ),
        ]
    return found

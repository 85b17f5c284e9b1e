"""Whether what was revealed opens what was committed: the salts stand in the data of the transactions that revealed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from node.audit.base import AuditRules
from node.protocol.commitments import (
    RoundScope,
    ballot_commitment,
    benchmark_commitment,
    score_commitment,
    update_commitment,
)
from node.protocol.state import State
from node.protocol.types import Address, Call, ChainEvent, Phase

Opening = tuple[bytes, bytes]
"""(what was committed, what the opening hashes to)."""


def opening_of(rules: AuditRules, state: State, event: ChainEvent, call: Call) -> Opening | None:
    """Both sides of one opening; None where the transaction did not reveal it itself, but a contract in its name.

    Args:
        rules: constants of the deployment.
        state: before the event.
        event: one of `OPENINGS`.
        call: of the event's transaction.
    """
    function, opened = OPENINGS[event.contract, event.name]
    if (call.contract, call.function) != (event.contract, function):
        return None
    return opened(rules, state, event.arguments, call.arguments)


def _scope(rules: AuditRules, number: int) -> RoundScope:
    return RoundScope(rules.chain_id, rules.round_manager, number)


def _update(rules: AuditRules, state: State, a: Mapping[str, Any], given: tuple[Any, ...]) -> Opening:
    trainer = Address(a["trainer"])
    number, content_hash, cid, samples, salt = given
    opens = update_commitment(
        _scope(rules, number), trainer, content_hash=content_hash, cid=cid, samples=samples, salt=salt
    )
    told = (a["round"], a["contentHash"], a["cid"], a["samples"])
    promised = state.rounds[a["round"]].commits.get(trainer, (0, b""))[1]
    return (promised, opens) if told == (number, content_hash, cid, samples) else (promised, b"")


def _slice(rules: AuditRules, state: State, a: Mapping[str, Any], given: tuple[Any, ...]) -> Opening:
    number, content_hash, cid, salt = given
    steward = Address(a["steward"])
    opens = benchmark_commitment(_scope(rules, number), steward, content_hash=content_hash, cid=cid, salt=salt)
    promised = state.rounds[a["round"]].benchmark_commitment
    told = (a["round"], a["contentHash"], a["cid"])
    return (promised, opens) if told == (number, content_hash, cid) else (promised, b"")


def _scores(rules: AuditRules, state: State, a: Mapping[str, Any], given: tuple[Any, ...]) -> Opening:
    number, index, word, salt = given
    found = state.rounds[a["round"]]
    commits = found.retry_commits if found.phase >= Phase.RETRY_COMMIT else found.score_commits
    promised = commits.get(a["index"], b"")
    opens = score_commitment(_scope(rules, number), Address(a["verifier"]), word=word, salt=salt)
    return (promised, opens) if (a["round"], a["index"], a["word"]) == (number, index, word) else (promised, b"")


def _ballot(rules: AuditRules, state: State, a: Mapping[str, Any], given: tuple[Any, ...]) -> Opening:
    dispute, place, ballot, salt = given
    promised = state.disputes[a["id"]].commits.get(a["place"], b"")
    opens = ballot_commitment(rules.chain_id, rules.court, dispute, Address(a["juror"]), ballot=ballot, salt=salt)
    told = (a["id"], a["place"], a["ballot"])
    return (promised, opens) if told == (dispute, place, ballot) else (promised, b"")


OPENINGS: Mapping[
    tuple[str, str], tuple[str, Callable[[AuditRules, State, Mapping[str, Any], tuple[Any, ...]], Opening]]
] = {
    ("RoundManager", "UpdateRevealed"): ("revealUpdate", _update),
    ("RoundManager", "BenchmarkRevealed"): ("revealBenchmark", _slice),
    ("RoundManager", "ScoresRevealed"): ("revealScores", _scores),
    ("RoundCourt", "BallotRevealed"): ("revealBallot", _ballot),
}
"""The function behind each event that opens a commitment, and how it is held against what was committed."""

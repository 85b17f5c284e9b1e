"""The juror: whoever a dispute's draw puts on its jury computes what is disputed by itself, commits its ballot, reveals it."""

from __future__ import annotations

from node.protocol.commitments import ballot_commitment
from node.protocol.errors import LocalProtocolError
from node.protocol.state import Dispute, Round
from node.protocol.types import Call, DisputeKind
from node.roles import attester
from node.roles.actions import Action, FetchUpdate, Judge, Submit
from node.roles.view import AggregateFact, View

RIGHT, WRONG = 1, 2
"""Ballots about an aggregate."""


def decide(view: View) -> list[Action]:
    """Actions of a juror that are due now, in every dispute that runs."""
    actions: list[Action] = []
    for dispute in view.state.disputes.values():
        found = view.state.rounds[dispute.round]
        mine = found.reveal_of(view.me)
        if dispute.is_over or not dispute.key or mine is None:
            continue
        for place, index in dispute.jury(found, view.params).items():
            if index == mine.index:
                actions += _ballot(view, found, dispute, place)
    return actions


def _ballot(view: View, found: Round, dispute: Dispute, place: int) -> list[Action]:
    known = view.facts_of(found.number).ballots.get(dispute.number)
    key = f"dispute-{dispute.number}"
    if place not in dispute.commits:
        if view.now > dispute.commit_end:
            return []
        if known is None:
            return _judge(view, found, dispute)
        ballot, salt = known
        commitment = ballot_commitment(view.chain_id, view.court, dispute.number, view.me, ballot=ballot, salt=salt)
        call = Call("RoundCourt", "commitBallot", (dispute.number, place, commitment))
        return [Submit(f"{key}:commit-ballot", call)]
    if place in dispute.ballots or known is None or not dispute.can_reveal(view.now, view.court_params):
        return []
    ballot, salt = known
    return [Submit(f"{key}:reveal-ballot", Call("RoundCourt", "revealBallot", (dispute.number, place, ballot, salt)))]


def _judge(view: View, found: Round, dispute: Dispute) -> list[Action]:
    """What is missing before we can judge, or the judgement."""
    facts = view.facts_of(found.number)
    if dispute.kind is DisputeKind.AGGREGATE:
        return [Judge(dispute.number)] if facts.aggregate is not None else attester.compute(view, found)
    missing: list[Action] = [
        FetchUpdate(found.number, reveal.index) for reveal in found.reveals if reveal.index not in facts.fetched
    ]
    return missing or [Judge(dispute.number)]


def aggregate_ballot(found: Round, fact: AggregateFact | None) -> int:
    """RIGHT where the aggregate we computed is the round's.

    Raises:
        LocalProtocolError: there is nothing to compare.
    """
    if found.proposal is None or fact is None:
        raise LocalProtocolError(f"The aggregate of round {found.number} cannot be judged before it is computed.")
    proposal = found.proposal
    is_same = (fact.secret, fact.model_hash, fact.cid) == (proposal.secret, proposal.model_hash, proposal.cid)
    return RIGHT if is_same else WRONG

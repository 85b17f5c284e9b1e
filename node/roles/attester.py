"""The attester: compute the next checkpoint from the accepted updates and attest to it; tell peers where it is."""

from __future__ import annotations

from node.protocol.cid import cid_from_digest
from node.protocol.commitments import attestation
from node.protocol.messages import ModelNotice
from node.protocol.sortition import attesters
from node.protocol.state import Round
from node.protocol.types import Address, Call, Phase
from node.roles.actions import Action, Announce, ComputeAggregate, FetchUpdate, Submit
from node.roles.view import Fetched, View


def slot_of(found: Round, member: Address, max_attesters: int) -> int | None:
    """Attestation slot of a member in this round, None if it has none."""
    reveal = found.reveal_of(member)
    if reveal is None or not found.seed:
        return None
    owners = attesters(found.seed, len(found.reveals), max_attesters)
    return owners.index(reveal.index) if reveal.index in owners else None


def compute(view: View, found: Round) -> list[Action]:
    """What it takes to compute the round's aggregate."""
    fetched = view.facts_of(found.number).fetched
    missing: list[Action] = [
        FetchUpdate(found.number, reveal.index, must=True)
        for reveal in found.aggregated
        if fetched.get(reveal.index, (None, ""))[0] is not Fetched.VALID
    ]
    return missing or [ComputeAggregate(found.number)]


def decide(view: View) -> list[Action]:
    """Actions of an attester that are due now. Every node computes the aggregate, also one without a slot."""
    found = view.round
    if found is None or found.phase not in (Phase.ATTEST, Phase.CHALLENGE, Phase.FINALIZED):
        return []
    facts = view.facts_of(found.number)
    if facts.aggregate is None:
        return compute(view, found)
    slot = slot_of(found, view.me, view.params.max_attesters)
    if found.phase is not Phase.ATTEST or slot is None or slot in found.attestations or view.now > found.deadline:
        return []
    fact = facts.aggregate
    keyed = attestation(found.number, view.me, secret=fact.secret, model_hash=fact.model_hash, cid=fact.cid)
    return [
        Submit(f"{found.number}:attest", Call("RoundManager", "attest", (found.number, slot, keyed))),
        Announce(f"{found.number}:notice-model", ModelNotice(view.me, found.number, cid_from_digest(fact.cid))),
    ]

"""The trainer: train, commit, then publish and reveal; claim what was earned."""

from __future__ import annotations

from node.protocol.cid import cid_from_digest
from node.protocol.commitments import update_commitment
from node.protocol.messages import UpdateNotice
from node.protocol.state import Round
from node.protocol.types import Call, MemberStatus, Phase
from node.roles.actions import Action, Announce, StoreUpdate, Submit, TrainUpdate
from node.roles.view import View


def decide(view: View) -> list[Action]:
    """Actions of a trainer that are due now."""
    found = view.round
    if found is None or found.is_over or view.now > found.deadline:
        return []
    if found.phase is Phase.COMMIT:
        return _commit(view, found)
    if found.phase is Phase.REVEAL:
        return _reveal(view, found)
    return []


def _commit(view: View, found: Round) -> list[Action]:
    member = view.state.member(view.me)
    # The contract wants eligibility from before the opening, so that nobody joins with knowledge of the round.
    if member.status is not MemberStatus.ACTIVE or member.active_since >= found.opened_at or view.me in found.commits:
        return []
    facts = view.facts_of(found.number)
    if facts.withheld:
        return []  # who does not commit loses the round's reward and nothing else
    opening = facts.update
    # A chain that went back may have opened the round anew, for other members: what was encrypted for the old ones is malformed there.
    if opening is None or facts.audience not in (b"", found.audience):
        return [TrainUpdate(found.number)]
    commitment = update_commitment(
        view.scope(found.number),
        view.me,
        content_hash=opening.content_hash,
        cid=opening.cid,
        samples=opening.samples,
        salt=opening.salt,
    )
    call = Call("RoundManager", "commitUpdate", (found.number, commitment))
    return [Submit(f"{found.number}:commit-update", call)]


def _reveal(view: View, found: Round) -> list[Action]:
    facts = view.facts_of(found.number)
    opening = facts.update
    if view.me not in found.commits or opening is None or found.reveal_of(view.me) is not None:
        return []
    if not facts.update_stored:
        return [StoreUpdate(found.number)]
    call = Call(
        "RoundManager",
        "revealUpdate",
        (found.number, opening.content_hash, opening.cid, opening.samples, opening.salt),
    )
    notice = UpdateNotice(view.me, found.number, cid_from_digest(opening.cid))
    return [
        Submit(f"{found.number}:reveal-update", call),
        Announce(f"{found.number}:notice-update", notice),
    ]

"""The benchmark steward: open rounds with a sealed slice, and publish the slice once the update commits are closed."""

from __future__ import annotations

from dataclasses import dataclass

from node.protocol.commitments import benchmark_commitment
from node.protocol.state import Round
from node.protocol.types import Call, Phase
from node.roles import membership
from node.roles.actions import Action, PrepareSlice, StoreSlice, Submit
from node.roles.view import View


@dataclass(frozen=True, slots=True)
class StewardPlan:
    """How many rounds to open in all, and how many active members to wait for before each."""

    rounds: int
    min_members: int


def decide(view: View, plan: StewardPlan) -> list[Action]:
    """Actions of a steward that are due now."""
    found = view.round
    if found is None or found.is_over:
        return _open(view, plan, 1 if found is None else found.number + 1)
    if found.phase is Phase.REVEAL and view.now <= found.deadline:
        return _reveal(view, found)
    return []


def _open(view: View, plan: StewardPlan, number: int) -> list[Action]:
    is_mine = membership.is_steward(view, number)
    is_late = view.now > view.state.last_round_ended_at + view.params.open_window
    if number > plan.rounds or not is_mine or is_late or len(view.state.active) < plan.min_members:
        return []
    # Members must have been eligible before the opening block, so wait until the newest of them is a block old.
    newest = max((view.state.member(address).active_since for address in view.state.active), default=0)
    if view.now <= newest:
        return []
    opening = view.facts_of(number).benchmark
    if opening is None:
        return [PrepareSlice(number)]
    commitment = benchmark_commitment(
        view.scope(number), view.me, content_hash=opening.content_hash, cid=opening.cid, salt=opening.salt
    )
    return [Submit(f"{number}:open", Call("RoundManager", "openRound", (commitment,)))]


def decide_late(view: View, plan: StewardPlan) -> list[Action]:
    """What any keeper does when the steward let its window pass: open the round unsealed."""
    found = view.round
    if found is not None and not found.is_over:
        return []
    number = 1 if found is None else found.number + 1
    closed = view.state.last_round_ended_at + view.params.open_window
    is_late = view.now > closed and view.is_my_turn(number, closed)
    if number > plan.rounds or not is_late or len(view.state.active) < plan.min_members:
        return []
    return [Submit(f"{number}:open-unsealed", Call("RoundManager", "openRound", (bytes(32),)))]


def _reveal(view: View, found: Round) -> list[Action]:
    facts = view.facts_of(found.number)
    opening = facts.benchmark
    if opening is None or not found.is_committed_slice_pending or found.opener != view.me:
        return []
    if not facts.benchmark_stored:
        return [StoreSlice(found.number)]
    call = Call("RoundManager", "revealBenchmark", (found.number, opening.content_hash, opening.cid, opening.salt))
    return [Submit(f"{found.number}:reveal-slice", call)]

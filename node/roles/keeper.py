"""The keeper: what anyone may do and somebody must: settle, propose, advance, claim, vest, admit, roll credits.

Members take turns (`View.is_my_turn`), so usually one transaction is sent for each, and the next in rank steps in for a vanished one.
"""

from __future__ import annotations

from node.protocol.commitments import attestation
from node.protocol.phases import is_complete, next_step
from node.protocol.sortition import attesters
from node.protocol.state import Round
from node.protocol.types import Call, Phase, UpdateStatus
from node.roles.actions import Action, Submit
from node.roles.membership import decide_admit
from node.roles.view import View

SETTLE_BATCH = 16
"""Most updates one `settle` call takes (contract constant)."""
ROLL_BATCH = 64
"""Rounds whose credits one call adds up: far below the gas limit of a block."""
CLAIM_TURNS = 8
"""Turns that the owner of a finalised update has for its own claim before others make it."""
GRACE_TURNS = 3
"""Turns that a proposer with a quorum waits for the other attesters."""


def decide(view: View) -> list[Action]:
    """Actions of a keeper that are due now."""
    actions = _claims(view) + _vesting(view) + _disputes(view) + decide_admit(view) + _rolling(view)
    found = view.round
    if found is None or found.is_over:
        return actions
    if found.phase in (Phase.SETTLE, Phase.RETRY_SETTLE) and view.now <= found.deadline:
        actions += _settle(view, found)
    if found.phase is Phase.ATTEST and view.now <= found.deadline:
        actions += _propose(view, found)
    return actions + _advance(view, found)


def _advance(view: View, found: Round) -> list[Action]:
    counters = found.counters(view.params.max_verifiers)
    step = next_step(
        found.phase,
        counters,
        deadline=found.deadline,
        now=view.now,
        block=view.block,
        min_participants=view.params.min_participants,
    )
    if found.phase is Phase.SEED:
        since = found.touched_at + view.params.seed_delay_blocks  # a block takes a second or more
    else:
        since = found.touched_at if is_complete(found.phase, counters) else found.deadline
    if step is None or not view.is_my_turn(found.number + found.phase, since):
        return []
    # A missed seed block is pinned again, so the same phase may need several calls: the key carries the pinned block.
    key = f"{found.number}:advance:{found.phase.value}:{found.seed_block}"
    return [Submit(key, Call("RoundManager", "advance", (found.number,)))]


def _settle(view: View, found: Round) -> list[Action]:
    if found.phase is Phase.SETTLE:
        pending = [reveal.index for reveal in found.reveals if reveal.index not in found.settled][:SETTLE_BATCH]
    else:
        pending = list(found.unscored)[:SETTLE_BATCH]
    if not pending or not view.is_my_turn(found.number, found.touched_at):
        return []
    call = Call("RoundManager", "settle", (found.number, tuple(pending)))
    return [Submit(f"{found.number}:settle:{found.phase.value}:{pending[0]}", call)]


def _propose(view: View, found: Round) -> list[Action]:
    fact = view.facts_of(found.number).aggregate
    if fact is None:
        return []
    owners = attesters(found.seed, len(found.reveals), view.params.max_attesters)
    matching = sum(
        keyed == attestation(found.number, attester, secret=fact.secret, model_hash=fact.model_hash, cid=fact.cid)
        for attester, keyed in found.attestations.values()
    )
    # A quorum ends the phase, and with it the chance of slower members to be paid: give them a moment.
    grace = 0 if len(found.attestations) == len(owners) else GRACE_TURNS * view.stagger
    if matching * 3 <= len(owners) * 2 or not view.is_my_turn(found.number, found.touched_at + grace):
        return []
    call = Call("RoundManager", "proposeAggregate", (found.number, fact.secret, fact.model_hash, fact.cid))
    return [Submit(f"{found.number}:propose", call)]


def _disputes(view: View) -> list[Action]:
    """Draw juries and end disputes: each goes on to its end whatever became of its round."""
    actions: list[Action] = []
    params = view.court_params
    for dispute in view.state.disputes.values():
        key, since = f"dispute-{dispute.number}", dispute.touched_at
        can_draw = not dispute.is_over and not dispute.key and view.block > dispute.seed_block
        if dispute.can_resolve(view.now, params):
            if view.is_my_turn(dispute.number, since):
                actions.append(Submit(f"{key}:resolve", Call("RoundCourt", "resolve", (dispute.number,))))
        elif can_draw and view.is_my_turn(dispute.number, since + params.seed_delay_blocks):
            # A missed seed block is pinned again: the key carries the pinned one.
            call = Call("RoundCourt", "drawJury", (dispute.number,))
            actions.append(Submit(f"{key}:draw:{dispute.seed_block}", call))
    return actions


def _claims(view: View) -> list[Action]:
    actions: list[Action] = []
    for found in view.state.rounds.values():
        if found.phase is not Phase.FINALIZED:
            continue
        mine = found.reveal_of(view.me)
        if mine is not None and mine.index not in found.claimed:
            call = Call("RewardDistributor", "claim", (found.number, mine.index))
            actions.append(Submit(f"{found.number}:claim", call))
        actions += _claims_of_others(view, found)
        if not found.treasury_claimed and view.is_my_turn(found.number, found.phase_since):
            call = Call("RewardDistributor", "claimTreasury", (found.number,))
            actions.append(Submit(f"{found.number}:claim-treasury", call))
    return actions


def _claims_of_others(view: View, found: Round) -> list[Action]:
    """Claims that their owners did not make, forfeited ones (of 0) included: credits count only once all of a round's are made."""
    if len(found.claimed) == len(found.reveals):
        return []
    since = found.phase_since + CLAIM_TURNS * view.stagger
    return [
        Submit(f"{found.number}:claim-for:{index}", Call("RewardDistributor", "claim", (found.number, index)))
        for index in range(len(found.reveals))
        if index not in found.claimed
        and found.reveals[index].trainer != view.me
        and view.is_my_turn(found.number + index, since)
    ]


def _rolling(view: View) -> list[Action]:
    """Add up the credits of the rounds that a release waits for: one whose scores attesters voted for, with all before it.

    A round can be rolled once all its claims are made; `_claims_of_others` sees to that.
    """
    catalogue = view.state.catalogue
    wanted = max((number for number, _scores in catalogue.score_votes), default=0)
    waiting = [view.state.rounds[number] for number in range(catalogue.rolled_to + 1, wanted + 1)][:ROLL_BATCH]
    if not waiting or not all(_is_final(found) for found in waiting):
        return []
    last, since = waiting[-1].number, max(found.touched_at for found in waiting)
    if not view.is_my_turn(last, since):
        return []
    return [Submit(f"roll:{last}", Call("ReleaseRegistry", "rollCredits", (last,)))]


def _is_final(found: Round) -> bool:
    return found.phase is Phase.VOIDED or (found.phase is Phase.FINALIZED and len(found.claimed) == len(found.reveals))


def _vesting(view: View) -> list[Action]:
    """Each accepted update of ours makes a fifth of our grant our own."""
    member = view.state.member(view.me)
    actions: list[Action] = []
    for found in view.state.rounds.values() if member.unvested else ():
        mine = found.reveal_of(view.me)
        if found.phase is not Phase.FINALIZED or mine is None or found.number <= member.admitted_in:
            continue
        verdict = found.settled.get(mine.index)
        is_accepted = verdict is not None and verdict.status is UpdateStatus.ACCEPTED
        if is_accepted and mine.index not in found.vested | found.forfeited:
            actions.append(Submit(f"{found.number}:vest", Call("MemberRegistry", "vest", (found.number, mine.index))))
    return actions

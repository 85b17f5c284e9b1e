"""Why a vote weighs what it weighs: locked tokens, the curve, delegation, the cap."""

from __future__ import annotations

from dataclasses import dataclass

from incentives.voting import CAP_DIVISOR, votes, voting_units
from node.explain.core import Explanation, Past, Step, cwt, sources
from node.protocol.errors import ConfigError
from node.protocol.governance import GovernorProposal, Support
from node.protocol.state import State
from node.protocol.types import Address, ChainEvent, MemberStatus

FORMULA = (
    "units = f(locked): f(x) = x up to T, above it ⌊2·√(T·x)⌋ − T",
    "delegated = Σ units of all whose delegate it is",
    "votes = min(delegated, ⌊all units / 10⌋), all of one moment; 0 for who is no member",
)
_MEMBERS = (MemberStatus.ACTIVE, MemberStatus.EXITING)


@dataclass(frozen=True, slots=True)
class Power:
    """What a delegate can cast at a moment, computed from locks and delegations alone; units of 10⁻¹⁸ CWT."""

    steps: tuple[Step, ...]
    delegated: int
    total: int
    votes: int


def power_of(state: State, account: Address, linear_up_to: int, *, is_member: bool) -> Power:
    """Votes of ``account`` in a state.

    Args:
        state: the network at the moment that counts.
        account: the delegate.
        linear_up_to: T.
        is_member: whether it is a member when it votes.
    """
    steps, delegated, total = [], 0, 0
    for owner, lock in sorted(state.locks.items()):
        units = voting_units(lock.amount, linear_up_to)
        total += units
        if state.delegates.get(owner) == account and lock.amount:
            delegated += units
            steps.append(Step(f"units of {owner}", curve_text(lock.amount, linear_up_to), cwt(units)))
    cast = votes(delegated, total, is_member=is_member)
    steps += [
        Step("delegated", "Σ of these", cwt(delegated)),
        Step("cap", f"⌊{cwt(total)} / {CAP_DIVISOR}⌋, a tenth of all units", cwt(total // CAP_DIVISOR)),
    ]
    if not is_member:
        steps.append(Step("votes", "it is no member", cwt(0)))
    else:
        steps.append(Step("votes", "min(delegated, cap)", cwt(cast)))
    return Power(tuple(steps), delegated, total, cast)


def curve_text(locked: int, linear_up_to: int) -> str:
    """How f applies to an amount."""
    if locked <= linear_up_to:
        return f"f({cwt(locked)}), not above T = {cwt(linear_up_to)}"
    return f"⌊2·√({cwt(linear_up_to)} · {cwt(locked)})⌋ − {cwt(linear_up_to)}"


def explain_power(past: Past, account: Address) -> Explanation:
    """What an account can vote with now."""
    state = past.state
    is_member = state.member(account).status in _MEMBERS
    power = power_of(state, account, past.terms.linear_up_to, is_member=is_member)
    delegate = state.delegates.get(account)
    notes = []
    if delegate is not None and delegate != account:
        notes.append(f"Its own units follow {delegate}.")
    lock = state.locks.get(account)
    if lock is not None and lock.leaving:
        notes.append(f"{cwt(lock.leaving)} are leaving and give no votes.")
    recorded = None
    if account in state.vault.delegated:
        recorded = cwt(
            state.votes_at(account, max(past.now, state.vault.total.keys[-1] if state.vault.total.keys else 0))
        )
    return Explanation(
        what="power",
        id=account,
        title=f"Voting power of {account} now",
        formula=FORMULA,
        steps=power.steps,
        computed=cwt(power.votes),
        recorded=recorded,
        sources=sources(*_lock_events(past, account, None)),
        notes=tuple(notes),
    )


def explain_vote(past: Past, number: int, account: Address) -> Explanation:
    """The weight of one vote. ``number`` is the proposal's id, or its place among the proposals, from 1."""
    proposal = find_proposal(past.state, number)
    cast = [event for _, event in past.find("CommunityGovernor", "VoteCast", proposalId=proposal.number, voter=account)]
    cast += [
        event
        for _, event in past.find("CommunityGovernor", "VoteCastWithParams", proposalId=proposal.number, voter=account)
    ]
    if proposal.snapshot > past.now:
        raise ConfigError(
            f"The vote on proposal {number} has not begun.", hint="Its snapshot is still to come; see `explain power`."
        )
    state = past.at(proposal.snapshot)
    when = past.at(cast[0].timestamp) if cast else past.state
    is_member = when.member(account).status in _MEMBERS
    power = power_of(state, account, past.terms.linear_up_to, is_member=is_member)
    weight = sum(event.arguments["weight"] for event in cast)
    used = _used_text(past, proposal, account)
    notes = [used] if used else ["It has not voted."]
    partial = 0 < weight < power.votes and any(event.name == "VoteCastWithParams" for event in cast)
    if partial:
        notes.append(f"It has cast a part so far, {cwt(weight)}.")
    return Explanation(
        what="vote",
        id=f"{proposal.number}.{account}",
        title=f"Weight of {account}'s vote on “{title_of(proposal)}”, of the moment the vote began",
        formula=FORMULA,
        steps=power.steps,
        computed=cwt(power.votes),
        recorded=None if not cast or partial else cwt(weight),
        sources=sources(*_lock_events(past, account, proposal.snapshot), *cast),
        notes=tuple(notes),
    )


def _used_text(past: Past, proposal: GovernorProposal, account: Address) -> str:
    vote = past.state.proposals[proposal.number].voters.get(account)
    if vote is None:
        return ""
    parts = [(vote.in_favour, Support.FOR), (vote.against, Support.AGAINST), (vote.abstain, Support.ABSTAIN)]
    said = ", ".join(f"{cwt(amount)} {side.name.lower()}" for amount, side in parts if amount)
    return f"It voted {said or 'with no weight'}" + (f": “{vote.reason}”" if vote.reason else ".")


def find_proposal(state: State, number: int) -> GovernorProposal:
    """A proposal by id, or by its place among all, from 1.

    Raises:
        ConfigError: there is none.
    """
    if number in state.proposals:
        return state.proposals[number]
    listed = list(state.proposals.values())
    if 1 <= number <= len(listed):
        return listed[number - 1]
    raise ConfigError(
        f"There is no proposal {number}.", hint=f"Proposals so far: {len(listed)}; `commonweight dao list`."
    )


def title_of(proposal: GovernorProposal) -> str:
    """First line of a description, as a heading may be written."""
    text = proposal.description.partition("#proposer=")[0].strip()
    return text.partition("\n")[0].strip("# ") or f"proposal {proposal.number}"


def _lock_events(past: Past, account: Address, until: int | None) -> list[ChainEvent]:
    """What made the locks and delegations that reach ``account``, up to a moment."""
    state = past.state if until is None else past.at(until)
    owners = {owner for owner, delegate in state.delegates.items() if delegate == account} | {account}
    moves = {"Locked": "account", "UnlockStarted": "account", "DelegateChanged": "delegator"}
    return [
        event
        for event in past.events
        if event.contract == "VotingVault"
        and event.name in moves
        and event.arguments[moves[event.name]] in owners
        and (until is None or event.timestamp <= until)
    ]

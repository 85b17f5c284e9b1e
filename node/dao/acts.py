"""Acts of a member: lock, delegate, propose, vote, queue, execute, cancel, unlock. Each says what it did in plain values."""

from __future__ import annotations

from typing import Any

from node.dao.ballots import SUPPORT, find, numbered, operation, shares, split_params
from node.dao.calls import decode, describe, duration, moment
from node.dao.desk import Desk, receipt_row
from node.dao.proposal import Proposal, address
from node.dao.rehearsal import rehearse, require_possible
from node.protocol.errors import ConfigError
from node.protocol.governance import FRACTIONAL, GovernorProposal, ProposalState
from node.protocol.types import Call


async def convert(desk: Desk, amount: int | None) -> dict[str, Any]:
    """Lock tokens, so that they count as votes; None locks all there are.

    The vault takes an allowance of exactly the amount. A permit would not save a transaction: the vault has no call that takes one.

    Raises:
        ConfigError: there is nothing to lock.
        TransactionReverted: no member, too little, or locking is paused.
    """
    vault = desk.manifest.contracts["VotingVault"]
    liquid = await desk.read("ContributionToken", "balanceOf", desk.me)
    wanted = liquid if amount is None else amount
    if wanted == 0:
        raise ConfigError(
            "There are no tokens to lock.",
            why="A grant and a bond are stake; rewards are liquid once they are claimed (a node's keeper claims them).",
            hint="`commonweight dao power` shows what you have.",
        )
    if await desk.read("ContributionToken", "allowance", desk.me, vault) < wanted:
        await desk.send("ContributionToken", "approve", vault, wanted)
    receipt = await desk.send("VotingVault", "lock", wanted)
    return {
        "locked": str(wanted),
        "units": str(await desk.read("VotingVault", "unitsOf", desk.me)),
        **receipt_row(receipt),
    }


async def delegate(desk: Desk, to: str) -> dict[str, Any]:
    """Let another member vote with our units.

    Raises:
        ConfigError: no address.
        TransactionReverted: one of the two is no member.
    """
    receipt = await desk.send("VotingVault", "delegate", address(to))
    return {"delegate": to, **receipt_row(receipt)}


async def unlock(desk: Desk, amount: int | None) -> dict[str, Any]:
    """Ask for locked tokens back; None asks for all.

    Raises:
        ConfigError: nothing is locked.
        TransactionReverted: more than is locked.
    """
    locked, _, _ = await desk.read("VotingVault", "accountOf", desk.me)
    wanted = locked if amount is None else amount
    if wanted == 0:
        raise ConfigError("There is nothing locked to ask back.")
    receipt = await desk.send("VotingVault", "unlock", wanted)
    _, leaving, free_at = await desk.read("VotingVault", "accountOf", desk.me)
    return {"leaving": str(leaving), "free_at": free_at, "free": moment(free_at), **receipt_row(receipt)}


async def withdraw(desk: Desk) -> dict[str, Any]:
    """Fetch what was unlocked and whose delay is over.

    Raises:
        TransactionReverted: nothing there, or too early.
    """
    _, leaving, _ = await desk.read("VotingVault", "accountOf", desk.me)
    receipt = await desk.send("VotingVault", "withdraw")
    return {"withdrawn": str(leaving), **receipt_row(receipt)}


# --- proposals --------------------------------------------------------------------------------------------------------


async def propose(desk: Desk, proposal: Proposal, *, force: bool = False, send: bool = True) -> dict[str, Any]:
    """Try a proposal's actions, and send it if they would all succeed (or ``force``).

    Raises:
        ConfigError: an action would fail.
        TransactionReverted: too few votes, a call out of the governor's reach, or proposed already.
    """
    tried = await rehearse(desk, proposal)
    number = proposal.number(desk.manifest.contracts)
    answer: dict[str, Any] = {
        "id": str(number),
        "actions": [one.row() for one in tried],
        "description": proposal.description,
        "sent": send,
    }
    if not force and send:
        require_possible(tried)
    call = Call("CommunityGovernor", "propose", (*proposal.call(desk.manifest.contracts), proposal.description))
    if not send:
        (refusal,) = await desk.chain.simulate(desk.me, [call])
        return answer | {"could_propose": refusal is None, "refused": refusal.what if refusal else ""}
    receipt = await desk.send(call.contract, call.function, *call.arguments)
    proposals = numbered((await desk.state()).proposals)
    place, made = next((place, one) for place, one in proposals.items() if one.number == number)
    return answer | {"number": place, "starts": made.vote_start, "ends": made.vote_end, **receipt_row(receipt)}


async def vote(
    desk: Desk, which: str, *, parts: tuple[float, float, float], reason: str = "", split: bool = False
) -> dict[str, Any]:
    """Vote with all our votes on one side, or split them by percentages of against, for, abstain.

    Raises:
        ConfigError: no such proposal, no votes at its snapshot, or it is not open.
        TransactionReverted: voted already.
    """
    state = await desk.state()
    number, found = find(state.proposals, which)
    await _require_open(desk, number, found)
    votes = state.votes_at(desk.me, found.snapshot)
    if split and desk.me in found.voters:
        votes -= found.voters[desk.me].weight
    if votes == 0:
        raise ConfigError(
            "You have no votes in this proposal.",
            why=f"Votes count as of its start, {moment(found.snapshot)}; what is locked or delegated later counts for later proposals.",
            hint="`commonweight dao power` explains yours.",
        )
    if split:
        divided = shares(votes, parts)
        arguments: tuple[Any, ...] = (found.number, FRACTIONAL, reason, split_params(*divided))
        receipt = await desk.send("CommunityGovernor", "castVoteWithReasonAndParams", *arguments)
    else:
        chosen = next(place for place, part in enumerate(parts) if part)
        divided = (votes * (chosen == 0), votes * (chosen == 1), votes * (chosen == 2))
        receipt = await desk.send("CommunityGovernor", "castVoteWithReason", found.number, chosen, reason)
    return {
        "proposal": number,
        **{name: str(part) for name, part in zip(SUPPORT, divided, strict=True)},
        **receipt_row(receipt),
    }


async def _require_open(desk: Desk, number: int, found: GovernorProposal) -> None:
    now, floor = await desk.now(), desk.manifest.params.governance.quorum_floor
    state = (await desk.state()).proposal_state(found.number, now, floor)
    if state is ProposalState.PENDING:
        raise ConfigError(
            f"The vote on proposal {number} starts in {duration(found.vote_start - now + 1)}.", hint="Vote after that."
        )
    if state is not ProposalState.ACTIVE:
        raise ConfigError(f"The vote on proposal {number} is over: it is {state.name.lower()}.")


async def queue(desk: Desk, which: str) -> dict[str, Any]:
    """Put a proposal that won into the timelock. Anybody may.

    Raises:
        TransactionReverted: it has not won (yet).
    """
    number, found = find((await desk.state()).proposals, which)
    receipt = await desk.send("CommunityGovernor", "queue", *operation(found))
    eta = await desk.read("CommunityGovernor", "proposalEta", found.number)
    return {"proposal": number, "eta": eta, "executable": moment(eta), **receipt_row(receipt)}


async def execute(desk: Desk, which: str) -> dict[str, Any]:
    """Carry out a proposal whose timelock delay is over. Anybody may.

    Raises:
        TransactionReverted: not queued, too early, or an action fails.
    """
    number, found = find((await desk.state()).proposals, which)
    receipt = await desk.send("CommunityGovernor", "execute", *operation(found))
    calls = zip(found.targets, found.calldatas, strict=True)
    actions = [decode(target, data, desk.manifest.contracts) for target, data in calls]
    done = [describe(action, "did") for action in actions if action is not None]
    return {"proposal": number, "done": done, **receipt_row(receipt)}


async def cancel(desk: Desk, which: str) -> dict[str, Any]:
    """Take back one's own proposal before its vote starts; the guardian's account can cancel any until it is executed.

    Raises:
        TransactionReverted: somebody else's, or the vote has started.
    """
    number, found = find((await desk.state()).proposals, which)
    if desk.me == await desk.read("Guardian", "account"):
        governor = desk.manifest.contracts["CommunityGovernor"]
        receipt = await desk.send("Guardian", "cancel", governor, *operation(found))
    else:
        receipt = await desk.send("CommunityGovernor", "cancel", *operation(found))
    return {"proposal": number, **receipt_row(receipt)}

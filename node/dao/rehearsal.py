"""Trying a proposal's actions before it is sent: what each would do as the timelock, and why it would be refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.dao.advice import explain
from node.dao.calls import SETTINGS, Action, describe
from node.dao.desk import Desk
from node.dao.proposal import Proposal
from node.protocol.errors import ConfigError, TransactionReverted
from node.protocol.types import Call

_FIRST: Mapping[str, str] = {
    "setVotingDelay": "votingDelay",
    "setVotingPeriod": "votingPeriod",
    "setLateQuorumVoteExtension": "lateExtension",
    "updateQuorumNumerator": "quorumPercent",
    "setProposalThreshold": "proposalThreshold",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """One action, in words, and the refusal if there was one."""

    action: Action
    refusal: TransactionReverted | None

    def row(self) -> dict[str, Any]:
        """For an answer."""
        found: dict[str, Any] = {"action": describe(self.action), "ok": self.refusal is None}
        if self.refusal is not None:
            found |= {"refused": self.refusal.what, "advice": explain(self.refusal)}
        return found


async def rehearse(desk: Desk, proposal: Proposal) -> list[Tried]:
    """Try every action as the timelock, one after the other, on the newest block.

    The governor's own settings can only be changed inside its `execute`; their bounds are checked by its rule instead.
    """
    own = [action for action in proposal.actions if action.contract == "CommunityGovernor"]
    others = [action for action in proposal.actions if action.contract != "CommunityGovernor"]
    calls = [Call(action.contract, action.function, action.arguments) for action in others]
    refusals = await desk.chain.simulate(desk.manifest.contracts["TimelockController"], calls) if calls else []
    found = dict(zip(map(id, others), refusals, strict=True))
    if own:
        found |= dict(zip(map(id, own), await _settings(desk, own), strict=True))
    return [Tried(action, found[id(action)]) for action in proposal.actions]


async def _settings(desk: Desk, actions: Sequence[Action]) -> list[TransactionReverted | None]:
    first = await desk.read("CommunityGovernor", "firstSettings")
    period = await desk.read("CommunityGovernor", "votingPeriod")
    extension = await desk.read("CommunityGovernor", "lateQuorumVoteExtension")
    delay = await desk.read("TimelockController", "getMinDelay")
    unlock = await desk.read("VotingVault", "unlockDelay")
    return settings_refusals(actions, first, (period, extension), timelock=delay, unlock=unlock)


def settings_refusals(
    actions: Sequence[Action], first: Mapping[str, int], current: tuple[int, int], *, timelock: int, unlock: int
) -> list[TransactionReverted | None]:
    """What the governor would say to changes of its settings; each change sees those before it.

    A setting stays within half (rounded up) and double of its first value; period + late extension + timelock stay shorter than the
    vault's unlock delay.

    Args:
        actions: changes of settings.
        first: first values by Solidity's names.
        current: (voting period, late extension) now, seconds.
        timelock: its delay, seconds.
        unlock: the vault's delay, seconds.
    """
    period, extension = current
    found: list[TransactionReverted | None] = []
    for action in actions:
        label = f"CommunityGovernor.{action.function}"
        if action.function not in SETTINGS.values():
            found.append(TransactionReverted("GovernorOnlyExecutor", (), call=label))
            continue
        (value,) = action.arguments
        start = first[_FIRST[action.function]]
        least, most = start - start // 2, 2 * start
        if not least <= value <= most:
            found.append(TransactionReverted("SettingOutOfBounds", (value, least, most), call=label))
            continue
        after = (
            value if action.function == "setVotingPeriod" else period,
            value if action.function == "setLateQuorumVoteExtension" else extension,
        )
        if sum(after) + timelock >= unlock and after != (period, extension):
            found.append(TransactionReverted("VoteOutlastsLock", (sum(after) + timelock, unlock), call=label))
            continue
        period, extension = after
        found.append(None)
    return found


def require_possible(tried: Sequence[Tried]) -> None:
    """Refuse to send a proposal that could not be executed now.

    Raises:
        ConfigError: the first action that would fail, and why.
    """
    for place, one in enumerate(tried, 1):
        if one.refusal is not None:
            raise ConfigError(
                f"Action {place} of the proposal would fail: {one.refusal.what}",
                why=explain(one.refusal),
                hint="Mend it, or send it with --force if what it needs will be there when it is executed.",
            )

"""Every token that a contract of ours minted, paid or burned must be explained by an event of the same transaction, and the reverse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from node.audit.base import ZERO, Check, Checks, ReplayBase
from node.protocol.types import Address

ENDLESS = 2**256 - 1
"""An allowance that spending does not lower (OpenZeppelin)."""


class MoneyChecks(Checks):
    """Transfers against what events say. What members send of their own is their own matter.

    Attributes:
        pulled: what our contracts took out of an allowance since it was given, by (owner, spender).
    """

    def __init__(self, replay: ReplayBase) -> None:
        super().__init__(replay)
        self._moved: Counter[tuple[Address, Address]] = Counter()
        self._ours = frozenset({*self.rules.contracts.values(), ZERO})
        self.pulled: Counter[tuple[Address, Address]] = Counter()

    def handlers(self) -> Mapping[tuple[str, str], Check]:
        """Transfers, and the events that explain them."""
        return {
            ("ContributionToken", "Transfer"): self._transfer,
            ("ContributionToken", "Approval"): self._approval,
            ("MemberRegistry", "Bonded"): lambda a: self._pull(a["member"], "MemberRegistry", a["amount"]),
            ("RoundCourt", "DisputeOpened"): lambda a: self._pull(a["disputer"], "RoundCourt", self._bond),
            ("VotingVault", "Locked"): lambda a: self._pull(a["account"], "VotingVault", a["amount"]),
            ("VotingVault", "Withdrawn"): lambda a: self.replay.owe("VotingVault", a["account"], a["amount"]),
            ("RevenueSplitter", "Deposited"): self._deposit,
            ("RevenueSplitter", "Claimed"): lambda a: self._pay("RevenueSplitter", a["account"], a),
            ("Treasury", "Paid"): lambda a: self._pay("Treasury", a["to"], a),
        }

    @property
    def _bond(self) -> int:
        return self.rules.court_params.bond

    def _transfer(self, a: Mapping[str, Any]) -> None:
        self._moved[Address(a["from"]), Address(a["to"])] += a["value"]

    def _approval(self, a: Mapping[str, Any]) -> None:
        self.pulled.pop((Address(a["owner"]), Address(a["spender"])), None)

    def _pull(self, owner: str, contract: str, amount: int) -> None:
        self.replay.owe(owner, contract, amount)
        key = (Address(owner), self.rules.contracts[contract])
        if self.state.approvals.get(key) != ENDLESS:
            self.pulled[key] += amount
        approved = self.state.approvals.get(key, 0)
        enough = self.pulled[key] <= approved
        self.expect(
            "allowances", enough, f"{contract} took {amount} from {owner}, who had let it take {approved} in all."
        )

    def _deposit(self, a: Mapping[str, Any]) -> None:
        if a["token"] == self.rules.contracts["ContributionToken"]:  # other tokens' events are not ours to read
            self._pull(a["from"], "RevenueSplitter", a["amount"])

    def _pay(self, contract: str, to: str, a: Mapping[str, Any]) -> None:
        if a["token"] == self.rules.contracts["ContributionToken"]:
            self.replay.owe(contract, to, a["amount"])

    def settle(self) -> None:
        """Everything that left a contract or nowhere was owed, and all that was owed was moved."""
        owed = self.replay.owed
        for key in sorted({*owed, *self._moved}):
            source, to = key
            is_ours = source in self._ours
            if not is_ours and key not in owed:
                continue
            moved = self._moved[key]
            enough = moved == owed[key] if is_ours else moved >= owed[key]
            verb = "minted" if source == ZERO else "burned" if to == ZERO else "moved"
            what = f"A transaction {verb} {moved} from {source} to {to}, its events explain {owed[key]}."
            self.expect("mints, burns and payments", enough, what)
        self._moved.clear()
        owed.clear()

    def allowance(self, owner: Address, spender: Address) -> int | None:
        """What ``spender`` may still take; None where no event tells, since it is no contract of ours."""
        if spender not in self._ours:
            return None
        return self.state.approvals.get((owner, spender), 0) - self.pulled[owner, spender]

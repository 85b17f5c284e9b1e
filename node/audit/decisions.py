"""Every decision that only the timelock can make must follow from a call that a proposal made it make, with the same arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from node.audit.base import ZERO, Check, Checks, ReplayBase
from node.protocol.calls import PUBLISH, calldata
from node.protocol.hashing import keccak256
from node.protocol.types import Address

Decision = tuple[Address, bytes]
SETTINGS: Mapping[str, tuple[str, str, str]] = {
    "VotingDelaySet": ("voting_delay", "newVotingDelay", "setVotingDelay(uint48)"),
    "VotingPeriodSet": ("voting_period", "newVotingPeriod", "setVotingPeriod(uint32)"),
    "ProposalThresholdSet": ("proposal_threshold", "newProposalThreshold", "setProposalThreshold(uint256)"),
    "QuorumNumeratorUpdated": ("quorum_percent", "newQuorumNumerator", "updateQuorumNumerator(uint256)"),
    "LateQuorumVoteExtensionSet": ("late_extension", "newVoteExtension", "setLateQuorumVoteExtension(uint48)"),
}
"""The governor's settings by event: constant of the deployment, argument, function."""


class DecisionChecks(Checks):
    """What was decided against what was carried out, call by call."""

    def __init__(self, replay: ReplayBase) -> None:
        super().__init__(replay)
        self._decided: Counter[Decision] = Counter()
        self._made: Counter[Decision] = Counter()
        self._free: Counter[Decision] = Counter()  # may have been decided by somebody else, too
        self._founded: set[str] = set()
        self._amendment: Mapping[str, Any] | None = None

    def handlers(self) -> Mapping[tuple[str, str], Check]:
        """Events of what only the timelock can do, the timelock's calls, and its roles."""
        releases, governor = "ReleaseRegistry", "CommunityGovernor"
        settings = {(governor, name): self._setting for name in SETTINGS}
        return {
            **settings,
            (governor, "TimelockChange"): self._timelock_change,
            (governor, "ProposalGuardianSet"): self._guardian_set,
            ("TimelockController", "CallExecuted"): self._call,
            ("TimelockController", "RoleGranted"): self._role_granted,
            ("TimelockController", "RoleRevoked"): lambda a: self._never(
                f"{a['account']} lost a role of the timelock."
            ),
            ("TimelockController", "RoleAdminChanged"): lambda _: self._never("A role's administrator changed."),
            ("TimelockController", "MinDelayChange"): self._min_delay,
            ("MemberRegistry", "SeatSet"): self._seat_set,
            ("Guardian", "Replaced"): self._replaced,
            ("Guardian", "Unpaused"): lambda a: self._freely("Guardian", "unpause(uint8)", a["entry"]),
            ("GuidelineRegistry", "DocumentAmended"): self._amended,
            ("GuidelineRegistry", "EpochBegun"): self._epoch_begun,
            ("Treasury", "Paid"): lambda a: self._decide(
                "Treasury", "pay(address,address,uint256)", a["token"], a["to"], a["amount"]
            ),
            (releases, "ReleasePublished"): self._published,
            (releases, "ReleaseYanked"): lambda a: self._decide(
                releases, "yank(uint32,bytes32)", a["release"], a["reasonHash"]
            ),
            (releases, "BenchmarkAdded"): lambda a: self._decide(
                releases, "addBenchmark(bytes32,bytes32,bytes32)", a["name"], a["contentHash"], a["cid"]
            ),
            (releases, "BenchmarkRetired"): lambda a: self._decide(releases, "retireBenchmark(bytes32)", a["name"]),
        }

    def _decide(self, contract: str, signature: str, *arguments: Any) -> None:
        self._decided[self.rules.contracts[contract], calldata(signature, *arguments)] += 1

    def _freely(self, contract: str, signature: str, *arguments: Any) -> None:
        self._free[self.rules.contracts[contract], calldata(signature, *arguments)] += 1

    def _call(self, a: Mapping[str, Any]) -> None:
        self._made[Address(a["target"]), a["data"]] += 1

    def _never(self, what: str) -> None:
        self.expect("roles", False, what)

    def _is_founding(self, what: str) -> bool:
        """Whether this is the first of its kind: what the constructor said."""
        is_first = what not in self._founded
        self._founded.add(what)
        return is_first

    def _setting(self, a: Mapping[str, Any]) -> None:
        name, argument, signature = SETTINGS[self.event.name]
        first, value = getattr(self.rules.governance, name), a[argument]
        if self._is_founding(self.event.name):
            self.equal("settings", value, first, f"first {name.replace('_', ' ')}")
            return
        within = first - first // 2 <= value <= 2 * first
        self.expect(
            "settings", within, f"The {name.replace('_', ' ')} became {value}, too far from the first, {first}."
        )
        self._decide("CommunityGovernor", signature, value)

    def _timelock_change(self, a: Mapping[str, Any]) -> None:
        self.equal("roles", a["newTimelock"], self.rules.contracts["TimelockController"], "the governor's timelock")

    def _guardian_set(self, a: Mapping[str, Any]) -> None:
        self.equal("roles", a["newProposalGuardian"], self.rules.contracts["Guardian"], "the governor's guardian")

    def _role_granted(self, a: Mapping[str, Any]) -> None:
        at = self.rules.contracts
        governor = at["CommunityGovernor"]
        given = {
            (bytes(32), at["TimelockController"]),
            (keccak256(b"PROPOSER_ROLE"), governor),
            (keccak256(b"CANCELLER_ROLE"), governor),
            (keccak256(b"EXECUTOR_ROLE"), ZERO),
        }
        is_due = (a["role"], Address(a["account"])) in given
        self.expect("roles", is_due, f"The timelock gave the role 0x{a['role'].hex()} to {a['account']}.")

    def _min_delay(self, a: Mapping[str, Any]) -> None:
        self.equal("settings", a["newDuration"], self.rules.governance.timelock_delay, "the timelock's delay")

    def _seat_set(self, a: Mapping[str, Any]) -> None:
        is_first = not self.state.applications and a["seat"] not in self.state.seats
        if not (is_first and a["seat"] < len(self.rules.committee)):
            self._decide("MemberRegistry", "setSeat(uint256,address,uint40)", a["seat"], a["holder"], a["expiresAt"])

    def _replaced(self, a: Mapping[str, Any]) -> None:
        self.equal("guardian", a["former"], self.state.governance.guardian, "the guardian before the present one")
        if self._is_founding("guardian"):
            self.equal("guardian", a["current"], self.rules.guardian, "the first guardian")
        else:
            self._decide("Guardian", "replace(address)", a["current"])

    def _amended(self, a: Mapping[str, Any]) -> None:
        if self.state.epochs:
            self._amendment = a

    def _epoch_begun(self, a: Mapping[str, Any]) -> None:
        amended, registry = self._amendment, "GuidelineRegistry"
        self._amendment = None
        if not self.state.epochs:
            return
        if amended is None:
            scoring = tuple(a["scoring"][name] for name in ("tau", "deltaMin", "harmMin", "gainCap"))
            self._decide(registry, "setScoring((uint24,uint24,uint24,uint24))", scoring)
            return
        document = (amended["kind"], amended["contentHash"], amended["cid"])
        combined = (a["guidelineHash"], a["guidelineCid"])
        self._decide(registry, "amend(uint8,bytes32,bytes32,bytes32,bytes32)", *document, *combined)

    def _published(self, a: Mapping[str, Any]) -> None:
        given = a["candidate"]
        candidate = (
            given["parent"],
            tuple(given["version"][part] for part in ("major", "minor", "patch")),
            *(given[name] for name in ("round", "modelHash", "cid", "notesHash", "notesCid")),
            [(score["benchmark"], score["ppm"]) for score in given["scores"]],
        )
        self._decide("ReleaseRegistry", PUBLISH, candidate)

    def settle(self) -> None:
        """Each decision has its call, each call its decision."""
        for key in sorted({*self._decided, *self._made}):
            target, data = key
            names = [name for name, address in self.rules.contracts.items() if address == target]
            what = f"call 0x{data[:4].hex()} of {names[0] if names else target}"
            decided, made, free = self._decided[key], self._made[key], self._free[key]
            self.expect("decisions", decided <= made, f"The {what} had its effect, but the timelock never made it.")
            self.expect("decisions", made <= decided + free, f"The timelock made the {what}, which had no effect.")
        if self._amendment is not None:
            self.expect("decisions", False, "A document was amended without a new epoch.")
            self._amendment = None
        self._decided.clear()
        self._made.clear()
        self._free.clear()

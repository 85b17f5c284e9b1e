"""The reference model and the compiled contracts on Anvil side by side: every call is made on both, and both must agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, cast

import httpx
import pytest

from deploy.abi import artifact
from deploy.deploy import create_address
from deploy.plan import struct as params_struct
from node.adapters.abi import CONTRACTS, ContractAbi, parse_abi
from node.protocol.calls import PROPOSABLE, selector_of
from node.protocol.errors import LocalProtocolError, TransactionReverted
from node.protocol.types import Address, Call
from node.sim.abi import ZERO_ADDRESS, Log
from node.sim.ledger import Deployment, address_of
from node.sim.scripted_votes import Parliament

ORDER = CONTRACTS
"""All thirteen, in order of creation."""
GUIDELINE, CID = b"\x01" * 32, b"\x02" * 32
GAS = hex(15_000_000)
RICH = hex(10**24)


def abi_of(name: str) -> ContractAbi:
    return parse_abi(name, cast("Any", artifact(name)["abi"]))


class Evm:
    """Anvil over plain requests: any account sends, time and height are ours."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=60)
        self.rpc("anvil_autoImpersonateAccount", True)
        self.rpc("evm_setIntervalMining", 0)  # no block but ours
        self.rpc("evm_setAutomine", True)
        self.abis = {name: abi_of(name) for name in ORDER}
        self.at: dict[str, Address] = {}
        self.funded: set[str] = set()

    def close(self) -> None:
        self.client.close()

    def ask(self, method: str, *parameters: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        return self.client.post("", json=body).raise_for_status().json()

    def rpc(self, method: str, *parameters: Any) -> Any:
        answer = self.ask(method, *parameters)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def head(self, least: int = 0) -> tuple[int, int]:
        """(height, timestamp) of the newest block, waiting for height ``least``: answers can come before the block."""
        for _ in range(200):
            block = self.rpc("eth_getBlockByNumber", "latest", False)
            if int(block["number"], 16) >= least:
                return int(block["number"], 16), int(block["timestamp"], 16)
            time.sleep(0.005)
        raise AssertionError(f"block {least} was not mined")

    def block_hash(self, number: int) -> bytes:
        return bytes.fromhex(self.rpc("eth_getBlockByNumber", hex(number), False)["hash"][2:])

    def send(self, sender: str, to: str | None, data: bytes, at: int) -> dict[str, Any]:
        """Receipt of a transaction that is mined alone, at time ``at``, whether or not it reverts."""
        if sender not in self.funded:
            self.rpc("anvil_setBalance", sender, RICH)
            self.funded.add(sender)
        answer = self.ask("evm_setNextBlockTimestamp", at)
        assert "error" not in answer, (at, self.head(), answer["error"])
        request = {"from": sender, "data": "0x" + data.hex(), "gas": GAS}
        if to is not None:
            request["to"] = to
        answer = self.ask("eth_sendTransaction", request)
        identity = answer["result"] if "result" in answer else answer["error"]["data"]
        for _ in range(200):  # the answer can come before the block
            receipt: dict[str, Any] | None = self.rpc("eth_getTransactionReceipt", identity)
            if receipt is not None:
                return receipt
            time.sleep(0.005)
        raise AssertionError(f"{identity} was not mined")

    def error_of(self, identity: str) -> tuple[str, tuple[Any, ...]]:
        """Name and arguments of the error that a transaction reverted with."""
        trace = self.rpc("debug_traceTransaction", identity, {"tracer": "callTracer"})
        data = bytes.fromhex(trace.get("output", "0x")[2:])
        for abi in self.abis.values():
            entry = abi.errors.get(data[:4])
            if entry is not None:
                return entry.name, tuple(abi.decode_error(data)[1])
        return "Unknown", (data,)

    def read(self, call: Call) -> Any:
        """Result of a view, or the error it reverts with."""
        abi = self.abis[call.contract]
        data = "0x" + abi.encode_call(call.function, call.arguments).hex()
        answer = self.ask("eth_call", {"to": self.at[call.contract], "data": data}, "latest")
        if "error" in answer:
            raw = bytes.fromhex(answer["error"]["data"][2:])
            for known in self.abis.values():
                if raw[:4] in known.errors:
                    raise TransactionReverted(*known.decode_error(raw))
            raise AssertionError(answer["error"])
        return abi.decode_result(call.function, len(call.arguments), bytes.fromhex(answer["result"][2:]))

    def deploy(self, deployment: Deployment) -> int:
        """Create the contracts as the design orders them, each naming later ones by precomputed address; when the rounds were founded."""
        deployer = address_of("deployer")
        self.at = {name: create_address(deployer, nonce) for nonce, name in enumerate(ORDER)}
        at, scoring = self.at, asdict(deployment.scoring)
        now = self.head()[1]
        founding = [{"contentHash": GUIDELINE, "cid": CID}] * 4
        emission, law = deployment.emission, deployment.governance
        founded_at = now + 1 + ORDER.index("RoundManager")
        settings = {
            "votingDelay": law.voting_delay,
            "votingPeriod": law.voting_period,
            "lateExtension": law.late_extension,
            "quorumPercent": law.quorum_percent,
            "proposalThreshold": law.proposal_threshold,
            "quorumFloor": law.quorum_floor,
        }
        wiring = {
            "token": at["ContributionToken"],
            "roundManager": at["RoundManager"],
            "court": at["RoundCourt"],
            "timelock": at["TimelockController"],
            "guardian": at["Guardian"],
        }
        arguments: Mapping[str, tuple[Any, ...]] = {
            "ContributionToken": (at["RewardDistributor"], at["MemberRegistry"]),
            "Guardian": (deployment.brake, founded_at + law.guardian_term, at["TimelockController"]),
            "MemberRegistry": (wiring, deployment.seats, params_struct(deployment.registry)),
            "GuidelineRegistry": (
                at["TimelockController"],
                [tuple(one.values()) for one in founding],
                GUIDELINE,
                CID,
                (scoring["tau"], scoring["delta_min"], scoring["harm_min"], scoring["gain_cap"]),
            ),
            "RoundManager": (
                at["MemberRegistry"],
                at["GuidelineRegistry"],
                at["RoundCourt"],
                at["Guardian"],
                deployment.genesis.model_hash,
                deployment.genesis.cid,
                params_struct(deployment.params),
            ),
            "RoundCourt": (at["RoundManager"], at["MemberRegistry"], params_struct(deployment.court)),
            "RewardDistributor": (
                at["ContributionToken"],
                at["RoundManager"],
                at["Treasury"],
                emission.initial,
                emission.halving,
                emission.weight_target,
            ),
            "Treasury": (at["TimelockController"],),
            "VotingVault": (
                at["ContributionToken"],
                at["MemberRegistry"],
                at["Guardian"],
                law.linear_up_to,
                law.unlock_delay,
            ),
            "TimelockController": (law.timelock_delay, [at["CommunityGovernor"]], [ZERO_ADDRESS], ZERO_ADDRESS),
            "CommunityGovernor": (
                at["VotingVault"],
                at["TimelockController"],
                at["Guardian"],
                settings,
                [at[contract] for contract, _ in PROPOSABLE],
                [selector_of(signature) for _, signature in PROPOSABLE],
            ),
            "ReleaseRegistry": (
                at["RoundManager"],
                at["RewardDistributor"],
                at["Guardian"],
                at["TimelockController"],
                law.max_regression,
            ),
            "RevenueSplitter": (at["ReleaseRegistry"], at["RewardDistributor"]),
        }
        for name in ORDER:
            code = bytes.fromhex(cast("Any", artifact(name))["bytecode"]["object"].removeprefix("0x"))
            data = code + self.abis[name].encode_constructor(arguments[name])
            receipt = self.send(deployer, None, data, self.head()[1] + 1)
            assert receipt["status"] == "0x1", (name, self.error_of(receipt["transactionHash"]))
            assert receipt["contractAddress"].lower() == at[name].lower()
            if name == "RoundManager":
                assert self.head()[1] == founded_at
        return founded_at


class Twin(Parliament):
    """A scripted community whose every call is made on both sides."""

    def __init__(self, evm: Evm, size: int, deployment: Deployment, seed: int) -> None:
        self.evm = evm
        self.calls = 0
        self.reverts: dict[str, int] = {}
        self.first_block = evm.head()[0] + 1
        founded_at = evm.deploy(deployment)
        at = evm.at
        placed = replace(
            deployment,
            addresses=at,
            timelock=at["TimelockController"],
            treasury=at["Treasury"],
            deployed_at=founded_at,
        )
        super().__init__(size, placed, seed=seed)

    def start_time(self) -> tuple[int, int]:
        return self.evm.head()

    def _block_hash(self, number: int) -> bytes:
        return self.evm.block_hash(number)

    def wait(self, seconds: int) -> None:
        if seconds > 0:
            self.evm.rpc("anvil_mine", hex(seconds), hex(1))
            self.block, self.now = self.evm.head(self.block + seconds)

    def call(self, sender: Address, function: str, *arguments: object, contract: str = "RoundManager") -> Any:
        """One call on both sides; raises where both refused.

        The model runs second: it needs the hash of the block before, which only the chain knows.
        """
        self.calls += 1
        call = Call(contract, function, arguments)
        try:
            data = self.evm.abis[contract].encode_call(function, arguments)
        except LocalProtocolError:
            with pytest.raises(LocalProtocolError):
                self.ledger.preflight(sender, call, number=self.block + 1, timestamp=self.now + 1)
            raise
        receipt = self.evm.send(sender, self.evm.at[contract], data, self.now + 1)
        self.block, self.now = self.evm.head(int(receipt["blockNumber"], 16))
        where = f"{function}{arguments} by {sender} at {self.now}, block {self.block}"
        refusal, result, logs = self._model(sender, call)
        if refusal is not None:
            self._compare_refusal(receipt, refusal, where)
            raise refusal
        if receipt["status"] != "0x1":
            pytest.fail(f"{where}: only the chain refused, with {self.evm.error_of(receipt['transactionHash'])}")
        actual_logs = [self._decoded(log) for log in receipt["logs"]]
        expected_logs = [(log.contract, log.name, dict(log.arguments)) for log in logs]
        assert actual_logs == expected_logs, where
        self._record(logs)
        return result

    def _model(self, sender: Address, call: Call) -> tuple[TransactionReverted | None, Any, list[Log]]:
        """(refusal, result, logs) of the model."""
        try:
            result, logs = self.ledger.execute(sender, call, number=self.block, timestamp=self.now)
        except TransactionReverted as error:
            return error, None, []
        return None, result, logs

    def _compare_refusal(self, receipt: Mapping[str, Any], refusal: TransactionReverted, where: str) -> None:
        assert receipt["status"] == "0x0", f"{where}: only the model refused, with {refusal}"
        actual = self.evm.error_of(receipt["transactionHash"])
        assert same_error(actual, (refusal.error, refusal.arguments)), f"{where}: chain {actual}, model {refusal}"
        self.reverts[refusal.error] = self.reverts.get(refusal.error, 0) + 1

    def _decoded(self, log: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
        contract = next(name for name, at in self.evm.at.items() if at.lower() == log["address"].lower())
        topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
        name, arguments = self.evm.abis[contract].decode_event(topics, bytes.fromhex(log["data"][2:]))
        return contract, name, arguments

    def opening(self, place: int) -> dict[str, Any]:
        """As scripted, but member 3 commits to the bytes of member 1."""
        own = super().opening(place)
        return {**own, "content_hash": super().opening(1)["content_hash"]} if place == 3 else own

    def prove_copy(self, sender: int, original: int, copy: int) -> None:
        """Both openings, whichever was committed first."""
        first, second = self.opening(original), self.opening(copy)
        openings = tuple((one["cid"], one["samples"], one["salt"]) for one in (first, second))
        self.court(
            sender,
            "proveCopy",
            self.round,
            self.members[original],
            self.members[copy],
            first["content_hash"],
            *openings,
        )

    def quietly(self, act: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """An act that may be refused, by both sides alike."""
        try:
            return act(*arguments, **named)
        except (TransactionReverted, LocalProtocolError):
            return None

    def compare(self, function: str, *arguments: object, contract: str = "RoundManager") -> None:
        """Both sides answer a view alike."""
        call = Call(contract, function, arguments)
        answers = []
        for read in (self.evm.read, self.ledger.read):
            try:
                answers.append(("value", flat(read(call))))
            except TransactionReverted as error:
                answers.append(("error", error.error))
        assert answers[0] == answers[1], f"{function}{arguments}: chain {answers[0]}, model {answers[1]}"

    def compare_views(self) -> None:
        """Everything that can be asked about the newest round, its disputes and its members."""
        number = self.round
        n = len(self.ledger.rounds.record(number).participants)  # type: ignore[union-attr]
        for function, *arguments in (
            ("currentRound",), ("latestModel",), ("phaseOf", number), ("roundOf", number), ("roundOf", number + 1),
            ("params",), ("longestRound",), ("court",), ("registry",), ("guidelines",), ("indexAt", number, n),
        ):  # fmt: skip
            self.compare(function, *arguments)
        for index in range(n + 1):
            for function in ("ownerOf", "scoresOf", "retryScoresOf", "positionOf", "resultOf", "earningsOf"):
                self.compare(function, number, index)
            self.compare("attestationOf", number, index)
            self.compare("hasRetryDuty", number, index, contract="RoundCourt")
            self.compare("scoreDisputeOf", number, index, contract="RoundCourt")
            self.compare("isClaimed", number, index, contract="RewardDistributor")
        for member in self.members:
            self.compare("trainerOf", number, member)
            self.compare("stakeOf", member, contract="MemberRegistry")
            self.compare("unvestedOf", member, contract="MemberRegistry")
            self.compare("statusOf", member, contract="MemberRegistry")
            self.compare("isEligible", member, self.now, contract="MemberRegistry")
            self.compare("balanceOf", member, contract="ContributionToken")
            self.compare("creditAt", member, number, contract="RewardDistributor")
        for function in ("disputeCount", "totalBonds", "params", "roundManager", "registry", "token"):
            self.compare(function, contract="RoundCourt")
        self.compare("disputesOf", number, contract="RoundCourt")
        for dispute in range(int(self.read("disputeCount", contract="RoundCourt")) + 2):
            self.compare("disputeOf", dispute, contract="RoundCourt")
            for place in range(n + 1):
                self.compare("jurorAt", dispute, place, contract="RoundCourt")
                self.compare("ballotOf", dispute, place, contract="RoundCourt")
        self.compare("totalSupply", contract="ContributionToken")
        self.compare("mintedIn", number, contract="RewardDistributor")


def flat(value: Any) -> Any:
    """Structs, tuples and enums as plain nested lists."""
    if isinstance(value, Mapping):
        return [flat(one) for one in value.values()]
    if isinstance(value, tuple | list):
        return [flat(one) for one in value]
    return int(value) if isinstance(value, int) else value


def same_error(chain: tuple[str, tuple[Any, ...]], model: tuple[str, tuple[Any, ...]]) -> bool:
    """Same name and arguments. A view of the model does not know the height, so its SeedNotReady says only the seed block."""
    if chain[0] == model[0] == "SeedNotReady":
        return flat(chain[1])[: len(model[1])] == flat(model[1])
    return chain[0] == model[0] and flat(chain[1]) == flat(model[1])

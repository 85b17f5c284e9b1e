"""Differential fuzz: the reference model and the compiled contracts on Anvil play the same random rounds, call by call.

Members drop out, lie, act late and dispute. After every call both sides must agree on its outcome: the error with its arguments, or
every event with its arguments, in order; and after every few calls on the views. What they disagree on is a bug in one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, cast

import httpx
import pytest

from deploy.abi import artifact
from deploy.anvil import Anvil
from deploy.deploy import create_address, params_struct
from incentives.rewards import CWT
from incentives.scoring import FIELD_MASK, MALFORMED, NOT_SCORED, UNAVAILABLE, encode_gain
from node.adapters.abi import ContractAbi, parse_abi
from node.protocol.errors import LocalProtocolError, TransactionReverted
from node.protocol.types import Address, Call, Phase
from node.sim.ledger import QUICK_COURT, QUICK_ROUNDS, Deployment, address_of
from node.sim.round_storage import Model
from node.sim.scripted_court import CourtCommunity

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ORDER = (
    "ContributionToken",
    "Guardian",
    "MemberRegistry",
    "GuidelineRegistry",
    "RoundManager",
    "RoundCourt",
    "RewardDistributor",
)
"""Contracts that take part, in order of creation."""
GUIDELINE, CID = b"\x01" * 32, b"\x02" * 32
GAS = hex(15_000_000)
RICH = hex(10**24)
SCORES = (
    NOT_SCORED,
    UNAVAILABLE,
    MALFORMED,
    7,
    *(encode_gain(gain) for gain in (5_000, 5_250, 6_000, 99, -400, -50_000)),
)
"""Fields that lie around every bound of `QUICK_SCORING`."""


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
        emission = deployment.emission
        wiring = {
            "token": at["ContributionToken"],
            "roundManager": at["RoundManager"],
            "court": at["RoundCourt"],
            "timelock": deployment.timelock,
            "guardian": at["Guardian"],
        }
        arguments: Mapping[str, tuple[Any, ...]] = {
            "ContributionToken": (at["RewardDistributor"], at["MemberRegistry"]),
            "Guardian": (address_of("guardian"), now + 1_000_000, deployment.timelock),
            "MemberRegistry": (wiring, deployment.seats, params_struct(deployment.registry)),
            "GuidelineRegistry": (
                deployment.timelock,
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
                deployment.treasury,
                emission.initial,
                emission.halving,
                emission.weight_target,
            ),
        }
        founded_at = 0
        for name in ORDER:
            code = bytes.fromhex(cast("Any", artifact(name))["bytecode"]["object"].removeprefix("0x"))
            data = code + self.abis[name].encode_constructor(arguments[name])
            receipt = self.send(deployer, None, data, self.head()[1] + 1)
            assert receipt["status"] == "0x1", (name, self.error_of(receipt["transactionHash"]))
            assert receipt["contractAddress"].lower() == at[name].lower()
            if name == "RoundManager":
                founded_at = self.head()[1]
        return founded_at


class Twin(CourtCommunity):
    """A scripted community whose every call is made on both sides."""

    def __init__(self, evm: Evm, size: int, deployment: Deployment, seed: int) -> None:
        self.evm = evm
        self.calls = 0
        self.reverts: dict[str, int] = {}
        founded_at = evm.deploy(deployment)
        super().__init__(size, replace(deployment, addresses=evm.at, deployed_at=founded_at), seed=seed)

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
        try:
            result, logs = self.ledger.execute(sender, call, number=self.block, timestamp=self.now)
        except TransactionReverted as error:
            assert receipt["status"] == "0x0", f"{where}: only the model refused, with {error}"
            actual = self.evm.error_of(receipt["transactionHash"])
            assert same_error(actual, (error.error, error.arguments)), f"{where}: chain {actual}, model {error}"
            self.reverts[error.error] = self.reverts.get(error.error, 0) + 1
            raise
        if receipt["status"] != "0x1":
            pytest.fail(f"{where}: only the chain refused, with {self.evm.error_of(receipt['transactionHash'])}")
        actual_logs = [self._decoded(log) for log in receipt["logs"]]
        expected_logs = [(log.contract, log.name, dict(log.arguments)) for log in logs]
        assert actual_logs == expected_logs, where
        self._record(logs)
        return result

    def _decoded(self, log: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
        contract = next(name for name, at in self.evm.at.items() if at.lower() == log["address"].lower())
        topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
        name, arguments = self.evm.abis[contract].decode_event(topics, bytes.fromhex(log["data"][2:]))
        return contract, name, arguments

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


class Player:
    """Plays random rounds on a `Twin`: most do their part, some never, some late, some wrongly."""

    def __init__(self, twin: Twin, seed: int) -> None:
        self.twin = twin
        self.dice = random.Random(seed)
        self.words: dict[tuple[int, bool], int] = {}

    def some(self, share: float) -> list[int]:
        """About this share of the members, in random order."""
        places = [place for place in range(len(self.twin.members)) if self.dice.random() < share]
        self.dice.shuffle(places)
        return places

    def noise(self) -> None:
        """Acts out of place: both sides must refuse them alike."""
        twin, dice = self.twin, self.dice
        place, index = dice.randrange(len(twin.members)), dice.randrange(len(twin.members) + 1)
        number = max(0, twin.round - dice.randrange(2))
        b32 = dice.randbytes(32)
        acts: list[tuple[str, str, tuple[object, ...]]] = [
            ("RoundManager", "openRound", (b32,)),
            ("RoundManager", "commitUpdate", (number, b32)),
            ("RoundManager", "revealUpdate", (number, b32, b32, 5, b32)),
            ("RoundManager", "commitScores", (number, index, b32)),
            ("RoundManager", "revealScores", (number, index, dice.randrange(1 << 141), b32)),
            ("RoundManager", "settle", (number, (index,))),
            ("RoundManager", "attest", (number, index, b32)),
            ("RoundManager", "proposeAggregate", (number, b32, b32, b32)),
            ("RoundManager", "advance", (number,)),
            ("RoundManager", "extend", (number, twin.now)),
            ("RoundCourt", "slashUnrevealedUpdate", (number, twin.members[place])),
            ("RoundCourt", "slashAbsentVerifier", (number, index, dice.random() < 0.5)),
            ("RoundCourt", "slashUnrevealedScores", (number, index, dice.random() < 0.5)),
            ("RoundCourt", "slashVerdict", (number, index)),
            ("RoundCourt", "slashWrongAttestation", (number, index)),
            ("RoundCourt", "slashAbsentAttester", (number, index)),
            ("RoundCourt", "slashUnrevealedSlice", (number,)),
            ("RoundCourt", "disputeScore", (number, index)),
            ("RoundCourt", "disputeAggregate", (number,)),
            ("RoundCourt", "drawJury", (dice.randrange(4),)),
            ("RoundCourt", "commitBallot", (dice.randrange(4), index, b32)),
            ("RoundCourt", "revealBallot", (dice.randrange(4), index, dice.randrange(FIELD_MASK), b32)),
            ("RoundCourt", "resolve", (dice.randrange(4),)),
            ("RoundCourt", "slashField", (dice.randrange(4), dice.randrange(8))),
            ("RoundCourt", "slashAttester", (dice.randrange(4), index)),
            ("RoundCourt", "slashAbsentJuror", (dice.randrange(4), index)),
            ("RoundCourt", "slashUnrevealedBallot", (dice.randrange(4), index)),
            ("RewardDistributor", "claim", (number, index)),
        ]
        contract, function, arguments = dice.choice(acts)
        twin.quietly(twin.call, twin.members[place], function, *arguments, contract=contract)

    def advance(self) -> Phase:
        """On to the next phase, with some noise before."""
        for _ in range(self.dice.randrange(3)):
            self.noise()
        if self.dice.random() < 0.1:
            self.twin.wait(self.dice.randrange(1, 150))
        return self.twin.advance()

    def word(self, place: int, *, retry: bool) -> int:
        fields = {other: self.fields[other] for other in range(len(self.twin.members))}
        if self.dice.random() < self.lying:
            fields = {other: self.dice.choice(SCORES) for other in fields}
        return self.twin.word_of(place, fields, retry=retry)

    def play(self) -> None:
        """One round, up to its end."""
        twin, dice = self.twin, self.dice
        size = len(twin.members)
        self.lying = dice.choice([0.0, 0.2, 0.6])
        self.fields = [encode_gain(5_000) if dice.random() < 0.7 else dice.choice(SCORES) for _ in range(size)]
        zeal = dice.choice([0.7, 0.95, 1.0])
        self.words.clear()
        twin.open_round(is_sealed=dice.random() < 0.8)
        for place in self.some(zeal):
            twin.quietly(twin.commit, place)
        if self.advance() is Phase.VOIDED:
            return
        for place in self.some(zeal):
            twin.quietly(twin.reveal, place)
        if dice.random() < 0.8:
            twin.quietly(twin.reveal_slice)
        if self.advance() is Phase.VOIDED:
            return
        self.advance()
        self.judge(zeal, retry=False)
        if twin.phase is Phase.RETRY_COMMIT:
            self.judge(zeal, retry=True)
        if twin.phase is Phase.ATTEST:
            self.agree(zeal)
        twin.compare_views()
        self.aftermath()

    def judge(self, zeal: float, *, retry: bool) -> None:
        twin = self.twin
        ring = twin.order()
        for place in self.some(zeal):
            if place in ring:
                self.words[place, retry] = self.word(place, retry=retry)
                twin.quietly(twin.commit_scores, place, self.words[place, retry], retry=retry)
        self.advance()
        for place in self.some(zeal):
            if (place, retry) in self.words:
                twin.quietly(twin.reveal_scores, place, self.words[place, retry], retry=retry)
        self.advance()
        if self.dice.random() < 0.9:
            twin.quietly(twin.settle)
        twin.compare_views()
        self.advance()

    def agree(self, zeal: float) -> None:
        twin, dice = self.twin, self.dice
        for place in self.some(zeal):
            if place in twin.slots():
                twin.quietly(twin.attest, place, is_wrong=dice.random() < 0.1)
        if twin.quietly(twin.propose) is None and twin.phase is not Phase.CHALLENGE:
            self.advance()
            return
        disputes = self.dispute()
        for dispute in disputes:
            self.trial(dispute, zeal)
            twin.compare_views()
        if twin.phase is Phase.CHALLENGE:
            self.advance()

    def dispute(self) -> list[int]:
        twin, dice = self.twin, self.dice
        ring, opened = twin.order(), []
        for _ in range(dice.randrange(4)):
            disputer = dice.randrange(len(twin.members))
            if dice.random() < 0.3:
                opened.append(twin.quietly(twin.dispute_aggregate, disputer))
            else:
                opened.append(twin.quietly(twin.dispute_score, disputer, dice.choice(ring)))
        return [dispute for dispute in opened if dispute]

    def trial(self, dispute: int, zeal: float) -> None:
        twin, dice = self.twin, self.dice
        if dice.random() < 0.1:
            twin.wait(60)
        jury = twin.quietly(twin.draw_jury, dispute)
        if jury:
            verdict = dice.choice([1, 2, *SCORES])
            absent = {member for member in jury.values() if dice.random() > zeal}
            hiding = {member for member in jury.values() if dice.random() > zeal}
            twin.quietly(
                twin.ballots,
                dispute,
                lambda member: verdict if (member * 7 + dispute) % 10 else MALFORMED,
                absent=absent,
                hiding=hiding,
            )
        twin.quietly(twin.resolve, dispute)
        for j in range(8):
            twin.quietly(twin.court, j % 3, "slashField", dispute, j)
            twin.quietly(twin.court, j % 3, "slashAttester", dispute, j)
        for place in range(len(twin.members)):
            twin.quietly(twin.court, 0, "slashAbsentJuror", dispute, place)
            twin.quietly(twin.court, 1, "slashUnrevealedBallot", dispute, place)

    def aftermath(self) -> None:
        """Every proof is tried, every reward claimed."""
        twin, number = self.twin, self.twin.round
        for member in twin.members:
            twin.quietly(twin.court, 0, "slashUnrevealedUpdate", number, member)
        twin.quietly(twin.court, 1, "slashUnrevealedSlice", number)
        for index in range(len(twin.order())):
            for retry in (False, True):
                twin.quietly(twin.court, 0, "slashAbsentVerifier", number, index, retry)
                twin.quietly(twin.court, 1, "slashUnrevealedScores", number, index, retry)
            for function in ("slashVerdict", "slashWrongAttestation", "slashAbsentAttester"):
                twin.quietly(twin.court, 2, function, number, index)
            twin.quietly(twin.call, twin.members[0], "claim", number, index, contract="RewardDistributor")
        twin.quietly(twin.call, twin.members[0], "claimTreasury", number, contract="RewardDistributor")
        twin.compare_views()


def fuzz(url: str, size: int, rounds: int, seed: int) -> Twin:
    """Play some rounds; the community afterwards."""
    params = replace(QUICK_ROUNDS, max_verifiers=3, max_attesters=5, challenge_duration=60)
    deployment = Deployment(
        seats=(address_of("member/0"),),
        params=params,
        court=replace(QUICK_COURT, jury_size=5),
        guideline_hash=GUIDELINE,
        genesis=Model(b"\x03" * 32, b"\x04" * 32),
        min_bond=10 * CWT,
    )
    with contextlib.closing(Evm(url)) as evm:
        twin = Twin(evm, size, deployment, seed)
        player = Player(twin, seed)
        for _ in range(rounds):
            player.play()
    return twin


@pytest.mark.parametrize(("size", "seed"), [(4, 1), (6, 2), (9, 3), (12, 4), (12, 5), (16, 6)])
async def test_the_model_and_the_contracts_play_the_same_rounds(anvil: Anvil, size: int, seed: int) -> None:
    twin = await asyncio.to_thread(fuzz, anvil.url, size, 4, seed)
    names = {event.name for event in twin.events}
    assert twin.calls > 200
    assert {"UpdateSettled", "FaultPunished", "PhaseChanged"} <= names
    assert len(twin.reverts) > 5  # refusals were compared, too

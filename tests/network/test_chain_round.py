"""One whole round on the real contracts through the adapter: every contract speaks, and the folded state agrees with the chain."""

from typing import Any

import pytest

from node.adapters.chain_evm import EvmChain
from node.protocol.commitments import (
    RoundScope,
    aggregate_secret,
    attestation,
    benchmark_commitment,
    score_commitment,
    update_commitment,
)
from node.protocol.sortition import attesters, forward
from node.protocol.state import State, apply
from node.protocol.types import Call, ChainEvent, MemberStatus, Phase, UpdateStatus

pytestmark = pytest.mark.e2e

Network = Any  # the class of conftest.py, which importlib mode does not let us import

MEMBERS = (4, 5, 6)
STEWARD = 2  # of round 1: seat 1, which account 2 holds
GAIN = 1_000
WORD = sum((GAIN + (1 << 19)) << (20 * j) for j in range(2))
"""Two fields, since each of three members scores the two others."""
SALT = b"\x05" * 32
CONTENT, CID = b"\x06" * 32, b"\x07" * 32
CHECKPOINT = b"the new model"
MODEL, MODEL_CID = b"\x08" * 32, b"\x09" * 32


class Round:
    """Round 1, played by three members who agree."""

    def __init__(self, network: Network, chains: dict[int, EvmChain]) -> None:
        self.network = network
        self.chains = chains
        manager = network.manifest.contracts["RoundManager"]
        self.scope = RoundScope(chain_id=31337, round_manager=manager, round=1)

    async def send(self, account: int, contract: str, function: str, *arguments: object) -> None:
        await self.chains[account].send(Call(contract, function, arguments))

    async def rounds(self, account: int, function: str, *arguments: object) -> None:
        await self.send(account, "RoundManager", function, *arguments)

    async def join(self) -> None:
        for number, account in enumerate(MEMBERS, start=1):
            await self.send(account, "MemberRegistry", "applyToJoin", bytes(32), bytes(32), b"peer", bytes(32))
            for seat in (1, 2):
                await self.send(seat, "MemberRegistry", "review", number, True, bytes(32))
        await self.network.rpc("evm_increaseTime", 1)  # eligible since before the round opens

    async def train(self) -> None:
        steward = self.network.address(STEWARD)
        sealed = benchmark_commitment(self.scope, steward, content_hash=CONTENT, cid=CID, salt=SALT)
        await self.rounds(STEWARD, "openRound", sealed)
        for account in MEMBERS:
            who = self.network.address(account)
            await self.rounds(
                account,
                "commitUpdate",
                1,
                update_commitment(self.scope, who, content_hash=CONTENT, cid=CID, samples=account, salt=SALT),
            )
        await self.rounds(1, "advance", 1)
        for account in MEMBERS:
            await self.rounds(account, "revealUpdate", 1, CONTENT, CID, account, SALT)
        await self.rounds(STEWARD, "revealBenchmark", 1, CONTENT, CID, SALT)
        await self.rounds(1, "advance", 1)

    async def score(self) -> None:
        await self.network.rpc("anvil_mine", hex(self.network.manifest.params.rounds.seed_delay_blocks + 1))
        await self.rounds(1, "advance", 1)
        for index, account in enumerate(MEMBERS):
            who = self.network.address(account)
            await self.rounds(
                account, "commitScores", 1, index, score_commitment(self.scope, who, word=WORD, salt=SALT)
            )
        await self.rounds(1, "advance", 1)
        for index, account in enumerate(MEMBERS):
            await self.rounds(account, "revealScores", 1, index, WORD, SALT)
        await self.rounds(1, "advance", 1)
        await self.rounds(1, "settle", 1, (0, 1, 2))

    async def agree(self, seed: bytes) -> None:
        await self.rounds(1, "advance", 1)
        secret = aggregate_secret(self.scope, CHECKPOINT)
        for slot, index in enumerate(attesters(seed, len(MEMBERS), 31)):
            assert forward(seed, len(MEMBERS), index) == slot
            who = self.network.address(MEMBERS[index])
            keyed = attestation(1, who, secret=secret, model_hash=MODEL, cid=MODEL_CID)
            await self.rounds(MEMBERS[index], "attest", 1, slot, keyed)
        await self.rounds(1, "proposeAggregate", 1, secret, MODEL, MODEL_CID)
        await self.network.rpc("evm_increaseTime", self.network.manifest.params.rounds.challenge_duration + 1)
        await self.network.rpc("evm_mine")
        await self.rounds(1, "advance", 1)
        await self.send(1, "RewardDistributor", "claim", 1, 0)
        await self.send(1, "RewardDistributor", "claimTreasury", 1)
        await self.send(1, "MemberRegistry", "vest", 1, 0)


async def history(chain: EvmChain) -> list[ChainEvent]:
    return list(await chain.events(0, (await chain.head()).number))


async def test_a_whole_round(network: Network) -> None:
    chains = {account: await network.chain(account) for account in (1, 2, 3, *MEMBERS)}
    round_ = Round(network, chains)
    await round_.join()
    await round_.train()
    await round_.score()
    reader = await network.chain()
    (drawn,) = [event for event in await history(reader) if event.name == "SeedDrawn"]
    await round_.agree(drawn.arguments["seed"])

    events = await history(reader)
    assert {event.contract for event in events} == {
        "ContributionToken",
        "Guardian",
        "MemberRegistry",
        "GuidelineRegistry",
        "RoundManager",
        "RewardDistributor",
        "TimelockController",
        "CommunityGovernor",
    }
    (claimed,) = [event for event in events if event.name == "Claimed"]
    paid = sum(claimed.arguments[f"{kind}Reward"] for kind in ("trainer", "verifier", "attester"))
    owner = claimed.arguments["member"]
    assert owner == network.address(MEMBERS[0])
    assert await reader.read(Call("ContributionToken", "balanceOf", (owner,))) == paid > 0

    state = State()
    for event in events:
        state = apply(state, event)
    found = state.rounds[1]
    assert found.phase is Phase.FINALIZED
    assert await reader.read(Call("RoundManager", "phaseOf", (1,))) == (Phase.FINALIZED, found.deadline)
    assert await reader.read(Call("RoundManager", "latestModel")) == (MODEL, MODEL_CID, 1)
    settled = [event for event in events if event.name == "UpdateSettled"]
    assert [event.arguments["status"] for event in settled] == [UpdateStatus.ACCEPTED] * 3
    assert [event.arguments["gain"] for event in settled] == [GAIN] * 3
    for account in MEMBERS:
        assert state.member(network.address(account)).status is MemberStatus.ACTIVE
        for view, folded in {
            "stakeOf": state.member(network.address(account)).stake,
            "unvestedOf": state.member(network.address(account)).unvested,
            "admittedIn": state.member(network.address(account)).admitted_in,
        }.items():
            assert await reader.read(Call("MemberRegistry", view, (network.address(account),))) == folded
    grant = network.manifest.params.registry.grant
    assert state.member(owner).unvested == grant - grant // 5
    for number, seat in state.seats.items():
        assert await reader.read(Call("MemberRegistry", "seatOf", (number,))) == (seat.holder, seat.expires_at)
    assert len(state.seats) == len(network.manifest.committee)
    blocks = {event.block: event.timestamp for event in events}
    for number, timestamp in blocks.items():
        block = await network.rpc("eth_getBlockByNumber", hex(number), False)
        assert int(block["timestamp"], 16) == timestamp


async def test_gas_is_logged_by_function(network: Network) -> None:
    chains = {account: await network.chain(account) for account in (1, 2, 3, *MEMBERS)}
    round_ = Round(network, chains)
    await round_.join()
    await round_.train()
    log = chains[MEMBERS[0]].gas_log
    assert set(log) == {"MemberRegistry.applyToJoin", "RoundManager.commitUpdate", "RoundManager.revealUpdate"}
    assert all(21_000 < used < 200_000 for entries in log.values() for used in entries)
    assert len(chains[1].gas_log["RoundManager.advance"]) == 2

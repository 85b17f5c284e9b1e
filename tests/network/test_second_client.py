"""The same deployment and a round on Hardhat's node: nothing may lean on Anvil's habits. `make hardhat` installs it and runs this."""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from deploy.deploy import deploy, verify_code
from deploy.hardhat import Hardhat, HardhatOptions
from deploy.manifest import Manifest, content, load_preset
from deploy.plan import Plan
from deploy.roles import verify_roles
from node.adapters.chain_evm import EvmChain
from node.adapters.chain_rpc import Rpc
from node.adapters.chain_sender import SendLimits
from node.adapters.signer_keystore import KeystoreSigner
from node.protocol.commitments import RoundScope, benchmark_commitment, update_commitment
from node.protocol.errors import ChainError, SetupError, TransactionReverted
from node.protocol.state import State, apply
from node.protocol.types import Address, Call, MemberStatus, Phase

pytestmark = pytest.mark.hardhat

SEATS, MEMBERS, GUARDIAN, POOR = (1, 2, 3), (4, 5, 6), 7, 8
SALT, CONTENT, CID = b"\x05" * 32, b"\x06" * 32, b"\x07" * 32


class Community:
    """Our contracts on one Hardhat chain, and a connection for each account that asks for one."""

    def __init__(self, chain: Hardhat, manifest: Manifest, stack: AsyncExitStack) -> None:
        self.chain = chain
        self.manifest = manifest
        self._stack = stack
        self._connections: dict[int | KeystoreSigner | None, EvmChain] = {}

    def address(self, account: int) -> Address:
        return self.chain.signer(account).address

    async def as_(self, who: int | KeystoreSigner | None, limits: SendLimits | None = None) -> EvmChain:
        """A connection of a funded account, of another signer, or of nobody (for reading)."""
        if who not in self._connections:
            connection = await EvmChain.connect(
                self.chain.url,
                self.manifest.chain_id,
                self.manifest.contracts,
                signer=self.chain.signer(who) if isinstance(who, int) else who,
                code_hashes=self.manifest.code_hashes,
                send_limits=limits,
            )
            self._connections[who] = await self._stack.enter_async_context(connection)
        return self._connections[who]

    async def send(self, account: int, contract: str, function: str, *arguments: object) -> None:
        await (await self.as_(account)).send(Call(contract, function, arguments))

    async def read(self, contract: str, function: str, *arguments: object) -> Any:
        return await (await self.as_(None)).read(Call(contract, function, arguments))

    async def rpc(self, method: str, *parameters: Any) -> Any:
        rpc = Rpc(self.chain.url)
        try:
            response: Any = await rpc.w3.provider.make_request(method, list(parameters))
        finally:
            await rpc.close()
        assert "error" not in response, response
        return response["result"]


def plan(chain: Hardhat) -> Plan:
    files = [content(name, hashlib.sha256(name).digest()) for name in (b"guideline", b"genesis", b"benchmark")]
    return Plan(
        params=load_preset("localnet"),
        committee=tuple(chain.signer(seat).address for seat in SEATS),
        guardian=chain.signer(GUARDIAN).address,
        guideline=files[0],
        documents=tuple(content(name, hashlib.sha256(name).digest()) for name in (b"d", b"a", b"u", b"v")),
        genesis=files[1],
        public_benchmark=files[2],
    )


@pytest.fixture
async def community() -> AsyncIterator[Community]:
    async with await Hardhat.start() as chain, AsyncExitStack() as stack:
        manifest = await deploy(chain.url, chain.options.chain_id, chain.signer(0), plan(chain))
        yield Community(chain, manifest, stack)


async def test_it_is_another_client_and_says_so(community: Community) -> None:
    assert "HardhatNetwork" in await community.rpc("web3_clientVersion")


async def test_every_role_and_the_code_read_back(community: Community) -> None:
    lines = await verify_roles(community.chain.url, community.manifest)
    assert "nobody else has any power; the deployer has none" in lines
    await verify_code(community.chain.url, community.manifest)


async def test_the_first_phases_of_a_round(community: Community) -> None:
    await _join(community)
    scope = RoundScope(community.manifest.chain_id, community.manifest.contracts["RoundManager"], 1)
    steward = SEATS[1]  # of round 1: seat 1
    sealed = benchmark_commitment(scope, community.address(steward), content_hash=CONTENT, cid=CID, salt=SALT)
    await community.send(steward, "RoundManager", "openRound", sealed)
    for account in MEMBERS:
        who = community.address(account)
        mine = update_commitment(scope, who, content_hash=CONTENT, cid=CID, samples=account, salt=SALT)
        await community.send(account, "RoundManager", "commitUpdate", 1, mine)
    await community.send(SEATS[0], "RoundManager", "advance", 1)
    for account in MEMBERS:
        await community.send(account, "RoundManager", "revealUpdate", 1, CONTENT, CID, account, SALT)
    await community.send(steward, "RoundManager", "revealBenchmark", 1, CONTENT, CID, SALT)
    await community.send(SEATS[0], "RoundManager", "advance", 1)
    await community.rpc("hardhat_mine", hex(community.manifest.params.rounds.seed_delay_blocks + 1))
    await community.send(SEATS[0], "RoundManager", "advance", 1)  # draws the seed from the hash of a real block
    phase, deadline = await community.read("RoundManager", "phaseOf", 1)
    assert phase == Phase.SCORE_COMMIT

    reader = await community.as_(None)
    state = State()
    for event in await reader.events(0, (await reader.head()).number):
        state = apply(state, event)
        block = await community.rpc("eth_getBlockByNumber", hex(event.block), False)
        assert int(block["timestamp"], 16) == event.timestamp
    assert (state.rounds[1].phase, state.rounds[1].deadline) == (phase, deadline)
    assert all(state.member(community.address(account)).status is MemberStatus.ACTIVE for account in MEMBERS)


async def test_refusals_are_decoded(community: Community) -> None:
    """Before anything is signed, and by a call to a view as well: clients report revert data in different wrappings."""
    with pytest.raises(TransactionReverted) as refused:
        await community.send(POOR, "RoundManager", "advance", 1)
    assert refused.value.error not in {"Reverted", "Unexplained"}
    with pytest.raises(TransactionReverted, match="GenesisHasNoRewards"):
        await community.read("RewardDistributor", "emission", 0)


async def test_what_cannot_be_paid_is_said(community: Community) -> None:
    poor = KeystoreSigner.from_key(b"\x11" * 32)
    with pytest.raises(ChainError, match="cannot pay"):
        await (await community.as_(poor)).send(Call("ContributionToken", "approve", (community.address(POOR), 1)))


async def test_failures_that_the_client_answers_at_once_are_explained(community: Community) -> None:
    """Hardhat mines a failing transaction and answers its sending with an error, where others answer with the hash."""
    tight = SendLimits(gas_factor=0.5, gas_extra=0)
    chain = await community.as_(community.chain.signer(POOR), tight)
    apply_ = Call("MemberRegistry", "applyToJoin", (bytes(32), bytes(32), b"peer", bytes(32)))
    with pytest.raises(TransactionReverted, match="OutOfGas"):
        await chain.send(apply_)
    assert int(await community.rpc("eth_getTransactionCount", community.address(POOR), "latest"), 16) == 1


async def test_many_transactions_of_one_account_keep_their_order(community: Community) -> None:
    """The sender counts nonces itself; a client's own count may lag."""
    await _join(community)
    sender, member = await community.as_(MEMBERS[0]), community.address(MEMBERS[0])
    before = int(await community.rpc("eth_getTransactionCount", member, "latest"), 16)
    for amount in range(5):
        await sender.send(Call("ContributionToken", "approve", (community.address(POOR), amount)))
    assert int(await community.rpc("eth_getTransactionCount", member, "latest"), 16) == before + 5
    assert await community.read("ContributionToken", "allowance", member, community.address(POOR)) == 4


async def test_it_stops_with_us_and_listens_here_only() -> None:
    chain = await Hardhat.start(HardhatOptions(accounts=1))
    chain.stop()
    chain.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(chain.pid, 0)


async def test_what_is_not_installed_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="make hardhat"):
        await Hardhat.start(HardhatOptions(folder=tmp_path))


async def _join(community: Community) -> None:
    for number, account in enumerate(MEMBERS, start=1):
        await community.send(account, "MemberRegistry", "applyToJoin", bytes(32), bytes(32), b"peer", bytes(32))
        for seat in SEATS[:2]:
            await community.send(seat, "MemberRegistry", "review", number, True, bytes(32))
    await community.rpc("evm_increaseTime", 1)  # eligible since before the round opens

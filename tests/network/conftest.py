"""A real Anvil with a fresh deployment for each test (a quarter of a second), and handles on it."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy.anvil import Anvil
from deploy.deploy import deploy
from deploy.manifest import Manifest, content, load_preset
from deploy.plan import Plan
from node.adapters.chain_evm import EvmChain
from node.adapters.chain_rpc import Rpc
from node.adapters.chain_sender import SendLimits
from node.adapters.signer_keystore import KeystoreSigner
from node.protocol.types import Address

ACCOUNTS = 8
COMMITTEE = (1, 2, 3)
GUARDIAN = 7


def plan(anvil: Anvil) -> Plan:
    """Localnet's constants, accounts 1 to 3 as committee, 7 as guardian, and made-up founding files."""
    files = [content(name, hashlib.sha256(name).digest()) for name in (b"guideline", b"genesis", b"benchmark")]
    return Plan(
        params=load_preset("localnet"),
        committee=tuple(anvil.signer(seat).address for seat in COMMITTEE),
        guardian=anvil.signer(GUARDIAN).address,
        guideline=files[0],
        documents=tuple(content(name, hashlib.sha256(name).digest()) for name in (b"d", b"a", b"u", b"v")),
        genesis=files[1],
        public_benchmark=files[2],
    )


@dataclass
class Network:
    """One chain with our contracts on it."""

    anvil: Anvil
    manifest: Manifest
    stack: AsyncExitStack
    signers: list[KeystoreSigner] = field(default_factory=list)

    def address(self, account: int) -> Address:
        return self.signers[account].address

    async def chain(self, account: int | None = None, *, url: str = "", limits: SendLimits | None = None) -> EvmChain:
        """An adapter of a funded account, closed after the test; None is a reader."""
        chain = await EvmChain.connect(
            url or self.anvil.url,
            self.manifest.chain_id,
            self.manifest.contracts,
            signer=None if account is None else self.signers[account],
            code_hashes=self.manifest.code_hashes,
            send_limits=limits,
        )
        return await self.stack.enter_async_context(chain)

    async def rpc(self, method: str, *parameters: Any) -> Any:
        """A raw request, e.g. one of Anvil's own."""
        rpc = Rpc(self.anvil.url)
        try:
            response: Any = await rpc.w3.provider.make_request(method, list(parameters))  # type: ignore[arg-type]  # Anvil's methods are no names of web3
        finally:
            await rpc.close()
        assert "error" not in response, response
        return response["result"]

    async def stop_mining(self) -> None:
        """From now on blocks come only by ``evm_mine``."""
        await self.rpc("evm_setAutomine", False)
        await self.rpc("evm_setIntervalMining", 0)


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    async with await Anvil.start() as anvil:
        yield anvil


@pytest.fixture
async def network(anvil: Anvil) -> AsyncIterator[Network]:
    manifest = await deploy(anvil.url, anvil.options.chain_id, anvil.signer(0), plan(anvil))
    async with AsyncExitStack() as stack:
        yield Network(anvil, manifest, stack, [anvil.signer(account) for account in range(ACCOUNTS)])


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Founding files of a tiny community (`played`); made once."""
    from played import found_tiny

    return found_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
async def played(anvil: Anvil, founded: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """Three members of the tiny community, and round 1 with its rewards claimed."""
    from played import Played, plan_of

    manifest = await deploy(anvil.url, anvil.options.chain_id, anvil.signer(0), plan_of(founded, anvil))
    async with AsyncExitStack() as stack:
        network = Network(anvil, manifest, stack, [anvil.signer(account) for account in range(ACCOUNTS)])
        made = Played(network, founded, tmp_path)
        await made.open()
        await made.join()
        await made.round(1, founded.model)
        yield made

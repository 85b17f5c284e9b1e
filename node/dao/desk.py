"""One community as a member of the DAO meets it: its chain, its history, and acts whose refusals come with advice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from node.adapters.chain_evm import EvmChain
from node.audit.report import read_history
from node.config import Config
from node.dao.advice import explained
from node.index.history import History
from node.manifest import Manifest, load_manifest
from node.ports import EVENT_CHUNK, Receipt
from node.protocol.errors import LocalProtocolError, TransactionReverted
from node.protocol.state import State, apply
from node.protocol.types import Address, Call, ChainEvent
from node.queries import open_history
from node.runtime import load_signer


@dataclass(slots=True)
class Desk:
    """Chain and constants of one community.

    Attributes:
        config: settings of the node.
        manifest: of the deployment.
        chain: its contracts.
        account: who signs; None for a reader.
        history: of the node's index, where events were read before; None reads them for this desk alone.
    """

    config: Config
    manifest: Manifest
    chain: EvmChain
    account: Address | None = None
    history: History | None = None
    _state: State = field(default_factory=State)
    _next: int = 0

    @property
    def me(self) -> Address:
        """Who signs."""
        if self.account is None:
            raise LocalProtocolError("This needs a key; the community was opened for reading.")
        return self.account

    async def state(self) -> State:
        """The network at the newest block, folded from all its events; each is read once."""
        if self.history is not None:
            await self.history.refresh()
            return self.history.state
        head = (await self.chain.head()).number
        first = self._next or self.manifest.deployment_block
        while first <= head:
            last = min(head, first + EVENT_CHUNK - 1)
            for event in await self.chain.events(first, last):
                self._state = apply(self._state, event)
            first = self._next = last + 1
        return self._state

    async def events(self) -> Sequence[ChainEvent]:
        """All events up to the newest block, for what the state does not keep (reasons of single votes)."""
        return await read_history(self.chain, self.manifest.deployment_block)

    async def now(self) -> int:
        """Time of the newest block: what votes and delays count by."""
        return (await self.chain.head()).timestamp

    async def read(self, contract: str, function: str, *arguments: Any) -> Any:
        """Result of a view.

        Raises:
            TransactionReverted: refused, with advice.
        """
        try:
            return await self.chain.read(Call(contract, function, arguments))
        except TransactionReverted as error:
            raise explained(error) from error

    async def send(self, contract: str, function: str, *arguments: Any) -> Receipt:
        """Send one call and wait for it.

        Raises:
            TransactionReverted: refused, with advice.
        """
        try:
            return await self.chain.send(Call(contract, function, arguments))
        except TransactionReverted as error:
            raise explained(error) from error


@asynccontextmanager
async def open_desk(config: Config, *, sign: bool = False) -> AsyncIterator[Desk]:
    """The community of a node's settings; with ``sign`` its key is loaded. Events come through the node's index."""
    manifest = load_manifest(config.network.manifest)
    signer = load_signer(config) if sign else None
    chain = await EvmChain.connect(
        config.chain.rpc, manifest.chain_id, manifest.contracts, signer=signer, code_hashes=manifest.code_hashes
    )
    async with chain, open_history(config, manifest, chain) as history:
        yield Desk(config, manifest, chain, signer.address if signer else None, history)


def receipt_row(receipt: Receipt) -> dict[str, Any]:
    """A mined transaction for an answer."""
    return {"transaction": "0x" + receipt.transaction.hex(), "block": receipt.block}

"""Gas of every transaction that touched our contracts, by function: read back from the chain, not remembered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hexbytes import HexBytes
from web3 import AsyncWeb3
from web3.providers.rpc import AsyncHTTPProvider

from deploy.summary import GasUse
from node.adapters.abi import CONTRACTS, contract_abi
from node.manifest import Manifest
from node.protocol.types import ChainEvent


async def gas_used(url: str, manifest: Manifest, events: Iterable[ChainEvent]) -> list[GasUse]:
    """Gas of the transactions behind ``events``. Deployment is left out: it calls no function."""
    rounds: dict[bytes, int] = {}
    for event in events:
        rounds.setdefault(event.transaction, int(event.arguments.get("round", 0)))
    ours: set[str] = set(manifest.contracts.values())
    functions = _selectors()
    w3 = AsyncWeb3(AsyncHTTPProvider(url))
    uses = []
    try:
        for digest, number in rounds.items():
            identity = HexBytes(digest)
            transaction = await w3.eth.get_transaction(identity)
            if str(transaction.get("to")) in ours:
                receipt = await w3.eth.get_transaction_receipt(identity)
                uses.append(GasUse(functions[bytes(transaction["input"])[:4]], number, receipt["gasUsed"]))
    finally:
        await w3.provider.disconnect()
    return uses


def _selectors() -> Mapping[bytes, str]:
    return {
        entry.digest: name
        for contract in CONTRACTS
        for name, overloads in contract_abi(contract).functions.items()
        for entry in overloads
    }

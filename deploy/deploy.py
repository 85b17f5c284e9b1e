"""Deploy one community's contracts to any EVM chain, check how they are wired, and write the manifest.

Creations from one account with consecutive nonces, so that each contract can name the others before they exist (`deploy.plan`); nothing
is mutable afterwards but by the community's votes, and the deployer keeps no power. `python -m deploy --help` is the command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from eth_utils.address import to_checksum_address

from deploy.abi import artifact
from deploy.manifest import VERSION, Manifest, topic_of
from deploy.plan import Plan, constructors
from deploy.roles import verify_roles
from node.adapters.abi import CONTRACTS, contract_abi
from node.adapters.chain_evm import check_chain_id, code_hash, runtime_code
from node.adapters.chain_rpc import Rpc, RpcLimits
from node.adapters.chain_sender import SendLimits, TransactionSender
from node.ports import Signer
from node.protocol.errors import ChainError, SetupError
from node.protocol.hashing import keccak256
from node.protocol.types import Address

Report = Callable[[str], None]


def _silent(_line: str) -> None:
    """Report to nobody."""


async def deploy(
    url: str,
    chain_id: int,
    signer: Signer,
    plan: Plan,
    *,
    rpc_limits: RpcLimits | None = None,
    send_limits: SendLimits | None = None,
    report: Report = _silent,
) -> Manifest:
    """Deploy, verify, and describe.

    Args:
        url: JSON-RPC endpoint.
        chain_id: the chain it must serve.
        signer: pays for the deployment; has no role afterwards.
        plan: what to deploy.
        rpc_limits: bounds of the transport.
        send_limits: bounds of sending.
        report: called with one line per contract and role.

    Raises:
        ChainIdMismatch: the endpoint serves another chain.
        TransactionReverted: a constructor refused its arguments.
        ChainError: the deployer is busy or out of funds, or what was deployed differs from the plan.
        SetupError: the contracts are not compiled.
    """
    rpc = Rpc(url, rpc_limits)
    try:
        await check_chain_id(rpc, chain_id)
        sender = TransactionSender(rpc, signer, chain_id, send_limits)
        contracts = await _predict(rpc, signer.address)
        guardian_until = await _now(rpc) + plan.params.governance.guardian_term
        blocks: list[int] = []
        for name, arguments in constructors(plan, contracts, guardian_until).items():
            data = _creation_code(name) + contract_abi(name).encode_constructor(arguments)
            mined = await sender.send(None, data, f"{name}.constructor")
            if mined.created != contracts[name]:
                raise ChainError(
                    f"{name} came to lie at {mined.created} instead of {contracts[name]}.",
                    why=f"Another transaction of {signer.address} was mined in between.",
                    hint="Deploy again from an account that nobody else uses now.",
                )
            blocks.append(mined.block)
            report(f"{name:<18} {contracts[name]}  block {mined.block}, {mined.gas_used} gas")
        hashes = {name: await code_hash(rpc, name, contracts[name]) for name in CONTRACTS}
    finally:
        await rpc.close()
    manifest = Manifest(
        version=VERSION,
        chain_id=chain_id,
        deployment_block=min(blocks),
        contracts=contracts,
        code_hashes=hashes,
        params=plan.params,
        committee=plan.committee,
        guardian=plan.guardian,
        guardian_until=guardian_until,
        guideline=plan.guideline,
        documents=plan.documents,
        genesis=plan.genesis,
        public_benchmark=plan.public_benchmark,
        topic=topic_of(chain_id, contracts["RoundManager"]),
    )
    for line in await verify_roles(url, manifest, rpc_limits=rpc_limits):
        report(line)
    return manifest


async def verify_code(url: str, manifest: Manifest, *, rpc_limits: RpcLimits | None = None) -> None:
    """The code on chain is what our sources compile to, apart from the immutable constants (which `verify_roles` reads back).

    Raises:
        ChainError: it is other code.
        SetupError: the contracts are not compiled here.
    """
    rpc = Rpc(url, rpc_limits)
    try:
        await check_chain_id(rpc, manifest.chain_id)
        for name in CONTRACTS:
            compiled = cast("Any", artifact(name))["deployedBytecode"]
            deployed = bytearray(await runtime_code(rpc, name, manifest.contracts[name]))
            for places in compiled.get("immutableReferences", {}).values():
                for place in places:
                    start, end = place["start"], place["start"] + place["length"]
                    deployed[start:end] = bytes(place["length"])
            if bytes(deployed) != bytes.fromhex(compiled["object"].removeprefix("0x")):
                raise ChainError(
                    f"The code of {name} at {manifest.contracts[name]} is not what these sources compile to.",
                    why="It was deployed from other sources, or with other compiler settings.",
                    hint="Check out the version that the community deployed, and compile again.",
                )
    finally:
        await rpc.close()


def create_address(creator: Address, nonce: int) -> Address:
    """Address of the contract that ``creator`` makes with ``nonce``: Keccak-256 of RLP [creator, nonce], last 20 bytes."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    encoded = number if 0 < nonce < 0x80 else bytes([0x80 + len(number)]) + number
    payload = b"\x94" + bytes.fromhex(creator[2:]) + encoded
    return Address(str(to_checksum_address(keccak256(bytes([0xC0 + len(payload)]) + payload)[12:])))


async def _now(rpc: Rpc) -> int:
    """Time of the newest block: terms count in the chain's own time."""
    return int((await rpc.ask(lambda: rpc.w3.eth.get_block("latest")))["timestamp"])


async def _predict(rpc: Rpc, deployer: Address) -> dict[str, Address]:
    """Addresses of the contracts, in order of creation."""
    latest, pending = await rpc.nonce(deployer, "latest"), await rpc.nonce(deployer, "pending")
    if latest != pending:
        raise ChainError(
            f"The deployer {deployer} has {pending - latest} unmined transactions.",
            hint="Wait until they are mined; the contracts' addresses follow from its nonce.",
        )
    return {name: create_address(deployer, latest + place) for place, name in enumerate(CONTRACTS)}


def _creation_code(name: str) -> bytes:
    code = cast("Any", artifact(name)).get("bytecode", {}).get("object", "")
    try:
        data = bytes.fromhex(str(code).removeprefix("0x"))
    except ValueError:
        data = b""
    if not data:
        raise SetupError(
            f"The compiled contract {name} has no linked code.", hint="Run `.bin/forge build` in contracts/."
        )
    return data

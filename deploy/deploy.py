"""Deploy one community's contracts to any EVM chain, check how they are wired, and write the manifest.

Four creations from one account with consecutive nonces, so that each contract can name the others before they exist; nothing is
mutable afterwards, and the deployer keeps no power. `python -m deploy --help` is the command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from eth_utils.address import to_checksum_address

from deploy.abi import artifact
from deploy.manifest import VERSION, Content, Manifest, NetworkParams, topic_of
from node.adapters.abi import CONTRACTS, contract_abi
from node.adapters.chain_evm import EvmChain, check_chain_id, code_hash, runtime_code
from node.adapters.chain_rpc import Rpc, RpcLimits
from node.adapters.chain_sender import SendLimits, TransactionSender
from node.ports import Signer
from node.protocol.cid import digest_from_cid
from node.protocol.errors import ChainError, ConfigError, SetupError
from node.protocol.hashing import keccak256
from node.protocol.types import Address, Call, RegistryParams, RoundParams

Report = Callable[[str], None]
NOBODY = Address("0x" + "00" * 20)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decided before a deployment.

    Attributes:
        params: constants.
        committee: seats, in order: who reviews newcomers and stewards the rounds.
        treasury: account of the community's share.
        guideline: the developer guideline.
        genesis: the founding model.
        public_benchmark: benchmark of unsealed rounds.
    """

    params: NetworkParams
    committee: tuple[Address, ...]
    treasury: Address
    guideline: Content
    genesis: Content
    public_benchmark: Content


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
        blocks: list[int] = []
        for name, arguments in _constructors(plan, contracts):
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
        treasury=plan.treasury,
        guideline=plan.guideline,
        genesis=plan.genesis,
        public_benchmark=plan.public_benchmark,
        topic=topic_of(chain_id, contracts["RoundManager"]),
    )
    for line in await verify_roles(url, manifest, rpc_limits=rpc_limits):
        report(line)
    return manifest


async def verify_roles(url: str, manifest: Manifest, *, rpc_limits: RpcLimits | None = None) -> list[str]:
    """Read back who may do what, and every constant, and compare with the manifest.

    Returns:
        One line per role.

    Raises:
        ChainError: something differs; it names the view, what it says and what the manifest says.
    """
    at, params = manifest.contracts, manifest.params
    expected: list[tuple[Call, Any]] = [
        (Call("ContributionToken", "distributor"), at["RewardDistributor"]),
        (Call("ContributionToken", "registry"), at["MemberRegistry"]),
        (Call("MemberRegistry", "token"), at["ContributionToken"]),
        (Call("MemberRegistry", "roundManager"), at["RoundManager"]),
        (Call("MemberRegistry", "court"), at["RoundManager"]),
        (Call("MemberRegistry", "guardian"), NOBODY),
        (Call("MemberRegistry", "seatCount"), len(manifest.committee)),
        *((Call("MemberRegistry", "seatHolder", (seat,)), who) for seat, who in enumerate(manifest.committee)),
        (Call("MemberRegistry", "threshold"), params.registry.threshold),
        (Call("MemberRegistry", "vetoThreshold"), params.registry.veto_threshold),
        (Call("MemberRegistry", "minBond"), params.registry.min_bond),
        (Call("MemberRegistry", "grant"), params.registry.grant),
        (Call("MemberRegistry", "grantBudget"), params.registry.grant_budget),
        (Call("MemberRegistry", "exitDelay"), params.registry.exit_delay),
        (Call("MemberRegistry", "vetoWindow"), params.registry.veto_window),
        (Call("MemberRegistry", "admissionBurst"), params.registry.admission_burst),
        (Call("MemberRegistry", "admissionsPerDay"), params.registry.admissions_per_day),
        (Call("RoundManager", "registry"), at["MemberRegistry"]),
        (Call("RoundManager", "guidelineHash"), manifest.guideline.hash),
        (Call("RoundManager", "params"), params_struct(params.rounds)),
        (Call("RewardDistributor", "token"), at["ContributionToken"]),
        (Call("RewardDistributor", "roundManager"), at["RoundManager"]),
        (Call("RewardDistributor", "treasury"), manifest.treasury),
        (Call("MemberRegistry", "timelock"), manifest.treasury),
        (Call("RewardDistributor", "initialEmission"), params.emission.initial),
        (Call("RewardDistributor", "halving"), params.emission.halving),
        (Call("RewardDistributor", "wTarget"), params.emission.weight_target),
    ]
    hashes = manifest.code_hashes
    async with await EvmChain.connect(url, manifest.chain_id, at, code_hashes=hashes, rpc_limits=rpc_limits) as chain:
        for call, wanted in expected:
            await _expect(chain, call, wanted)
        model_hash, cid, latest = await chain.read(Call("RoundManager", "latestModel"))
        if latest == 0 and (model_hash, cid) != (manifest.genesis.hash, digest_from_cid(manifest.genesis.cid)):
            raise ChainError("The founding model on chain is not the one in the manifest.")
    return [
        f"mints rewards:     RewardDistributor {at['RewardDistributor']}",
        f"mints grants:      MemberRegistry {at['MemberRegistry']}",
        f"slashes and bans:  RoundManager {at['RoundManager']}",
        f"gives out seats:   {manifest.treasury}",
        "pauses joining:    nobody",
        *(f"committee seat {seat}:  {holder}" for seat, holder in enumerate(manifest.committee)),
        f"treasury:          {manifest.treasury}",
        "nobody else has any power; the deployer has none",
    ]


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


async def _expect(chain: EvmChain, call: Call, wanted: Any) -> None:
    found = await chain.read(call)
    if found != wanted:
        arguments = ", ".join(str(argument) for argument in call.arguments)
        raise ChainError(
            f"{call.contract}.{call.function}({arguments}) is {found}; the manifest says {wanted}.",
            hint="Do not use this deployment; deploy again, or get the right manifest.",
        )


def params_struct(params: RoundParams | RegistryParams) -> dict[str, int]:
    """A contract's `Params` by Solidity's field names: ``open_window`` is ``openWindow``."""

    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    return {camel(name): value for name, value in asdict(params).items()}


def _wiring(plan: Plan, at: Mapping[str, Address]) -> dict[str, Address]:
    """`MemberRegistry.Wiring`."""
    return {
        "token": at["ContributionToken"],
        "roundManager": at["RoundManager"],
        "court": at["RoundManager"],
        "timelock": plan.treasury,
        "guardian": NOBODY,
    }


def create_address(creator: Address, nonce: int) -> Address:
    """Address of the contract that ``creator`` makes with ``nonce``: Keccak-256 of RLP [creator, nonce], last 20 bytes."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    encoded = number if 0 < nonce < 0x80 else bytes([0x80 + len(number)]) + number
    payload = b"\x94" + bytes.fromhex(creator[2:]) + encoded
    return Address(str(to_checksum_address(keccak256(bytes([0xC0 + len(payload)]) + payload)[12:])))


async def _predict(rpc: Rpc, deployer: Address) -> dict[str, Address]:
    """Addresses of the four contracts, in order of creation."""
    latest, pending = await rpc.nonce(deployer, "latest"), await rpc.nonce(deployer, "pending")
    if latest != pending:
        raise ChainError(
            f"The deployer {deployer} has {pending - latest} unmined transactions.",
            hint="Wait until they are mined; the contracts' addresses follow from its nonce.",
        )
    return {name: create_address(deployer, latest + place) for place, name in enumerate(CONTRACTS)}


def _constructors(plan: Plan, at: Mapping[str, Address]) -> list[tuple[str, tuple[Any, ...]]]:
    """Constructor arguments, in order of creation (which is the order of `CONTRACTS`)."""
    registry, emission = plan.params.registry, plan.params.emission
    if not plan.committee or registry.threshold > len(plan.committee):
        raise ConfigError(
            f"{registry.threshold} approvals cannot come from a committee of {len(plan.committee)}.",
            hint="Name more committee members, or lower the threshold.",
        )
    if registry.veto_threshold > len(plan.committee):
        raise ConfigError(
            f"{registry.veto_threshold} vetoes cannot come from a committee of {len(plan.committee)}.",
            hint="Name more committee members, or lower the veto threshold.",
        )
    return [
        ("ContributionToken", (at["RewardDistributor"], at["MemberRegistry"])),
        (
            "MemberRegistry",
            (_wiring(plan, at), plan.committee, params_struct(registry)),
        ),
        (
            "RoundManager",
            (
                at["MemberRegistry"],
                plan.guideline.hash,
                plan.genesis.hash,
                digest_from_cid(plan.genesis.cid),
                params_struct(plan.params.rounds),
            ),
        ),
        (
            "RewardDistributor",
            (
                at["ContributionToken"],
                at["RoundManager"],
                plan.treasury,
                emission.initial,
                emission.halving,
                emission.weight_target,
            ),
        ),
    ]


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

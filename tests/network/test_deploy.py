"""Deployment to a real Anvil, its roles read back, the manifest's strictness, and Anvil as a child process."""

import asyncio
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.abi import ABI_FOLDER, abi_text, artifact
from deploy.anvil import Anvil, AnvilOptions
from deploy.command import app
from deploy.deploy import create_address, deploy, verify_code
from deploy.manifest import Manifest, load_manifest
from deploy.plan import PROPOSABLE, Plan
from deploy.roles import ROLES, verify_roles
from node.adapters.abi import CONTRACTS
from node.adapters.chain_evm import EvmChain
from node.adapters.chain_rpc import RpcLimits
from node.adapters.signer_keystore import KeystoreSigner
from node.protocol.cid import compute_cid
from node.protocol.errors import (
    ChainError,
    ChainIdMismatch,
    ConfigError,
    RpcUnreachable,
    SetupError,
    TransactionReverted,
)
from node.protocol.guideline import Guideline
from node.protocol.hashing import keccak256
from node.protocol.types import Address, Call

pytestmark = pytest.mark.e2e

Network = Any  # the class of conftest.py, which importlib mode does not let us import

OTHER = Address("0x1111111111111111111111111111111111111111")


def plan_of(manifest: Manifest) -> Plan:
    return Plan(**{item.name: getattr(manifest, item.name) for item in dataclasses.fields(Plan)})


# --- ABIs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTRACTS)
def test_committed_abi_is_the_compiled_one(name: str) -> None:
    """If this fails, run `python -m deploy.abi` and look at what changed."""
    assert (ABI_FOLDER / f"{name}.json").read_text(encoding="utf-8") == abi_text(name)


def test_contracts_that_are_not_compiled(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="make setup"):
        artifact("RoundManager", tmp_path)


# --- deploying --------------------------------------------------------------------------------------------------------


async def test_deployment_is_what_was_planned(network: Network) -> None:
    lines = await verify_roles(network.anvil.url, network.manifest)
    assert "nobody else has any power; the deployer has none" in lines
    chain = await network.chain()
    assert await chain.read(Call("ContributionToken", "totalSupply")) == 0
    block = await network.rpc("eth_getBlockByNumber", hex(network.manifest.deployment_block), True)
    assert block["transactions"][0]["from"] == network.address(0).lower()
    code = await network.rpc("eth_getCode", network.manifest.contracts["RoundManager"], "latest")
    assert network.manifest.code_hashes["RoundManager"] == keccak256(bytes.fromhex(code[2:]))


def _emission(manifest: Manifest, **changes: int) -> Manifest:
    params = manifest.params
    emission = dataclasses.replace(params.emission, **changes)
    return dataclasses.replace(manifest, params=dataclasses.replace(params, emission=emission))


def _registry(manifest: Manifest, **changes: int) -> Manifest:
    params = manifest.params
    registry = dataclasses.replace(params.registry, **changes)
    return dataclasses.replace(manifest, params=dataclasses.replace(params, registry=registry))


def _rounds(manifest: Manifest, **changes: int) -> Manifest:
    params = manifest.params
    return dataclasses.replace(
        manifest, params=dataclasses.replace(params, rounds=dataclasses.replace(params.rounds, **changes))
    )


def _scoring(manifest: Manifest, **changes: int) -> Manifest:
    params = manifest.params
    scoring = dataclasses.replace(params.scoring, **changes)
    return dataclasses.replace(manifest, params=dataclasses.replace(params, scoring=scoring))


def _court(manifest: Manifest, **changes: int) -> Manifest:
    params = manifest.params
    return dataclasses.replace(
        manifest, params=dataclasses.replace(params, court=dataclasses.replace(params.court, **changes))
    )


GOVERNANCE = (
    ("voting_delay", "CommunityGovernor.firstSettings"),
    ("voting_period", "CommunityGovernor.firstSettings"),
    ("late_extension", "CommunityGovernor.firstSettings"),
    ("quorum_percent", "CommunityGovernor.firstSettings"),
    ("proposal_threshold", "CommunityGovernor.firstSettings"),
    ("quorum_floor", "CommunityGovernor.firstSettings"),
    ("timelock_delay", "TimelockController.getMinDelay"),
    ("linear_up_to", "VotingVault.linearUpTo"),
    ("unlock_delay", "VotingVault.unlockDelay"),
    ("max_regression", "ReleaseRegistry.maxRegression"),
)


def _changed(name: str) -> Callable[[Manifest], Manifest]:
    def change(manifest: Manifest) -> Manifest:
        params = manifest.params
        law = dataclasses.replace(params.governance, **{name: getattr(params.governance, name) + 1})
        return dataclasses.replace(manifest, params=dataclasses.replace(params, governance=law))

    return change


@pytest.mark.parametrize(
    ("change", "view"),
    [
        (lambda m: dataclasses.replace(m, guardian=OTHER), "Guardian.account"),
        (lambda m: dataclasses.replace(m, guardian_until=1), "Guardian.expiresAt"),
        (lambda m: dataclasses.replace(m, documents=m.documents[::-1]), "GuidelineRegistry.documentOf"),
        (lambda m: dataclasses.replace(m, committee=m.committee[::-1]), "MemberRegistry.seatHolder"),
        (lambda m: dataclasses.replace(m, committee=m.committee[:2]), "MemberRegistry.seatCount"),
        (lambda m: dataclasses.replace(m, guideline=m.genesis), "GuidelineRegistry.current"),
        (lambda m: dataclasses.replace(m, genesis=m.guideline), "founding model"),
        (lambda m: _emission(m, initial=1), "RewardDistributor.initialEmission"),
        (lambda m: _emission(m, halving=1), "RewardDistributor.halving"),
        (lambda m: _emission(m, weight_target=1), "RewardDistributor.wTarget"),
        (lambda m: _registry(m, threshold=1), "MemberRegistry.threshold"),
        (lambda m: _registry(m, min_bond=1), "MemberRegistry.minBond"),
        (lambda m: _registry(m, grant=1), "MemberRegistry.grant"),
        (lambda m: _registry(m, exit_delay=1), "MemberRegistry.exitDelay"),
        (lambda m: _registry(m, veto_threshold=1), "MemberRegistry.vetoThreshold"),
        (lambda m: _registry(m, grant_budget=1), "MemberRegistry.grantBudget"),
        (lambda m: _registry(m, veto_window=1), "MemberRegistry.vetoWindow"),
        (lambda m: _registry(m, admission_burst=1), "MemberRegistry.admissionBurst"),
        (lambda m: _registry(m, admissions_per_day=1), "MemberRegistry.admissionsPerDay"),
        (lambda m: _rounds(m, max_verifiers=1), "RoundManager.params"),
        (lambda m: _scoring(m, tau=1), "GuidelineRegistry.current"),
        (lambda m: _court(m, jury_size=3), "RoundCourt.params"),
        *((_changed(name), view) for name, view in GOVERNANCE),
    ],
)
async def test_manifest_that_says_otherwise_is_found_out(
    network: Network, change: Callable[[Manifest], Manifest], view: str
) -> None:
    with pytest.raises(ChainError, match=re.escape(view)):
        await verify_roles(network.anvil.url, change(network.manifest))


async def test_a_role_that_views_do_not_show_is_found_in_the_log(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    await verify_roles(network.anvil.url, network.manifest)
    fewer = {role: holder for role, holder in ROLES.items() if role != "EXECUTOR_ROLE"}
    monkeypatch.setattr("deploy.roles.ROLES", fewer)  # what was given is now one too many
    with pytest.raises(ChainError, match="The timelock gave the role"):
        await verify_roles(network.anvil.url, network.manifest)
    monkeypatch.undo()
    monkeypatch.setattr("deploy.roles.PROPOSABLE", PROPOSABLE[:-1])  # and so is a call of proposals
    with pytest.raises(ChainError, match="Proposals may call"):
        await verify_roles(network.anvil.url, network.manifest)


async def test_contracts_of_two_deployments_do_not_mix(network: Network) -> None:
    other = await deploy(network.anvil.url, 31337, network.signers[5], plan_of(network.manifest))
    for name in CONTRACTS:
        mixed = dataclasses.replace(
            network.manifest,
            contracts={**network.manifest.contracts, name: other.contracts[name]},
            code_hashes={**network.manifest.code_hashes, name: other.code_hashes[name]},
        )
        with pytest.raises(ChainError, match="the manifest says"):
            await verify_roles(network.anvil.url, mixed)


async def test_code_is_what_the_sources_compile_to(network: Network) -> None:
    await verify_code(network.anvil.url, network.manifest)
    address = network.manifest.contracts["MemberRegistry"]
    code = bytearray.fromhex((await network.rpc("eth_getCode", address, "latest"))[2:])
    code[len(code) // 2] ^= 1
    await network.rpc("anvil_setCode", address, "0x" + code.hex())
    with pytest.raises(ChainError, match=f"MemberRegistry at {address} is not what these sources"):
        await verify_code(network.anvil.url, network.manifest)


async def test_wrong_chain_gets_nothing(network: Network) -> None:
    with pytest.raises(ChainIdMismatch, match=r"31337.*chain 1\b"):
        await deploy(network.anvil.url, 1, network.signers[5], plan_of(network.manifest))
    assert await network.rpc("eth_getTransactionCount", network.address(5), "latest") == "0x0"


async def test_unreachable_chain(network: Network) -> None:
    with pytest.raises(RpcUnreachable, match=r"127\.0\.0\.1:1 does not answer"):
        await deploy(
            "http://127.0.0.1:1", 1, network.signers[5], plan_of(network.manifest), rpc_limits=RpcLimits(backoff=0)
        )


async def test_constants_out_of_range_are_named(network: Network) -> None:
    plan = plan_of(_rounds(network.manifest, max_verifiers=8))
    with pytest.raises(TransactionReverted) as caught:
        await deploy(network.anvil.url, 31337, network.signers[5], plan)
    assert caught.value.error == "ParameterOutOfBounds"
    name, value, least, most = caught.value.arguments
    assert isinstance(name, bytes)
    assert (name.rstrip(b"\0"), value, least, most) == (b"maxVerifiers", 8, 1, 7)


async def test_threshold_above_the_committee(network: Network) -> None:
    plan = plan_of(_registry(network.manifest, threshold=4))
    with pytest.raises(ConfigError, match="4 approvals cannot come from a committee of 3"):
        await deploy(network.anvil.url, 31337, network.signers[5], plan)


async def test_busy_deployer_is_refused(network: Network) -> None:
    """Addresses follow from the nonce, so an unmined transaction would spoil them."""
    await network.stop_mining()
    chain = await network.chain(5)
    sending = asyncio.create_task(chain.send(Call("ContributionToken", "approve", (OTHER, 1))))
    while not int((await network.rpc("txpool_status"))["pending"], 16):  # happens in another process
        await asyncio.sleep(0.01)
    with pytest.raises(ChainError, match="1 unmined"):
        await deploy(network.anvil.url, 31337, network.signers[5], plan_of(network.manifest))
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize(
    ("nonce", "address"),
    [  # the well-known example of Ethereum's documentation
        (0, "0xcd234A471b72ba2F1Ccf0A70FCABA648a5eeCD8d"),
        (1, "0x343c43A37D37dfF08AE8C4A11544c718AbB4fCF8"),
        (2, "0xf778B86FA74E846c4f0a1fBd1335FE81c00a0C91"),
    ],
)
def test_create_address(nonce: int, address: str) -> None:
    assert create_address(Address("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"), nonce) == address


async def test_create_address_of_large_nonces(network: Network) -> None:
    """Around the steps of the RLP encoding, against the chain itself."""
    for nonce in (0x7E, 0xFE, 0xFFFE):  # and the three after each
        await network.rpc("anvil_setNonce", network.address(5), hex(nonce))
        manifest = await deploy(network.anvil.url, 31337, network.signers[5], plan_of(network.manifest))
        assert manifest.contracts["ContributionToken"] == create_address(network.address(5), nonce)


# --- command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(network: Network, tmp_path: Path) -> list[str]:
    """Arguments of a deployment that works, but for the key."""
    _write_guideline(tmp_path)
    (tmp_path / "model").write_bytes(b"model" * 100_000)
    (tmp_path / "public.jsonl").write_bytes(b"{}\n")
    return [
        *("--rpc", network.anvil.url, "--chain-id", "31337", "--guardian", network.address(7)),
        *(word for seat in (1, 2, 3) for word in ("--committee", network.address(seat))),
        *("--guideline", str(tmp_path / "guideline.json"), "--genesis", str(tmp_path / "model")),
        *("--benchmark", str(tmp_path / "public.jsonl"), "--out", str(tmp_path / "network.json")),
    ]


def _write_guideline(folder: Path, **update: str) -> None:
    document = {"pipeline": "mean", "outer_learning_rate": 1.0, "max_norm": 1.0, "max_bytes": 1000, **update}
    documents = {"data": {}, "architecture": {}, "update": document, "versioning": {}}
    (folder / "guideline.json").write_text(json.dumps(documents))


async def run_command(arguments: list[str]) -> Any:
    return await asyncio.to_thread(CliRunner().invoke, app, arguments)


async def test_command_deploys_and_writes_the_manifest(network: Network, command: list[str], tmp_path: Path) -> None:
    KeystoreSigner.create(tmp_path / "key.json", lambda: "password", key=network.anvil.key(5), scrypt_n=1 << 10)
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("password\n")
    keys = ["--keystore", str(tmp_path / "key.json"), "--password-file", str(tmp_path / "password")]
    result = await run_command([*command, *keys, "--threshold", "3"])
    assert result.exit_code == 0, result.output
    manifest = load_manifest(tmp_path / "network.json")
    assert manifest.params.registry.threshold == 3
    assert manifest.genesis.cid == compute_cid(b"model" * 100_000)
    assert manifest.guideline.hash == Guideline.parse((tmp_path / "guideline.json").read_bytes()).hash
    assert manifest.contracts["RoundManager"] in result.output
    assert network.anvil.key(5).hex() not in result.output
    async with await EvmChain.connect(network.anvil.url, 31337, manifest.contracts, code_hashes=manifest.code_hashes):
        pass


async def test_command_with_a_development_key(network: Network, command: list[str], tmp_path: Path) -> None:
    (tmp_path / "dev").write_text("0x" + network.anvil.key(5).hex())
    result = await run_command([*command, "--dev-key-file", str(tmp_path / "dev")])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("change", "ending"),
    [
        ([], (2, "either --keystore or --dev-key-file")),
        (["--keystore", "/none"], (3, "keys create")),
        (["--dev-key-file", "/none"], (2, "cannot be read")),
        (["--dev-key-file", "DEV", "--chain-id", "1"], (2, "development chains")),
        (["--dev-key-file", "DEV", "--guardian", OTHER[:-1]], (2, "not a checksummed address")),
        (["--dev-key-file", "DEV", "--preset", "nowhere"], (2, "Presets are localnet")),
        (["--dev-key-file", "DEV", "--threshold", "9"], (2, "9 approvals")),
        (["--dev-key-file", "DEV", "--rpc", "http://127.0.0.1:1"], (4, "127.0.0.1:1 does not answer")),
    ],
)
async def test_command_says_what_is_wrong(
    network: Network, command: list[str], tmp_path: Path, change: list[str], ending: tuple[int, str]
) -> None:
    (tmp_path / "dev").write_text(network.anvil.key(5).hex())
    result = await run_command([*command, *(word.replace("DEV", str(tmp_path / "dev")) for word in change)])
    assert (result.exit_code, ending[1] in result.output) == (ending[0], True), result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "network.json").exists()


# --- anvil ------------------------------------------------------------------------------------------------------------


async def test_accounts_are_funded_and_drawn_anew(anvil: Anvil, network: Network) -> None:
    last = anvil.options.accounts - 1
    balance = int(await network.rpc("eth_getBalance", anvil.signer(last).address, "latest"), 16)
    assert balance == 10_000 * 10**18
    async with await Anvil.start() as other:
        assert other.key(0) != anvil.key(0)
    with pytest.raises(IndexError):
        anvil.key(last + 1)


async def test_known_mnemonic_gives_known_accounts() -> None:
    words = "test test test test test test test test test test test junk"
    async with await Anvil.start(AnvilOptions(mnemonic=words, chain_id=77)) as anvil:
        assert anvil.signer(0).address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
        assert repr(anvil) == f"Anvil({anvil.url}, chain 77)"


async def test_port_in_use_is_named(anvil: Anvil) -> None:
    with pytest.raises(SetupError, match=f"Port {anvil.port} .*ss -ltnp"):
        await Anvil.start(AnvilOptions(port=anvil.port))


async def test_missing_program() -> None:
    with pytest.raises(SetupError, match="make setup"):
        await Anvil.start(AnvilOptions(binary=Path("/nowhere/anvil")))


async def test_program_that_dies_is_reported_with_its_log(tmp_path: Path) -> None:
    program = tmp_path / "anvil"
    program.write_text("#!/bin/sh\necho no room >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(SetupError, match=r"status 3.*anvil\.log"):
        await Anvil.start(AnvilOptions(binary=program, log=tmp_path / "anvil.log"))
    assert "no room" in (tmp_path / "anvil.log").read_text()


async def test_program_that_never_answers_is_ended(tmp_path: Path) -> None:
    program = tmp_path / "anvil"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 100\n")
    program.chmod(0o755)
    with pytest.raises(SetupError, match="did not answer"):
        await Anvil.start(AnvilOptions(binary=program, startup=0.5))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_listens_on_loopback_only(anvil: Anvil, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the environment would have it listen elsewhere."""
    monkeypatch.setenv("ANVIL_IP_ADDR", "0.0.0.0")
    async with await Anvil.start() as other:
        for port in (anvil.port, other.port):
            with socket.socket() as outside:
                outside.bind(("127.0.0.2", port))  # fails where something listens on all addresses


async def test_stop_is_final_and_harmless_twice() -> None:
    anvil = await Anvil.start()
    anvil.stop()
    anvil.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(anvil.pid, 0)


def test_no_orphan_remains_when_its_parent_is_killed() -> None:
    script = "import asyncio; from deploy.anvil import Anvil; a = asyncio.run(Anvil.start()); print(a.pid, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        descriptor = os.pidfd_open(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
    try:
        asyncio.run(_ended(descriptor))
    finally:
        os.close(descriptor)


async def _ended(descriptor: int) -> None:
    """The process behind a pidfd has ended: then the descriptor becomes readable."""
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, gone.set)
    async with asyncio.timeout(10):
        await gone.wait()
    asyncio.get_running_loop().remove_reader(descriptor)


async def test_time_passes_and_never_falls(anvil: Anvil, network: Network) -> None:
    """Mixed mining: a block at once for a transaction, an empty one every second, timestamps with the clock."""
    chain = await network.chain(5)
    first = await chain.head()
    stamps = []
    for amount in range(50):
        receipt = await chain.send(Call("ContributionToken", "approve", (OTHER, amount)))
        block = await network.rpc("eth_getBlockByNumber", hex(receipt.block), False)
        stamps.append(int(block["timestamp"], 16))
    assert stamps == sorted(stamps)
    assert stamps[-1] - first.timestamp < 25, "50 blocks at once are not 50 seconds"
    async with asyncio.timeout(10):
        while (await chain.head()).timestamp < stamps[-1] + 2:  # happens in another process
            await asyncio.sleep(0.05)


async def test_command_refuses_a_guideline_that_cannot_be_carried_out(command: list[str], tmp_path: Path) -> None:
    _write_guideline(tmp_path, pipeline="median", compression="topk")
    (tmp_path / "key").write_text("11" * 32)
    result = await run_command([*command, "--dev-key-file", str(tmp_path / "key")])
    assert result.exit_code == ConfigError.exit_code
    assert "topk updates do not go with median" in " ".join(result.output.split())
    assert not (tmp_path / "network.json").exists()

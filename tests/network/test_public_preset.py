"""The preset of a public community on a real Anvil: it deploys, its roles are right, and joining takes its days."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from deploy.deploy import deploy
from deploy.manifest import load_preset
from deploy.plan import Plan
from deploy.roles import verify_roles
from incentives.rewards import CWT
from node.adapters.chain_evm import EvmChain
from node.protocol.errors import ConfigError, TransactionReverted
from node.protocol.types import Call

Network = Any  # the class of conftest.py, which importlib mode does not let us import

DAY = 24 * 3600
COMMITTEE = range(1, 6)
NEWCOMER, STRANGER = 6, 0


def test_constants_are_those_of_the_design() -> None:
    params = load_preset("public")
    law, registry, rounds = params.governance, params.registry, params.rounds
    assert registry.veto_window == 2 * DAY
    assert (law.voting_delay, law.voting_period, law.late_extension, law.timelock_delay) == tuple(
        days * DAY for days in (1, 5, 2, 2)
    )
    assert law.quorum_percent == 10
    assert rounds.seed_delay_blocks == 4
    assert rounds.min_participants > rounds.max_verifiers == 7
    assert registry.veto_threshold < registry.threshold
    assert params.emission.initial == 9_000 * CWT
    assert 2 * params.emission.initial * params.emission.halving + registry.grant_budget <= 10_000_000 * CWT


def test_every_constant_says_why_or_what() -> None:
    from deploy.manifest import NETWORKS

    lines = (NETWORKS / "public.toml").read_text().splitlines()
    assert [line for line in lines if "=" in line and "#" not in line] == []


@pytest.mark.e2e
async def test_it_deploys_and_a_newcomer_waits_two_days(network: Network) -> None:
    founding = Plan(**{item.name: getattr(network.manifest, item.name) for item in dataclasses.fields(Plan)})
    committee = tuple(network.address(account) for account in COMMITTEE)
    plan = dataclasses.replace(founding, params=load_preset("public"), committee=committee)
    manifest = await deploy(network.anvil.url, network.anvil.options.chain_id, network.anvil.signer(0), plan)
    assert "nobody else has any power; the deployer has none" in await verify_roles(network.anvil.url, manifest)

    async def act(account: int, function: str, *arguments: Any) -> None:
        chain = await EvmChain.connect(
            network.anvil.url, manifest.chain_id, manifest.contracts, signer=network.signers[account]
        )
        try:
            await chain.send(Call("MemberRegistry", function, arguments))
        finally:
            await chain.close()

    await act(NEWCOMER, "applyToJoin", bytes(31) + b"\1", bytes(31) + b"\2", b"peer", bytes(32))
    for account in (1, 2, 3):
        await act(account, "review", 1, True, bytes(32))
    with pytest.raises(TransactionReverted, match="VetoWindowOpen"):
        await act(STRANGER, "admit", 1)
    await network.rpc("evm_increaseTime", 2 * DAY)
    await network.rpc("evm_mine")
    await act(STRANGER, "admit", 1)
    reader = await EvmChain.connect(network.anvil.url, manifest.chain_id, manifest.contracts)
    stake = await reader.read(Call("MemberRegistry", "stakeOf", (network.address(NEWCOMER),)))
    await reader.close()
    assert stake == 100 * CWT


@pytest.mark.e2e
async def test_a_committee_too_small_for_it_is_refused(network: Network) -> None:
    founding = Plan(**{item.name: getattr(network.manifest, item.name) for item in dataclasses.fields(Plan)})
    plan = dataclasses.replace(founding, params=load_preset("public"), committee=founding.committee[:2])
    with pytest.raises(ConfigError, match="3 approvals cannot come from a committee of 2"):
        await deploy(network.anvil.url, network.anvil.options.chain_id, network.anvil.signer(0), plan)

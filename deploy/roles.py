"""Who may do what in a deployment, read back from the chain and compared with its manifest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.manifest import Manifest
from deploy.plan import NOBODY, PROPOSABLE, selector, settings, struct
from node.adapters.chain_evm import EvmChain
from node.adapters.chain_rpc import RpcLimits
from node.protocol.cid import digest_from_cid
from node.protocol.errors import ChainError
from node.protocol.hashing import keccak256
from node.protocol.types import Call

ROLES = {"PROPOSER_ROLE": "CommunityGovernor", "CANCELLER_ROLE": "CommunityGovernor", "EXECUTOR_ROLE": ""}
"""Roles of the timelock and who holds each; nobody in particular may execute, so everybody may."""
ADMIN = bytes(32)
"""The role that gives out roles: the timelock's own."""


async def verify_roles(url: str, manifest: Manifest, *, rpc_limits: RpcLimits | None = None) -> list[str]:
    """Read back who may do what, and every constant, and compare with the manifest.

    A community that has voted moves on: seats, scoring, the governor's settings and the guardian are compared as founded, so this is
    for the time after a deployment.

    Returns:
        One line per role.

    Raises:
        ChainError: something differs; it names the view, what it says and what the manifest says.
    """
    at, hashes = manifest.contracts, manifest.code_hashes
    async with await EvmChain.connect(url, manifest.chain_id, at, code_hashes=hashes, rpc_limits=rpc_limits) as chain:
        for call, wanted in (*_rounds(manifest), *_government(manifest)):
            await _expect(chain, call, wanted)
        model_hash, cid, latest = await chain.read(Call("RoundManager", "latestModel"))
        if latest == 0 and (model_hash, cid) != (manifest.genesis.hash, digest_from_cid(manifest.genesis.cid)):
            raise ChainError("The founding model on chain is not the one in the manifest.")
        await _no_other_role(chain, manifest)
    return [
        f"mints rewards:     RewardDistributor {at['RewardDistributor']}",
        f"mints grants:      MemberRegistry {at['MemberRegistry']}",
        f"slashes and bans:  RoundCourt {at['RoundCourt']}",
        f"seats, guideline, releases, treasury: TimelockController {at['TimelockController']}",
        f"moves the timelock: CommunityGovernor {at['CommunityGovernor']}, {len(PROPOSABLE)} functions and its own settings",
        f"pauses, cancels:   {manifest.guardian} through Guardian {at['Guardian']}, until {manifest.guardian_until}",
        *(f"committee seat {seat}:  {holder}" for seat, holder in enumerate(manifest.committee)),
        "nobody else has any power; the deployer has none",
    ]


def _rounds(manifest: Manifest) -> Iterator[tuple[Call, Any]]:
    at, params = manifest.contracts, manifest.params
    timelock, guardian = at["TimelockController"], at["Guardian"]
    yield Call("ContributionToken", "distributor"), at["RewardDistributor"]
    yield Call("ContributionToken", "registry"), at["MemberRegistry"]
    yield Call("Guardian", "account"), manifest.guardian
    yield Call("Guardian", "expiresAt"), manifest.guardian_until
    yield Call("Guardian", "timelock"), timelock
    for view, wanted in (
        ("token", at["ContributionToken"]),
        ("roundManager", at["RoundManager"]),
        ("court", at["RoundCourt"]),
        ("timelock", timelock),
        ("guardian", guardian),
        ("seatCount", len(manifest.committee)),
        ("threshold", params.registry.threshold),
        ("vetoThreshold", params.registry.veto_threshold),
        ("minBond", params.registry.min_bond),
        ("grant", params.registry.grant),
        ("grantBudget", params.registry.grant_budget),
        ("exitDelay", params.registry.exit_delay),
        ("vetoWindow", params.registry.veto_window),
        ("admissionBurst", params.registry.admission_burst),
        ("admissionsPerDay", params.registry.admissions_per_day),
    ):
        yield Call("MemberRegistry", view), wanted
    for seat, holder in enumerate(manifest.committee):
        yield Call("MemberRegistry", "seatHolder", (seat,)), holder
    yield Call("GuidelineRegistry", "timelock"), timelock
    yield Call("GuidelineRegistry", "current"), (1, manifest.guideline.hash, struct(params.scoring))
    for kind, document in enumerate(manifest.documents):
        content = {"contentHash": document.hash, "cid": digest_from_cid(document.cid)}
        yield Call("GuidelineRegistry", "documentOf", (1, kind)), content
    yield Call("RoundManager", "registry"), at["MemberRegistry"]
    yield Call("RoundManager", "guidelines"), at["GuidelineRegistry"]
    yield Call("RoundManager", "court"), at["RoundCourt"]
    yield Call("RoundManager", "guardian"), guardian
    yield Call("RoundManager", "params"), struct(params.rounds)
    yield Call("RoundCourt", "roundManager"), at["RoundManager"]
    yield Call("RoundCourt", "registry"), at["MemberRegistry"]
    yield Call("RoundCourt", "token"), at["ContributionToken"]
    yield Call("RoundCourt", "params"), struct(params.court)
    yield Call("RewardDistributor", "token"), at["ContributionToken"]
    yield Call("RewardDistributor", "roundManager"), at["RoundManager"]
    yield Call("RewardDistributor", "treasury"), at["Treasury"]
    yield Call("RewardDistributor", "initialEmission"), params.emission.initial
    yield Call("RewardDistributor", "halving"), params.emission.halving
    yield Call("RewardDistributor", "wTarget"), params.emission.weight_target


def _government(manifest: Manifest) -> Iterator[tuple[Call, Any]]:
    at, law = manifest.contracts, manifest.params.governance
    timelock, guardian, vault = at["TimelockController"], at["Guardian"], at["VotingVault"]
    yield Call("Treasury", "timelock"), timelock
    yield Call("VotingVault", "token"), at["ContributionToken"]
    yield Call("VotingVault", "registry"), at["MemberRegistry"]
    yield Call("VotingVault", "guardian"), guardian
    yield Call("VotingVault", "linearUpTo"), law.linear_up_to
    yield Call("VotingVault", "unlockDelay"), law.unlock_delay
    yield Call("TimelockController", "getMinDelay"), law.timelock_delay
    for role, holder in ROLES.items():
        who = at[holder] if holder else NOBODY
        yield Call("TimelockController", "hasRole", (keccak256(role.encode()), who)), True
    yield Call("TimelockController", "hasRole", (ADMIN, timelock)), True
    governor = "CommunityGovernor"
    yield Call(governor, "vault"), vault
    yield Call(governor, "token"), vault
    yield Call(governor, "timelock"), timelock
    yield Call(governor, "guardian"), guardian
    yield Call(governor, "proposalGuardian"), guardian
    yield Call(governor, "firstSettings"), settings(manifest.params)
    yield Call(governor, "votingDelay"), law.voting_delay
    yield Call(governor, "votingPeriod"), law.voting_period
    yield Call(governor, "lateQuorumVoteExtension"), law.late_extension
    yield Call(governor, "quorumNumerator"), law.quorum_percent
    for contract, function in PROPOSABLE:
        yield Call(governor, "isAllowed", (at[contract], selector(contract, function))), True
    yield Call("ReleaseRegistry", "roundManager"), at["RoundManager"]
    yield Call("ReleaseRegistry", "distributor"), at["RewardDistributor"]
    yield Call("ReleaseRegistry", "guardian"), guardian
    yield Call("ReleaseRegistry", "timelock"), timelock
    yield Call("ReleaseRegistry", "maxRegression"), law.max_regression
    yield Call("RevenueSplitter", "releases"), at["ReleaseRegistry"]
    yield Call("RevenueSplitter", "distributor"), at["RewardDistributor"]


async def _expect(chain: EvmChain, call: Call, wanted: Any) -> None:
    found = await chain.read(call)
    if found != wanted:
        arguments = ", ".join(str(argument) for argument in call.arguments)
        raise ChainError(
            f"{call.contract}.{call.function}({arguments}) is {found}; the manifest says {wanted}.",
            hint="Do not use this deployment; deploy again, or get the right manifest.",
        )


async def _no_other_role(chain: EvmChain, manifest: Manifest) -> None:
    """Views answer for accounts one asks about; the log knows all: nobody else was ever given a role or a proposal's call."""
    at = manifest.contracts
    roles = {(keccak256(role.encode()), at[holder] if holder else NOBODY) for role, holder in ROLES.items()}
    roles.add((ADMIN, at["TimelockController"]))
    calls = {(at[contract], selector(contract, function)) for contract, function in PROPOSABLE}
    head = await chain.head()
    for event in await chain.events(manifest.deployment_block, head.number):
        given, name = event.arguments, (event.contract, event.name)
        if name == ("TimelockController", "RoleGranted") and (given["role"], given["account"]) not in roles:
            raise ChainError(f"The timelock gave the role 0x{given['role'].hex()} to {given['account']}.")
        if name == ("CommunityGovernor", "Allowed") and (given["target"], given["selector"]) not in calls:
            raise ChainError(f"Proposals may call 0x{given['selector'].hex()} of {given['target']}.")

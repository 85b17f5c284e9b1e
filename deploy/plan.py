"""What is decided before a deployment, and the constructor arguments that follow from it. Pure.

Thirteen contracts, created in the order of `CONTRACTS` by one account with consecutive nonces: so each can name the others before they
exist, and nobody has to wire them afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from deploy.manifest import Content, NetworkParams, content
from node.adapters.abi import contract_abi
from node.protocol.cid import digest_from_cid
from node.protocol.errors import ConfigError
from node.protocol.guideline import DOCUMENTS, Guideline
from node.protocol.types import Address, CourtParams, RegistryParams, RoundParams, Scoring

NOBODY = Address("0x" + "00" * 20)

PROPOSABLE: tuple[tuple[str, str], ...] = (
    ("Guardian", "replace"),
    ("Guardian", "unpause"),
    ("MemberRegistry", "setSeat"),
    ("GuidelineRegistry", "amend"),
    ("GuidelineRegistry", "setScoring"),
    ("Treasury", "pay"),
    ("ReleaseRegistry", "publish"),
    ("ReleaseRegistry", "yank"),
    ("ReleaseRegistry", "addBenchmark"),
    ("ReleaseRegistry", "retireBenchmark"),
)
"""All that a proposal can call beside the governor's own settings: (contract, function)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decided before a deployment.

    Attributes:
        params: constants.
        committee: seats, in order: who reviews newcomers and stewards the rounds.
        guardian: account that can pause entry points and cancel proposals for a while.
        guideline: the developer guideline.
        documents: its four documents: data, architecture, update, versioning.
        genesis: the founding model.
        public_benchmark: benchmark of unsealed rounds.
    """

    params: NetworkParams
    committee: tuple[Address, ...]
    guardian: Address
    guideline: Content
    documents: tuple[Content, ...]
    genesis: Content
    public_benchmark: Content


def documents(guideline: Guideline) -> tuple[Content, ...]:
    """The four documents by SHA-256 and CID, in the order of `DOCUMENTS`."""
    files = (guideline.document(name) for name in DOCUMENTS)
    return tuple(content(data, hashlib.sha256(data).digest()) for data in files)


def struct(params: RoundParams | RegistryParams | CourtParams | Scoring) -> dict[str, int]:
    """A contract's struct by Solidity's field names: ``open_window`` is ``openWindow``."""

    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    return {camel(name): value for name, value in asdict(params).items()}


def wiring(at: Mapping[str, Address]) -> dict[str, Address]:
    """`MemberRegistry.Wiring`."""
    return {
        "token": at["ContributionToken"],
        "roundManager": at["RoundManager"],
        "court": at["RoundCourt"],
        "timelock": at["TimelockController"],
        "guardian": at["Guardian"],
    }


def constructors(plan: Plan, at: Mapping[str, Address], guardian_until: int) -> dict[str, tuple[Any, ...]]:
    """Constructor arguments by contract, in order of creation.

    Args:
        plan: what to deploy.
        at: where each contract will lie.
        guardian_until: when the guardian's office ends, seconds since 1970.

    Raises:
        ConfigError: a committee too small for its thresholds, or documents missing.
    """
    _check(plan)
    return {**_rounds(plan, at, guardian_until), **_government(plan, at)}


def _rounds(plan: Plan, at: Mapping[str, Address], guardian_until: int) -> dict[str, tuple[Any, ...]]:
    params, emission = plan.params, plan.params.emission
    return {
        "ContributionToken": (at["RewardDistributor"], at["MemberRegistry"]),
        "Guardian": (plan.guardian, guardian_until, at["TimelockController"]),
        "MemberRegistry": (wiring(at), plan.committee, struct(params.registry)),
        "GuidelineRegistry": (
            at["TimelockController"],
            [(document.hash, digest_from_cid(document.cid)) for document in plan.documents],
            plan.guideline.hash,
            digest_from_cid(plan.guideline.cid),
            struct(params.scoring),
        ),
        "RoundManager": (
            at["MemberRegistry"],
            at["GuidelineRegistry"],
            at["RoundCourt"],
            at["Guardian"],
            plan.genesis.hash,
            digest_from_cid(plan.genesis.cid),
            struct(params.rounds),
        ),
        "RoundCourt": (at["RoundManager"], at["MemberRegistry"], struct(params.court)),
        "RewardDistributor": (
            at["ContributionToken"],
            at["RoundManager"],
            at["Treasury"],
            emission.initial,
            emission.halving,
            emission.weight_target,
        ),
    }


def _government(plan: Plan, at: Mapping[str, Address]) -> dict[str, tuple[Any, ...]]:
    law = plan.params.governance
    return {
        "Treasury": (at["TimelockController"],),
        "VotingVault": (
            at["ContributionToken"],
            at["MemberRegistry"],
            at["Guardian"],
            law.linear_up_to,
            law.unlock_delay,
        ),
        # The governor proposes and cancels, anybody executes, nobody administrates.
        "TimelockController": (law.timelock_delay, [at["CommunityGovernor"]], [NOBODY], NOBODY),
        "CommunityGovernor": (
            at["VotingVault"],
            at["TimelockController"],
            at["Guardian"],
            settings(plan.params),
            [at[contract] for contract, _ in PROPOSABLE],
            [selector(contract, function) for contract, function in PROPOSABLE],
        ),
        "ReleaseRegistry": (
            at["RoundManager"],
            at["RewardDistributor"],
            at["Guardian"],
            at["TimelockController"],
            law.max_regression,
        ),
        "RevenueSplitter": (at["ReleaseRegistry"], at["RewardDistributor"]),
    }


def settings(params: NetworkParams) -> dict[str, int]:
    """`CommunityGovernor.Settings`."""
    law = params.governance
    return {
        "votingDelay": law.voting_delay,
        "votingPeriod": law.voting_period,
        "lateExtension": law.late_extension,
        "quorumPercent": law.quorum_percent,
        "proposalThreshold": law.proposal_threshold,
        "quorumFloor": law.quorum_floor,
    }


def selector(contract: str, function: str) -> bytes:
    """Four bytes of the contract's only function of that name."""
    (entry,) = contract_abi(contract).functions[function]
    return entry.digest


def _check(plan: Plan) -> None:
    registry, seats = plan.params.registry, len(plan.committee)
    if not plan.committee or registry.threshold > seats:
        raise ConfigError(
            f"{registry.threshold} approvals cannot come from a committee of {seats}.",
            hint="Name more committee members, or lower the threshold.",
        )
    if registry.veto_threshold > seats:
        raise ConfigError(
            f"{registry.veto_threshold} vetoes cannot come from a committee of {seats}.",
            hint="Name more committee members, or lower the veto threshold.",
        )
    if len(plan.documents) != len(DOCUMENTS):
        raise ConfigError(f"A guideline has four documents, not {len(plan.documents)}.")

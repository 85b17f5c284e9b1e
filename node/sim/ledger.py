"""The contracts of the reference model, deployed together, and the one way to call them: all or nothing, with logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_utils.address import to_checksum_address

from incentives.rewards import CWT, EmissionParams
from node.adapters.abi import CONTRACTS
from node.protocol.calls import PROPOSABLE, selector_of
from node.protocol.errors import LocalProtocolError
from node.protocol.governance import GovernanceParams
from node.protocol.hashing import keccak256
from node.protocol.types import Address, Call, CourtParams, RegistryParams, RoundParams, Scoring
from node.sim.abi import Contract, Log, PreflightPassed, Transaction
from node.sim.court import RoundCourt
from node.sim.distributor import RewardDistributor
from node.sim.governor import CommunityGovernor
from node.sim.guardian import Guardian, Treasury
from node.sim.guidelines import Document, GuidelineRegistry
from node.sim.registry import MemberRegistry, RegistryWiring
from node.sim.registry_storage import LONGEST_TERM
from node.sim.registry_storage import Guardian as AnyGuardian
from node.sim.releases import ReleaseRegistry
from node.sim.round_hooks import RoundManager
from node.sim.round_storage import Model
from node.sim.splitter import RevenueSplitter
from node.sim.timelock import TimelockController
from node.sim.token import ContributionToken
from node.sim.vault import VotingVault

CAP = 10_000_000 * CWT

BlockHash = Callable[[int], bytes]


def address_of(label: str) -> Address:
    """A made-up account: the last 20 bytes of the label's hash, checksummed."""
    return Address(to_checksum_address(keccak256(label.encode())[-20:]))


QUICK_ROUNDS = RoundParams(
    open_window=600,
    commit_duration=120,
    reveal_duration=60,
    score_duration=60,
    settle_duration=60,
    attest_duration=60,
    challenge_duration=20,
    dispute_duration=200,
    seed_delay_blocks=2,
    min_participants=3,
    max_verifiers=7,
    max_attesters=31,
)
"""Constants that fit minutes of virtual time."""

QUICK_COURT = CourtParams(
    bond=10 * CWT,
    jury_size=9,
    max_disputes=4,
    seed_delay_blocks=2,
    draw_duration=40,
    commit_duration=60,
    reveal_duration=60,
    resolve_duration=40,
)

QUICK_SCORING = Scoring(tau=300, delta_min=100, harm_min=1_000, gain_cap=20_000)

QUICK_GOVERNANCE = GovernanceParams(
    voting_delay=5,
    voting_period=60,
    late_extension=10,
    quorum_percent=10,
    proposal_threshold=CWT,
    quorum_floor=100 * CWT,
    timelock_delay=5,
    linear_up_to=1_000 * CWT,
    unlock_delay=300,
    guardian_term=365 * 24 * 3600,
    max_regression=5_000,
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything that is fixed when the contracts are deployed.

    Attributes:
        seats: committee seats in order; round r's steward is seat r mod seats.
        params: constants of the rounds.
        scoring: how verdicts are reached under the founding guideline.
        court: constants of the disputes.
        threshold: approvals that admit a member.
        veto_threshold: vetoes that refuse an approved one.
        min_bond: least stake, in 10⁻¹⁸ CWT.
        grant: minted into a newcomer's stake.
        grant_budget: most that all grants together mint.
        exit_delay: seconds, longer than the longest round.
        veto_window: seconds from approval to admission.
        seat_term: seconds, of the first holders of the seats.
        admission_burst: admissions at once, after a quiet time.
        admissions_per_day: in the long run.
        emission: emission schedule and weight target.
        treasury: address of the Treasury, the receiver of the community's share.
        timelock: address of the TimelockController; tests decide in its name without a vote.
        guardian: what can pause entry points, instead of the Guardian's own model.
        brake: account that holds the Guardian's office.
        guideline_hash: of the founding guideline.
        guideline_cid: digest of its CID.
        governance: constants of votes and releases.
        genesis: the founding model.
        chain_id: of the chain.
        deployed_at: timestamp.
        addresses: where the contracts lie, by name; made up where None.
    """

    seats: tuple[Address, ...]
    params: RoundParams = QUICK_ROUNDS
    scoring: Scoring = QUICK_SCORING
    court: CourtParams = QUICK_COURT
    threshold: int = 1
    veto_threshold: int = 1
    min_bond: int = 50 * CWT
    grant: int = 100 * CWT
    grant_budget: int = 1_000_000 * CWT
    exit_delay: int = 3_600
    veto_window: int = 0
    seat_term: int = LONGEST_TERM
    admission_burst: int = 1_000
    admissions_per_day: int = 1_000
    emission: EmissionParams = field(default_factory=lambda: EmissionParams(halving=450, weight_target=20_000))
    treasury: Address = field(default_factory=lambda: address_of("treasury"))
    timelock: Address = field(default_factory=lambda: address_of("timelock"))
    guardian: AnyGuardian | None = None
    brake: Address = field(default_factory=lambda: address_of("brake"))
    guideline_hash: bytes = b"\x01" * 32
    guideline_cid: bytes = keccak256(b"guideline/cid")
    governance: GovernanceParams = QUICK_GOVERNANCE
    genesis: Model = field(default_factory=lambda: Model(bytes(32), bytes(32)))
    chain_id: int = 31_337
    deployed_at: int = 0
    addresses: Mapping[str, Address] | None = None

    @property
    def registry(self) -> RegistryParams:
        """Constants of the registry."""
        return RegistryParams(
            threshold=self.threshold,
            veto_threshold=self.veto_threshold,
            min_bond=self.min_bond,
            grant=self.grant,
            grant_budget=self.grant_budget,
            exit_delay=self.exit_delay,
            veto_window=self.veto_window,
            seat_term=self.seat_term,
            admission_burst=self.admission_burst,
            admissions_per_day=self.admissions_per_day,
        )


class Ledger:
    """The contracts' joint state. Calls are synchronous; `node.sim.chain` adds blocks, time and faults.

    Args:
        deployment: what is fixed at deployment.
        block_hash: hash of a block by height, for seeds.
        now: time of the newest block, for views; the deployment's where it is missing.
    """

    def __init__(self, deployment: Deployment, block_hash: BlockHash, now: Callable[[], int] | None = None) -> None:
        self.deployment = deployment
        self._block_hash = block_hash
        at = _addresses(deployment)
        time = now if now is not None else lambda: deployment.deployed_at
        term = deployment.deployed_at + deployment.governance.guardian_term
        self.guardian = Guardian(
            at["Guardian"], deployment.brake, expires_at=term, timelock=at["TimelockController"], now=time
        )
        guardian = deployment.guardian if deployment.guardian is not None else self.guardian
        self.token = ContributionToken(
            at["ContributionToken"],
            distributor=at["RewardDistributor"],
            registry=at["MemberRegistry"],
            cap=CAP,
        )
        self.registry = MemberRegistry(
            at["MemberRegistry"],
            self.token,
            wiring=RegistryWiring(at["RoundManager"], at["RoundCourt"], at["TimelockController"], guardian),
            seats=deployment.seats,
            params=deployment.registry,
            now=time,
            deployed_at=deployment.deployed_at,
        )
        self.guidelines = _guidelines(deployment, at)
        self.rounds = RoundManager(
            at["RoundManager"],
            self.registry,
            guidelines=self.guidelines,
            court=at["RoundCourt"],
            guardian=guardian,
            chain_id=deployment.chain_id,
            params=deployment.params,
            genesis=deployment.genesis,
            deployed_at=deployment.deployed_at,
        )
        self.registry.wire(self.rounds)
        self.court = RoundCourt(
            at["RoundCourt"],
            self.token,
            self.rounds,
            self.registry,
            chain_id=deployment.chain_id,
            params=deployment.court,
            round_params=deployment.params,
        )
        self.distributor = RewardDistributor(
            at["RewardDistributor"],
            self.token,
            self.rounds,
            grant_budget=deployment.grant_budget,
            emission_params=deployment.emission,
            treasury=at["Treasury"],
        )
        self._govern(deployment, at, guardian, time)
        parts: Sequence[Contract] = (
            self.token,
            self.guardian,
            self.registry,
            self.guidelines,
            self.rounds,
            self.court,
            self.distributor,
            self.treasury,
            self.vault,
            self.timelock,
            self.governor,
            self.releases,
            self.splitter,
        )
        self._contracts = {contract.NAME: contract for contract in parts}
        self._at: dict[Address, Contract] = {contract.address: contract for contract in parts}

    def _govern(
        self, deployment: Deployment, at: Mapping[str, Address], guardian: AnyGuardian, time: Callable[[], int]
    ) -> None:
        """The contracts that votes, releases and revenue need."""
        law, tokens = deployment.governance, {self.token.address: self.token}
        self.treasury = Treasury(at["Treasury"], at["TimelockController"], tokens)
        self.vault = VotingVault(
            at["VotingVault"],
            self.token,
            self.registry,
            guardian=guardian,
            linear_up_to=law.linear_up_to,
            unlock_delay=law.unlock_delay,
        )
        self.timelock = TimelockController(
            at["TimelockController"],
            governor=at["CommunityGovernor"],
            min_delay=law.timelock_delay,
            contracts=lambda: self._at,
        )
        self.governor = CommunityGovernor(
            at["CommunityGovernor"],
            self.vault,
            self.timelock,
            guardian=at["Guardian"],
            params=law,
            allowed=tuple((at[contract], selector_of(signature)) for contract, signature in PROPOSABLE),
            now=time,
            deployed_at=deployment.deployed_at,
        )
        self.guardian.wire(self.governor)
        self.releases = ReleaseRegistry(
            at["ReleaseRegistry"],
            self.rounds,
            self.distributor,
            guardian=guardian,
            timelock=at["TimelockController"],
            max_regression=law.max_regression,
            chain_id=deployment.chain_id,
        )
        self.splitter = RevenueSplitter(at["RevenueSplitter"], self.releases, self.distributor, tokens)

    @property
    def addresses(self) -> dict[str, Address]:
        """Address of each contract by name."""
        return {name: contract.address for name, contract in self._contracts.items()}

    @property
    def founding_logs(self) -> Sequence[Log]:
        """What the constructors emitted."""
        founded = (self.guardian, self.registry, self.guidelines, self.timelock, self.governor)
        return [log for contract in founded for log in contract.founding_logs]

    def execute(self, sender: Address, call: Call, *, number: int, timestamp: int) -> tuple[Any, list[Log]]:
        """Run one transaction: its result and its logs.

        Raises:
            TransactionReverted: the contract refused; nothing changed.
            LocalProtocolError: no such contract or function, or arguments of the wrong kind.
        """
        transaction = Transaction(sender, number, timestamp, self._block_hash)
        result = self._contract(call).execute(transaction, call)
        return result, transaction.logs

    def preflight(self, sender: Address, call: Call, *, number: int, timestamp: int) -> None:
        """What `eth_call` would say: the checks of `execute`, without its effects.

        Raises:
            TransactionReverted: the contract would refuse.
            LocalProtocolError: as in `execute`.
        """
        transaction = Transaction(sender, number, timestamp, self._block_hash, is_preflight=True)
        try:
            self._contract(call).execute(transaction, call)
        except PreflightPassed:
            return

    def read(self, call: Call) -> Any:
        """Result of a view function.

        Raises:
            TransactionReverted: the contract refused.
            LocalProtocolError: as in `execute`.
        """
        return self._contract(call).read(call)

    def _contract(self, call: Call) -> Contract:
        found = self._contracts.get(call.contract)
        if found is None:
            raise LocalProtocolError(
                f"There is no contract {call.contract!r}.", hint=f"The contracts are {', '.join(self._contracts)}."
            )
        return found


def _addresses(deployment: Deployment) -> dict[str, Address]:
    """Where each contract lies: as given, as the deployment names it, or made up."""
    made_up = {name: address_of(f"{deployment.chain_id}:{name}") for name in CONTRACTS}
    named = {"Treasury": deployment.treasury, "TimelockController": deployment.timelock}
    return {**made_up, **(deployment.addresses or {}), **named}


def _guidelines(deployment: Deployment, at: Mapping[str, Address]) -> GuidelineRegistry:
    founding = [Document(keccak256(b"document/%d" % kind), keccak256(b"cid/%d" % kind)) for kind in range(4)]
    return GuidelineRegistry(
        at["GuidelineRegistry"],
        at["TimelockController"],
        founding=founding,
        guideline=Document(deployment.guideline_hash, deployment.guideline_cid),
        scoring=deployment.scoring,
        deployed_at=deployment.deployed_at,
    )

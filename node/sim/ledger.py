"""The contracts of the reference model, deployed together, and the one way to call them: all or nothing, with logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_utils.address import to_checksum_address

from incentives.rewards import CWT, EmissionParams
from node.protocol.errors import LocalProtocolError
from node.protocol.hashing import keccak256
from node.protocol.types import Address, Call, CourtParams, RegistryParams, RoundParams, Scoring
from node.sim.abi import Contract, Log, PreflightPassed, Transaction
from node.sim.court import RoundCourt
from node.sim.distributor import RewardDistributor
from node.sim.epochs import FixedEpoch
from node.sim.registry import MemberRegistry, RegistryWiring
from node.sim.registry_storage import LONGEST_TERM, Guardian
from node.sim.round_hooks import RoundManager
from node.sim.round_storage import Model
from node.sim.token import ContributionToken

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
        treasury: account of the community's share.
        timelock: account that gives out seats.
        guardian: what can pause joining and the opening of rounds.
        guideline_hash: of the developer guideline in force.
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
    guardian: Guardian | None = None
    guideline_hash: bytes = bytes(32)
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
        names = (
            "ContributionToken",
            "MemberRegistry",
            "GuidelineRegistry",
            "RoundManager",
            "RoundCourt",
            "RewardDistributor",
        )
        given = deployment.addresses or {}
        at = {name: given.get(name, address_of(f"{deployment.chain_id}:{name}")) for name in names}
        self.token = ContributionToken(
            at["ContributionToken"],
            distributor=at["RewardDistributor"],
            registry=at["MemberRegistry"],
            cap=CAP,
        )
        self.registry = MemberRegistry(
            at["MemberRegistry"],
            self.token,
            wiring=RegistryWiring(at["RoundManager"], at["RoundCourt"], deployment.timelock, deployment.guardian),
            seats=deployment.seats,
            params=deployment.registry,
            now=now if now is not None else lambda: deployment.deployed_at,
            deployed_at=deployment.deployed_at,
        )
        self.guidelines = FixedEpoch(at["GuidelineRegistry"], deployment.guideline_hash, deployment.scoring)
        self.rounds = RoundManager(
            at["RoundManager"],
            self.registry,
            guidelines=self.guidelines,
            court=at["RoundCourt"],
            guardian=deployment.guardian,
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
            treasury=deployment.treasury,
        )
        parts: Sequence[Contract] = (self.token, self.registry, self.rounds, self.court, self.distributor)
        self._contracts = {contract.NAME: contract for contract in parts}

    @property
    def addresses(self) -> dict[str, Address]:
        """Address of each contract by name."""
        return {name: contract.address for name, contract in self._contracts.items()}

    @property
    def founding_logs(self) -> Sequence[Log]:
        """What the constructors emitted."""
        return self.registry.founding_logs

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

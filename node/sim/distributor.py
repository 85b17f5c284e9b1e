"""Reference model of RewardDistributor: claims of finalised rounds, the treasury's share, and soul-bound credit."""

from __future__ import annotations

from incentives.rewards import (
    EmissionParams,
    attester_reward,
    emission,
    trainer_reward,
    treasury_reward,
    verifier_reward,
)
from node.protocol.errors import TransactionReverted
from node.protocol.types import Address, Phase
from node.sim.abi import ZERO_ADDRESS, Contract, Transaction, external, view
from node.sim.round_hooks import RoundManager
from node.sim.round_storage import Earnings
from node.sim.token import ContributionToken


class RewardDistributor(Contract):
    """Mints what a finalised round's participants earned, when they claim it.

    Args:
        address: of the contract.
        token: the contribution token.
        rounds: where results are read.
        grant_budget: most that all grants together mint.
        emission_params: emission schedule and weight target.
        treasury: account of the community's share.

    Raises:
        TransactionReverted: all emissions and grants together would pass the token's cap.
    """

    NAME = "RewardDistributor"

    def __init__(
        self,
        address: Address,
        token: ContributionToken,
        rounds: RoundManager,
        *,
        grant_budget: int,
        emission_params: EmissionParams,
        treasury: Address,
    ) -> None:
        super().__init__(address)
        self._token = token
        self._rounds = rounds
        emissions = 2 * emission_params.initial * emission_params.halving
        if emissions + grant_budget > token.cap():
            raise TransactionReverted("MintsAboveCap", (emissions, grant_budget, token.cap()))
        self._emission = emission_params
        self._treasury = treasury
        self._claimed: set[tuple[int, int]] = set()
        self._treasury_claimed: set[int] = set()
        self._minted: dict[int, int] = {}
        self._credits: dict[Address, list[tuple[int, int]]] = {}
        self._round_credits: dict[int, int] = {}

    @external("uint256", "uint16")
    def claim(self, transaction: Transaction, round_number: int, index: int) -> int:
        """Mint everything one participant earned in one round, to its owner; anyone may call, once."""
        self.emission(round_number)
        earned = self._rounds.earnings_of(round_number, index)
        is_final = earned.phase == Phase.FINALIZED
        transaction.require(is_final, "NotFinalized", round_number, earned.phase)
        transaction.require((round_number, index) not in self._claimed, "AlreadyClaimed", round_number, index)
        trainer, verifier, attester = self._rewards(round_number, earned)
        amount = trainer + verifier + attester
        self._token.check_cap(transaction, amount)
        transaction.effects()
        owner = earned.owner
        self._claimed.add((round_number, index))
        transaction.emit(
            self.NAME,
            "Claimed",
            round=round_number,
            index=index,
            member=owner,
            trainerReward=trainer,
            verifierReward=verifier,
            attesterReward=attester,
        )
        if amount:
            self._credit(owner, round_number, amount)
            self._mint(transaction, round_number, owner, amount)
        return amount

    @external("uint256")
    def claim_treasury(self, transaction: Transaction, round_number: int) -> int:
        """Mint the treasury's share of a round; anyone may call, once."""
        self._require_finalized(transaction, round_number)
        transaction.require(round_number not in self._treasury_claimed, "TreasuryAlreadyClaimed", round_number)
        amount = treasury_reward(self.emission(round_number))
        self._token.check_cap(transaction, amount)
        transaction.effects()
        self._treasury_claimed.add(round_number)
        transaction.emit(self.NAME, "TreasuryClaimed", round=round_number, treasury=self._treasury, amount=amount)
        self._mint(transaction, round_number, self._treasury, amount)
        return amount

    @view("uint256")
    def emission(self, round_number: int) -> int:
        """Most that a round can mint."""
        if round_number == 0:
            raise TransactionReverted("GenesisHasNoRewards")
        return emission(round_number, self._emission)

    @view("uint256")
    def minted_in(self, round_number: int) -> int:
        """What a round minted so far."""
        return self._minted.get(round_number, 0)

    @view("uint256", "uint16")
    def is_claimed(self, round_number: int, index: int) -> bool:
        """Whether a participant's rewards were claimed."""
        return (round_number, index) in self._claimed

    @view("uint256")
    def is_treasury_claimed(self, round_number: int) -> bool:
        """Whether the treasury's share was claimed."""
        return round_number in self._treasury_claimed

    @view()
    def initial_emission(self) -> int:
        """Emission of round 1."""
        return self._emission.initial

    @view()
    def halving(self) -> int:
        """Rounds after which the emission halves."""
        return self._emission.halving

    @view()
    def w_target(self) -> int:
        """Weight sum that earns the whole trainers' pool, ppm."""
        return self._emission.weight_target

    @view()
    def treasury(self) -> Address:
        """Account of the community's share."""
        return self._treasury

    @view("address", "uint256")
    def credit_at(self, member: Address, round_number: int) -> int:
        """Soul-bound credit from rounds up to ``round_number``, claimed so far."""
        return sum(amount for number, amount in self._credits.get(member, []) if number <= round_number)

    @view("uint256")
    def credits_in(self, round_number: int) -> tuple[int, bool]:
        """(credits that the claims of a round have made so far, whether every participant's claim is made)."""
        n = int(self._rounds.round_of(round_number)[6])  # reveals
        claimed = sum((round_number, index) in self._claimed for index in range(n))
        return self._round_credits.get(round_number, 0), n > 0 and claimed == n

    def _rewards(self, round_number: int, earned: Earnings) -> tuple[int, int, int]:
        """(trainer, verifier, attester) rewards; all 0 for an owner whose own update was malformed, harmful or a copy."""
        if earned.is_forfeited:
            return 0, 0, 0
        emitted = self.emission(round_number)
        trainer = trainer_reward(
            emitted,
            weight=earned.weight,
            sum_weight=earned.sum_weight,
            weight_target=self._emission.weight_target,
            is_sealed=earned.is_sealed,
        )
        verifier = verifier_reward(
            emitted, correct=earned.correct, participants=earned.participants, verifiers=earned.verifiers
        )
        attester = attester_reward(emitted, attesters=earned.attesters) if earned.is_correct_attester else 0
        return trainer, verifier, attester

    def _require_finalized(self, transaction: Transaction, round_number: int) -> None:
        self.emission(round_number)
        phase, _ = self._rounds.phase_of(round_number)
        transaction.require(phase == Phase.FINALIZED, "NotFinalized", round_number, phase)

    def _mint(self, transaction: Transaction, round_number: int, to: Address, amount: int) -> None:
        self._minted[round_number] = self._minted.get(round_number, 0) + amount
        self._token.move(transaction, ZERO_ADDRESS, to, amount)

    def _credit(self, member: Address, round_number: int, amount: int) -> None:
        """Exact in every order of claims: anybody may claim for anybody, and must not move another's credits."""
        self._credits.setdefault(member, []).append((round_number, amount))
        self._round_credits[round_number] = self._round_credits.get(round_number, 0) + amount

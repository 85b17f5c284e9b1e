// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {IContributionToken} from "./interfaces/IContributionToken.sol";
import {IRewardDistributor} from "./interfaces/IRewardDistributor.sol";
import {IRoundManager} from "./interfaces/IRoundManager.sol";
import {RewardMath} from "./libraries/RewardMath.sol";

/// @title RewardDistributor
/// @notice Rewards and credits; the manual is IRewardDistributor.
contract RewardDistributor is IRewardDistributor {
    using BitMaps for BitMaps.BitMap;
    using Checkpoints for Checkpoints.Trace208;

    // --- storage ------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRewardDistributor
    IContributionToken public immutable override token;
    /// @inheritdoc IRewardDistributor
    IRoundManager public immutable override roundManager;
    /// @inheritdoc IRewardDistributor
    address public immutable override treasury;
    /// @inheritdoc IRewardDistributor
    uint256 public immutable override initialEmission;
    /// @inheritdoc IRewardDistributor
    uint256 public immutable override halving;
    /// @inheritdoc IRewardDistributor
    uint256 public immutable override wTarget;

    /// @dev One slot for 128 participants of a round: a claim pays for one write instead of two.
    struct Page {
        uint128 claimed; // bit per index
        uint128 minted; // by their claims
    }

    uint256 private constant PAGE_SIZE = 128;

    mapping(uint256 round => mapping(uint256 page => Page)) private _pages;
    BitMaps.BitMap private _treasuryClaimed;
    mapping(address member => Checkpoints.Trace208 byRound) private _credits;
    /// @dev Credits claimed after those of a later round: a trace only appends. In order of claim, `_key` is the round.
    mapping(address member => Checkpoints.Checkpoint208[]) private _lateCredits;

    // --- deployment ---------------------------------------------------------------------------------------------------

    /// @param token_ ContributionToken; names this contract as its distributor.
    /// @param roundManager_ RoundManager, deployed already.
    /// @param treasury_ Receiver of 5 % of each finalised round.
    /// @param initialEmission_ E₀ in units of 10⁻¹⁸ CWT.
    /// @param halving_ Rounds after which the emission halves.
    /// @param wTarget_ Sum of weights, ppm, that a round must reach to pay its whole trainers' pool.
    constructor(
        IContributionToken token_,
        IRoundManager roundManager_,
        address treasury_,
        uint256 initialEmission_,
        uint256 halving_,
        uint256 wTarget_
    ) {
        if (token_.distributor() != address(this)) {
            revert WiredElsewhere(token_.distributor(), address(this));
        }
        if (initialEmission_ == 0 || halving_ == 0 || wTarget_ == 0 || treasury_ == address(0)) {
            revert ZeroParameter(initialEmission_, halving_, wTarget_, treasury_);
        }
        // E₀·halving·(1 + 1/2 + 1/4 + …) < 2·E₀·halving
        uint256 emissions = 2 * initialEmission_ * halving_;
        uint256 grants = roundManager_.registry().grantBudget();
        if (emissions + grants > token_.cap()) revert MintsAboveCap(emissions, grants, token_.cap());
        token = token_;
        roundManager = roundManager_;
        treasury = treasury_;
        initialEmission = initialEmission_;
        halving = halving_;
        wTarget = wTarget_;
    }

    // --- acts ---------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRewardDistributor
    function claim(uint256 round, uint16 index) external override returns (uint256 amount) {
        uint256 e = emission(round);
        IRoundManager.Earnings memory earned = roundManager.earningsOf(round, index);
        if (earned.phase != IRoundManager.Phase.Finalized) revert NotFinalized(round, earned.phase);
        Page memory page = _pages[round][index / PAGE_SIZE];
        uint128 bit = _bit(index);
        if (page.claimed & bit != 0) revert AlreadyClaimed(round, index);
        (uint256 trainerReward, uint256 verifierReward, uint256 attesterReward) = _rewardsDown(e, earned);
        amount = trainerReward + verifierReward + attesterReward;
        // A round mints at most its emission, far below 128 bits.
        _pages[round][index / PAGE_SIZE] = Page(page.claimed | bit, page.minted + uint128(amount));
        emit Claimed(round, index, earned.owner, trainerReward, verifierReward, attesterReward);
        if (amount != 0) {
            _credit(earned.owner, round, amount);
            token.mint(earned.owner, amount);
        }
    }

    /// @inheritdoc IRewardDistributor
    function claimTreasury(uint256 round) external override returns (uint256 amount) {
        amount = RewardMath.treasuryDown(emission(round));
        // A round that ended has no deadline left to look at.
        // slither-disable-next-line unused-return
        (IRoundManager.Phase phase,) = roundManager.phaseOf(round);
        if (phase != IRoundManager.Phase.Finalized) revert NotFinalized(round, phase);
        if (_treasuryClaimed.get(round)) revert TreasuryAlreadyClaimed(round);
        _treasuryClaimed.set(round);
        emit TreasuryClaimed(round, treasury, amount);
        token.mint(treasury, amount);
    }

    // --- views --------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRewardDistributor
    function emission(uint256 round) public view override returns (uint256) {
        if (round == 0) revert GenesisHasNoRewards();
        return RewardMath.emissionDown(initialEmission, halving, round);
    }

    /// @inheritdoc IRewardDistributor
    function mintedIn(uint256 round) external view override returns (uint256 amount) {
        // Whether all have claimed does not matter here.
        // slither-disable-next-line unused-return
        (amount,) = creditsIn(round);
        if (_treasuryClaimed.get(round)) amount += RewardMath.treasuryDown(emission(round));
    }

    /// @inheritdoc IRewardDistributor
    function creditsIn(uint256 round) public view override returns (uint256 amount, bool isComplete) {
        uint256 n = roundManager.roundOf(round).reveals;
        isComplete = n != 0;
        for (uint256 first = 0; first < n; first += PAGE_SIZE) {
            Page storage page = _pages[round][first / PAGE_SIZE];
            amount += page.minted;
            // Only indices on the ring can be claimed, so a whole page has exactly these bits.
            uint256 all = (1 << Math.min(n - first, PAGE_SIZE)) - 1;
            if (page.claimed != all) isComplete = false;
        }
    }

    /// @inheritdoc IRewardDistributor
    function isClaimed(uint256 round, uint16 index) external view override returns (bool) {
        return _pages[round][index / PAGE_SIZE].claimed & _bit(index) != 0;
    }

    /// @inheritdoc IRewardDistributor
    function isTreasuryClaimed(uint256 round) external view override returns (bool) {
        return _treasuryClaimed.get(round);
    }

    /// @inheritdoc IRewardDistributor
    function creditAt(address member, uint256 round) external view override returns (uint256 credit) {
        // Keys have 48 bits; a later round than any key asks for everything.
        credit = _credits[member].upperLookupRecent(uint48(Math.min(round, type(uint48).max)));
        Checkpoints.Checkpoint208[] storage late = _lateCredits[member];
        uint256 count = late.length;
        for (uint256 i = 0; i < count; ++i) {
            Checkpoints.Checkpoint208 storage one = late[i];
            if (one._key <= round) credit += one._value;
        }
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    /// @dev All zero for an owner whose own update was Malformed, Harmful or a copy.
    function _rewardsDown(uint256 e, IRoundManager.Earnings memory earned)
        private
        view
        returns (uint256 trainerReward, uint256 verifierReward, uint256 attesterReward)
    {
        if (earned.isForfeited) return (0, 0, 0);
        trainerReward = RewardMath.trainerDown(e, earned.isSealed, earned.weight, earned.sumWeight, wTarget);
        verifierReward = RewardMath.verifierDown(e, earned.participants, earned.verifiers, earned.correct);
        if (earned.isCorrectAttester) attesterReward = RewardMath.attesterDown(e, earned.attesters);
    }

    /// @dev Exact in every order of claims: anybody may claim for anybody, and must not move another's credits.
    function _credit(address member, uint256 round, uint256 amount) private {
        Checkpoints.Trace208 storage trace = _credits[member];
        (bool exists, uint48 last, uint208 total) = trace.latestCheckpoint();
        uint48 key = SafeCast.toUint48(round);
        if (exists && last > key) {
            _lateCredits[member].push(Checkpoints.Checkpoint208(key, SafeCast.toUint208(amount)));
            return;
        }
        // The former and the new total, which the line above read and made.
        // slither-disable-next-line unused-return
        trace.push(key, total + SafeCast.toUint208(amount));
    }

    /// @dev Bit of an index in its page.
    function _bit(uint256 index) private pure returns (uint128) {
        return uint128(1 << (index % PAGE_SIZE));
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IContributionToken} from "./IContributionToken.sol";
import {IRoundManager} from "./IRoundManager.sol";

/// @title IRewardDistributor
/// @notice Pays what finalised rounds earned, and keeps the soul-bound credits that copyright shares will follow.
/// @dev Amounts are in units of 10⁻¹⁸ CWT. Claims are pulled: anyone may send them, the owner is always the one paid, and
/// nothing is minted that nobody earned. Nobody owns this contract; all its numbers are fixed at deployment.
///
/// Assumption. Safety: `roundManager` reports what it settled, and never changes it after Finalized. No claim ever meets the
/// token's cap: the constructor checks that all emissions and all grants together stay within it.
interface IRewardDistributor {
    /// @notice A participant's whole pay of a round was minted; all zero where it forfeited or earned nothing.
    event Claimed(
        uint256 indexed round,
        uint16 index,
        address indexed member,
        uint256 trainerReward,
        uint256 verifierReward,
        uint256 attesterReward
    );
    /// @notice The treasury's share of a round was minted.
    event TreasuryClaimed(uint256 indexed round, address indexed treasury, uint256 amount);

    /// @notice Thrown when a round is not Finalized: it still runs, was voided, or does not exist.
    error NotFinalized(uint256 round, IRoundManager.Phase actual);
    /// @notice Thrown when this (round, index) was claimed before.
    error AlreadyClaimed(uint256 round, uint16 index);
    /// @notice Thrown when the treasury's share of this round was claimed before.
    error TreasuryAlreadyClaimed(uint256 round);
    /// @notice Thrown for round 0, the genesis model: nobody earned anything by it.
    error GenesisHasNoRewards();

    /// @notice Thrown at deployment when emission, halving, weight target or treasury is zero.
    error ZeroParameter(uint256 initialEmission, uint256 halving, uint256 wTarget, address treasury);
    /// @notice Thrown at deployment when all emissions and all grants together could exceed the token's cap.
    error MintsAboveCap(uint256 emissions, uint256 grantBudget, uint256 cap);
    /// @notice Thrown at deployment when the token names another distributor than this one.
    error WiredElsewhere(address actual, address expected);

    /// @notice Mints everything that the owner of `index` earned in `round`: as trainer, verifier and attester.
    /// @dev Effects: marks (round, index), credits the owner, mints to it. Requirements: the round is Finalized; not yet
    /// claimed. An owner whose own update was Malformed, Harmful or a proven copy forfeits all of it; its claim pays 0.
    /// @return amount What was minted.
    function claim(uint256 round, uint16 index) external returns (uint256 amount);

    /// @notice Mints the treasury's share of `round`, once.
    function claimTreasury(uint256 round) external returns (uint256 amount);

    /// @notice Most that `round` can mint: E₀ >> ((round − 1) / halving).
    function emission(uint256 round) external view returns (uint256);

    /// @notice What `round` has minted so far, the treasury's share included.
    /// @dev A view for audits: it reads one slot per 128 participants.
    function mintedIn(uint256 round) external view returns (uint256);

    /// @notice Credits that the claims of `round` have made so far, and whether every participant's claim is made: the sum is
    /// final then. Only a Finalized round is ever complete.
    /// @dev Reads one slot per 128 participants.
    function creditsIn(uint256 round) external view returns (uint256 amount, bool isComplete);

    /// @notice Whether (round, index) was claimed.
    function isClaimed(uint256 round, uint16 index) external view returns (bool);

    /// @notice Whether the treasury's share of `round` was claimed.
    function isTreasuryClaimed(uint256 round) external view returns (bool);

    /// @notice Soul-bound credit of `member` from rounds up to `round` (claimed so far): the sum of its rewards, never lowered
    /// by a transfer or a penalty.
    /// @dev Exact whatever the order of claims. One step more for each claim that came after one for a later round; once every
    /// claim of the rounds up to `round` is made, the value never changes again.
    function creditAt(address member, uint256 round) external view returns (uint256);

    /// @notice Emission of the first rounds, E₀.
    function initialEmission() external view returns (uint256);

    /// @notice Rounds after which the emission halves.
    function halving() external view returns (uint256);

    /// @notice Sum of weights, ppm, that a round must reach to pay its whole trainers' pool.
    function wTarget() external view returns (uint256);

    /// @notice Receiver of the treasury's shares.
    function treasury() external view returns (address);

    /// @notice The token that is minted.
    function token() external view returns (IContributionToken);

    /// @notice The contract whose rounds are paid.
    function roundManager() external view returns (IRoundManager);
}

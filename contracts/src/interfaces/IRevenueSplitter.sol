// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IReleaseRegistry} from "./IReleaseRegistry.sol";
import {IRewardDistributor} from "./IRewardDistributor.sol";

/// @title IRevenueSplitter
/// @notice Divides what a release earns among those whose work is in it, for ever by the same shares.
/// @dev Anybody deposits any ERC-20 for a release, before or after others have claimed; members pull. What a member is due in
/// all is deposited · creditAt(member, R_v) / creditTotal, rounded down; a claim pays what of it is not paid yet. Shares
/// follow credits, which no transfer of any token moves. Amounts are in the token's own units. Nobody owns this contract,
/// nothing can be paused, and nothing that was deposited comes back to who sent it.
///
/// The native coin is not taken: wrap it. A token is trusted with its own deposits only: the books of each (release, token) are
/// apart, what counts as deposited is what arrived, and no call nests. A token that takes balances away from this contract by
/// itself (negative rebase, seizure) leaves the last claimers short of that token; such tokens should not be deposited.
///
/// Assumptions. Safety: ReleaseRegistry's shares never change. Liveness: the token's transfers work.
interface IRevenueSplitter {
    /// @notice `amount` arrived for a release, which makes `total`.
    event Deposited(uint32 indexed release, IERC20 indexed token, address indexed from, uint256 amount, uint256 total);
    /// @notice A member was paid `amount`, which makes `total`.
    event Claimed(uint32 indexed release, IERC20 indexed token, address indexed account, uint256 amount, uint256 total);

    /// @notice Thrown when nothing arrived: the amount was zero, or the token kept it all.
    error NothingArrived(IERC20 token, uint256 sent);
    /// @notice Thrown when an account has been paid all it is due, which may be nothing.
    error NothingToClaim(uint32 release, IERC20 token, address account, uint256 paid);

    /// @notice Thrown at deployment when the registry's credits are kept by another distributor.
    error WiredElsewhere(address actual, address expected);

    /// @notice Pays `amount` of the caller's tokens into a release (needs an allowance).
    /// @dev Effects: what really arrived counts as deposited. Requirements: the release exists (a yanked one still earns for its
    /// owners); something arrived; not called from within a token.
    /// @return arrived What counts.
    function deposit(uint32 release, IERC20 token, uint256 amount) external returns (uint256 arrived);

    /// @notice Pays `account` what it is due and has not been paid. Anyone may send it; the account is always the one paid.
    /// @dev Requirements: the release exists; there is something to pay; not called from within a token.
    function claim(uint32 release, IERC20 token, address account) external returns (uint256 amount);

    /// @notice What a claim would pay now.
    function claimable(uint32 release, IERC20 token, address account) external view returns (uint256);

    /// @notice All that was ever deposited.
    function depositedOf(uint32 release, IERC20 token) external view returns (uint256);

    /// @notice All that was ever paid to `account`.
    function paidOf(uint32 release, IERC20 token, address account) external view returns (uint256);

    /// @notice A member's share of a release as a fraction.
    function shareOf(uint32 release, address account) external view returns (uint256 credit, uint256 total);

    /// @notice The contract that lists releases.
    function releases() external view returns (IReleaseRegistry);

    /// @notice The contract that keeps the credits.
    function distributor() external view returns (IRewardDistributor);
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title ITreasury
/// @notice What the community holds together: its share of every round, and whatever else is sent here.
/// @dev It stands between the timelock and the token, so that proposals can pay out of the treasury without the governor's list
/// naming the token itself: a proposal can spend what lies here and reach nothing else.
///
/// Assumptions. Safety: the timelock executes only what the community decided. Liveness: none.
interface ITreasury {
    /// @notice `amount` of `token` was paid to `to`, as a proposal decided.
    event Paid(IERC20 indexed token, address indexed to, uint256 amount);

    /// @notice Thrown when another caller than the timelock pays.
    error NotTimelock(address caller, address timelock);
    /// @notice Thrown when a payment has no receiver or no amount.
    error EmptyPayment(address to, uint256 amount);
    /// @notice Thrown at deployment without a timelock.
    error ZeroTimelock();

    /// @notice Pays out of the treasury.
    /// @dev Requirements: the caller is the timelock; the treasury holds so much (else the token reverts).
    function pay(IERC20 token, address to, uint256 amount) external;

    /// @notice The only account that can pay.
    function timelock() external view returns (address);
}

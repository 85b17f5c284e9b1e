// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {ITreasury} from "./interfaces/ITreasury.sol";

/// @title Treasury
/// @notice The community's purse; the manual is ITreasury.
contract Treasury is ITreasury {
    using SafeERC20 for IERC20;

    /// @inheritdoc ITreasury
    address public immutable override timelock;

    /// @param timelock_ TimelockController, deployed later at this precomputed address.
    constructor(address timelock_) {
        if (timelock_ == address(0)) revert ZeroTimelock();
        timelock = timelock_;
    }

    /// @inheritdoc ITreasury
    function pay(IERC20 token, address to, uint256 amount) external override {
        if (msg.sender != timelock) revert NotTimelock(msg.sender, timelock);
        if (to == address(0) || amount == 0) revert EmptyPayment(to, amount);
        emit Paid(token, to, amount);
        token.safeTransfer(to, amount);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";

import {IGuardian} from "../../src/interfaces/IGuardian.sol";

/// @notice A guardian without rules: anybody pauses anything. Its office does nothing.
contract FakeGuardian is IGuardian {
    mapping(Entry entry => bool) public override isPaused;

    function set(Entry entry, bool paused) external {
        isPaused[entry] = paused;
    }

    function pause(Entry, uint40) external override {}

    function unpause(Entry) external override {}

    function cancel(IGovernor, address[] calldata, uint256[] calldata, bytes[] calldata, bytes32)
        external
        override
        returns (uint256)
    {}

    function replace(address) external override {}

    function pausesOf(Entry) external view override returns (uint40, uint40) {}

    function account() external view override returns (address) {}

    function expiresAt() external view override returns (uint40) {}

    function timelock() external view override returns (address) {}
}

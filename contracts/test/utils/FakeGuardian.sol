// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuardian} from "../../src/interfaces/IGuardian.sol";

/// @notice A guardian without rules: anybody pauses anything.
contract FakeGuardian is IGuardian {
    mapping(Entry entry => bool) public override isPaused;

    function set(Entry entry, bool paused) external {
        isPaused[entry] = paused;
    }
}

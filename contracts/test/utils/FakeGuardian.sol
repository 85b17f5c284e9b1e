// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuardian} from "../../src/interfaces/IGuardian.sol";

/// @notice A guardian that pauses what a test tells it to.
contract FakeGuardian is IGuardian {
    mapping(Entry entry => bool) private _paused;

    function setPaused(Entry entry, bool paused) external {
        _paused[entry] = paused;
    }

    function isPaused(Entry entry) external view override returns (bool) {
        return _paused[entry];
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @title IGuardian
/// @notice What the contracts ask before an entry point opens.
interface IGuardian {
    /// @notice Entry points that can be paused.
    enum Entry {
        Join,
        OpenRound,
        Lock,
        Publish
    }

    /// @notice Whether `entry` is paused now.
    function isPaused(Entry entry) external view returns (bool);
}

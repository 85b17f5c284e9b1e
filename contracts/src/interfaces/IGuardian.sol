// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @title IGuardian
/// @notice Who may pause what others may enter; it can never block exits, claims, reveals, disputes or the end of a round.
interface IGuardian {
    /// @notice The acts that a pause blocks.
    enum Entry {
        Join,
        OpenRound,
        Lock,
        Publish
    }

    /// @notice Whether `entry` is paused now.
    function isPaused(Entry entry) external view returns (bool);
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";

/// @title IGuardian
/// @notice A brake for the first years: one account that may pause four entry points for a while and cancel proposals, until
/// a date that nobody can move.
/// @dev It can never block exits, claims, reveals, disputes, unlocks or the end of a round: those contracts do not ask.
/// Times are in seconds since 1970.
///
/// Assumptions. Safety: none; a stolen key delays joining, opening, locking and publishing by at most MAX_PAUSED_TOTAL
/// each, and stops proposals, the one that would replace it included, until the expiry. Liveness: none.
interface IGuardian {
    /// @notice What can be paused.
    enum Entry {
        Join,
        OpenRound,
        Lock,
        Publish
    }

    /// @notice `entry` is paused until `until`; all its pauses so far add up to `paused` seconds.
    event Paused(Entry indexed entry, uint256 until, uint256 paused);
    /// @notice The pause of `entry` ended early; `paused` is what was really used.
    event Unpaused(Entry indexed entry, uint256 paused);
    /// @notice `current` is the guardian now; zero: there is none any more.
    event Replaced(address indexed former, address indexed current);

    /// @notice Thrown when another account than the guardian acts.
    error NotGuardian(address caller, address account);
    /// @notice Thrown when another account than the timelock replaces the guardian, or than both ends a pause.
    error NotTimelock(address caller, address timelock);
    /// @notice Thrown when the guardian's time is over.
    error GuardianExpired(uint256 expiresAt, uint256 currentTime);
    /// @notice Thrown when a pause would end before `least` or after `most`.
    error BadPause(uint256 until, uint256 least, uint256 most);
    /// @notice Thrown when the pauses of an entry would add up to more than a guardian has.
    error PausesSpent(Entry entry, uint256 paused, uint256 maximum);
    /// @notice Thrown when an entry that is not paused is to be unpaused.
    error NotPaused(Entry entry);
    /// @notice Thrown at deployment when account or timelock is zero.
    error ZeroGuardian(address account, address timelock);
    /// @notice Thrown at deployment when the expiry is not in the future, or further away than MAX_TERM.
    error BadExpiry(uint256 expiresAt, uint256 least, uint256 most);

    /// @notice Pauses `entry` until `until`, or prolongs its pause.
    /// @dev Requirements: the caller is the guardian, not expired; `until` is later than now and than a running pause, at
    /// most MAX_PAUSE from now, and not after the expiry; all pauses of the entry add up to at most MAX_PAUSED_TOTAL.
    function pause(Entry entry, uint40 until) external;

    /// @notice Ends the pause of `entry`; what was left of it does not count as used.
    /// @dev Requirements: the caller is the guardian or the timelock; the entry is paused.
    function unpause(Entry entry) external;

    /// @notice Cancels a proposal in any state before its execution, through the governor's `cancel`.
    /// @dev Requirements: the caller is the guardian, not expired. `governor` is named by the caller, since the governor is
    /// deployed later: a wrong one costs nothing, as no other contract grants this one anything.
    function cancel(
        IGovernor governor,
        address[] calldata targets,
        uint256[] calldata values,
        bytes[] calldata calldatas,
        bytes32 descriptionHash
    ) external returns (uint256 proposalId);

    /// @notice Makes `newAccount` the guardian; the zero address ends the office and every pause.
    /// @dev Only the timelock. The new guardian has the same expiry, and what its predecessors left of the pauses.
    function replace(address newAccount) external;

    /// @notice Whether `entry` is paused now.
    function isPaused(Entry entry) external view returns (bool);
    /// @notice End of the latest pause of `entry` (maybe past), and the seconds that all its pauses add up to.
    function pausesOf(Entry entry) external view returns (uint40 until, uint40 paused);
    /// @notice The guardian; zero where the timelock ended the office.
    function account() external view returns (address);
    /// @notice From here on there is no guardian.
    function expiresAt() external view returns (uint40);
    /// @notice Who may replace the guardian.
    function timelock() external view returns (address);
}
